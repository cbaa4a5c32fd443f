// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause

//! The two rings of a queue.

use crate::{Chain, Error, Memory};

/// Bytes before the entries of either ring: flags and index.
const RING_HEADER: u64 = 4;

/// The device's side of a queue.
pub struct Queue {
    size: u16,
    table: u64,
    available: u64,
    used: u64,
    /// Free-running, as the indices in memory are.
    next_available: u16,
    next_used: u16,
}

impl Queue {
    /// Makes a queue of `size` descriptors whose table and rings begin at these addresses.
    ///
    /// # Errors
    ///
    /// [`Error::QueueSize`] unless the size is a power of two.
    pub fn new(size: u16, table: u64, available: u64, used: u64) -> Result<Self, Error> {
        if !size.is_power_of_two() {
            return Err(Error::QueueSize(size));
        }
        Ok(Self {
            size,
            table,
            available,
            used,
            next_available: 0,
            next_used: 0,
        })
    }

    /// Takes the next chain that the driver offers, if there is one.
    ///
    /// # Errors
    ///
    /// [`Error::Unmapped`] if the ring is not in memory, [`Error::Index`] if the driver is further
    /// ahead than the queue is long.
    pub fn pop<'m>(&mut self, memory: &'m Memory) -> Result<Option<Chain<'m>>, Error> {
        let offered = u16::from_le_bytes(memory.read(self.available.wrapping_add(2))?);
        let waiting = offered.wrapping_sub(self.next_available);
        if waiting == 0 {
            return Ok(None);
        }
        if waiting > self.size {
            return Err(Error::Index(offered));
        }
        let slot = u64::from(self.next_available % self.size);
        let entry = self.available.wrapping_add(RING_HEADER + 2 * slot);
        let head = u16::from_le_bytes(memory.read(entry)?);
        self.next_available = self.next_available.wrapping_add(1);
        Ok(Some(Chain::new(memory, self.table, self.size, head)))
    }

    /// Hands a chain back to the driver, with the number of bytes that were written to it.
    ///
    /// # Errors
    ///
    /// [`Error::Unmapped`] if the ring is not in memory.
    pub fn finish(&mut self, memory: &mut Memory, head: u16, written: u32) -> Result<(), Error> {
        let slot = u64::from(self.next_used % self.size);
        let mut entry = [0; 8];
        entry[..4].copy_from_slice(&u32::from(head).to_le_bytes());
        entry[4..].copy_from_slice(&written.to_le_bytes());
        memory.write(self.used.wrapping_add(RING_HEADER + 8 * slot), &entry)?;
        let next = self.next_used.wrapping_add(1);
        memory.write(self.used.wrapping_add(2), &next.to_le_bytes())?;
        self.next_used = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AVAILABLE: u64 = 0x1000;
    const USED: u64 = 0x2000;

    fn queue() -> (Memory, Queue) {
        let memory = Memory::new(&[(0, 0x3000)]).unwrap();
        (memory, Queue::new(4, 0, AVAILABLE, USED).unwrap())
    }

    fn offer(memory: &mut Memory, index: u16, head: u16) {
        let slot = u64::from(index % 4);
        let entry = AVAILABLE + RING_HEADER + 2 * slot;
        memory.write(entry, &head.to_le_bytes()).unwrap();
        let next = index.wrapping_add(1).to_le_bytes();
        memory.write(AVAILABLE + 2, &next).unwrap();
    }

    #[test]
    fn takes_chains_in_the_order_they_were_offered_in() {
        let (mut memory, mut queue) = queue();
        assert!(queue.pop(&memory).unwrap().is_none());
        for index in 0..4 {
            offer(&mut memory, index, 3 - index);
        }
        let mut heads = Vec::new();
        while let Some(chain) = queue.pop(&memory).unwrap() {
            heads.push(chain.head());
        }
        assert_eq!(heads, [3, 2, 1, 0]);
    }

    #[test]
    fn both_rings_wrap_around() {
        let (mut memory, mut queue) = queue();
        queue.next_available = u16::MAX;
        queue.next_used = u16::MAX;
        offer(&mut memory, u16::MAX, 2);
        let head = queue.pop(&memory).unwrap().unwrap().head();
        queue.finish(&mut memory, head, 7).unwrap();
        assert!(queue.pop(&memory).unwrap().is_none());
        let last = USED + RING_HEADER + 3 * 8;
        assert_eq!(memory.read(last), Ok([2, 0, 0, 0, 7, 0, 0, 0]));
        assert_eq!(memory.read(USED + 2), Ok([0, 0]));
    }

    #[test]
    fn a_driver_too_far_ahead_is_refused() {
        let (mut memory, mut queue) = queue();
        offer(&mut memory, 4, 0);
        assert_eq!(queue.pop(&memory).err(), Some(Error::Index(5)));
    }

    #[test]
    fn sizes_are_powers_of_two() {
        for size in [0, 3, 12, u16::MAX] {
            assert_eq!(
                Queue::new(size, 0, 0, 0).err(),
                Some(Error::QueueSize(size))
            );
        }
        assert!(Queue::new(32768, 0, 0, 0).is_ok());
    }
}
