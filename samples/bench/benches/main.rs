// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause

//! What a device does for each request: walk a chain, gather its bytes, work off a queue.

use std::hint::black_box;

use criterion::{criterion_group, criterion_main, Criterion};
use virtqueue::{flag, Descriptor, Memory, Queue};

const SIZE: u16 = 256;
const TABLE: u64 = 0x1000;
const AVAILABLE: u64 = 0x3000;
const USED: u64 = 0x4000;
const INDIRECT: u64 = 0x10_0000;
const BUFFERS: u64 = 0x20_0000;

/// The regions of a small machine: low memory, what lies above the PCI hole, and a few devices' own.
fn memory() -> Memory {
    Memory::new(&[
        (0, 0xa_0000),
        (0x10_0000, 0x40_0000),
        (0x4000_0000, 0x1000),
        (0x5000_0000, 0x1000),
        (0x1_0000_0000, 0x10_0000),
    ])
    .expect("regions do not overlap")
}

/// Writes a table of chains of `links` buffers each.
fn write_chains(memory: &mut Memory, table: u64, entries: u16, links: u16, length: u32) {
    for index in 0..entries {
        let last = index % links == links - 1;
        let descriptor = Descriptor {
            address: BUFFERS + u64::from(index) * u64::from(length),
            length,
            flags: if last { 0 } else { flag::NEXT },
            next: if last { 0 } else { index + 1 },
        };
        let place = table + u64::from(index) * Descriptor::SIZE as u64;
        memory
            .write(place, &descriptor.to_bytes())
            .expect("the table is mapped");
    }
}

/// Offers the chains that begin at these descriptors.
fn offer(memory: &mut Memory, heads: impl Iterator<Item = u16>) {
    let mut count = 0u16;
    for head in heads {
        let entry = AVAILABLE + 4 + 2 * u64::from(count);
        memory.write(entry, &head.to_le_bytes()).expect("mapped");
        count += 1;
    }
    memory
        .write(AVAILABLE + 2, &count.to_le_bytes())
        .expect("mapped");
}

fn queue() -> Queue {
    Queue::new(SIZE, TABLE, AVAILABLE, USED).expect("a power of two")
}

fn chains(c: &mut Criterion) {
    let mut memory = memory();
    write_chains(&mut memory, TABLE, SIZE, 16, 64);
    offer(&mut memory, 0..1);
    let chain = queue().pop(&memory).expect("mapped").expect("offered");
    c.bench_function("walk 16", |b| {
        b.iter(|| {
            black_box(&chain)
                .clone()
                .map(|descriptor| u64::from(descriptor.expect("valid").length))
                .sum::<u64>()
        })
    });
}

fn indirect(c: &mut Criterion) {
    let mut memory = memory();
    let table = Descriptor {
        address: INDIRECT,
        length: 128 * Descriptor::SIZE as u32,
        flags: flag::INDIRECT,
        next: 0,
    };
    memory.write(TABLE, &table.to_bytes()).expect("mapped");
    write_chains(&mut memory, INDIRECT, 128, 128, 512);
    offer(&mut memory, 0..1);
    let chain = queue().pop(&memory).expect("mapped").expect("offered");
    c.bench_function("walk 128, indirect", |b| {
        b.iter(|| black_box(&chain).clone().filter(Result::is_ok).count())
    });
    let mut bytes = Vec::with_capacity(128 * 512);
    c.bench_function("gather 64 KiB", |b| {
        b.iter(|| {
            bytes.clear();
            black_box(&chain).gather(&mut bytes).expect("valid");
            bytes.len()
        })
    });
}

fn requests(c: &mut Criterion) {
    let mut memory = memory();
    write_chains(&mut memory, TABLE, SIZE, 4, 64);
    offer(&mut memory, (0..SIZE).step_by(4));
    let mut bytes = Vec::with_capacity(4 * 64);
    c.bench_function("64 requests", |b| {
        b.iter(|| {
            let mut queue = queue();
            while let Some(chain) = queue.pop(&memory).expect("mapped") {
                let head = chain.head();
                bytes.clear();
                chain.gather(&mut bytes).expect("valid");
                queue.finish(&mut memory, head, 0).expect("mapped");
            }
            black_box(queue);
        })
    });
}

criterion_group!(benches, chains, indirect, requests);
criterion_main!(benches);
