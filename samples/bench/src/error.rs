// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause

//! What a guest can do wrong.

use std::fmt;

/// Why a request cannot be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// These bytes are no memory of the guest, or not of one region.
    Unmapped {
        /// Address of the first byte.
        address: u64,
        /// Number of bytes.
        length: usize,
    },
    /// Two regions of memory overlap, or one wraps around.
    Regions,
    /// A queue's size is not a power of two up to 32768.
    QueueSize(u16),
    /// A descriptor beyond the end of its table.
    Index(u16),
    /// A chain is longer than its table: it bites its tail.
    Loop,
    /// An indirect table is empty, or its length is not a multiple of a descriptor's.
    IndirectLength(u32),
    /// An indirect table within an indirect table.
    Nested,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unmapped { address, length } => {
                write!(f, "{length} bytes at {address:#x} are not mapped")
            }
            Self::Regions => f.write_str("regions of memory overlap"),
            Self::QueueSize(size) => write!(f, "{size} is no size of a queue"),
            Self::Index(index) => write!(f, "descriptor {index} is out of range"),
            Self::Loop => f.write_str("a chain of descriptors is a loop"),
            Self::IndirectLength(length) => {
                write!(f, "an indirect table cannot be {length} bytes long")
            }
            Self::Nested => f.write_str("an indirect table inside an indirect table"),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_where_the_guest_pointed() {
        let error = Error::Unmapped {
            address: 0xfee0_0000,
            length: 16,
        };
        assert_eq!(error.to_string(), "16 bytes at 0xfee00000 are not mapped");
    }
}
