use criterion::{criterion_group, criterion_main, Criterion};
use std::hint::black_box;

fn benches(c: &mut Criterion) {
    c.bench_function("spin", |b| b.iter(|| kernels::spin(black_box(kernels::STEPS))));
    c.bench_function("other/with (odd) chars+ [a]", |b| b.iter(|| kernels::spin(black_box(1000))));
    let ring = kernels::ring();
    c.bench_function("chase", |b| b.iter(|| kernels::chase(black_box(&ring))));
}

criterion_group!(all, benches);
criterion_main!(all);
