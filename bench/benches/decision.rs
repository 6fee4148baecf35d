//! The decision on the requests of a client that is known, timed natively, and what changed since the last run.

#![allow(missing_docs, reason = "criterion's macros write none")]

use std::time::Duration;

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

criterion_group! {
    name = benches;
    // Half as long as criterion would do by itself: no interval is wider than how the speed of a virtual machine drifts.
    config = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));
    targets = decision
}
criterion_main!(benches);
