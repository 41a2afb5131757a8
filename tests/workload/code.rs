//! Code that comes late: made by the process itself, or mapped from a file.
use std::ffi::CString;
use std::fs;

use crate::burn::{Burner, spoor_burn_a, spoor_burn_b};
use crate::children::child;
use crate::protocol::{Did, Protocol, fail};
use crate::{Args, sys};

/// Long enough to be sampled before the rest comes.
const BEFORE_NS: u64 = 200_000_000;
/// Enough for the code of `spoor_burn_a`, which may begin at the end of a page.
const CODE_BYTES: usize = 64;
const MAPPED_BYTES: usize = 128 << 10;

/// A copy of `spoor_burn_a` in memory without a file, and the file that tells its name.
pub fn jit(args: &Args, protocol: &Protocol) -> Did {
    let ns = args.number(0, "NS");
    let burner = Burner::new();
    let name = CString::new(format!("/tmp/perf-{}.map", sys::getpid())).expect("has no NUL");
    protocol.start();
    burner.spend(BEFORE_NS, spoor_burn_b);
    let start = map(-1, 0, libc::PROT_READ | libc::PROT_WRITE);
    // SAFETY: the new mapping is longer; code is readable, and there is more of it behind the function.
    unsafe { core::ptr::copy_nonoverlapping(spoor_burn_a as *const u8, start as *mut u8, CODE_BYTES) };
    let rights = (libc::PROT_READ | libc::PROT_EXEC) as u64;
    // SAFETY: our own mapping, which nobody writes any more.
    sys::must(unsafe { sys::call(libc::SYS_mprotect, [start, MAPPED_BYTES as u64, rights, 0, 0, 0]) }, "mprotect");
    #[cfg(target_arch = "aarch64")]
    synchronize(start);
    let file = sys::must(sys::openat(&name, libc::O_CREAT | libc::O_TRUNC | libc::O_WRONLY, 0o644), "open a perf map");
    let line = format!("{start:x} {CODE_BYTES:x} spoor_jitted\n");
    sys::must(sys::write(file as i32, line.as_bytes()), "write a perf map");
    Did::new().and("jitted_ns", burner.spend(ns, code_at(start)))
}

/// The instructions that were written are those that are fetched.
#[cfg(target_arch = "aarch64")]
fn synchronize(start: u64) {
    for at in (start..start + CODE_BYTES as u64).step_by(4) {
        // SAFETY: our own memory.
        unsafe { core::arch::asm!("dc cvau, {at}", "dsb ish", "ic ivau, {at}", "dsb ish", "isb", at = in(reg) at) };
    }
}

/// `spoor_burn_a` once more, from a copy of this program, as a library that is loaded in mid-run; then the end comes at
/// once. Before it a child on the same CPU maps and unmaps the same, so many times that a tracer may not keep up.
pub fn late(args: &Args, protocol: &Protocol) -> Did {
    let (path, storm, ns): (_, u64, _) = (args.text(0, "PATH"), args.number(1, "STORM"), args.number(2, "NS"));
    let path = CString::new(path).expect("came from a C string");
    let burner = Burner::new();
    let offset = file_offset(spoor_burn_a as *const () as u64);
    let page = offset & !(MAPPED_BYTES as u64 / 2 - 1);
    protocol.start();
    burner.spend(BEFORE_NS, spoor_burn_b);
    let file = sys::must(sys::openat(&path, libc::O_RDONLY, 0), "open the copy") as i32;
    let mapped = || map(file, page, libc::PROT_READ | libc::PROT_EXEC);
    if storm > 0 {
        // SAFETY: takes no pointers.
        sys::pin(unsafe { libc::sched_getcpu() } as usize);
        sys::wait4(child(|| {
            for _ in 0..storm {
                // SAFETY: nobody has seen it.
                sys::must(
                    unsafe { sys::call(libc::SYS_munmap, [mapped(), MAPPED_BYTES as u64, 0, 0, 0, 0]) },
                    "munmap",
                );
            }
        }));
    }
    let code = code_at(mapped() + (offset - page));
    Did::new().and("late_ns", burner.spend(ns, code))
}

/// Where the code at an address is in the program's file.
fn file_offset(address: u64) -> u64 {
    let hex = |word: &str| u64::from_str_radix(word, 16).ok();
    let of_line = |line: &str| {
        let mut words = line.split(' ');
        let (start, end) = words.next()?.split_once('-')?;
        let (start, end) = (hex(start)?, hex(end)?);
        (start..end).contains(&address).then_some(address - start + hex(words.nth(1)?)?)
    };
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    maps.lines().find_map(of_line).unwrap_or_else(|| fail(format_args!("{address:#x} is not in /proc/self/maps")))
}

fn map(file: i32, offset: u64, rights: i32) -> u64 {
    let flags = libc::MAP_PRIVATE | if file < 0 { libc::MAP_ANONYMOUS } else { 0 };
    // SAFETY: a new mapping where the kernel likes.
    let start = unsafe {
        sys::call(libc::SYS_mmap, [0, MAPPED_BYTES as u64, rights as u64, flags as u64, file as u64, offset])
    };
    sys::must(start, "mmap") as u64
}

fn code_at(address: u64) -> extern "C" fn(u64) {
    // SAFETY: the callers have put the code of `spoor_burn_a` there, which runs at any address.
    unsafe { core::mem::transmute(address as *const ()) }
}
