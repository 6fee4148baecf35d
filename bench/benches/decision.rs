//! The decision on the requests of a client that is known, timed natively: `cargo bench -p certbound-bench --bench decision`
//! says what changed since the last run.

#![allow(missing_docs, reason = "criterion's macros write none")]

use certbound_bench::{Worker, scenarios};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

fn decision(criterion: &mut Criterion) {
    for scenario in scenarios() {
        let mut worker = Worker::new(scenario.config());
        let request = scenario.request();
        criterion.bench_function(scenario.name, |bencher| {
            bencher.iter_batched(
                || request.clone(),
                |request| worker.handle(request),
                BatchSize::SmallInput,
            );
        });
    }
}

criterion_group!(benches, decision);
criterion_main!(benches);
