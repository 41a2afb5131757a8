//! Provider `syscall`: a firing for every system call that a target makes, at its return.
//!
//! sys_exit knows number and result, but not every call returns once: a clone returns in the child too (skipped), an
//! exit never does (taken from the end of the thread), and rt_sigreturn comes back without its number (inferred).
//! Each program exists three times: with typed pointers (tp_btf) where the kernel's BTF is there, else raw_tp, and for
//! the tracepoint's perf event (classic) where the kernel preempts the other two.
#![no_std]
#![no_main]

use core::mem::MaybeUninit;
use core::ptr::addr_of_mut;

use aya_ebpf::{
    EbpfContext, Global,
    helpers::{bpf_ktime_get_ns, bpf_probe_read_user_str_bytes, bpf_task_pt_regs},
    macros::{btf_tracepoint, map, raw_tracepoint, tracepoint},
    maps::{Array, HashMap},
    programs::{BtfTracePointContext, RawTracePointContext, TracePointContext},
};
use probes_common::{
    clause::{Head, TEXT_BYTES_MAX, TEXT_KERNEL_STRING, TEXT_NONE, TEXT_STRING, TEXTS, TextRef},
    loss::LossKind,
    syscall::{
        ELAPSED_UNKNOWN, FACT_ARGS, FACT_ELAPSED, FACT_TEXT, FACT_UNTIMED, ID_DOMAIN, LEN_FIXED, LEN_RETURN, PATHS_MAX,
        Path, STARTS_MAX, Start, SyscallFiring, TEXT_SLOT_BITS, TWICE_RETURNING_MAX,
    },
    target::UNKNOWN_OFFSET,
};
use probes_ebpf::{
    clause::clause,
    loss,
    target::{self, target, target_with},
    task::{Kernel, REGS_IP, Task, regs_of},
};

#[unsafe(no_mangle)]
static FACTS: Global<u32> = Global::new(0);
/// Offsets in the architecture's pt_regs.
#[unsafe(no_mangle)]
static REGS_NR: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static REGS_ARGS: Global<[u32; 6]> = Global::new([0; 6]);
#[unsafe(no_mangle)]
static REGS_COMPAT_ARGS: Global<[u32; 6]> = Global::new([0; 6]);
/// Holds the instruction pointer after a system call instruction of x86_64; unknown elsewhere.
#[unsafe(no_mangle)]
static REGS_CX: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static REGS_R11: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static REGS_FLAGS: Global<u32> = Global::new(0);
/// Where a 32-bit call shows: a word of the task, and the bits of it.
#[unsafe(no_mangle)]
static TASK_COMPAT: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static COMPAT_MASK: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static TASK_EXIT_CODE: Global<u32> = Global::new(UNKNOWN_OFFSET);
/// Ids of the calls that return in the child too, and of those that never return.
#[unsafe(no_mangle)]
static RETURN_TWICE: Global<[u64; 2 * TWICE_RETURNING_MAX]> = Global::new([0; 2 * TWICE_RETURNING_MAX]);
#[unsafe(no_mangle)]
static NEVER_RETURN: Global<[u64; 4]> = Global::new([0; 4]);
#[unsafe(no_mangle)]
static EXEC: Global<[u64; 4]> = Global::new([0; 4]);
#[unsafe(no_mangle)]
static SIGRETURN: Global<[u64; 2]> = Global::new([0; 2]);

probes_ebpf::births!(|_, _| ());

#[map]
static START: HashMap<u64, Start> = HashMap::with_max_entries(STARTS_MAX, 0);
#[map]
static PATHS: HashMap<u64, Path> = HashMap::with_max_entries(PATHS_MAX, 0);
/// By id: which arguments point to texts.
#[map]
static TEXT_SPECS: Array<u32> = Array::with_max_entries(ID_DOMAIN, 0);

#[btf_tracepoint(function = "sys_enter")]
pub fn sys_enter(ctx: BtfTracePointContext) -> i32 {
    entered(Kernel::<true>(ctx.arg(0)))
}

