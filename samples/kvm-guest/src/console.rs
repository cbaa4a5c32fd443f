// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause

use std::collections::VecDeque;

/// A device with one port: the guest writes its output to it and reads its input from it.
#[derive(Debug, Default)]
pub struct Console {
    input: VecDeque<u8>,
    output: Vec<u8>,
}

impl Console {
    /// The port, that of a PC's first serial device.
    pub const PORT: u16 = 0x3f8;

    /// Creates a console with input for the guest.
    pub fn new(input: &[u8]) -> Self {
        Console {
            input: input.iter().copied().collect(),
            output: Vec::new(),
        }
    }

    /// The guest reads `data.len()` bytes: zeros after the end of the input, and all ones at a
    /// port that nothing answers, as on a PC.
    pub fn read(&mut self, port: u16, data: &mut [u8]) {
        for byte in data {
            *byte = match port {
                Self::PORT => self.input.pop_front().unwrap_or(0),
                _ => 0xff,
            };
        }
    }

    /// The guest writes `data`; at any other port it goes nowhere.
    pub fn write(&mut self, port: u16, data: &[u8]) {
        if port == Self::PORT {
            self.output.extend_from_slice(data);
        }
    }

    /// Returns what the guest wrote.
    pub fn into_output(self) -> Vec<u8> {
        self.output
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_ends_with_zeros() {
        let mut console = Console::new(b"ab");
        let mut data = [0xaa; 3];
        console.read(Console::PORT, &mut data);
        assert_eq!(data, [b'a', b'b', 0]);
    }

    #[test]
    fn other_ports_do_not_answer() {
        let mut console = Console::new(b"ab");
        let mut data = [0];
        console.read(0x80, &mut data);
        assert_eq!(data, [0xff]);
        console.write(0x80, b"lost");
        console.write(Console::PORT, b"kept");
        assert_eq!(console.into_output(), b"kept");
    }
}
