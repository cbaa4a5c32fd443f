// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause

//! Register layout of the device and the state behind it.

/// Register offsets.
pub mod offset {
    /// Receive buffer (read) and transmit holding register (write); divisor low byte if DLAB is set.
    pub const DATA: u8 = 0;
    /// Interrupt enable register; divisor high byte if DLAB is set.
    pub const IER: u8 = 1;
    /// Interrupt identification register (read only).
    pub const IIR: u8 = 2;
    /// FIFO control register (write only).
    pub const FCR: u8 = 2;
    /// Line control register.
    pub const LCR: u8 = 3;
    /// Modem control register.
    pub const MCR: u8 = 4;
    /// Line status register (read only).
    pub const LSR: u8 = 5;
    /// Modem status register (read only).
    pub const MSR: u8 = 6;
    /// Scratch register.
    pub const SCR: u8 = 7;
}

/// Bits of the interrupt enable register.
#[allow(missing_docs)]
pub mod ier {
    pub const RECEIVED_DATA: u8 = 1 << 0;
    pub const TRANSMITTER_EMPTY: u8 = 1 << 1;
    pub const LINE_STATUS: u8 = 1 << 2;
    pub const MODEM_STATUS: u8 = 1 << 3;
    pub const MASK: u8 = 0x0f;
}

/// Bits of the FIFO control register.
#[allow(missing_docs)]
pub mod fcr {
    pub const ENABLE: u8 = 1 << 0;
    pub const RESET_RECEIVER: u8 = 1 << 1;
    pub const TRIGGER_MASK: u8 = 0b11 << 6;
}

/// Bits of the line control register.
#[allow(missing_docs)]
pub mod lcr {
    pub const EIGHT_BITS: u8 = 0b11;
    pub const DLAB: u8 = 1 << 7;
}

/// Bits of the modem control register.
#[allow(missing_docs)]
pub mod mcr {
    pub const DTR: u8 = 1 << 0;
    pub const RTS: u8 = 1 << 1;
    pub const OUT1: u8 = 1 << 2;
    pub const OUT2: u8 = 1 << 3;
    pub const LOOPBACK: u8 = 1 << 4;
    pub const MASK: u8 = 0x1f;
}

/// Bits of the line status register.
#[allow(missing_docs)]
pub mod lsr {
    pub const DATA_READY: u8 = 1 << 0;
    pub const OVERRUN: u8 = 1 << 1;
    pub const BREAK: u8 = 1 << 4;
    pub const HOLDING_EMPTY: u8 = 1 << 5;
    pub const TRANSMITTER_EMPTY: u8 = 1 << 6;
}

/// Bits of the modem status register.
#[allow(missing_docs)]
pub mod msr {
    pub const TRAILING_RI: u8 = 1 << 2;
    pub const CTS: u8 = 1 << 4;
    pub const DSR: u8 = 1 << 5;
    pub const RI: u8 = 1 << 6;
    pub const DCD: u8 = 1 << 7;
}

/// Set in the IIR as long as the FIFO is enabled.
pub const IIR_FIFO_ENABLED: u8 = 0b11 << 6;
/// What the IIR reports if no interrupt is pending.
pub const IIR_NONE: u8 = 0x01;

/// Interrupt sources and their codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Overrun or break.
    LineStatus = 0x06,
    /// As many bytes were received as the trigger level asks for.
    ReceivedData = 0x04,
    /// Bytes wait in the FIFO, but fewer than the trigger level.
    CharacterTimeout = 0x0c,
    /// The transmitter can take another byte.
    TransmitterEmpty = 0x02,
    /// A modem line changed.
    ModemStatus = 0x00,
}

impl Source {
    /// The identification code in the low nibble of the IIR.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// The contents of all registers except for the received data; all zero after a reset.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegisterFile {
    pub ier: u8,
    pub fcr: u8,
    pub lcr: u8,
    pub mcr: u8,
    pub scr: u8,
    pub divisor: u16,
    /// Error bits of the LSR that the guest has not read yet.
    pub line_errors: u8,
    /// Delta bits of the MSR that the guest has not read yet.
    pub modem_delta: u8,
    /// Whether the "transmitter empty" condition was not acknowledged yet.
    pub transmitter_event: bool,
}

impl RegisterFile {
    /// Whether the divisor latches replace the data and interrupt enable registers.
    pub fn dlab(&self) -> bool {
        self.lcr & lcr::DLAB != 0
    }

    /// Whether the transmitter feeds the receiver.
    pub fn loopback(&self) -> bool {
        self.mcr & mcr::LOOPBACK != 0
    }

