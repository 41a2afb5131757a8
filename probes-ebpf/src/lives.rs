//! Programs that follow births, ends and execs, for providers that do nothing else there than keep the list of targets
//! and of the processes that were seen. Each exists three times: with typed pointers (tp_btf) where the kernel's BTF is
//! there, else raw_tp, and for the tracepoint's perf event (classic) where the kernel preempts the other two.
//! Macros, since an object has the programs of its own crate only.

/// `sched_process_fork`: a child of a target may become one. The closure hears of every child: tgid and tid, and hears
/// twice where `thread_start_again` is attached as well.
#[macro_export]
macro_rules! births {
    ($hears:expr) => {
        #[::aya_ebpf::macros::btf_tracepoint(function = "sched_process_fork")]
        pub fn thread_start(ctx: ::aya_ebpf::programs::BtfTracePointContext) -> i32 {
            let (tgid, tid) = $crate::target::ids_of($crate::task::Kernel::<true>(ctx.arg(1)));
            $crate::lives::started(tgid, tid, $hears)
        }

        #[::aya_ebpf::macros::raw_tracepoint(tracepoint = "sched_process_fork")]
        pub fn thread_start_raw(ctx: ::aya_ebpf::programs::RawTracePointContext) -> i32 {
            let (tgid, tid) = $crate::target::ids_of($crate::task::Kernel::<false>(ctx.arg(1)));
            $crate::lives::started(tgid, tid, $hears)
        }

        /// At `task_newtask`, just before the other.
        #[::aya_ebpf::macros::btf_tracepoint(function = "task_newtask")]
        pub fn thread_start_again(ctx: ::aya_ebpf::programs::BtfTracePointContext) -> i32 {
            let (tgid, tid) = $crate::target::ids_of($crate::task::Kernel::<true>(ctx.arg(0)));
            $crate::lives::started(tgid, tid, $hears)
        }

        #[::aya_ebpf::macros::tracepoint]
        pub fn thread_start_classic(ctx: ::aya_ebpf::programs::TracePointContext) -> i32 {
            let (tgid, tid) = $crate::lives::ids_of_newtask(&ctx);
            $crate::lives::started(tgid, tid, $hears)
        }
    };
}

/// `sched_process_exit`: a target may be one no longer. The closure hears of every thread that is one.
#[macro_export]
macro_rules! ends {
    () => {
        $crate::ends!(|_| ());
    };
    ($hears:expr) => {
        #[::aya_ebpf::macros::btf_tracepoint(function = "sched_process_exit")]
        pub fn thread_end(_: ::aya_ebpf::programs::BtfTracePointContext) -> i32 {
            $crate::lives::ended($hears)
        }

        #[::aya_ebpf::macros::raw_tracepoint(tracepoint = "sched_process_exit")]
        pub fn thread_end_raw(_: ::aya_ebpf::programs::RawTracePointContext) -> i32 {
            $crate::lives::ended($hears)
        }

        #[::aya_ebpf::macros::tracepoint]
        pub fn thread_end_classic(_: ::aya_ebpf::programs::TracePointContext) -> i32 {
            $crate::lives::ended($hears)
        }
    };
}

/// `sched_process_exec`: a process's addresses mean something else from now on. The closure hears of every target that
/// does it, and whether another thread than the first did.
#[macro_export]
macro_rules! execs {
    () => {
        $crate::execs!(|_, _| ());
    };
    ($hears:expr) => {
        #[::aya_ebpf::macros::btf_tracepoint(function = "sched_process_exec")]
        pub fn exec(ctx: ::aya_ebpf::programs::BtfTracePointContext) -> i32 {
            $crate::lives::executed(ctx.arg(1), $hears)
        }

        #[::aya_ebpf::macros::raw_tracepoint(tracepoint = "sched_process_exec")]
        pub fn exec_raw(ctx: ::aya_ebpf::programs::RawTracePointContext) -> i32 {
            $crate::lives::executed(ctx.arg(1), $hears)
        }

        #[::aya_ebpf::macros::tracepoint]
        pub fn exec_classic(ctx: ::aya_ebpf::programs::TracePointContext) -> i32 {
            $crate::lives::executed($crate::lives::tid_before_exec(&ctx), $hears)
        }
    };
}

use aya_ebpf::{EbpfContext, helpers::bpf_get_current_pid_tgid, programs::TracePointContext};

use probes_common::{clause::Head, target::UNKNOWN_OFFSET};

use crate::task::{TASK_TID, Task};
use crate::{stacks, target};

#[inline(always)]
pub fn started(tgid: u32, tid: u32, hears: impl FnOnce(u32, u32)) -> i32 {
    target::born(tgid, tid);
    hears(tgid, tid);
    0
}

#[inline(always)]
pub fn ended(hears: impl FnOnce(&Head)) -> i32 {
    if let Some(head) = target::target() {
        hears(&head);
        target::ended(head.pid_tgid);
    }
    0
}

#[inline(always)]
pub fn executed(tid_before: u32, hears: impl FnOnce(&Head, bool)) -> i32 {
    if let Some(head) = target::target() {
        // Who calls exec becomes the first thread, with its number.
        let known = TASK_TID.load() != UNKNOWN_OFFSET;
        hears(&head, known && Task::current().read::<u32>(TASK_TID.load()) != tid_before);
        stacks::changed((head.pid_tgid >> 32) as u32);
    }
    0
}

/// From the record of sched_process_exec, which is, behind 8 bytes common to all: where the file's name is, pid, old_pid.
#[inline(always)]
pub fn tid_before_exec(ctx: &TracePointContext) -> u32 {
    const OLD: usize = 16;
    // SAFETY: the verifier checks that the record is that long.
    unsafe { *ctx.as_ptr().cast::<u8>().add(OLD).cast::<u32>() }
}

/// tgid and tid of a child from the record of task_newtask, which is, behind 8 bytes common to all: pid, comm,
/// clone_flags. Only where spoor is in the first PID namespace: it knows no other numbers.
#[inline(always)]
pub fn ids_of_newtask(ctx: &TracePointContext) -> (u32, u32) {
    const CHILD: usize = 8;
    const FLAGS: usize = 32;
    const CLONE_THREAD: u64 = 0x1_0000;
    let record = ctx.as_ptr().cast::<u8>();
    // SAFETY: the verifier checks that the record is that long.
    let (child, flags) = unsafe { (*record.add(CHILD).cast::<u32>(), *record.add(FLAGS).cast::<u64>()) };
    let of_this_process = flags & CLONE_THREAD != 0;
    (if of_this_process { (bpf_get_current_pid_tgid() >> 32) as u32 } else { child }, child)
}
