// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause

//! The guest's memory.

use crate::Error;

struct Region {
    start: u64,
    bytes: Vec<u8>,
}

/// Memory of the guest: regions of bytes with holes between them.
pub struct Memory {
    /// Ascending, without overlaps.
    regions: Vec<Region>,
}

impl Memory {
    /// Makes zeroed memory of `(start, length)` regions, in any order.
    ///
    /// # Errors
    ///
    /// [`Error::Regions`] if regions overlap or wrap around.
    pub fn new(ranges: &[(u64, usize)]) -> Result<Self, Error> {
        let mut sorted = ranges.to_vec();
        sorted.sort_unstable();
        let mut end = 0;
        for &(start, length) in &sorted {
            if start < end {
                return Err(Error::Regions);
            }
            end = start.checked_add(length as u64).ok_or(Error::Regions)?;
        }
        let regions = sorted
            .into_iter()
            .map(|(start, length)| Region {
                start,
                bytes: vec![0; length],
            })
            .collect();
        Ok(Self { regions })
    }

    /// The region that holds all the bytes asked for, and where in it they begin.
    fn locate(&self, address: u64, length: usize) -> Result<(usize, usize), Error> {
        let unmapped = Error::Unmapped { address, length };
        let after = self.regions.partition_point(|r| r.start <= address);
        let index = after.checked_sub(1).ok_or(unmapped)?;
        let region = &self.regions[index];
        let offset = usize::try_from(address - region.start).map_err(|_| unmapped)?;
        match region.bytes.len().checked_sub(offset) {
            Some(left) if left >= length => Ok((index, offset)),
            _ => Err(unmapped),
        }
    }

    /// The bytes from `address` on.
    ///
    /// # Errors
    ///
    /// [`Error::Unmapped`] unless one region holds all of them.
    pub fn slice(&self, address: u64, length: usize) -> Result<&[u8], Error> {
        let (index, offset) = self.locate(address, length)?;
        Ok(&self.regions[index].bytes[offset..offset + length])
    }

    /// A copy of the `N` bytes from `address` on.
    ///
    /// # Errors
    ///
    /// As of [`Memory::slice`].
    pub fn read<const N: usize>(&self, address: u64) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.slice(address, N)?);
        Ok(bytes)
    }

    /// Copies `bytes` to `address`.
    ///
    /// # Errors
    ///
    /// As of [`Memory::slice`]; then nothing is written.
    pub fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Error> {
        let (index, offset) = self.locate(address, bytes.len())?;
        self.regions[index].bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unmapped<T>(address: u64, length: usize) -> Result<T, Error> {
        Err(Error::Unmapped { address, length })
    }

    #[test]
    fn reads_what_was_written() {
        let mut memory = Memory::new(&[(0x8000, 16), (0x1000, 16)]).unwrap();
        memory.write(0x800c, &[1, 2, 3, 4]).unwrap();
        assert_eq!(memory.read(0x800c), Ok([1, 2, 3, 4]));
        assert_eq!(memory.slice(0x800e, 2), Ok([3, 4].as_slice()));
        assert_eq!(memory.read(0x1000), Ok([0; 16]));
    }

    #[test]
    fn holes_and_ends_are_not_mapped() {
        let mut memory = Memory::new(&[(0x1000, 16), (0x1010, 16)]).unwrap();
        assert_eq!(memory.slice(0xfff, 1), unmapped(0xfff, 1));
        assert_eq!(memory.slice(0x1020, 1), unmapped(0x1020, 1));
        assert_eq!(memory.slice(u64::MAX, 2), unmapped(u64::MAX, 2));
        assert_eq!(
            memory.slice(0x1000, usize::MAX),
            unmapped(0x1000, usize::MAX)
        );
        // Regions that touch are still two.
        assert_eq!(memory.write(0x100f, &[1, 2]), unmapped(0x100f, 2));
        assert_eq!(memory.read(0x100f), Ok([0]));
    }

    #[test]
    fn regions_do_not_overlap() {
        assert!(Memory::new(&[(0, 16), (8, 16)]).is_err());
        assert!(Memory::new(&[(u64::MAX, 2)]).is_err());
    }
}
