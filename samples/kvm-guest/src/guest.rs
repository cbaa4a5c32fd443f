// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause

use std::io;

use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd, VmFd};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

use crate::{Console, Error};

const MEMORY_SIZE: usize = 0x1_0000;
/// Where the code is loaded and entered; below it are the interrupt vectors.
const ENTRY: u16 = 0x1000;
/// Three pages that KVM takes for itself on processors that cannot run real mode as it is.
const TSS_ADDRESS: usize = 0xfffb_d000;
/// Accesses to ports after which a guest is given up.
const MAX_ACCESSES: usize = 1000;

/// The general registers that a guest starts with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Registers {
    pub ax: u16,
    pub bx: u16,
}

/// A virtual machine with one CPU in real mode and a [`Console`].
pub struct Guest {
    // Fields are dropped in this order: KVM lets go of the memory before it is unmapped.
    vcpu: VcpuFd,
    _vm: VmFd,
    _memory: GuestMemoryMmap,
}

impl Guest {
    /// Bytes there are for the code.
    pub const ROOM: usize = MEMORY_SIZE - ENTRY as usize;

    /// Creates a guest that will run `code`, whose first byte is at 0:0x1000.
    pub fn new(code: &[u8]) -> Result<Self, Error> {
        if code.len() > Self::ROOM {
            return Err(Error::CodeTooLarge {
                len: code.len(),
                room: Self::ROOM,
            });
        }
        let memory = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), MEMORY_SIZE)])
            .map_err(|e| Error::Memory(e.into()))?;
        memory
            .write_slice(code, GuestAddress(ENTRY.into()))
            .map_err(|e| Error::Memory(e.into()))?;

        let kvm = Kvm::new().map_err(failed_to("open /dev/kvm"))?;
        let vm = kvm.create_vm().map_err(failed_to("create a VM"))?;
        vm.set_tss_address(TSS_ADDRESS)
            .map_err(failed_to("set the address of the TSS"))?;
        for (slot, region) in (0..).zip(memory.iter()) {
            let mapping = kvm_userspace_memory_region {
                slot,
                flags: 0,
                guest_phys_addr: region.start_addr().0,
                memory_size: region.len(),
                userspace_addr: region.as_ptr() as u64,
            };
            // SAFETY: The address and length are those of a mapping that `memory` owns. The guest
            // keeps it until the VM is gone, and the regions of a `GuestMemoryMmap` are disjoint.
            unsafe { vm.set_user_memory_region(mapping) }
                .map_err(failed_to("give the guest its memory"))?;
        }
        let vcpu = vm.create_vcpu(0).map_err(failed_to("create a CPU"))?;
        let mut guest = Guest {
            vcpu,
            _vm: vm,
            _memory: memory,
        };
        guest.enter_real_mode()?;
        Ok(guest)
    }

    /// Lets the code segment begin at 0; a CPU is reset to real mode, but at the end of the
    /// address space.
    fn enter_real_mode(&mut self) -> Result<(), Error> {
        let mut segments = self
            .vcpu
            .get_sregs()
            .map_err(failed_to("read segment registers"))?;
        segments.cs.base = 0;
        segments.cs.selector = 0;
        self.vcpu
            .set_sregs(&segments)
            .map_err(failed_to("set segment registers"))?;
        self.set_registers(Registers::default())
    }

    /// Sets the registers, and the instruction pointer to the beginning of the code.
    pub fn set_registers(&mut self, registers: Registers) -> Result<(), Error> {
        let mut all = self.vcpu.get_regs().map_err(failed_to("read registers"))?;
        all.rax = registers.ax.into();
        all.rbx = registers.bx.into();
        all.rip = ENTRY.into();
        all.rflags = 0x2; // the bit that is always set
        self.vcpu.set_regs(&all).map_err(failed_to("set registers"))
    }

    /// Runs the guest until it halts, with `input` to be read from the console; returns what it
    /// wrote there. Called again, the guest goes on behind its `hlt`.
    ///
    /// A guest that neither halts nor uses a port is never left.
    pub fn run(&mut self, input: &[u8]) -> Result<Vec<u8>, Error> {
        let mut console = Console::new(input);
        let mut accesses = 0;
        while accesses < MAX_ACCESSES {
            match self.vcpu.run() {
                Ok(VcpuExit::Hlt) => return Ok(console.into_output()),
                Ok(VcpuExit::IoIn(port, data)) => console.read(port, data),
                Ok(VcpuExit::IoOut(port, data)) => console.write(port, data),
                Ok(VcpuExit::MmioRead(address, _) | VcpuExit::MmioWrite(address, _)) => {
                    return Err(Error::UnmappedAccess { address });
                }
                Ok(exit) => {
                    let exit = format!("{exit:?}");
                    let address = self.address()?;
                    return Err(Error::Stopped { exit, address });
                }
                // A signal arrived; whatever it was for is done.
                Err(e) if io::Error::from(e).kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(failed_to("run the guest")(e)),
            }
            accesses += 1;
        }
        Err(Error::NotHalting { accesses })
    }

    /// The linear address of the next instruction.
    fn address(&self) -> Result<u64, Error> {
        let segments = self
            .vcpu
            .get_sregs()
            .map_err(failed_to("read segment registers"))?;
        let registers = self.vcpu.get_regs().map_err(failed_to("read registers"))?;
        Ok(segments.cs.base + registers.rip)
    }
}

