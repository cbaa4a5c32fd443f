// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause

use std::{fmt, io};

/// What can go wrong while operating the device.
#[derive(Debug)]
pub enum Error {
    /// The offset does not select one of the eight registers.
    InvalidOffset(u8),
    /// The host sent data while the guest had the receiver looped back.
    Loopback,
    /// The interrupt could not be delivered.
    Interrupt(io::Error),
    /// The sink did not take a transmitted byte.
    Sink(io::Error),
    /// A snapshot describes a state the device cannot be in.
    InvalidSnapshot(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::InvalidOffset(offset) => write!(f, "no register at offset {offset:#x}"),
            Error::Loopback => write!(f, "the receiver is disconnected in loopback mode"),
            Error::Interrupt(e) => write!(f, "cannot deliver the interrupt: {e}"),
            Error::Sink(e) => write!(f, "cannot write to the sink: {e}"),
            Error::InvalidSnapshot(reason) => write!(f, "invalid snapshot: {reason}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Interrupt(e) | Error::Sink(e) => Some(e),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_hexadecimal() {
        let message = Error::InvalidOffset(0x1f).to_string();
        assert_eq!(message, "no register at offset 0x1f");
    }
}
