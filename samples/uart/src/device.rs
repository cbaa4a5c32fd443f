// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause

//! The device itself.

use std::io::{self, Write};

use crate::error::Error;
use crate::fifo::{Fifo, CAPACITY};
use crate::registers::{fcr, ier, lsr, mcr, offset};
use crate::registers::{RegisterFile, Source, IIR_FIFO_ENABLED, IIR_NONE};

/// A way to interrupt the guest.
///
/// Every closure of the right shape is one:
///
/// ```
/// use uart::{registers::offset, Uart};
///
/// let mut raised = 0;
/// let interrupt = || {
///     raised += 1;
///     Ok(())
/// };
/// let mut uart = Uart::new(interrupt, std::io::sink());
/// uart.write(offset::IER, 0x01)?;
/// uart.receive(b"x")?;
/// drop(uart);
/// assert_eq!(raised, 1);
/// # Ok::<(), uart::Error>(())
/// ```
pub trait Interrupt {
    /// Signals an edge on the interrupt line.
    fn raise(&mut self) -> io::Result<()>;
}

impl<F: FnMut() -> io::Result<()>> Interrupt for F {
    fn raise(&mut self) -> io::Result<()> {
        self()
    }
}

/// The state of a device, to be saved and handed to [`Uart::restore`] later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Register contents.
    pub registers: RegisterFile,
    /// Received bytes that the guest has not read yet.
    pub received: Vec<u8>,
}

/// A serial device that interrupts through `I` and transmits to `W`.
pub struct Uart<I, W> {
    registers: RegisterFile,
    receiver: Fifo,
    /// The sources, as bits of the IER, that were pending when the interrupt was last looked at.
    signalled: u8,
    interrupt: I,
    sink: W,
    #[cfg(feature = "trace")]
    trace: crate::Trace,
}

impl<I: Interrupt, W: Write> Uart<I, W> {
    /// Creates a device as it is after a reset.
    pub fn new(interrupt: I, sink: W) -> Self {
        Uart {
            registers: RegisterFile::default(),
            receiver: Fifo::new(1),
            signalled: 0,
            interrupt,
            sink,
            #[cfg(feature = "trace")]
            trace: crate::Trace::default(),
        }
    }

    /// Creates a device from a snapshot; sources that are pending in it are signalled again.
    pub fn restore(snapshot: &Snapshot, interrupt: I, sink: W) -> Result<Self, Error> {
        let mut uart = Self::new(interrupt, sink);
        uart.registers = snapshot.registers;
        if (uart.registers.ier & !ier::MASK) | (uart.registers.mcr & !mcr::MASK) != 0 {
            return Err(Error::InvalidSnapshot("unknown bits are set"));
        }
        uart.receiver.set_depth(uart.receiver_depth());
        if snapshot.received.len() > uart.receiver.free() {
            return Err(Error::InvalidSnapshot("too many received bytes"));
        }
        for byte in &snapshot.received {
            uart.receiver.push(*byte);
        }
        uart.signal()?;
        Ok(uart)
    }

