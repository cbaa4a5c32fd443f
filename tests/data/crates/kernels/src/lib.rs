//! Kernels whose work is known.
use std::hint::black_box;

/// Steps of `spin`.
pub const STEPS: u64 = 2000;
/// Elements that `chase` walks through.
pub const RING: usize = 512;

/// Some dependent work.
pub fn spin(steps: u64) -> u64 {
    (0..steps).fold(1, |x, n| black_box(x.rotate_left(7) ^ n))
}

/// A ring of indices in an order that no cache guesses.
pub fn ring() -> Vec<u32> {
    let mut order: Vec<u32> = (0..RING as u32).collect();
    let mut seed = 1u64;
    for at in (1..order.len()).rev() {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        order.swap(at, (seed >> 33) as usize % at);
    }
    let mut next = vec![0; RING];
    for pair in order.windows(2) {
        next[pair[0] as usize] = pair[1];
    }
    next[order[RING - 1] as usize] = order[0];
    next
}

/// A thousand steps through the ring.
pub fn chase(ring: &[u32]) -> u32 {
    (0..1000).fold(0, |at, _| ring[at as usize])
}
