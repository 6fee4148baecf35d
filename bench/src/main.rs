//! What it costs to verify a certification path: the first time, and when the verdict is remembered. In WebAssembly also what
//! it costs to decide on a request: natively, criterion times that (benches/decision.rs).
//!
//! `make microbench` runs this program twice, natively and as wasm32-wasip1 in Node's V8, the engine that Envoy embeds.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "all input stands in this program"
)]

use std::{hint::black_box, time::Instant};

use certbound::{
    certificate::Certificate,
    trust::{TrustAnchors, UnknownRevocationStatus, VerdictCache},
};
use certbound_bench::{NOW, Worker, scenarios};
use demo_pki::{CertificateTemplate, Identity, Key};

/// A client's certificate, what it presents with it, and the anchors.
struct Chain {
    anchors: TrustAnchors,
    end_entity: Certificate,
    presented: Vec<Vec<u8>>,
}

impl Chain {
    fn new(anchor: &Identity, client: &Identity, presented: &[&Identity]) -> Self {
        let anchors = anchor.certificate_pem();
        Self {
            anchors: TrustAnchors::new(&anchors, None, None, UnknownRevocationStatus::Deny)
                .expect("it is a CA"),
            end_entity: Certificate::from_der(client.certificate_der.clone())
                .expect("it is a certificate"),
            presented: presented.iter().map(|identity| identity.certificate_der.clone()).collect(),
        }
    }

    fn verify(&self, cache: &mut VerdictCache) -> bool {
        cache.verify(&self.anchors, &self.end_entity, &self.presented, NOW).is_ok()
    }
}

fn authority(name: &str) -> CertificateTemplate {
    CertificateTemplate::authority(&format!("CN={name}"))
}

fn client() -> CertificateTemplate {
    CertificateTemplate::client("CN=client", [])
}

/// As many intermediates as are asked for between a root and a client, all with keys of one kind.
fn straight(key: impl Fn(&str) -> Key, intermediates: usize) -> Chain {
    let root = authority("root").self_signed(key("root"));
    let mut issuers = vec![root];
    for depth in 0..intermediates {
        let name = format!("intermediate {depth}");
        let issuer = authority(&name).issued_by(&issuers[depth], key(&name));
        issuers.push(issuer);
    }
    let client = client().issued_by(&issuers[intermediates], key("client"));
    Chain::new(&issuers[0], &client, &issuers[1..].iter().collect::<Vec<_>>())
}

/// The longest chain that a client may present, right in all but the last signature: that of a CA with the anchor's name
/// and another key.
fn hostile(key: impl Fn(&str) -> Key) -> Chain {
    let root = authority("root").self_signed(key("root"));
    let mut issuers = vec![authority("root").self_signed(key("false root"))];
    for depth in 0..4 {
        let name = format!("intermediate {depth}");
        let issuer = authority(&name).issued_by(&issuers[depth], key(&name));
        issuers.push(issuer);
    }
    let client = client().issued_by(&issuers[4], key("client"));
    Chain::new(&root, &client, &issuers[1..].iter().collect::<Vec<_>>())
}

/// Microseconds of the fastest of several runs: what the work takes, without what else the machine did.
fn microseconds(mut work: impl FnMut()) -> f64 {
    let mut fastest = f64::INFINITY;
    for _ in 0..30 {
        let start = Instant::now();
        work();
        fastest = fastest.min(start.elapsed().as_secs_f64());
    }
    fastest * 1e6
}

fn report(name: &str, chain: &Chain, is_valid: bool) {
    let verdict = chain.verify(&mut VerdictCache::default());
    assert!(verdict == is_valid, "{name}: the chain is judged wrongly");
    let first = microseconds(|| {
        black_box(chain.verify(&mut VerdictCache::default()));
    });
    let mut cache = VerdictCache::default();
    chain.verify(&mut cache);
    let again = microseconds(|| {
        for _ in 0..100 {
            black_box(chain.verify(&mut cache));
        }
    }) / 100.0;
    println!("| {name} | {first:.0} | {again:.2} |");
}

/// Decides on the requests of a client that is known, again and again.
fn report_decisions() {
    println!("| request | µs |");
    println!("|---|---|");
    for scenario in scenarios() {
        let mut worker = Worker::new(scenario.config());
        let request = scenario.request();
        let decision = microseconds(|| {
            for _ in 0..100 {
                black_box(worker.handle(request.clone()));
            }
        });
        let copy = microseconds(|| {
            for _ in 0..100 {
                black_box(request.clone());
            }
        });
        println!("| {} | {:.2} |", scenario.name, (decision - copy) / 100.0);
    }
    println!();
}

fn main() {
    if cfg!(target_arch = "wasm32") {
        report_decisions();
    }
    println!("| chain | first verdict, µs | remembered, µs |");
    println!("|---|---|---|");
    report("P-256, issued by the anchor", &straight(Key::p256, 0), true);
    report("P-256, 1 intermediate", &straight(Key::p256, 1), true);
    report("P-384, issued by the anchor", &straight(Key::p384, 0), true);
    report("P-384, 1 intermediate", &straight(Key::p384, 1), true);
    report("Ed25519, issued by the anchor", &straight(Key::ed25519, 0), true);
    report("Ed25519, 1 intermediate", &straight(Key::ed25519, 1), true);
    for bits in [2048, 3072, 4096] {
        // One key for all: that the issuer's is the client's own makes no difference to the cost.
        let chain = straight(|_| Key::rsa(bits), 0);
        report(&format!("RSA-{bits}, issued by the anchor"), &chain, true);
    }
    report("longest: P-384, 4 intermediates", &straight(Key::p384, 4), true);
    report("hostile: P-256, 4 intermediates to a false root", &hostile(Key::p256), false);
    report("hostile: P-384, 4 intermediates to a false root", &hostile(Key::p384), false);
}
