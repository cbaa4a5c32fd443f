// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause

//! The receive buffer.

/// Number of bytes the receive FIFO holds when it is enabled.
pub const CAPACITY: usize = 64;

/// Counters of the receive FIFO; they survive a reset of its contents.
#[cfg(feature = "fifo-stats")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FifoStats {
    /// Bytes lost because the FIFO was full.
    pub overruns: u64,
    /// Most bytes ever held at the same time.
    pub high_water: usize,
}

/// A ring of bytes of which only the first `depth` places are in use.
pub(crate) struct Fifo {
    bytes: [u8; CAPACITY],
    head: usize,
    len: usize,
    depth: usize,
    #[cfg(feature = "fifo-stats")]
    stats: FifoStats,
}

impl Fifo {
    pub(crate) fn new(depth: usize) -> Self {
        Fifo {
            bytes: [0; CAPACITY],
            head: 0,
            len: 0,
            depth: depth.min(CAPACITY),
            #[cfg(feature = "fifo-stats")]
            stats: FifoStats::default(),
        }
    }

    /// Changes the depth; whatever was buffered is lost.
    pub(crate) fn set_depth(&mut self, depth: usize) {
        self.clear();
        self.depth = depth.min(CAPACITY);
    }

    pub(crate) fn clear(&mut self) {
        self.head = 0;
        self.len = 0;
    }

    /// Appends a byte, or drops it and returns `false` if there is no room.
    pub(crate) fn push(&mut self, byte: u8) -> bool {
        if self.free() == 0 {
            #[cfg(feature = "fifo-stats")]
            {
                self.stats.overruns += 1;
            }
            return false;
        }
        self.bytes[(self.head + self.len) % CAPACITY] = byte;
        self.len += 1;
        #[cfg(feature = "fifo-stats")]
        {
            self.stats.high_water = self.stats.high_water.max(self.len);
        }
        true
    }

    pub(crate) fn pop(&mut self) -> Option<u8> {
        if self.len == 0 {
            return None;
        }
        let byte = self.bytes[self.head];
        self.head = (self.head + 1) % CAPACITY;
        self.len -= 1;
        Some(byte)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn free(&self) -> usize {
        self.depth - self.len
    }

    /// The buffered bytes, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u8> + '_ {
        (0..self.len).map(|i| self.bytes[(self.head + i) % CAPACITY])
    }

    #[cfg(feature = "fifo-stats")]
    pub(crate) fn stats(&self) -> FifoStats {
        self.stats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_across_the_wrap() {
        let mut fifo = Fifo::new(CAPACITY);
        for round in 0..3u8 {
            for i in 0..50 {
                assert!(fifo.push(round * 50 + i));
            }
            assert_eq!(fifo.iter().next(), Some(round * 50));
            for i in 0..50 {
                assert_eq!(fifo.pop(), Some(round * 50 + i));
            }
        }
        assert_eq!(fifo.pop(), None);
    }

    #[test]
    fn respects_the_depth() {
        let mut fifo = Fifo::new(1);
        assert!(fifo.push(1));
        assert!(!fifo.push(2));
        fifo.set_depth(1000);
        assert_eq!(fifo.len(), 0);
        assert_eq!(fifo.free(), CAPACITY);
    }

    #[cfg(feature = "fifo-stats")]
    #[test]
    fn counts_overruns() {
        let mut fifo = Fifo::new(2);
        for byte in 0..5 {
            fifo.push(byte);
        }
        fifo.clear();
        let expected = FifoStats {
            overruns: 3,
            high_water: 2,
        };
        assert_eq!(fifo.stats(), expected);
    }
}
