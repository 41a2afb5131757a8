//! Provider `sched`: a firing when a thread gets a CPU again, with how long it slept and waited, where, and who woke it.
//!
//! sched_switch sees a thread leave its CPU and another one get it, sched_waking who ends a sleep, sched_wakeup_new a
//! thread's first wait. All of them run with interrupts off, so that typed programs are not preempted on any kernel. Two
//! walks over all threads stand at the ends: what each does when tracing begins, and what is still open at a report.
#![no_std]
#![no_main]

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::addr_of_mut;

use aya_ebpf::{
    EbpfContext, Global,
    bindings::{BPF_NOEXIST, seq_file},
    helpers::{bpf_ktime_get_ns, bpf_seq_write, generated::bpf_get_current_comm},
    macros::{btf_tracepoint, map},
    maps::{Array, HashMap},
    programs::BtfTracePointContext,
};
use probes_common::{
    clause::Head,
    loss::LossKind,
    sched::{
        FACT_KSTACK, FACT_ONCPU, FACT_USTACK, FACT_WAKER, FACT_WAKER_KSTACK, FACT_WAKER_USTACK, STATE_DEAD, STATE_DISK,
        STATE_IDLE, STATE_ON_CPU, STATE_OTHER, STATE_PARKED, STATE_RUNNABLE, STATE_SLEEPING, STATE_STOPPED,
        STATE_TRACED, SchedFiring, THREADS_MAX, Thread, Waker,
    },
    stack::{FRAMES_MAX, LOST_STACK, NO_STACK},
    target::UNKNOWN_OFFSET,
    walk::{Span, Standing},
};
use probes_ebpf::{
    clause::clause,
    loss, stacks,
    target::{self, ids_of, target_of},
    task::{Kernel, REGS_FRAME, REGS_IP, is_64_bit, regs_of},
};

#[unsafe(no_mangle)]
static FACTS: Global<u32> = Global::new(0);
/// 1 where sched_switch tells the state that the thread leaves in (5.18): read later, a waker may have changed it.
#[unsafe(no_mangle)]
static STATE_TOLD: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static TASK_STATE: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static TASK_ON_CPU: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static TASK_RAN: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static TASK_MM: Global<u32> = Global::new(UNKNOWN_OFFSET);

#[map]
static THREADS: HashMap<u64, Thread> = HashMap::with_max_entries(THREADS_MAX, 0);
/// User stacks of threads that slept when tracing began, by task: user space walked them, only their own thread could.
#[map]
static STANDING: HashMap<u64, u64> = HashMap::with_max_entries(THREADS_MAX, 0);
#[map]
static SPAN: Array<Span> = Array::with_max_entries(1, 0);

probes_ebpf::births!(stacks::born);
probes_ebpf::ends!();
probes_ebpf::execs!();

#[btf_tracepoint(function = "sched_switch")]
pub fn switch(ctx: BtfTracePointContext) -> i32 {
    let mut firing = MaybeUninit::uninit();
    if switched(&ctx, &mut firing) {
        clause(ctx.as_ptr(), &mut firing);
    }
    0
}

/// Attached before `switch`, which forgets the thread.
#[btf_tracepoint(function = "sched_switch")]
pub fn last_run(ctx: BtfTracePointContext) -> i32 {
    let mut firing = MaybeUninit::uninit();
    if ran_for_the_last_time(&ctx, &mut firing) {
        clause(ctx.as_ptr(), &mut firing);
    }
    0
}

#[btf_tracepoint(function = "sched_waking")]
pub fn waking(ctx: BtfTracePointContext) -> i32 {
    woken(&ctx);
    0
}

#[btf_tracepoint(function = "sched_wakeup_new")]
pub fn waking_new(ctx: BtfTracePointContext) -> i32 {
    let task = Kernel::<true>(ctx.arg(0));
    if !is_on() || target_of(task).is_none() {
        return 0;
    }
    let Some(kept) = slot_for(task) else { return 0 };
    let now = now();
    // SAFETY: a live map value of a thread that does not run yet. It may hold what one left whose last switch was not
    // told.
    unsafe {
        (*kept).since_ns = now;
        (*kept).state = STATE_RUNNABLE;
        (*kept).oncpu_ns = 0;
        (*kept).ustack = NO_STACK;
        (*kept).began_before = 0;
        (*kept).left = 0;
        (*kept).ran_ns = 0;
        (*kept).owed_blocked_ns = 0;
        (*kept).owed_runnable_ns = 0;
        note_waker(ctx.as_ptr(), kept);
        (*kept).woken_ns = now;
    }
    0
}

