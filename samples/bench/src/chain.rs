// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause

//! Descriptors, and the chains they form.

use crate::{Error, Memory};

/// Flags of a descriptor.
pub mod flag {
    /// Another descriptor follows.
    pub const NEXT: u16 = 1 << 0;
    /// The buffer is for the device to write.
    pub const WRITE: u16 = 1 << 1;
    /// The buffer holds a table of descriptors.
    pub const INDIRECT: u16 = 1 << 2;
}

/// A buffer of the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// Where it begins.
    pub address: u64,
    /// How many bytes it has.
    pub length: u32,
    /// See [`flag`].
    pub flags: u16,
    /// Index of the descriptor that follows, if the flags say that one does.
    pub next: u16,
}

impl Descriptor {
    /// Bytes of a descriptor in memory.
    pub const SIZE: usize = 16;

    /// Reads the descriptor at an index of a table.
    fn read(memory: &Memory, table: u64, index: u16) -> Result<Self, Error> {
        let place = table.wrapping_add(u64::from(index) * Self::SIZE as u64);
        let bytes: [u8; Self::SIZE] = memory.read(place)?;
        let [a0, a1, a2, a3, a4, a5, a6, a7, l0, l1, l2, l3, f0, f1, n0, n1] = bytes;
        Ok(Self {
            address: u64::from_le_bytes([a0, a1, a2, a3, a4, a5, a6, a7]),
            length: u32::from_le_bytes([l0, l1, l2, l3]),
            flags: u16::from_le_bytes([f0, f1]),
            next: u16::from_le_bytes([n0, n1]),
        })
    }

    /// The descriptor as it lies in memory.
    pub fn to_bytes(self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[..8].copy_from_slice(&self.address.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.length.to_le_bytes());
        bytes[12..14].copy_from_slice(&self.flags.to_le_bytes());
        bytes[14..].copy_from_slice(&self.next.to_le_bytes());
        bytes
    }

    /// Whether the buffer is for the device to write.
    pub fn is_writable(&self) -> bool {
        self.flags & flag::WRITE != 0
    }
}

/// The buffers of one request: an iterator that follows the chain through direct and indirect tables.
///
/// It ends after the first error.
#[derive(Clone)]
pub struct Chain<'m> {
    memory: &'m Memory,
    head: u16,
    table: u64,
    entries: u16,
    next: Option<u16>,
    /// How many more descriptors the chain may have before it must be a loop.
    left: u16,
    indirect: bool,
}

impl<'m> Chain<'m> {
    pub(crate) fn new(memory: &'m Memory, table: u64, entries: u16, head: u16) -> Self {
        Self {
            memory,
            head,
            table,
            entries,
            next: Some(head),
            left: entries,
            indirect: false,
        }
    }

    /// Index of the first descriptor, by which the chain is handed back.
    pub fn head(&self) -> u16 {
        self.head
    }

    /// Appends the contents of all buffers that are for the device to read.
    ///
    /// # Errors
    ///
    /// What is wrong with the chain or its buffers; `bytes` may hold a part then.
    pub fn gather(&self, bytes: &mut Vec<u8>) -> Result<(), Error> {
        for descriptor in self.clone() {
            let descriptor = descriptor?;
            if !descriptor.is_writable() {
                let length = descriptor.length as usize;
                bytes.extend_from_slice(self.memory.slice(descriptor.address, length)?);
            }
        }
        Ok(())
    }

    /// Continues in the table that a descriptor points to.
    fn enter(&mut self, descriptor: Descriptor) -> Result<(), Error> {
        if self.indirect {
            return Err(Error::Nested);
        }
        let length = descriptor.length;
        let entries = u16::try_from(length / Descriptor::SIZE as u32).unwrap_or(0);
        if entries == 0 || !length.is_multiple_of(Descriptor::SIZE as u32) {
            return Err(Error::IndirectLength(length));
        }
        self.indirect = true;
        self.table = descriptor.address;
        self.entries = entries;
        self.left = entries;
        Ok(())
    }

    fn follow(&mut self, index: u16) -> Result<Descriptor, Error> {
        if index >= self.entries {
            return Err(Error::Index(index));
        }
        self.left = self.left.checked_sub(1).ok_or(Error::Loop)?;
        let descriptor = Descriptor::read(self.memory, self.table, index)?;
        if descriptor.flags & flag::INDIRECT != 0 {
            self.enter(descriptor)?;
            return self.follow(0);
        }
        if descriptor.flags & flag::NEXT != 0 {
            self.next = Some(descriptor.next);
        }
        Ok(descriptor)
    }
}