fn failed_to(action: &'static str) -> impl FnOnce(kvm_ioctls::Error) -> Error {
    move |e| Error::Kvm {
        action,
        source: e.into(),
    }
}

/// All but the first of these need /dev/kvm, and fail where it is missing.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_must_fit() {
        let error = Guest::new(&[0x90; Guest::ROOM + 1]).err().unwrap();
        assert_eq!(
            error.to_string(),
            "61441 bytes of code do not fit into 61440 bytes"
        );
    }

    #[test]
    fn prints_the_sum_of_two_registers() {
        let mut guest = Guest::new(&[
            0xba, 0xf8, 0x03, // mov dx, 0x3f8
            0x00, 0xd8, //       add al, bl
            0x04, 0x30, //       add al, '0'
            0xee, //             out dx, al
            0xb0, 0x0a, //       mov al, '\n'
            0xee, //             out dx, al
            0xf4, //             hlt
        ])
        .unwrap();
        for (ax, bx, printed) in [(2, 3, b"5\n"), (4, 4, b"8\n")] {
            guest.set_registers(Registers { ax, bx }).unwrap();
            assert_eq!(guest.run(b"").unwrap(), printed);
        }
    }

    #[test]
    fn reads_its_input_to_the_end() {
        let mut guest = Guest::new(&[
            0xba, 0xf8, 0x03, // mov dx, 0x3f8
            0xec, //       next: in al, dx
            0x84, 0xc0, //       test al, al
            0x74, 0x05, //       jz done
            0x24, 0xdf, //       and al, 0xdf
            0xee, //             out dx, al
            0xeb, 0xf6, //       jmp next
            0xf4, //       done: hlt
        ])
        .unwrap();
        assert_eq!(guest.run(b"uname").unwrap(), b"UNAME");
    }

    #[test]
    fn jumping_to_unmapped_memory_is_an_error() {
        let mut guest = Guest::new(&[
            0xea, 0x34, 0x12, 0x00, 0x20, // jmp 0x2000:0x1234
        ])
        .unwrap();
        let error = guest.run(b"").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the guest stopped at 0x21234: InternalError"
        );
    }

    #[test]
    fn writing_to_unmapped_memory_is_an_error() {
        let mut guest = Guest::new(&[
            0xb8, 0x00, 0x20, // mov ax, 0x2000
            0x8e, 0xd8, //       mov ds, ax
            0xa2, 0x34, 0x12, // mov [0x1234], al
            0xf4, //             hlt
        ])
        .unwrap();
        let error = guest.run(b"").unwrap_err();
        assert!(
            matches!(error, Error::UnmappedAccess { address: 0x2_1234 }),
            "{error}"
        );
    }

    #[test]
    fn a_guest_that_prints_for_ever_is_given_up() {
        let mut guest = Guest::new(&[
            0xe6, 0x80, // again: out 0x80, al
            0xeb, 0xfc, //        jmp again
        ])
        .unwrap();
        let error = guest.run(b"").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the guest did not halt within 1000 port accesses"
        );
    }
}
