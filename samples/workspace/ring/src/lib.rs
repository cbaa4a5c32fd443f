// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause

//! A ring of buffer descriptors, as a driver hands them to a device.
//!
//! The indices run freely and wrap around with their type, as those of virtio do: only a descriptor's
//! place is taken modulo the size, so that a full ring differs from an empty one.
//!
//! ```
//! use ring::{Descriptor, Ring};
//!
//! let mut ring = Ring::new(2).expect("a power of two");
//! let descriptor = Descriptor {
//!     address: 0x1000,
//!     len: 64,
//! };
//! ring.push(descriptor)?;
//! assert_eq!(ring.len(), 1);
//! assert_eq!(ring.pop(), Some(descriptor));
//! # Ok::<(), ring::Full>(())
//! ```

#![forbid(unsafe_code)]
#![warn(missing_docs)]

use std::fmt;

/// A buffer in the guest's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// Where it begins.
    pub address: u64,
    /// Its length in bytes.
    pub len: u32,
}

/// The ring has no room; the descriptor that was to be added comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full(pub Descriptor);

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no room for the buffer at {:#x}", self.0.address)
    }
}

impl std::error::Error for Full {}

/// A queue of descriptors with a fixed number of places.
#[derive(Clone, Debug)]
pub struct Ring {
    places: Box<[Descriptor]>,
    /// Descriptors ever added and taken, modulo 2^16.
    added: u16,
    taken: u16,
}

impl Ring {
    /// Creates an empty ring; `None` if the size is not a power of two.
    pub fn new(size: u16) -> Option<Self> {
        size.is_power_of_two().then(|| Ring {
            places: vec![Descriptor::default(); size.into()].into(),
            added: 0,
            taken: 0,
        })
    }

    /// Appends a descriptor.
    pub fn push(&mut self, descriptor: Descriptor) -> Result<(), Full> {
        if self.len() == self.places.len() {
            return Err(Full(descriptor));
        }
        self.places[self.place(self.added)] = descriptor;
        self.added = self.added.wrapping_add(1);
        Ok(())
    }

    /// Takes the oldest descriptor.
    pub fn pop(&mut self) -> Option<Descriptor> {
        if self.is_empty() {
            return None;
        }
        let descriptor = self.places[self.place(self.taken)];
        self.taken = self.taken.wrapping_add(1);
        Some(descriptor)
    }

    /// Descriptors that wait to be taken.
    pub fn len(&self) -> usize {
        self.added.wrapping_sub(self.taken).into()
    }

    /// Whether no descriptor waits.
    pub fn is_empty(&self) -> bool {
        self.added == self.taken
    }

    fn place(&self, index: u16) -> usize {
        usize::from(index) % self.places.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: u64) -> Descriptor {
        Descriptor { address, len: 1 }
    }

    #[test]
    fn sizes_are_powers_of_two() {
        assert!(Ring::new(0).is_none());
        assert!(Ring::new(6).is_none());
        assert!(Ring::new(8).is_some());
    }

    #[test]
    fn a_full_ring_returns_the_descriptor() {
        let mut ring = Ring::new(2).unwrap();
        ring.push(at(1)).unwrap();
        ring.push(at(2)).unwrap();
        assert_eq!(ring.push(at(3)), Err(Full(at(3))));
        assert_eq!([ring.pop(), ring.pop()], [Some(at(1)), Some(at(2))]);
        assert_eq!(ring.pop(), None);
    }

    #[test]
    fn order_is_kept_when_the_indices_wrap() {
        let mut ring = Ring::new(4).unwrap();
        for address in 0..70_000 {
            ring.push(at(address)).unwrap();
            ring.push(at(!address)).unwrap();
            assert_eq!(ring.len(), 2);
            assert_eq!(
                [ring.pop(), ring.pop()],
                [Some(at(address)), Some(at(!address))]
            );
        }
        assert!(ring.is_empty());
    }
}
