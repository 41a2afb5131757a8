//! The system call that runs now: how long the buffer is that it sends, or that it fills, and where it sends to.
use aya_ebpf::{
    Global,
    helpers::{bpf_get_current_task_btf, bpf_probe_read_user},
};

use crate::task::{Kernel, NO_USER, TASK_FLAGS, is_64_bit, regs_of};

/// Offsets in the architecture's pt_regs: the call's number, and its second, third and fifth argument.
#[unsafe(no_mangle)]
static CALL_NR: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static CALL_SECOND: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static CALL_THIRD: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static CALL_FIFTH: Global<u32> = Global::new(0);
/// Numbers of the calls that are given a buffer and its length,
#[unsafe(no_mangle)]
static NR_READ: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static NR_RECVFROM: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static NR_WRITE: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static NR_SENDTO: Global<u32> = Global::new(0);
/// and a struct msghdr.
#[unsafe(no_mangle)]
static NR_RECVMSG: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static NR_SENDMSG: Global<u32> = Global::new(0);

/// Parts of a buffer that are looked at.
const PARTS: usize = 8;

/// None: not of 64-bit user space. Kernel: 5.15.
#[inline(always)]
fn registers() -> Option<Kernel<true>> {
    // SAFETY: takes nothing and returns the current task.
    let task = Kernel::<true>(unsafe { bpf_get_current_task_btf() } as *const u8);
    if task.read::<u32>(TASK_FLAGS.load()) & NO_USER != 0 {
        return None;
    }
    let regs = Kernel::<true>(regs_of(task));
    is_64_bit(regs).then_some(regs)
}

/// The struct sockaddr, in the process's memory. None: it is another call.
#[inline(always)]
pub fn destination() -> Option<u64> {
    let regs = registers()?;
    let nr = regs.read::<u64>(CALL_NR.load()) as u32;
    if nr == NR_SENDTO.load() {
        return Some(regs.read(CALL_FIFTH.load()));
    }
    if nr == NR_SENDMSG.load() { read_user(regs.read(CALL_SECOND.load())) } else { None }
}

/// None: it is another call, or its buffer has too many parts.
#[inline(always)]
pub fn buffer_bytes() -> Option<u64> {
    let regs = registers()?;
    let nr = regs.read::<u64>(CALL_NR.load()) as u32;
    if nr == NR_READ.load() || nr == NR_RECVFROM.load() || nr == NR_WRITE.load() || nr == NR_SENDTO.load() {
        return Some(regs.read(CALL_THIRD.load()));
    }
    if nr == NR_RECVMSG.load() || nr == NR_SENDMSG.load() {
        return parts_bytes(regs.read(CALL_SECOND.load()));
    }
    None
}

/// Of a struct msghdr: name, length of it, parts, how many they are.
#[inline(always)]
fn parts_bytes(message: u64) -> Option<u64> {
    let [_, _, first, count] = read_user::<[u64; 4]>(message)?;
    let mut bytes = 0u64;
    for part in 0..PARTS as u64 {
        if part >= count {
            return Some(bytes);
        }
        let [_, length] = read_user::<[u64; 2]>(first.wrapping_add(part * 16))?;
        bytes = bytes.wrapping_add(length);
    }
    (count == PARTS as u64).then_some(bytes)
}

#[inline(always)]
pub fn read_user<T>(address: u64) -> Option<T> {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_user(address as *const T) }.ok()
}
