// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause

//! Emulation of a 16550A-like serial device.
//!
//! The guest sees eight byte-wide registers through [`Uart::read`] and [`Uart::write`]. What it
//! transmits goes to an [`io::Write`](std::io::Write) sink, what the host hands to
//! [`Uart::receive`] is buffered until the guest collects it, and an [`Interrupt`] tells the guest
//! that one of the sources it enabled needs service.
//!
//! ```
//! use uart::{registers::offset, Uart};
//!
//! let mut output = Vec::new();
//! let mut uart = Uart::new(|| Ok(()), &mut output);
//! for byte in b"ready\n" {
//!     uart.write(offset::DATA, *byte)?;
//! }
//! assert_eq!(output, b"ready\n");
//! # Ok::<(), uart::Error>(())
//! ```
//!
//! # Features
//!
//! * `fifo-stats`: count overruns and remember the high-water mark of the receive FIFO.
//! * `trace`: keep the most recent register accesses for debugging.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod device;
mod error;
mod fifo;
pub mod registers;
#[cfg(feature = "trace")]
mod trace;

pub use device::{Interrupt, Snapshot, Uart};
pub use error::Error;
#[cfg(feature = "fifo-stats")]
pub use fifo::FifoStats;
pub use fifo::CAPACITY as FIFO_CAPACITY;
#[cfg(feature = "trace")]
pub use trace::{Access, Trace};
