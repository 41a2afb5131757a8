//! A stack of known depth, one without frame pointers, and memory that is touched for the first time in a known place.
use core::arch::naked_asm;

use crate::burn::{Burner, spoor_burn_caller};
use crate::protocol::{Did, Protocol, fail};
use crate::{Args, sys};

/// Calls itself `depth` times, then spins `rounds` times; each call has a frame.
#[unsafe(no_mangle)]
#[unsafe(naked)]
extern "C" fn spoor_deep(rounds: u64, depth: u64) {
    #[cfg(target_arch = "x86_64")]
    naked_asm!(
        "push rbp", "mov rbp, rsp", "test rsi, rsi", "jz 2f", "dec rsi", "call {deep}", "jmp 3f",
        "2: dec rdi", "jnz 2b", "3: pop rbp", "ret", deep = sym spoor_deep
    );
    #[cfg(target_arch = "aarch64")]
    naked_asm!(
        "stp x29, x30, [sp, #-16]!", "mov x29, sp", "cbz x1, 2f", "sub x1, x1, #1", "bl {deep}", "b 3f",
        "2: subs x0, x0, #1", "b.ne 2b", "3: ldp x29, x30, [sp], #16", "ret", deep = sym spoor_deep
    );
}

/// Each descent spins for a time in which the way there and back is nothing.
pub fn deep(args: &Args, protocol: &Protocol) -> Did {
    let (depth, ns): (u64, u64) = (args.number(0, "DEPTH"), args.number(1, "NS"));
    let rounds = Burner::new().rounds_of(10_000_000);
    protocol.start();
    let begin = sys::thread_cpu_ns();
    while sys::thread_cpu_ns() - begin < ns {
        spoor_deep(rounds, depth);
    }
    Did::new().and("deep_ns", sys::thread_cpu_ns() - begin)
}

/// Keeps what is no frame in the register where a walk looks for one, as code without frame pointers does.
#[unsafe(no_mangle)]
#[unsafe(naked)]
extern "C" fn spoor_astray(rounds: u64, frame: *const [u64; 2]) {
    #[cfg(target_arch = "x86_64")]
    naked_asm!("push rbp", "mov rbp, rsi", "2: dec rdi", "jnz 2b", "pop rbp", "ret");
    #[cfg(target_arch = "aarch64")]
    naked_asm!(
        "stp x29, x30, [sp, #-16]!",
        "mov x29, x1",
        "2: subs x0, x0, #1",
        "b.ne 2b",
        "ldp x29, x30, [sp], #16",
        "ret"
    );
}

/// Two words that look like a frame: where the next one is, and an address, of data.
pub fn astray(args: &Args, protocol: &Protocol) -> Did {
    let ns: u64 = args.number(0, "NS");
    let rounds = Burner::new().rounds_of(10_000_000);
    let mut frames = [[0u64; 2]; 2];
    frames[0] = [&raw const frames[1] as u64, &raw const frames as u64];
    protocol.start();
    let begin = sys::thread_cpu_ns();
    while sys::thread_cpu_ns() - begin < ns {
        spoor_astray(rounds, &raw const frames[0]);
    }
    Did::new().and("astray_ns", sys::thread_cpu_ns() - begin)
}

#[repr(C)]
struct Pages {
    start: u64,
    count: u64,
    bytes: u64,
}

/// Writes one byte of each page of a [`Pages`].
#[unsafe(no_mangle)]
#[unsafe(naked)]
extern "C" fn spoor_touch(pages: u64) {
    #[cfg(target_arch = "x86_64")]
    naked_asm!(
        "push rbp",
        "mov rbp, rsp",
        "mov rsi, [rdi]",
        "mov rcx, [rdi + 8]",
        "mov rdx, [rdi + 16]",
        "2: mov byte ptr [rsi], 1",
        "add rsi, rdx",
        "dec rcx",
        "jnz 2b",
        "pop rbp",
        "ret"
    );
    #[cfg(target_arch = "aarch64")]
    naked_asm!(
        "stp x29, x30, [sp, #-16]!",
        "mov x29, sp",
        "ldp x1, x2, [x0]",
        "ldr x3, [x0, #16]",
        "2: strb w2, [x1]",
        "add x1, x1, x3",
        "subs x2, x2, #1",
        "b.ne 2b",
        "ldp x29, x30, [sp], #16",
        "ret"
    );
}

/// Fresh pages, each by itself: huge ones are not wanted. The last page is touched before, and the code with it.
pub fn touch(args: &Args, protocol: &Protocol) -> Did {
    let count: u64 = args.number(0, "N");
    // SAFETY: plain library call.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as u64;
    let all = (count + 1) * bytes;
    // SAFETY: a new mapping where the kernel likes, and advice about it; a kernel without huge pages refuses that.
    let start = unsafe {
        let (rights, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let start = libc::mmap(core::ptr::null_mut(), all as usize, rights, flags, -1, 0);
        if start == libc::MAP_FAILED {
            fail(format_args!("mmap of {all} bytes"));
        }
        libc::madvise(start, all as usize, libc::MADV_NOHUGEPAGE);
        start as u64
    };
    let last = Pages { start: start + count * bytes, count: 1, bytes };
    spoor_burn_caller(&raw const last as u64, spoor_touch);
    let pages = Pages { start, count, bytes };
    protocol.start();
    spoor_burn_caller(&raw const pages as u64, spoor_touch);
    Did::new().and("touched", count)
}