#[raw_tracepoint(tracepoint = "sys_enter")]
pub fn sys_enter_raw(ctx: RawTracePointContext) -> i32 {
    entered(Kernel::<false>(ctx.arg(0)))
}

#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exit(ctx: BtfTracePointContext) -> i32 {
    let mut firing = MaybeUninit::uninit();
    if returned(Kernel::<true>(ctx.arg(0)), ctx.arg(1), &mut firing) {
        clause(ctx.as_ptr(), &mut firing);
    }
    0
}

#[raw_tracepoint(tracepoint = "sys_exit")]
pub fn sys_exit_raw(ctx: RawTracePointContext) -> i32 {
    let mut firing = MaybeUninit::uninit();
    if returned(Kernel::<false>(ctx.arg(0)), ctx.arg(1), &mut firing) {
        clause(ctx.as_ptr(), &mut firing);
    }
    0
}

#[tracepoint]
pub fn sys_enter_classic(_: TracePointContext) -> i32 {
    entered(current_regs())
}

#[tracepoint]
pub fn sys_exit_classic(ctx: TracePointContext) -> i32 {
    // struct trace_event_raw_sys_exit: 8 bytes common to all, the number, what it returned.
    const RETURNED: usize = 16;
    // SAFETY: the verifier checks that the record is that long.
    let ret = unsafe { *ctx.as_ptr().cast::<u8>().add(RETURNED).cast::<i64>() };
    let mut firing = MaybeUninit::uninit();
    if returned(current_regs(), ret, &mut firing) {
        clause(ctx.as_ptr(), &mut firing);
    }
    0
}

#[tracepoint]
pub fn thread_end_classic(ctx: TracePointContext) -> i32 {
    let mut firing = MaybeUninit::uninit();
    // A thread ends itself.
    if ended(Kernel::<true>(Task::current().address), &mut firing) {
        clause(ctx.as_ptr(), &mut firing);
    }
    0
}

/// The registers that the current task entered the kernel with. Kernel: 5.15; only classic programs need it.
#[inline(always)]
fn current_regs() -> Kernel<true> {
    // SAFETY: the task is a BTF pointer: classic programs are taken only where `TASK_DIRECT` is 1.
    Kernel(unsafe { bpf_task_pt_regs(Task::current().address as *mut _) } as *const u8)
}

#[btf_tracepoint(function = "sched_process_exit")]
pub fn thread_end(ctx: BtfTracePointContext) -> i32 {
    let mut firing = MaybeUninit::uninit();
    if ended(Kernel::<true>(ctx.arg(0)), &mut firing) {
        clause(ctx.as_ptr(), &mut firing);
    }
    0
}

#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn thread_end_raw(ctx: RawTracePointContext) -> i32 {
    let mut firing = MaybeUninit::uninit();
    if ended(Kernel::<false>(ctx.arg(0)), &mut firing) {
        clause(ctx.as_ptr(), &mut firing);
    }
    0
}

#[inline(always)]
fn wants(fact: u32) -> bool {
    FACTS.load() & fact != 0
}

#[inline(always)]
fn entered<const DIRECT: bool>(regs: Kernel<DIRECT>) -> i32 {
    let Some(head) = target_with(regs.0) else { return 0 };
    let task = head.task;
    let id = id(&head, regs);
    // The slot is kept from call to call: inserting and deleting costs 195 ns more for each.
    if START.get_ptr(task).is_none() {
        let empty = Start { time_ns: 0, id: 0, tid: 0, args: [0; 6] };
        if START.insert(task, empty, 0).is_err() {
            loss::count(LossKind::StartFull);
            return 0;
        }
    }
    let Some(start) = START.get_ptr_mut(task) else {
        loss::count(LossKind::StartFull);
        return 0;
    };
    // SAFETY: `start` is a live map value. Only the thread itself writes its slot, and it cannot enter twice at once.
    unsafe {
        if (*start).time_ns != 0 {
            loss::count(LossKind::StartOverwritten);
        }
        (*start).id = id;
        (*start).tid = head.pid_tgid & 0xffff_ffff;
        if is_one_of(id, &EXEC.load()) {
            read_args(regs, id, addr_of_mut!((*start).args));
            if wants(FACT_TEXT) {
                keep_path(task, (*start).args[0]);
            }
        }
        (*start).time_ns = bpf_ktime_get_ns();
    }
    0
}

