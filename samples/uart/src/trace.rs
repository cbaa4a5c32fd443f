// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause

//! A short memory of register accesses.

use std::collections::VecDeque;
use std::fmt;

/// One register access of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Whether the guest wrote the register.
    pub write: bool,
    /// Which register it was.
    pub offset: u8,
    /// The byte that was read or written.
    pub value: u8,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arrow = if self.write { "<-" } else { "->" };
        write!(f, "[{}] {arrow} {:#04x}", self.offset, self.value)
    }
}

/// The last [`Trace::DEPTH`] register accesses.
#[derive(Default)]
pub struct Trace {
    accesses: VecDeque<Access>,
}

impl Trace {
    /// How many accesses are remembered.
    pub const DEPTH: usize = 32;

    pub(crate) fn record(&mut self, access: Access) {
        if self.accesses.len() == Self::DEPTH {
            self.accesses.pop_front();
        }
        self.accesses.push_back(access);
    }

    /// The remembered accesses, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Access> {
        self.accesses.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_the_oldest() {
        let mut trace = Trace::default();
        for value in 0..40 {
            trace.record(Access {
                write: true,
                offset: 7,
                value,
            });
        }
        let values: Vec<u8> = trace.iter().map(|access| access.value).collect();
        assert_eq!(values, (8..40).collect::<Vec<u8>>());
    }
}
