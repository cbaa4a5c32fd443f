// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause

//! Plays the part of a guest's console driver.

use std::io;

use uart::registers::{fcr, ier, lsr, offset, Source, IIR_NONE};
use uart::{Interrupt, Uart, FIFO_CAPACITY};

fn no_interrupt() -> io::Result<()> {
    Ok(())
}

fn initialise<I: Interrupt, W: io::Write>(uart: &mut Uart<I, W>) {
    // 8 bytes trigger level.
    uart.write(offset::FCR, fcr::ENABLE | fcr::RESET_RECEIVER | 2 << 6)
        .unwrap();
    uart.write(offset::IER, ier::RECEIVED_DATA | ier::LINE_STATUS)
        .unwrap();
}

/// Services interrupts until none is pending; returns the input and the number of overruns seen.
fn service<I: Interrupt, W: io::Write>(uart: &mut Uart<I, W>) -> (Vec<u8>, usize) {
    let mut input = Vec::new();
    let mut overruns = 0;
    loop {
        let code = uart.read(offset::IIR).unwrap() & 0x0f;
        if code == IIR_NONE {
            return (input, overruns);
        } else if code == Source::LineStatus.code() {
            if uart.read(offset::LSR).unwrap() & lsr::OVERRUN != 0 {
                overruns += 1;
            }
        } else {
            input.push(uart.read(offset::DATA).unwrap());
        }
    }
}

#[test]
fn echoes_a_line() {
    let mut output = Vec::new();
    let mut uart = Uart::new(no_interrupt, &mut output);
    initialise(&mut uart);
    assert_eq!(uart.receive(b"uname -a\r").unwrap(), 9);
    let (input, overruns) = service(&mut uart);
    assert_eq!(overruns, 0);
    for byte in input {
        let status = uart.read(offset::LSR).unwrap();
        assert_ne!(status & lsr::HOLDING_EMPTY, 0);
        uart.write(offset::DATA, byte).unwrap();
    }
    assert_eq!(output, b"uname -a\r");
}

#[test]
fn short_input_is_reported_as_timeout() {
    let mut uart = Uart::new(no_interrupt, io::sink());
    initialise(&mut uart);
    uart.receive(b"hi").unwrap();
    let code = uart.read(offset::IIR).unwrap() & 0x0f;
    assert_eq!(code, Source::CharacterTimeout.code());
    assert_eq!(service(&mut uart).0, b"hi");
}

#[test]
fn too_much_input_overruns() {
    let mut uart = Uart::new(no_interrupt, io::sink());
    initialise(&mut uart);
    let flood = [b'#'; FIFO_CAPACITY + 6];
    assert_eq!(uart.receive(&flood).unwrap(), FIFO_CAPACITY);
    let (input, overruns) = service(&mut uart);
    assert_eq!(input.len(), FIFO_CAPACITY);
    assert_eq!(overruns, 1);
    #[cfg(feature = "fifo-stats")]
    {
        assert_eq!(uart.fifo_stats().overruns, 6);
        assert_eq!(uart.fifo_stats().high_water, FIFO_CAPACITY);
    }
}