impl Iterator for Chain<'_> {
    type Item = Result<Descriptor, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let index = self.next.take()?;
        Some(self.follow(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: u64 = 0x1000;
    const INDIRECT: u64 = 0x2000;

    fn memory_with(tables: &[(u64, &[Descriptor])]) -> Memory {
        let mut memory = Memory::new(&[(TABLE, 0x2000)]).unwrap();
        for (table, descriptors) in tables {
            for (place, descriptor) in (*table..).step_by(Descriptor::SIZE).zip(*descriptors) {
                memory.write(place, &descriptor.to_bytes()).unwrap();
            }
        }
        memory
    }

    fn buffer(address: u64, length: u32, flags: u16, next: u16) -> Descriptor {
        Descriptor {
            address,
            length,
            flags,
            next,
        }
    }

    fn walk(memory: &Memory, entries: u16) -> Result<Vec<u64>, Error> {
        Chain::new(memory, TABLE, entries, 0)
            .map(|descriptor| descriptor.map(|d| d.address))
            .collect()
    }

    #[test]
    fn follows_the_order_of_the_guest() {
        let memory = memory_with(&[(
            TABLE,
            &[
                buffer(0xa, 1, flag::NEXT, 2),
                buffer(0xb, 1, flag::WRITE, 0),
                buffer(0xc, 1, flag::NEXT, 1),
            ],
        )]);
        assert_eq!(walk(&memory, 4), Ok(vec![0xa, 0xc, 0xb]));
    }

    #[test]
    fn continues_in_an_indirect_table() {
        let memory = memory_with(&[
            (
                TABLE,
                &[
                    buffer(0xa, 1, flag::NEXT, 1),
                    buffer(INDIRECT, 32, flag::INDIRECT, 0),
                ],
            ),
            (
                INDIRECT,
                &[buffer(0xb, 1, flag::NEXT, 1), buffer(0xc, 1, 0, 0)],
            ),
        ]);
        assert_eq!(walk(&memory, 4), Ok(vec![0xa, 0xb, 0xc]));
    }

    #[test]
    fn refuses_what_never_ends_or_leaves_the_table() {
        let memory = memory_with(&[(TABLE, &[buffer(0xa, 1, flag::NEXT, 0)])]);
        assert_eq!(walk(&memory, 4), Err(Error::Loop));
        let memory = memory_with(&[(TABLE, &[buffer(0xa, 1, flag::NEXT, 4)])]);
        assert_eq!(walk(&memory, 4), Err(Error::Index(4)));
    }

    #[test]
    fn refuses_impossible_indirect_tables() {
        for length in [0, 15, 40, u32::MAX - 15] {
            let memory = memory_with(&[(TABLE, &[buffer(INDIRECT, length, flag::INDIRECT, 0)])]);
            assert_eq!(walk(&memory, 4), Err(Error::IndirectLength(length)));
        }
        let nested = [buffer(INDIRECT, 16, flag::INDIRECT, 0)];
        let memory = memory_with(&[(TABLE, &nested), (INDIRECT, &nested)]);
        assert_eq!(walk(&memory, 4), Err(Error::Nested));
    }

    #[test]
    fn gathers_only_what_is_for_the_device_to_read() {
        let mut memory = memory_with(&[(
            TABLE,
            &[
                buffer(0x2800, 2, flag::NEXT, 1),
                buffer(0x2802, 2, flag::NEXT | flag::WRITE, 2),
                buffer(0x2804, 2, 0, 0),
            ],
        )]);
        memory.write(0x2800, b"abcdef").unwrap();
        let mut bytes = Vec::new();
        Chain::new(&memory, TABLE, 4, 0).gather(&mut bytes).unwrap();
        assert_eq!(bytes, b"abef");
    }

    #[test]
    fn a_buffer_outside_of_memory_is_an_error() {
        let memory = memory_with(&[(TABLE, &[buffer(0x9000, 2, 0, 0)])]);
        let unmapped = Error::Unmapped {
            address: 0x9000,
            length: 2,
        };
        let chain = Chain::new(&memory, TABLE, 4, 0);
        assert_eq!(chain.gather(&mut Vec::new()), Err(unmapped));
    }
}