    /// Saves the state of the device.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            registers: self.registers,
            received: self.receiver.iter().collect(),
        }
    }

    /// Reads a register on behalf of the guest.
    pub fn read(&mut self, offset: u8) -> Result<u8, Error> {
        let value = match offset {
            offset::DATA if self.registers.dlab() => self.registers.divisor.to_le_bytes()[0],
            offset::IER if self.registers.dlab() => self.registers.divisor.to_le_bytes()[1],
            offset::DATA => self.receiver.pop().unwrap_or(0),
            offset::IER => self.registers.ier,
            offset::IIR => self.identify(),
            offset::LCR => self.registers.lcr,
            offset::MCR => self.registers.mcr,
            offset::LSR => self.line_status(),
            offset::MSR => {
                let delta = std::mem::take(&mut self.registers.modem_delta);
                self.registers.modem_lines() | delta
            }
            offset::SCR => self.registers.scr,
            _ => return Err(Error::InvalidOffset(offset)),
        };
        self.record(false, offset, value);
        self.signal()?;
        Ok(value)
    }

    /// Writes a register on behalf of the guest.
    pub fn write(&mut self, offset: u8, value: u8) -> Result<(), Error> {
        if offset > offset::SCR {
            return Err(Error::InvalidOffset(offset));
        }
        self.record(true, offset, value);
        let [low, high] = self.registers.divisor.to_le_bytes();
        match offset {
            offset::DATA if self.registers.dlab() => {
                self.registers.divisor = u16::from_le_bytes([value, high]);
            }
            offset::IER if self.registers.dlab() => {
                self.registers.divisor = u16::from_le_bytes([low, value]);
            }
            offset::DATA => return self.transmit(value),
            offset::IER => self.set_enabled(value & ier::MASK),
            offset::FCR => self.control_fifo(value),
            offset::LCR => self.registers.lcr = value,
            offset::MCR => self.registers.set_mcr(value),
            offset::SCR => self.registers.scr = value,
            // The status registers are read only.
            _ => {}
        }
        self.signal()
    }

    /// Hands bytes from the host to the guest and returns how many of them were taken.
    ///
    /// Bytes that do not fit are lost, which the guest sees as an overrun. Ask
    /// [`Uart::receive_space`] before to avoid that.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        if self.registers.loopback() {
            return Err(Error::Loopback);
        }
        let taken = bytes.iter().filter(|byte| self.store(**byte)).count();
        self.signal()?;
        Ok(taken)
    }

    /// Lets the guest see a break condition on the line.
    pub fn receive_break(&mut self) -> Result<(), Error> {
        if self.registers.loopback() {
            return Err(Error::Loopback);
        }
        if self.store(0) {
            self.registers.line_errors |= lsr::BREAK;
        }
        self.signal()
    }

    /// How many bytes can be received without an overrun.
    pub fn receive_space(&self) -> usize {
        self.receiver.free()
    }

    /// The line speed chosen by the guest, or `None` if it set the divisor to zero.
    pub fn baud_rate(&self) -> Option<u32> {
        self.registers.baud_rate()
    }

    /// The counters of the receive FIFO.
    #[cfg(feature = "fifo-stats")]
    pub fn fifo_stats(&self) -> crate::FifoStats {
        self.receiver.stats()
    }

    /// The most recent register accesses.
    #[cfg(feature = "trace")]
    pub fn trace(&self) -> &crate::Trace {
        &self.trace
    }

    fn receiver_depth(&self) -> usize {
        if self.registers.fifo_enabled() {
            CAPACITY
        } else {
            1
        }
    }

    fn store(&mut self, byte: u8) -> bool {
        let stored = self.receiver.push(byte);
        if !stored {
            self.registers.line_errors |= lsr::OVERRUN;
        }
        stored
    }

    fn transmit(&mut self, byte: u8) -> Result<(), Error> {
        let result = if self.registers.loopback() {
            self.store(byte);
            Ok(())
        } else {
            self.sink
                .write_all(&[byte])
                .and_then(|()| self.sink.flush())
        };
        // The byte is gone even if the sink refused it; otherwise the guest would wait forever.
        self.registers.transmitter_event = true;
        self.signalled &= !ier::TRANSMITTER_EMPTY;
        self.signal()?;
        result.map_err(Error::Sink)
    }

    /// Reads the IIR, which acknowledges a "transmitter empty" interrupt.
    fn identify(&mut self) -> u8 {
        let source = self.registers.identify(self.receiver.len());
        if source == Some(Source::TransmitterEmpty) {
            self.registers.transmitter_event = false;
        }
        let fifo = if self.registers.fifo_enabled() {
            IIR_FIFO_ENABLED
        } else {
            0
        };
        fifo | source.map_or(IIR_NONE, Source::code)
    }

    /// Reads the LSR, which acknowledges all line errors.
    fn line_status(&mut self) -> u8 {
        // Transmission takes no time.
        let mut value = lsr::HOLDING_EMPTY | lsr::TRANSMITTER_EMPTY;
        if self.receiver.len() > 0 {
            value |= lsr::DATA_READY;
        }
        value | std::mem::take(&mut self.registers.line_errors)
    }

    fn set_enabled(&mut self, value: u8) {
        // The transmitter is always empty, so enabling its interrupt is an event.
        if value & !self.registers.ier & ier::TRANSMITTER_EMPTY != 0 {
            self.registers.transmitter_event = true;
        }
        self.registers.ier = value;
    }

    fn control_fifo(&mut self, value: u8) {
        let was_enabled = self.registers.fifo_enabled();
        // Without the enable bit the other bits are not programmed.
        self.registers.fcr = if value & fcr::ENABLE != 0 {
            value & (fcr::ENABLE | fcr::TRIGGER_MASK)
        } else {
            0
        };
        if was_enabled != self.registers.fifo_enabled() {
            self.receiver.set_depth(self.receiver_depth());
        } else if value & fcr::RESET_RECEIVER != 0 {
            self.receiver.clear();
        }
    }

    /// Raises the interrupt if a source became pending since the last call.
    fn signal(&mut self) -> Result<(), Error> {
        let pending = self.registers.pending(self.receiver.len());
        let news = pending & !self.signalled;
        self.signalled = pending;
        if news != 0 {
            self.interrupt.raise().map_err(Error::Interrupt)?;
        }
        Ok(())
    }

    #[cfg(feature = "trace")]
    fn record(&mut self, write: bool, offset: u8, value: u8) {
        self.trace.record(crate::Access {
            write,
            offset,
            value,
        });
    }

    #[cfg(not(feature = "trace"))]
    fn record(&mut self, _write: bool, _offset: u8, _value: u8) {}
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::registers::lcr;

    fn quiet() -> Uart<fn() -> io::Result<()>, Vec<u8>> {
        Uart::new(|| Ok(()), Vec::new())
    }

    #[test]
    fn dlab_switches_to_the_divisor() {
        let mut uart = quiet();
        uart.write(offset::LCR, lcr::DLAB | lcr::EIGHT_BITS)
            .unwrap();
        uart.write(offset::DATA, 0x80).unwrap();
        uart.write(offset::IER, 0x01).unwrap();
        assert_eq!(uart.read(offset::DATA).unwrap(), 0x80);
        assert_eq!(uart.read(offset::IER).unwrap(), 0x01);
        assert_eq!(uart.baud_rate(), Some(300));
        uart.write(offset::LCR, lcr::EIGHT_BITS).unwrap();
        assert_eq!(uart.read(offset::LCR).unwrap(), lcr::EIGHT_BITS);
        assert_eq!(uart.read(offset::IER).unwrap(), 0);
        assert!(uart.sink.is_empty());
    }

    #[test]
    fn scratch_register_keeps_its_value() {
        let mut uart = quiet();
        uart.write(offset::SCR, 0xa5).unwrap();
        assert_eq!(uart.read(offset::SCR).unwrap(), 0xa5);
        assert!(matches!(uart.read(8), Err(Error::InvalidOffset(8))));
    }

    #[test]
    fn each_new_source_raises_once() {
        let raised = Cell::new(0);
        let interrupt = || {
            raised.set(raised.get() + 1);
            Ok(())
        };
        let mut uart = Uart::new(interrupt, io::sink());
        uart.write(offset::FCR, fcr::ENABLE).unwrap();
        uart.write(offset::IER, ier::RECEIVED_DATA).unwrap();
        uart.receive(b"a").unwrap();
        uart.receive(b"b").unwrap();
        assert_eq!(raised.get(), 1);
        uart.write(offset::IER, ier::RECEIVED_DATA | ier::TRANSMITTER_EMPTY)
            .unwrap();
        assert_eq!(raised.get(), 2);
        assert_eq!(uart.read(offset::DATA).unwrap(), b'a');
        assert_eq!(uart.read(offset::DATA).unwrap(), b'b');
        let code = Source::TransmitterEmpty.code();
        assert_eq!(uart.read(offset::IIR).unwrap(), IIR_FIFO_ENABLED | code);
        assert_eq!(uart.read(offset::IIR).unwrap(), IIR_FIFO_ENABLED | IIR_NONE);
        assert_eq!(raised.get(), 2);
    }

    #[test]
    fn loopback_feeds_the_receiver() {
        let mut uart = quiet();
        uart.write(offset::MCR, mcr::LOOPBACK).unwrap();
        uart.write(offset::DATA, b'z').unwrap();
        assert!(matches!(uart.receive(b"x"), Err(Error::Loopback)));
        assert_eq!(uart.read(offset::DATA).unwrap(), b'z');
        assert!(uart.sink.is_empty());
    }

    #[test]
    fn fifo_can_be_reset_and_disabled() {
        let mut uart = quiet();
        assert_eq!(uart.receive_space(), 1);
        uart.write(offset::FCR, fcr::ENABLE).unwrap();
        uart.receive(b"abc").unwrap();
        uart.write(offset::FCR, fcr::ENABLE | fcr::RESET_RECEIVER)
            .unwrap();
        assert_eq!(uart.receive_space(), CAPACITY);
        uart.write(offset::FCR, 0).unwrap();
        assert_eq!(uart.receive_space(), 1);
    }

    #[test]
    fn snapshot_survives_a_restore() {
        let mut uart = quiet();
        uart.write(offset::FCR, fcr::ENABLE).unwrap();
        uart.write(offset::IER, ier::RECEIVED_DATA).unwrap();
        uart.receive(b"pending").unwrap();
        let snapshot = uart.snapshot();

        let raised = Cell::new(false);
        let interrupt = || {
            raised.set(true);
            Ok(())
        };
        let mut restored = Uart::restore(&snapshot, interrupt, io::sink()).unwrap();
        assert_eq!(restored.snapshot(), snapshot);
        assert_eq!(restored.read(offset::DATA).unwrap(), b'p');
        assert!(raised.get());
    }

    #[cfg(feature = "trace")]
    #[test]
    fn accesses_are_traced() {
        let mut uart = quiet();
        uart.write(offset::SCR, 1).unwrap();
        uart.read(offset::SCR).unwrap();
        let writes: Vec<bool> = uart.trace().iter().map(|access| access.write).collect();
        assert_eq!(writes, [true, false]);
    }
}
