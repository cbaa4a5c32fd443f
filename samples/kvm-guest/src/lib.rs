// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause

//! A virtual machine just large enough to run a few real-mode instructions.
//!
//! A `Guest` maps 64 KiB of memory, loads machine code into it and runs it on one virtual CPU until
//! it halts. What the guest writes to the port of its [`Console`] comes back; what the host has for
//! it is read there.
//!
//! ```
//! # #[cfg(target_arch = "x86_64")]
//! # {
//! use kvm_guest::{Guest, Registers};
//!
//! let mut guest = Guest::new(&[
//!     0xba, 0xf8, 0x03, // mov dx, 0x3f8
//!     0x00, 0xd8, //       add al, bl
//!     0xee, //             out dx, al
//!     0xf4, //             hlt
//! ])?;
//! guest.set_registers(Registers { ax: 40, bx: 2 })?;
//! assert_eq!(guest.run(b"")?, [42]);
//! # }
//! # Ok::<(), kvm_guest::Error>(())
//! ```
//!
//! The machine code is that of x86_64, so `Guest` exists there only.

#![warn(missing_docs)]

mod console;
mod error;
#[cfg(target_arch = "x86_64")]
mod guest;

pub use console::Console;
pub use error::Error;
#[cfg(target_arch = "x86_64")]
pub use guest::{Guest, Registers};
