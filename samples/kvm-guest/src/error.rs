// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause

use std::{fmt, io};

/// What can go wrong while building or running a guest.
#[derive(Debug)]
pub enum Error {
    /// The code does not fit into the guest's memory.
    CodeTooLarge {
        /// Bytes of the code.
        len: usize,
        /// Bytes there are for it.
        room: usize,
    },
    /// The host has no memory for the guest, or the code cannot be copied into it.
    Memory(Box<dyn std::error::Error + Send + Sync>),
    /// KVM refuses something.
    Kvm {
        /// What it was asked to do, such as "open /dev/kvm".
        action: &'static str,
        /// Its answer.
        source: io::Error,
    },
    /// The guest read or wrote an address where it has no memory.
    UnmappedAccess {
        /// The physical address.
        address: u64,
    },
    /// The guest stopped for a reason that nothing handles.
    Stopped {
        /// The reason in KVM's words.
        exit: String,
        /// The linear address of the instruction.
        address: u64,
    },
    /// The guest used ports this many times without halting.
    NotHalting {
        /// The number of accesses.
        accesses: usize,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::CodeTooLarge { len, room } => {
                write!(f, "{len} bytes of code do not fit into {room} bytes")
            }
            Error::Memory(e) => write!(f, "cannot set up the guest's memory: {e}"),
            Error::Kvm { action, source } => write!(f, "cannot {action}: {source}"),
            Error::UnmappedAccess { address } => {
                write!(f, "the guest has no memory at {address:#x}")
            }
            Error::Stopped { exit, address } => {
                write!(f, "the guest stopped at {address:#x}: {exit}")
            }
            Error::NotHalting { accesses } => {
                write!(f, "the guest did not halt within {accesses} port accesses")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Memory(e) => Some(e.as_ref()),
            Error::Kvm { source, .. } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn kvm_errors_say_what_was_tried() {
        let error = Error::Kvm {
            action: "open /dev/kvm",
            source: io::Error::other("no such device"),
        };
        assert_eq!(error.to_string(), "cannot open /dev/kvm: no such device");
        assert_eq!(error.source().unwrap().to_string(), "no such device");
    }

    #[test]
    fn addresses_are_hexadecimal() {
        let error = Error::UnmappedAccess { address: 0x2_0000 };
        assert_eq!(error.to_string(), "the guest has no memory at 0x20000");
        assert!(error.source().is_none());
    }
}
