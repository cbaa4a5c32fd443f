// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause

//! The device's side of a split virtqueue, as section 2.7 of the VIRTIO specification, version 1.2, has it.
//!
//! A driver in the guest describes buffers in a table, chains them, and offers the first of each chain
//! in a ring. A device walks the chains and hands them back in another ring. All of it lies in memory that
//! the guest may change at will, so nothing that is read from it is trusted.
//!
//! ```
//! use virtqueue::{Descriptor, Memory, Queue};
//!
//! let mut memory = Memory::new(&[(0x0, 0x4000)])?;
//! // What a driver does: put a buffer in the table, and offer it.
//! let buffer = Descriptor { address: 0x3000, length: 5, flags: 0, next: 0 };
//! memory.write(0x3000, b"hello")?;
//! memory.write(0x0, &buffer.to_bytes())?;
//! memory.write(0x1002, &1u16.to_le_bytes())?;
//!
//! let mut queue = Queue::new(16, 0x0, 0x1000, 0x2000)?;
//! let chain = queue.pop(&memory)?.expect("a chain was offered");
//! let mut request = Vec::new();
//! chain.gather(&mut request)?;
//! assert_eq!(request, b"hello");
//!
//! let head = chain.head();
//! queue.finish(&mut memory, head, 0)?;
//! # Ok::<(), virtqueue::Error>(())
//! ```

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod chain;
mod error;
mod memory;
mod queue;

pub use chain::{flag, Chain, Descriptor};
pub use error::Error;
pub use memory::Memory;
pub use queue::Queue;