/// What the walk over all threads calls: struct bpf_iter__task (v5.10 kernel/bpf/task_iter.c).
#[repr(C)]
struct TaskWalk {
    meta: *const *mut seq_file,
    task: *const u8,
}

/// Notes what each target does when tracing begins.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub fn at_start(ctx: *const c_void) -> i32 {
    // SAFETY: the kernel's context for such a walk.
    let TaskWalk { meta, task } = unsafe { ctx.cast::<TaskWalk>().read() };
    if !task.is_null() {
        found_at_start(meta, Kernel(task));
    }
    0
}

/// Fires what is open now, and lets it begin anew.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub fn at_end(ctx: *mut c_void) -> i32 {
    // SAFETY: as above.
    let task = unsafe { (*ctx.cast::<TaskWalk>()).task };
    if task.is_null() {
        return 0;
    }
    let mut firing = MaybeUninit::uninit();
    if is_open(Kernel(task), &mut firing) {
        clause(ctx, &mut firing);
    }
    0
}

const NOBODY: Waker = Waker { pid_tgid: 0, comm: [0; 2], kstack: NO_STACK, ustack: NO_STACK };

#[inline(always)]
fn wants(facts: u32) -> bool {
    FACTS.load() & facts != 0
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: reads a clock.
    unsafe { bpf_ktime_get_ns() }
}

#[inline(always)]
fn span() -> Span {
    match SPAN.get_ptr(0) {
        // SAFETY: a live map value.
        Some(span) => unsafe {
            Span { begin_ns: (*span).begin_ns, end_ns: (*span).end_ns, report_ns: (*span).report_ns }
        },
        None => Span { begin_ns: 0, end_ns: 0, report_ns: 0 },
    }
}

#[inline(always)]
fn is_on() -> bool {
    let span = span();
    span.begin_ns != 0 && span.end_ns == 0
}

/// Makes room for a thread that there is none for, or takes what is there.
#[inline(always)]
fn slot_for(task: Kernel<true>) -> Option<*mut Thread> {
    // Constant: zeros on the stack are written by a loop over bytes.
    static NEW: Thread = Thread {
        since_ns: 0,
        state: STATE_ON_CPU,
        woken_ns: 0,
        oncpu_ns: 0,
        ustack: NO_STACK,
        began_before: 0,
        left: 0,
        ran_ns: 0,
        owed_blocked_ns: 0,
        owed_runnable_ns: 0,
        waker: NOBODY,
    };
    let key = task.0 as u64;
    #[expect(clippy::needless_borrows_for_generic_args, reason = "by value it would be copied to the stack")]
    let _ = THREADS.insert(key, &NEW, BPF_NOEXIST as u64);
    let kept = THREADS.get_ptr_mut(key);
    if kept.is_none() {
        loss::count(LossKind::ThreadFull);
    }
    kept
}

/// A state's letter. Bits: v5.10 include/linux/sched.h.
#[inline(always)]
fn letter(state: u64) -> u64 {
    const NOLOAD: u64 = 0x400;
    const DEAD: u64 = 0x80;
    if state & 0xff == 0 {
        STATE_RUNNABLE
    } else if state & 1 != 0 {
        STATE_SLEEPING
    } else if state & (2 | NOLOAD) == 2 | NOLOAD {
        STATE_IDLE
    } else if state & 2 != 0 {
        STATE_DISK
    } else if state & 4 != 0 {
        STATE_STOPPED
    } else if state & 8 != 0 {
        STATE_TRACED
    } else if state & DEAD != 0 {
        STATE_DEAD
    } else if state & 0x40 != 0 {
        STATE_PARKED
    } else {
        STATE_OTHER
    }
}

/// The state that `prev` leaves in.
#[inline(always)]
fn left_in(ctx: &BtfTracePointContext, prev: Kernel<true>) -> u64 {
    let preempted: u64 = ctx.arg(0);
    if preempted & 1 != 0 {
        return STATE_RUNNABLE;
    }
    let state: u64 = if STATE_TOLD.load() != 0 { ctx.arg::<u64>(3) & 0xffff_ffff } else { state_of(prev) };
    letter(state)
}

#[inline(always)]
fn state_of(task: Kernel<true>) -> u64 {
    // Four bytes of eight before 5.14, all that there is since.
    task.read::<u32>(TASK_STATE.load()) as u64
}

