//! What the compiled filter costs, counted and not timed, so that the figures are the same on every run: instructions of
//! the interpreter in which the tests run it, calls of the host, bytes of linear memory.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "as in the tests: whatever goes wrong had better be loud"
)]

#[allow(dead_code, reason = "the tests need more of it")]
#[path = "../../tests/cases/mod.rs"]
mod cases;
#[allow(dead_code, reason = "the tests need more of it")]
#[path = "../../tests/wasm/envoy.rs"]
mod envoy;
#[allow(dead_code, reason = "the tests need more of it")]
#[path = "../../tests/wasm/host.rs"]
mod host;
#[allow(dead_code, reason = "the tests need more of it")]
#[path = "../../tests/wasm/stream.rs"]
mod stream;

use certbound_bench::{Scenario, configuration, scenarios};
use envoy::{Connection, Envoy, Part, Request};

fn start(scenario: &Scenario) -> Envoy {
    let configuration = scenario.configuration.to_string();
    Envoy::start(configuration.as_bytes(), &[]).unwrap_or_else(|log| panic!("{log:#?}"))
}

fn request(scenario: &Scenario) -> Request {
    let fields = scenario.headers.iter();
    let headers =
        fields.map(|(name, value)| (name.clone().into_bytes(), value.clone().into_bytes()));
    let body = (!scenario.body.is_empty()).then(|| Part::Body(scenario.body.into()));
    Request { parts: [Part::Headers(headers.collect())].into_iter().chain(body).collect() }
}

/// What one more request of a known client costs.
fn report(scenario: &Scenario) {
    let mut envoy = start(scenario);
    let connection = Connection::with_certificate(&scenario.identity, true);
    let request = request(scenario);
    let mut instructions = Vec::new();
    let mut host_calls = Vec::new();
    for _ in 0..5 {
        let before = envoy.instructions();
        let exchange = envoy.exchange(&connection, &request);
        assert!(exchange.forwarded.is_some(), "{}: {exchange:?}", scenario.name);
        instructions.push(envoy.instructions() - before);
        host_calls = exchange.host_calls;
    }
    println!(
        "| {} | {} | {} | {} |",
        scenario.name,
        instructions[0],
        instructions[4],
        host_calls.len()
    );
    if std::env::args().any(|argument| argument == "--host-calls") {
        println!("{host_calls:#?}");
    }
}

fn main() {
    println!("| request | instructions, first | instructions, again | host calls |");
    println!("|---|---|---|---|");
    for scenario in scenarios() {
        report(&scenario);
    }
    println!("\n| clients | instructions to load | linear memory, KiB |");
    println!("|---|---|---|");
    for clients in [1, 10_000] {
        let configuration = configuration(clients).to_string();
        let envoy = Envoy::start(configuration.as_bytes(), &[]);
        let envoy = envoy.unwrap_or_else(|log| panic!("{log:#?}"));
        println!("| {clients} | {} | {} |", envoy.instructions(), envoy.memory_bytes() / 1024);
    }
}