/// A successful exec leaves nothing of the memory that its path was in.
#[inline(always)]
fn keep_path(task: u64, address: u64) {
    if PATHS.get_ptr(task).is_none() {
        // SAFETY: all zeros is a value of Path; it is too large for the stack together with a start.
        static EMPTY: Path = Path { bytes: [0; TEXT_BYTES_MAX] };
        #[expect(clippy::needless_borrows_for_generic_args, reason = "by value it would be copied to the stack")]
        if PATHS.insert(task, &EMPTY, 0).is_err() {
            loss::count(LossKind::PathFull);
            return;
        }
    }
    if let Some(path) = PATHS.get_ptr_mut(task) {
        // SAFETY: a live map value that only this thread writes.
        let bytes = unsafe { &mut (*path).bytes };
        // SAFETY: the helper checks the address.
        if unsafe { bpf_probe_read_user_str_bytes(address as *const u8, bytes) }.is_err() {
            loss::count(LossKind::TextUnreadable);
        }
    }
}

/// Fills the firing; false where this return is none of a call's own, or the call is not to be fired.
#[inline(always)]
fn returned<const DIRECT: bool>(regs: Kernel<DIRECT>, ret: i64, firing: &mut MaybeUninit<SyscallFiring>) -> bool {
    let Some(head) = target_with(regs.0) else { return false };
    let mut id = id(&head, regs);
    if id >> 1 == u32::MAX as u64 {
        id = sigreturn_or_minus_one(id, regs, ret);
    }
    if ret == 0 && is_one_of(id, &RETURN_TWICE.load()) {
        return false;
    }
    let firing = firing.as_mut_ptr();
    // SAFETY: `firing` is this program's own stack; fields are written before the clause reads them.
    unsafe {
        let task = head.task;
        addr_of_mut!((*firing).head).write(head);
        if wants(FACT_ARGS) {
            read_args(regs, id, addr_of_mut!((*firing).args));
        }
        if wants(FACT_ELAPSED) {
            match take_start(task) {
                Some(start) => {
                    // The entry knows the number even where the return does not.
                    id = start.id;
                    addr_of_mut!((*firing).elapsed_ns).write(bpf_ktime_get_ns() - start.time_ns);
                    if wants(FACT_ARGS) && is_one_of(id, &EXEC.load()) {
                        addr_of_mut!((*firing).args).write(start.args);
                    }
                }
                None => {
                    loss::count(LossKind::BeganBefore);
                    if !wants(FACT_UNTIMED) {
                        return false;
                    }
                    addr_of_mut!((*firing).elapsed_ns).write(ELAPSED_UNKNOWN);
                }
            }
        }
        addr_of_mut!((*firing).id).write(id);
        addr_of_mut!((*firing).ret).write(ret);
        addr_of_mut!((*firing).endless).write(0);
        if wants(FACT_TEXT) {
            point_to_texts(firing, task, id, ret);
        }
    }
    true
}