#[inline(always)]
fn slot(task: Kernel<true>) -> Option<*mut Thread> {
    THREADS.get_ptr_mut(task.0 as u64)
}

/// True: a firing for the thread that gets the CPU.
#[inline(always)]
fn switched(ctx: &BtfTracePointContext, firing: &mut MaybeUninit<SchedFiring>) -> bool {
    if !is_on() {
        return false;
    }
    let (prev, next) = (Kernel::<true>(ctx.arg(1)), Kernel::<true>(ctx.arg(2)));
    let mut now_ns = 0;
    if target::may_be_target(prev) {
        now_ns = now();
        leave(ctx, prev, now_ns);
    }
    if !target::may_be_target(next) {
        return false;
    }
    get(next, if now_ns == 0 { now() } else { now_ns }, firing)
}

#[inline(always)]
fn leave(ctx: &BtfTracePointContext, task: Kernel<true>, now: u64) {
    let state = left_in(ctx, task);
    let known = slot(task);
    if known.is_some() && (state == STATE_DEAD || target::has_moved_out()) {
        let _ = THREADS.remove(task.0 as u64);
        return;
    }
    let kept = match known {
        Some(kept) => kept,
        None => {
            // Became a target, or was not come across yet when tracing began.
            if state == STATE_DEAD || target_of(task).is_none() {
                return;
            }
            let Some(kept) = slot_for(task) else { return };
            // SAFETY: a live map value.
            unsafe { (*kept).since_ns = now };
            kept
        }
    };
    // SAFETY: a live map value. The thread is on this CPU; a waker writes only while it is off.
    unsafe {
        let ran: u64 = task.read(TASK_RAN.load());
        if (*kept).state == STATE_ON_CPU {
            (*kept).oncpu_ns += now.saturating_sub((*kept).since_ns);
        } else {
            got_unseen(kept, ran, now);
        }
        (*kept).ran_ns = ran;
        (*kept).since_ns = now;
        (*kept).began_before = 0;
        (*kept).left = 1;
        (*kept).woken_ns = 0;
        forget_waker(kept);
        addr_of_mut!((*kept).state).write_volatile(state);
        // Woken while it was on its way here: its waker saw it on the CPU.
        const WAKING: u64 = 0x200;
        if state == STATE_RUNNABLE || state_of(task) & !WAKING == 0 {
            (*kept).woken_ns = now;
        }
        // Last, when the verifier has nothing to tell apart any more: it walks the loops in there once for each way to
        // come to them.
        if wants(FACT_USTACK) {
            let (tgid, _) = ids_of(task);
            (*kept).ustack = stacks::user_of(ctx.as_ptr(), task, tgid);
        }
    }
}

#[inline(always)]
fn get(task: Kernel<true>, now: u64, firing: &mut MaybeUninit<SchedFiring>) -> bool {
    let Some(kept) = slot(task) else {
        if target_of(task).is_some()
            && let Some(kept) = slot_for(task)
        {
            // SAFETY: a live map value.
            unsafe {
                (*kept).since_ns = now;
                (*kept).ran_ns = task.read(TASK_RAN.load());
            }
        }
        return false;
    };
    // SAFETY: a live map value of a thread that nobody wakes and that no CPU has.
    unsafe {
        if (*kept).state == STATE_ON_CPU {
            left_unseen(task, kept, now);
        }
        fill(task, kept, now, firing);
        (*kept).state = STATE_ON_CPU;
        (*kept).since_ns = now;
        (*kept).oncpu_ns = 0;
    }
    true
}

/// The thread leaves a CPU that it was not seen to get. How long it ran is known, and so how long it waited before.
///
/// # Safety
/// `kept` is a live map value.
#[inline(always)]
unsafe fn got_unseen(kept: *mut Thread, ran_ns: u64, now: u64) {
    loss::count(LossKind::SwitchMissed);
    // SAFETY: the caller's promise.
    unsafe {
        let since = (*kept).since_ns;
        let stretch = now.saturating_sub(since);
        let run = at_most(ran_ns.saturating_sub((*kept).ran_ns), stretch);
        let off = stretch - run;
        let blocked = blocked((*kept).woken_ns, since, off);
        (*kept).oncpu_ns += run;
        (*kept).owed_blocked_ns += blocked;
        (*kept).owed_runnable_ns += off - blocked;
    }
}

