//! Provider `profile`: a firing for every sample that a perf event takes of a target.
//!
//! Births, ends and execs only keep the list of targets, and tell user space whose addresses mean something else from now
//! on; their programs exist three times as those of `syscall` do.
#![no_std]
#![no_main]

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::addr_of_mut;

use aya_ebpf::{
    EbpfContext, Global,
    bindings::bpf_perf_event_data,
    helpers::bpf_get_current_pid_tgid,
    macros::{btf_tracepoint, map, perf_event, raw_tracepoint, tracepoint},
    maps::PerCpuArray,
    programs::{BtfTracePointContext, PerfEventContext, RawTracePointContext, TracePointContext},
};
use probes_common::{
    profile::{FACT_KSTACK, FACT_LEAF, FACT_USTACK, ProfileFiring, SAMPLES_TAKEN},
    stack::{FRAMES_MAX, NO_STACK},
};
use probes_ebpf::{
    atomic,
    clause::clause,
    stacks,
    target::{self, ids_of, target},
    task::Kernel,
};

#[unsafe(no_mangle)]
static FACTS: Global<u32> = Global::new(0);

/// Everything that the events gave, of whomever: what they should have given less this was throttled.
#[map]
static SAMPLES: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

#[perf_event]
pub fn sample(ctx: PerfEventContext) -> u32 {
    if let Some(samples) = SAMPLES.get_ptr_mut(SAMPLES_TAKEN) {
        // SAFETY: a live map value.
        unsafe { atomic::add(samples, 1) };
    }
    let mut firing = MaybeUninit::uninit();
    if sampled(ctx.as_ptr(), &mut firing) {
        clause(ctx.as_ptr(), &mut firing);
    }
    0
}

#[btf_tracepoint(function = "sched_process_fork")]
pub fn thread_start(ctx: BtfTracePointContext) -> i32 {
    let (tgid, tid) = ids_of(Kernel::<true>(ctx.arg(1)));
    started(tgid, tid)
}

#[raw_tracepoint(tracepoint = "sched_process_fork")]
pub fn thread_start_raw(ctx: RawTracePointContext) -> i32 {
    let (tgid, tid) = ids_of(Kernel::<false>(ctx.arg(1)));
    started(tgid, tid)
}

/// At task_newtask, whose record is, behind 8 bytes common to all: pid, comm, clone_flags. Only where spoor is in the
/// first PID namespace: it knows no other numbers.
#[tracepoint]
pub fn thread_start_classic(ctx: TracePointContext) -> i32 {
    const CHILD: usize = 8;
    const FLAGS: usize = 32;
    const CLONE_THREAD: u64 = 0x1_0000;
    let record = ctx.as_ptr().cast::<u8>();
    // SAFETY: the verifier checks that the record is that long.
    let (child, flags) = unsafe { (*record.add(CHILD).cast::<u32>(), *record.add(FLAGS).cast::<u64>()) };
    let of_this_process = flags & CLONE_THREAD != 0;
    started(if of_this_process { (bpf_get_current_pid_tgid() >> 32) as u32 } else { child }, child)
}

#[inline(always)]
fn started(tgid: u32, tid: u32) -> i32 {
    target::born(tgid, tid);
    if tgid == tid {
        // A number that another process had.
        stacks::changed(tgid);
    }
    0
}

#[btf_tracepoint(function = "sched_process_exit")]
pub fn thread_end(_: BtfTracePointContext) -> i32 {
    ended()
}

#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn thread_end_raw(_: RawTracePointContext) -> i32 {
    ended()
}

#[tracepoint]
pub fn thread_end_classic(_: TracePointContext) -> i32 {
    ended()
}

#[inline(always)]
fn ended() -> i32 {
    if let Some(head) = target() {
        target::ended(head.pid_tgid);
    }
    0
}

#[btf_tracepoint(function = "sched_process_exec")]
pub fn exec(_: BtfTracePointContext) -> i32 {
    executed()
}

#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn exec_raw(_: RawTracePointContext) -> i32 {
    executed()
}

#[tracepoint]
pub fn exec_classic(_: TracePointContext) -> i32 {
    executed()
}

#[inline(always)]
fn executed() -> i32 {
    if let Some(head) = target() {
        stacks::changed((head.pid_tgid >> 32) as u32);
    }
    0
}

#[inline(always)]
fn wants(fact: u32) -> bool {
    FACTS.load() & fact != 0
}

#[inline(always)]
fn sampled(ctx: *mut c_void, firing: &mut MaybeUninit<ProfileFiring>) -> bool {
    let Some(head) = target() else { return false };
    let tgid = (head.pid_tgid >> 32) as u32;
    // The idle task is nobody's time.
    if tgid == 0 {
        return false;
    }
    let firing = firing.as_mut_ptr();
    // SAFETY: `firing` is this program's own stack, `ctx` its context; fields are written before the clause reads them.
    unsafe {
        let leaf_in_kernel = if wants(FACT_LEAF) { stacks::kernel(ctx, 1) } else { NO_STACK };
        addr_of_mut!((*firing).leaf).write(if leaf_in_kernel != NO_STACK || !wants(FACT_LEAF) {
            leaf_in_kernel
        } else {
            stacks::user(ctx, tgid, 1)
        });
        addr_of_mut!((*firing).kstack).write(if wants(FACT_KSTACK) {
            stacks::kernel(ctx, FRAMES_MAX)
        } else {
            NO_STACK
        });
        addr_of_mut!((*firing).ustack).write(if wants(FACT_USTACK) {
            stacks::user(ctx, tgid, FRAMES_MAX)
        } else {
            NO_STACK
        });
        addr_of_mut!((*firing).weight).write((*ctx.cast::<bpf_perf_event_data>()).sample_period);
        addr_of_mut!((*firing).head).write(head);
    }
    true
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