/// The end of a thread: its slots are freed, and if it ended by exit or exit_group that call is fired.
#[inline(always)]
fn ended<const DIRECT: bool>(task: Kernel<DIRECT>, firing: &mut MaybeUninit<SyscallFiring>) -> bool {
    target::stack_is_free();
    let Some(head) = target() else { return false };
    let task_key = head.task;
    target::ended(head.pid_tgid);

    let mut elapsed_ns = ELAPSED_UNKNOWN;
    let id;
    if wants(FACT_ELAPSED) {
        let start = take_start(task_key);
        let _ = START.remove(task_key);
        if wants(FACT_TEXT) {
            let _ = PATHS.remove(task_key);
        }
        let Some(start) = start else { return false };
        id = start.id;
        if !is_one_of(id, &NEVER_RETURN.load()) {
            loss::count(LossKind::NeverReturned);
            return false;
        }
        // SAFETY: reads a clock.
        elapsed_ns = unsafe { bpf_ktime_get_ns() } - start.time_ns;
    } else {
        // The registers of the last entry to the kernel say exit; but a page fault's error code stands in the same place,
        // so a thread that a signal killed does not count.
        let code: u32 = task.read(TASK_EXIT_CODE.load());
        if code & 0x7f != 0 {
            return false;
        }
        id = id_at(&head, nr_of_ended(task));
        if !is_one_of(id, &NEVER_RETURN.load()) {
            return false;
        }
    }
    let firing = firing.as_mut_ptr();
    // SAFETY: as in `returned`.
    unsafe {
        addr_of_mut!((*firing).head).write(head);
        addr_of_mut!((*firing).id).write(id);
        addr_of_mut!((*firing).ret).write(0);
        addr_of_mut!((*firing).endless).write(1);
        addr_of_mut!((*firing).elapsed_ns).write(elapsed_ns);
        if wants(FACT_ARGS) {
            read_args(Kernel::<false>(regs_of(task)), id, addr_of_mut!((*firing).args));
        }
        if wants(FACT_TEXT) {
            addr_of_mut!((*firing).texts).write([const { TextRef { ptr: 0, len: 0, kind: TEXT_NONE } }; TEXTS]);
        }
    }
    true
}

#[inline(always)]
fn nr_of_ended<const DIRECT: bool>(task: Kernel<DIRECT>) -> u32 {
    Kernel::<false>(regs_of(task)).read(REGS_NR.load())
}

/// The start that this thread noted, if it is in a call; afterwards it is in none.
#[inline(always)]
fn take_start(task: u64) -> Option<Start> {
    let start = START.get_ptr_mut(task)?;
    // SAFETY: a live map value that only this thread writes.
    unsafe {
        if (*start).time_ns == 0 {
            return None;
        }
        let taken = Start { time_ns: (*start).time_ns, id: (*start).id, tid: (*start).tid, args: (*start).args };
        (*start).time_ns = 0;
        Some(taken)
    }
}

#[inline(always)]
fn id<const DIRECT: bool>(head: &Head, regs: Kernel<DIRECT>) -> u64 {
    let nr: u32 = regs.read(REGS_NR.load());
    if by_syscall_instruction(regs) { (nr as u64) << 1 } else { id_at(head, nr) }
}

/// The instruction `syscall` of x86_64 leaves ip in cx and the flags in r11; an `int 0x80` leaves what the program had
/// there. A program that puts just these two values there before an `int 0x80` passes for a native one. False where it
/// is not known.
#[inline(always)]
fn by_syscall_instruction<const DIRECT: bool>(regs: Kernel<DIRECT>) -> bool {
    REGS_CX.load() != UNKNOWN_OFFSET
        && regs.read::<u64>(REGS_CX.load()) == regs.read::<u64>(REGS_IP.load())
        && regs.read::<u64>(REGS_R11.load()) == regs.read::<u64>(REGS_FLAGS.load())
}

#[inline(always)]
fn id_at(head: &Head, nr: u32) -> u64 {
    let compat = if TASK_COMPAT.load() == UNKNOWN_OFFSET {
        0
    } else {
        let task = if head.task == 0 { Task::current() } else { Task { address: head.task as *const u8 } };
        let word: u32 = task.read(TASK_COMPAT.load());
        (word & COMPAT_MASK.load() != 0) as u64
    };
    (nr as u64) << 1 | compat
}