/// The thread gets a CPU, and was not seen to leave the one that it had. Where it left from is not known, nor who woke it.
///
/// # Safety
/// As of [`got_unseen`].
#[inline(always)]
unsafe fn left_unseen(task: Kernel<true>, kept: *mut Thread, now: u64) {
    // The walk at the beginning takes one for on a CPU that is just leaving it.
    // SAFETY: the caller's promise.
    if unsafe { (*kept).began_before } == 0 {
        loss::count(LossKind::SwitchMissed);
    }
    let ran: u64 = task.read(TASK_RAN.load());
    // SAFETY: the caller's promise.
    unsafe {
        let stretch = now.saturating_sub((*kept).since_ns);
        let run = at_most(ran.saturating_sub((*kept).ran_ns), stretch);
        (*kept).oncpu_ns += run;
        (*kept).since_ns += run;
        (*kept).ran_ns = ran;
        (*kept).woken_ns = 0;
        (*kept).state = STATE_OTHER;
        (*kept).left = 1;
        (*kept).began_before = 0;
        (*kept).ustack = LOST_STACK;
        forget_waker(kept);
    }
}

#[inline(always)]
fn at_most(number: u64, most: u64) -> u64 {
    if number > most { most } else { number }
}

/// How much of the time off the CPU the thread was asleep.
#[inline(always)]
fn blocked(woken: u64, since: u64, off: u64) -> u64 {
    // A waker on another CPU may have read the clock a moment before.
    at_most(if woken == 0 { off } else { woken.saturating_sub(since) }, off)
}

/// Fills the firing for a thread that is off its CPU.
///
/// # Safety
/// `kept` is a live map value.
#[inline(always)]
unsafe fn fill(task: Kernel<true>, kept: *mut Thread, now: u64, firing: &mut MaybeUninit<SchedFiring>) {
    let (tgid, tid) = ids_of(task);
    let firing = firing.as_mut_ptr();
    // SAFETY: the caller's promise; `firing` is this program's own stack, its fields are written before the clause reads
    // them.
    unsafe {
        let since = (*kept).since_ns;
        let off = now.saturating_sub(since);
        let asleep = blocked((*kept).woken_ns, since, off);
        let blocked = asleep + (*kept).owed_blocked_ns;
        let runnable = off - asleep + (*kept).owed_runnable_ns;
        (*kept).owed_blocked_ns = 0;
        (*kept).owed_runnable_ns = 0;
        addr_of_mut!((*firing).oncpu_ns).write((*kept).oncpu_ns);
        addr_of_mut!((*firing).offcpu_ns).write(blocked + runnable);
        addr_of_mut!((*firing).blocked_ns).write(blocked);
        addr_of_mut!((*firing).runnable_ns).write(runnable);
        addr_of_mut!((*firing).state).write((*kept).state);
        addr_of_mut!((*firing).left).write((*kept).left);
        (*kept).left = 0;
        if (*kept).began_before != 0 {
            loss::count(LossKind::OffBefore);
        }
        let kstack = if wants(FACT_KSTACK) { stacks::kernel_of(task, FRAMES_MAX) } else { NO_STACK };
        addr_of_mut!((*firing).kstack).write(kstack);
        addr_of_mut!((*firing).ustack).write(if wants(FACT_USTACK) { ustack(task, kept) } else { NO_STACK });
        if wants(FACT_WAKER) {
            addr_of_mut!((*firing).waker.pid_tgid).write((*kept).waker.pid_tgid);
            addr_of_mut!((*firing).waker.comm).write((*kept).waker.comm);
        }
        addr_of_mut!((*firing).waker.kstack).write((*kept).waker.kstack);
        addr_of_mut!((*firing).waker.ustack).write((*kept).waker.ustack);
        addr_of_mut!((*firing).head).write(Head { task: task.0 as u64, pid_tgid: (tgid as u64) << 32 | tid as u64 });
    }
}

/// # Safety
/// `kept` is a live map value.
#[inline(always)]
unsafe fn ustack(task: Kernel<true>, kept: *mut Thread) -> u64 {
    // SAFETY: the caller's promise.
    unsafe {
        if (*kept).began_before == 0 {
            return (*kept).ustack;
        }
        // Only once: from the next time on it is taken when the thread leaves.
        if let Some(standing) = STANDING.get_ptr(task.0 as u64) {
            return *standing;
        }
    }
    if task.read::<u64>(TASK_MM.load()) == 0 {
        return NO_STACK;
    }
    loss::count(LossKind::StackFailed);
    LOST_STACK
}