    /// Whether the FIFO is enabled.
    pub fn fifo_enabled(&self) -> bool {
        self.fcr & fcr::ENABLE != 0
    }

    /// Number of received bytes at which the guest wants to be interrupted.
    pub fn trigger_level(&self) -> usize {
        if !self.fifo_enabled() {
            return 1;
        }
        [1, 4, 8, 14][usize::from(self.fcr >> 6)]
    }

    /// The line speed, or `None` if the divisor is zero.
    ///
    /// ```
    /// use uart::registers::RegisterFile;
    ///
    /// let mut registers = RegisterFile::default();
    /// assert_eq!(registers.baud_rate(), None);
    /// registers.divisor = 12;
    /// assert_eq!(registers.baud_rate(), Some(9600));
    /// ```
    pub fn baud_rate(&self) -> Option<u32> {
        115_200u32.checked_div(self.divisor.into())
    }

    /// The state of the modem input lines; the remote side is always there and ready.
    pub fn modem_lines(&self) -> u8 {
        if !self.loopback() {
            return msr::CTS | msr::DSR | msr::DCD;
        }
        let wires = [
            (mcr::RTS, msr::CTS),
            (mcr::DTR, msr::DSR),
            (mcr::OUT1, msr::RI),
            (mcr::OUT2, msr::DCD),
        ];
        wires
            .iter()
            .filter(|(output, _)| self.mcr & output != 0)
            .fold(0, |lines, (_, input)| lines | input)
    }

    /// Sets the MCR and notes which modem lines changed by that.
    pub fn set_mcr(&mut self, value: u8) {
        let before = self.modem_lines();
        self.mcr = value & mcr::MASK;
        let after = self.modem_lines();
        let mut delta = (before ^ after) >> 4;
        if after & msr::RI != 0 {
            // The ring indicator only counts when it goes away.
            delta &= !msr::TRAILING_RI;
        }
        self.modem_delta |= delta;
    }

    /// The enabled sources that need service, as bits of the IER, with `received` bytes waiting.
    pub fn pending(&self, received: usize) -> u8 {
        let mut sources = 0;
        if received > 0 {
            sources |= ier::RECEIVED_DATA;
        }
        if self.transmitter_event {
            sources |= ier::TRANSMITTER_EMPTY;
        }
        if self.line_errors != 0 {
            sources |= ier::LINE_STATUS;
        }
        if self.modem_delta != 0 {
            sources |= ier::MODEM_STATUS;
        }
        sources & self.ier
    }

    /// The source of the highest priority that needs service.
    pub fn identify(&self, received: usize) -> Option<Source> {
        let pending = self.pending(received);
        if pending & ier::LINE_STATUS != 0 {
            Some(Source::LineStatus)
        } else if pending & ier::RECEIVED_DATA != 0 {
            if received >= self.trigger_level() {
                Some(Source::ReceivedData)
            } else {
                Some(Source::CharacterTimeout)
            }
        } else if pending & ier::TRANSMITTER_EMPTY != 0 {
            Some(Source::TransmitterEmpty)
        } else if pending & ier::MODEM_STATUS != 0 {
            Some(Source::ModemStatus)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_have_priorities() {
        let mut registers = RegisterFile {
            ier: ier::MASK,
            fcr: fcr::ENABLE | 1 << 6,
            line_errors: lsr::OVERRUN,
            transmitter_event: true,
            ..Default::default()
        };
        assert_eq!(registers.identify(4), Some(Source::LineStatus));
        registers.line_errors = 0;
        assert_eq!(registers.identify(4), Some(Source::ReceivedData));
        assert_eq!(registers.identify(3), Some(Source::CharacterTimeout));
        assert_eq!(registers.identify(0), Some(Source::TransmitterEmpty));
        registers.ier &= !ier::TRANSMITTER_EMPTY;
        assert_eq!(registers.identify(0), None);
    }

    #[test]
    fn trigger_needs_the_fifo() {
        let mut registers = RegisterFile {
            fcr: fcr::TRIGGER_MASK,
            ..Default::default()
        };
        assert_eq!(registers.trigger_level(), 1);
        registers.fcr |= fcr::ENABLE;
        assert_eq!(registers.trigger_level(), 14);
    }

    #[test]
    fn loopback_wires_the_modem_lines() {
        let mut registers = RegisterFile::default();
        registers.set_mcr(mcr::LOOPBACK | mcr::RTS | mcr::OUT2);
        assert_eq!(registers.modem_lines(), msr::CTS | msr::DCD);
        // Only DSR changed.
        assert_eq!(registers.modem_delta, msr::DSR >> 4);
    }
}