/// rt_sigreturn restores the registers of what the signal interrupted, and sets the number to -1 against restarts
/// (v5.10 arch/x86/kernel/signal.c). A process can call number -1 too: that one gives -ENOSYS and, since the system call
/// instruction put the return address in cx, cx = ip.
#[inline(always)]
fn sigreturn_or_minus_one<const DIRECT: bool>(id: u64, regs: Kernel<DIRECT>, ret: i64) -> u64 {
    const ENOSYS: i64 = 38;
    if REGS_CX.load() == UNKNOWN_OFFSET {
        return id;
    }
    let called = ret == -ENOSYS && regs.read::<u64>(REGS_CX.load()) == regs.read::<u64>(REGS_IP.load());
    if called { id } else { SIGRETURN.load()[(id & 1) as usize] }
}

#[inline(always)]
fn is_one_of<const N: usize>(id: u64, set: &[u64; N]) -> bool {
    let mut found = false;
    let mut i = 0;
    while i < N {
        found |= set[i] == id;
        i += 1;
    }
    found
}

/// SAFETY: `to` is writable.
#[inline(always)]
unsafe fn read_args<const DIRECT: bool>(regs: Kernel<DIRECT>, id: u64, to: *mut [u64; 6]) {
    if id & 1 == 0 {
        // SAFETY: the caller's promise.
        unsafe { read_args_at(regs, &REGS_ARGS.load(), to) }
    } else {
        // SAFETY: the caller's promise.
        unsafe { read_args_at(regs, &REGS_COMPAT_ARGS.load(), to) }
    }
}

/// SAFETY: `to` is writable.
#[inline(always)]
unsafe fn read_args_at<const DIRECT: bool>(regs: Kernel<DIRECT>, offsets: &[u32; 6], to: *mut [u64; 6]) {
    let mut i = 0;
    while i < 6 {
        // SAFETY: the caller's promise; `i` is below 6.
        unsafe { (*to)[i] = regs.read(offsets[i]) };
        i += 1;
    }
}

/// SAFETY: `firing` is writable and its `args` are set.
#[inline(always)]
unsafe fn point_to_texts(firing: *mut SyscallFiring, task: u64, id: u64, ret: i64) {
    let spec = if id < ID_DOMAIN as u64 { TEXT_SPECS.get(id as u32).copied().unwrap_or(0) } else { 0 };
    let mut slot = 0;
    while slot < TEXTS {
        let bits = spec >> (slot as u32 * TEXT_SLOT_BITS);
        let mut text = TextRef { ptr: 0, len: 0, kind: bits >> 3 & 7 };
        if text.kind != TEXT_NONE {
            // SAFETY: the caller's promise.
            let args = unsafe { &(*firing).args };
            text.ptr = pick(args, bits & 7, 0);
            let len = if text.kind == TEXT_STRING { TEXT_BYTES_MAX as u64 } else { pick(args, bits >> 6 & 15, ret) };
            text.len = if (len as i64) < 0 {
                0
            } else if len > TEXT_BYTES_MAX as u64 {
                TEXT_BYTES_MAX as u32
            } else {
                len as u32
            };
            if slot == 0 && is_one_of(id, &EXEC.load()) {
                match PATHS.get_ptr(task) {
                    Some(path) => {
                        text.ptr = path as u64;
                        text.kind = TEXT_KERNEL_STRING;
                    }
                    None => text.kind = TEXT_NONE,
                }
            }
        }
        // SAFETY: the caller's promise; `slot` is below TEXTS.
        unsafe { (*firing).texts[slot] = text };
        slot += 1;
    }
}

/// An argument by number without an index that the verifier would have to bound.
#[inline(always)]
fn pick(args: &[u64; 6], which: u32, ret: i64) -> u64 {
    match which {
        0 => args[0],
        1 => args[1],
        2 => args[2],
        3 => args[3],
        4 => args[4],
        5 => args[5],
        LEN_RETURN => ret as u64,
        LEN_FIXED => 16,
        _ => 0,
    }
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