#[inline(always)]
fn ran_for_the_last_time(ctx: &BtfTracePointContext, firing: &mut MaybeUninit<SchedFiring>) -> bool {
    let prev = Kernel::<true>(ctx.arg(1));
    if !is_on() || left_in(ctx, prev) != STATE_DEAD {
        return false;
    }
    let Some(kept) = slot(prev) else { return false };
    // SAFETY: a live map value of the thread that runs.
    unsafe {
        let now = now();
        if (*kept).state == STATE_ON_CPU {
            (*kept).oncpu_ns += now.saturating_sub((*kept).since_ns);
        } else {
            got_unseen(kept, prev.read(TASK_RAN.load()), now);
        }
        fill_run(prev, kept, (*kept).oncpu_ns, STATE_DEAD, firing);
    }
    true
}

/// A firing with nothing but a run on a CPU, and what is owed.
///
/// # Safety
/// As of [`fill`].
#[inline(always)]
unsafe fn fill_run(
    task: Kernel<true>,
    kept: *mut Thread,
    run_ns: u64,
    state: u64,
    firing: &mut MaybeUninit<SchedFiring>,
) {
    let (tgid, tid) = ids_of(task);
    let firing = firing.as_mut_ptr();
    // Volatile, or zeros are written by a loop over bytes.
    // SAFETY: this program's own stack.
    unsafe {
        addr_of_mut!((*firing).oncpu_ns).write(run_ns);
        let (blocked, runnable) = ((*kept).owed_blocked_ns, (*kept).owed_runnable_ns);
        (*kept).owed_blocked_ns = 0;
        (*kept).owed_runnable_ns = 0;
        addr_of_mut!((*firing).offcpu_ns).write(blocked + runnable);
        addr_of_mut!((*firing).blocked_ns).write(blocked);
        addr_of_mut!((*firing).runnable_ns).write(runnable);
        addr_of_mut!((*firing).state).write(state);
        addr_of_mut!((*firing).left).write((state == STATE_DEAD) as u64);
        addr_of_mut!((*firing).kstack).write_volatile(NO_STACK);
        addr_of_mut!((*firing).ustack).write_volatile(NO_STACK);
        addr_of_mut!((*firing).waker.pid_tgid).write_volatile(0);
        addr_of_mut!((*firing).waker.comm).write_volatile([0; 2]);
        addr_of_mut!((*firing).waker.kstack).write_volatile(NO_STACK);
        addr_of_mut!((*firing).waker.ustack).write_volatile(NO_STACK);
        addr_of_mut!((*firing).head).write(Head { task: task.0 as u64, pid_tgid: (tgid as u64) << 32 | tid as u64 });
    }
}

#[inline(always)]
fn woken(ctx: &BtfTracePointContext) {
    let task = Kernel::<true>(ctx.arg(0));
    if !is_on() || !target::may_be_target(task) {
        return;
    }
    let Some(kept) = slot(task) else { return };
    // SAFETY: a live map value; a thread is woken by one at a time, under a lock.
    unsafe {
        if (*kept).state == STATE_ON_CPU || (*kept).woken_ns != 0 {
            return;
        }
        note_waker(ctx.as_ptr(), kept);
        (*kept).woken_ns = now();
    }
}

/// Nobody has woken the thread from the wait that begins.
///
/// # Safety
/// `kept` is a live map value.
#[inline(always)]
unsafe fn forget_waker(kept: *mut Thread) {
    // Volatile, or zeros are written by a loop over bytes.
    // SAFETY: the caller's promise.
    unsafe {
        if wants(FACT_WAKER) {
            addr_of_mut!((*kept).waker.pid_tgid).write_volatile(0);
            addr_of_mut!((*kept).waker.comm).write_volatile([0; 2]);
        }
        if wants(FACT_WAKER_KSTACK) {
            addr_of_mut!((*kept).waker.kstack).write_volatile(NO_STACK);
        }
        if wants(FACT_WAKER_USTACK) {
            addr_of_mut!((*kept).waker.ustack).write_volatile(NO_STACK);
        }
    }
}

/// The current task wakes the thread.
///
/// # Safety
/// `kept` is a live map value.
#[inline(always)]
unsafe fn note_waker(ctx: *mut c_void, kept: *mut Thread) {
    if !wants(FACT_WAKER | FACT_WAKER_KSTACK | FACT_WAKER_USTACK) {
        return;
    }
    let pid_tgid = target::current_ids();
    let tgid = (pid_tgid >> 32) as u32;
    // SAFETY: the caller's promise; the helper writes 16 bytes.
    unsafe {
        (*kept).waker.pid_tgid = pid_tgid;
        bpf_get_current_comm(addr_of_mut!((*kept).waker.comm).cast(), 16);
        if wants(FACT_WAKER_KSTACK) {
            (*kept).waker.kstack = stacks::kernel(ctx, FRAMES_MAX);
        }
        if wants(FACT_WAKER_USTACK) {
            (*kept).waker.ustack = stacks::user(ctx, tgid, FRAMES_MAX);
        }
    }
}

