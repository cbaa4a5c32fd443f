// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause

//! A device backend that forwards what the guest put on a ring.
//!
//! Which packets they are is decided at build time, by at most one of two features:
//!
//! * `tap`: Ethernet frames, forwarded whole.
//! * `vsock`: vsock packets, of which the payload is forwarded.
//!
//! Without either, bytes are forwarded as they are. The feature `stats` counts them.
//!
//! ```
//! use backend::Backend;
//! use ring::{Descriptor, Ring};
//!
//! let memory = [0; 64]; // the guest's; it holds a packet, whatever kind is meant
//! let mut ring = Ring::new(8).expect("a power of two");
//! ring.push(Descriptor {
//!     address: 0,
//!     len: 64,
//! })?;
//!
//! let mut packets = 0;
//! Backend::default().process(&memory, &mut ring, |_payload| packets += 1);
//! assert_eq!(packets, 1);
//! # Ok::<(), ring::Full>(())
//! ```

#![forbid(unsafe_code)]
#![warn(missing_docs)]

// Not for rustdoc, which documents all features at once.
#[cfg(all(feature = "tap", feature = "vsock", not(doc)))]
compile_error!("the features `tap` and `vsock` exclude each other: switch one of them off");

#[cfg(not(any(feature = "tap", feature = "vsock")))]
#[path = "raw.rs"]
mod transport;
#[cfg(feature = "tap")]
#[path = "tap.rs"]
mod transport;
#[cfg(all(feature = "vsock", not(feature = "tap")))]
#[path = "vsock.rs"]
mod transport;

use ring::{Descriptor, Ring};

/// What a backend did so far.
#[cfg(feature = "stats")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes forwarded.
    pub bytes: u64,
    /// Packets forwarded.
    pub packets: u64,
    /// Packets dropped: outside the guest's memory, or malformed.
    pub dropped: u64,
}

/// The device's side of a ring.
#[derive(Debug, Default)]
pub struct Backend {
    #[cfg(feature = "stats")]
    stats: Stats,
}

impl Backend {
    /// Takes all packets from the ring and hands the payload of each to `forward`; drops those that
    /// are not inside the guest's `memory`, or malformed.
    pub fn process(&mut self, memory: &[u8], ring: &mut Ring, mut forward: impl FnMut(&[u8])) {
        while let Some(descriptor) = ring.pop() {
            let payload = buffer(memory, descriptor).and_then(transport::payload);
            if let Some(payload) = payload {
                forward(payload);
            }
            #[cfg(feature = "stats")]
            self.stats.count(payload);
        }
    }

    /// Returns what was done so far.
    #[cfg(feature = "stats")]
    pub fn stats(&self) -> Stats {
        self.stats
    }
}

#[cfg(feature = "stats")]
impl Stats {
    fn count(&mut self, payload: Option<&[u8]>) {
        match payload {
            Some(payload) => {
                self.bytes += payload.len() as u64;
                self.packets += 1;
            }
            None => self.dropped += 1,
        }
    }
}

fn buffer(memory: &[u8], descriptor: Descriptor) -> Option<&[u8]> {
    let start = usize::try_from(descriptor.address).ok()?;
    let len = usize::try_from(descriptor.len).ok()?;
    memory.get(start..start.checked_add(len)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Memory that holds one good packet of the transport, and the ring that it is on.
    fn guest() -> (Vec<u8>, Ring) {
        let memory = transport::packet(b"hello, host");
        let mut ring = Ring::new(4).unwrap();
        ring.push(Descriptor {
            address: 0,
            len: memory.len().try_into().unwrap(),
        })
        .unwrap();
        (memory, ring)
    }

    #[test]
    fn forwards_the_payload() {
        let (memory, mut ring) = guest();
        let mut forwarded = Vec::new();
        let mut backend = Backend::default();
        backend.process(&memory, &mut ring, |payload| {
            forwarded.extend_from_slice(payload);
        });
        assert!(forwarded.ends_with(b"hello, host"));
        #[cfg(feature = "stats")]
        {
            assert_eq!(backend.stats().bytes, forwarded.len() as u64);
            assert_eq!(backend.stats().packets, 1);
        }
    }

    #[test]
    fn drops_what_is_outside_the_memory() {
        let (memory, mut ring) = guest();
        let good = ring.pop().unwrap();
        for (address, len) in [(1, good.len), (u64::MAX, 1), (0, u32::MAX), (0, good.len)] {
            ring.push(Descriptor { address, len }).unwrap();
        }
        let mut backend = Backend::default();
        let mut packets = 0;
        backend.process(&memory, &mut ring, |_payload| packets += 1);
        assert!(ring.is_empty());
        assert_eq!(packets, 1);
        #[cfg(feature = "stats")]
        assert_eq!(backend.stats().dropped, 3);
    }
}
