//! Waits with a frame pointer of every kind: chains of known depth, and what is no frame at all.
use core::arch::naked_asm;

use crate::protocol::{Did, Protocol, fail};
use crate::waits::{Call, spoor_wait_caller};
use crate::{Args, sys};

/// Makes a system call with `frame` in the register where a walk looks for one.
#[unsafe(no_mangle)]
#[unsafe(naked)]
extern "C" fn spoor_stray(call: *const Call, frame: u64) -> i64 {
    #[cfg(target_arch = "x86_64")]
    naked_asm!(
        "push rbp",
        "mov rbp, rsi",
        "mov rax, [rdi]",
        "mov rdi, [rdi + 8]",
        "xor esi, esi",
        "syscall",
        "pop rbp",
        "ret"
    );
    #[cfg(target_arch = "aarch64")]
    naked_asm!(
        "stp x29, x30, [sp, #-16]!",
        "mov x29, x1",
        "ldp x8, x0, [x0]",
        "mov x1, #0",
        "svc #0",
        "ldp x29, x30, [sp], #16",
        "ret"
    );
}

const PAGE: usize = 4096;
const PAGES: usize = 64;

/// Memory with a page behind it that is not there, filled with chains of frames.
struct Memory(*mut u64);

impl Memory {
    fn new() -> Memory {
        let (rights, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping of our own, whose last page is given back.
        unsafe {
            let start = libc::mmap(core::ptr::null_mut(), (PAGES + 1) * PAGE, rights, flags, -1, 0);
            if start == libc::MAP_FAILED || libc::munmap(start.add(PAGES * PAGE), PAGE) != 0 {
                fail(format_args!("mmap of {PAGES} pages"));
            }
            // Or a walk that may not fault finds nothing there.
            core::ptr::write_bytes(start.cast::<u8>(), 0, PAGES * PAGE);
            Memory(start.cast())
        }
    }

    fn at(&self, byte: usize) -> u64 {
        self.0 as u64 + byte as u64
    }

    /// A frame at `byte` that says that the next one is at `next`.
    fn frame(&self, byte: usize, next: u64) -> u64 {
        // Behind the call: where a frame may return to.
        #[cfg(target_arch = "x86_64")]
        const RETURN: u64 = 6;
        #[cfg(not(target_arch = "x86_64"))]
        const RETURN: u64 = 12;
        let returns = spoor_wait_caller as *const () as u64 + RETURN;
        for (word, value) in [next, returns].into_iter().enumerate() {
            // SAFETY: the callers stay inside.
            unsafe { self.0.byte_add(byte + word * 8).write_unaligned(value) };
        }
        self.at(byte)
    }

    /// `depth` frames from `byte` on, `step` bytes apart; behind them comes `last`.
    fn chain(&self, byte: usize, depth: usize, step: usize, last: u64) -> u64 {
        for of in 0..depth {
            let here = byte + of * step;
            self.frame(here, if of + 1 == depth { last } else { self.at(here + step) });
        }
        if depth == 0 { last } else { self.at(byte) }
    }
}

/// One nanosleep of NS with each; how many there were.
pub fn stray(args: &Args, protocol: &Protocol) -> Did {
    let ns: u64 = args.number(0, "NS");
    let memories: Vec<Memory> = (0..32).map(|_| Memory::new()).collect();
    let mut fresh = memories.iter();
    let mut next = || fresh.next().unwrap_or_else(|| fail(format_args!("no memory left")));
    let end = PAGES * PAGE;
    let mut frames = vec![0, 8, PAGE as u64 - 8, 1 << 63, 0xffff_8880_0000_0000, u64::MAX - 7, u64::MAX - 15, u64::MAX];
    let memory = next();
    frames.extend([memory.at(end), memory.at(end - 8), memory.frame(end - 16, 0), memory.frame(end - 32, 8)]);
    // Chains that are as deep as a limit, and at its sides.
    for depth in [1, 2, 62, 63, 64, 65, 100, 125, 126, 127, 128, 200] {
        frames.push(next().chain(0, depth, 16, 0));
    }
    // Frames that begin with a block's last word; one in each page; far apart, more than any walk reads blocks for.
    frames.push(next().chain(2040, 20, 2048, 0));
    frames.push(next().chain(64, 12, PAGE, 0));
    frames.push(next().chain(64, 60, PAGE, 0));
    // Chains that end in what is no frame.
    for last in [1 << 63, u64::MAX - 7, u64::MAX - 15, memory.at(end), memory.at(end - 8), 9, PAGE as u64] {
        frames.push(next().chain(128, 5, 48, last));
    }
    // To itself, back down, and at odd addresses.
    let memory = next();
    frames.push(memory.frame(64, memory.at(64)));
    frames.push(memory.frame(1024, memory.frame(512, 0)));
    frames.push(memory.frame(2049, 0));
    frames.push(memory.frame(3072, memory.frame(4100, 0)));

    let time = libc::timespec { tv_sec: 0, tv_nsec: ns as i64 };
    let call = [libc::SYS_nanosleep as u64, &raw const time as u64, 0, 0, 0, 0, 0];
    protocol.start();
    for frame in &frames {
        sys::must(spoor_stray(&raw const call, *frame), "nanosleep");
    }
    Did::new().and("waits", frames.len() as u64)
}