#[inline(always)]
fn found_at_start(meta: *const *mut seq_file, task: Kernel<true>) {
    let Some(pid_tgid) = target_of(task) else { return };
    let since = span().begin_ns;
    // An int before 7.2, whose first byte tells as much.
    let on_cpu = task.read::<u8>(TASK_ON_CPU.load()) != 0;
    let state = if on_cpu { STATE_ON_CPU } else { letter(state_of(task)) };
    if state == STATE_DEAD {
        return;
    }
    let mut found = MaybeUninit::<Thread>::uninit();
    let found = found.as_mut_ptr();
    // Whole before it is seen: the thread may get a CPU at this moment. Volatile, or zeros are written by a loop over bytes.
    // SAFETY: this program's own stack.
    unsafe {
        addr_of_mut!((*found).since_ns).write_volatile(since);
        addr_of_mut!((*found).state).write_volatile(state);
        addr_of_mut!((*found).woken_ns).write_volatile(if state == STATE_RUNNABLE { since } else { 0 });
        addr_of_mut!((*found).oncpu_ns).write_volatile(0);
        addr_of_mut!((*found).ustack).write_volatile(NO_STACK);
        addr_of_mut!((*found).began_before).write_volatile(1);
        addr_of_mut!((*found).left).write_volatile(0);
        addr_of_mut!((*found).ran_ns).write_volatile(task.read(TASK_RAN.load()));
        addr_of_mut!((*found).owed_blocked_ns).write_volatile(0);
        addr_of_mut!((*found).owed_runnable_ns).write_volatile(0);
        addr_of_mut!((*found).waker.pid_tgid).write_volatile(0);
        addr_of_mut!((*found).waker.comm).write_volatile([0; 2]);
        addr_of_mut!((*found).waker.kstack).write_volatile(NO_STACK);
        addr_of_mut!((*found).waker.ustack).write_volatile(NO_STACK);
    }
    // SAFETY: every field is set.
    let found = unsafe { &*found };
    if THREADS.insert(task.0 as u64, found, BPF_NOEXIST as u64).is_err() {
        let Some(kept) = slot(task) else {
            loss::count(LossKind::ThreadFull);
            return;
        };
        // One that has switched meanwhile is known better already. One that has not is come across again where what is
        // written below found no room.
        // SAFETY: a live map value.
        if unsafe { (*kept).began_before } == 0 {
            return;
        }
    }
    if on_cpu || !wants(FACT_USTACK) || task.read::<u64>(TASK_MM.load()) == 0 {
        return;
    }
    let regs = Kernel::<false>(regs_of(task));
    let standing = Standing {
        task: task.0 as u64,
        pid_tgid,
        instruction: regs.read(REGS_IP.load()),
        frame: regs.read(REGS_FRAME.load()),
        word_bytes: if is_64_bit(regs) { 8 } else { 4 },
    };
    // SAFETY: the file that user space reads this walk from; the bytes are as many as said.
    unsafe { bpf_seq_write(*meta, (&raw const standing).cast(), size_of::<Standing>() as u32) };
}

#[inline(always)]
fn is_open(task: Kernel<true>, firing: &mut MaybeUninit<SchedFiring>) -> bool {
    let Some(kept) = slot(task) else { return false };
    let now = span().report_ns;
    // SAFETY: a live map value. Its thread may get or leave a CPU at this moment: then the few instructions between
    // reading and writing `since_ns` decide whether a moment is counted here, there or twice.
    unsafe {
        let since = (*kept).since_ns;
        if (*kept).state == STATE_ON_CPU {
            if !wants(FACT_ONCPU) || since >= now {
                return false;
            }
            (*kept).since_ns = now;
            let run = (*kept).oncpu_ns + (now - since);
            (*kept).oncpu_ns = 0;
            fill_run(task, kept, run, STATE_RUNNABLE, firing);
            return true;
        }
        loss::count(LossKind::OffAtEnd);
        fill(task, kept, now, firing);
        (*kept).since_ns = now;
        (*kept).oncpu_ns = 0;
        if (*kept).woken_ns != 0 {
            (*kept).woken_ns = now;
        }
    }
    true
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
