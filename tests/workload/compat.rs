//! 32-bit calls of a 64-bit process: int 0x80 takes i386's numbers.
use crate::children::child;
use crate::protocol::{Did, Protocol, unsupported};
use crate::{Args, sys};

const I386_GETPID: u32 = 20;
const I386_EXIT_GROUP: u32 = 252;

/// A call with ebx = 0.
#[cfg(target_arch = "x86_64")]
fn int80(nr: u32) -> i32 {
    let ret: i32;
    // SAFETY: the calls used here take no pointers. rbx is not LLVM's to lend, hence the exchange; kernels before 4.17
    // clobbered r8-r11.
    unsafe {
        core::arch::asm!("xchg {save}, rbx", "int 0x80", "xchg {save}, rbx", save = inout(reg) 0u64 => _,
            inlateout("eax") nr => ret, lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _);
    }
    ret
}

#[cfg(not(target_arch = "x86_64"))]
fn int80(_: u32) -> i32 {
    unsupported("int 0x80 is x86")
}

/// Tries in a child: where the kernel has no 32-bit calls the instruction is a SIGSEGV, or ENOSYS.
fn probe() {
    let status = sys::wait4(child(|| {
        let own = sys::getpid();
        if int80(I386_GETPID) != own {
            sys::exit_group(1);
        }
    }));
    if status != 0 {
        unsupported("the kernel has no int 0x80 (CONFIG_IA32_EMULATION off, or ia32_emulation=0)");
    }
}

pub fn getpid(args: &Args, protocol: &Protocol) -> Did {
    let n = args.number(0, "N");
    probe();
    protocol.start();
    for _ in 0..n {
        sys::getppid();
        int80(I386_GETPID);
        sys::getppid();
    }
    Did::new().and("i386:getpid", n).and("getppid", 2 * n)
}

pub fn exits(args: &Args, protocol: &Protocol) -> Did {
    let k = args.number(0, "K");
    probe();
    protocol.start();
    for _ in 0..k {
        let pid = child(|| {
            int80(I386_EXIT_GROUP);
        });
        sys::wait4(pid);
    }
    Did::new().and("clone", k).and("wait4", k).and("i386:exit_group", k)
}
