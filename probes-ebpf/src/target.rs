//! The target filter: the first thing that every program does.
use aya_ebpf::{
    Global,
    bindings::bpf_pidns_info,
    helpers::{bpf_get_current_pid_tgid, bpf_get_ns_current_pid_tgid},
    macros::map,
    maps::{CgroupArray, HashMap},
};
use probes_common::{
    clause::Head,
    loss::LossKind,
    target::{
        CGROUPS_MAX, TARGET_CGROUP, TARGET_FOLLOW, TARGET_ONE, TARGET_SET, TARGET_TIDS, TARGETS_MAX, THREAD,
        UNKNOWN_OFFSET,
    },
};

use crate::loss;
use crate::task::{Kernel, TASK_DIRECT, TASK_TGID, TASK_TID, Task};

#[unsafe(no_mangle)]
static TARGET_MODE: Global<u32> = Global::new(0);
/// The one process that is meant.
#[unsafe(no_mangle)]
static TARGET_TGID: Global<u32> = Global::new(0);
/// Never listened to.
#[unsafe(no_mangle)]
static SELF_TGID: Global<u32> = Global::new(0);
/// Device and inode of spoor's PID namespace; 0 where it is the first one and the kernel's own numbers hold.
#[unsafe(no_mangle)]
static PIDNS_DEV: Global<u64> = Global::new(0);
#[unsafe(no_mangle)]
static PIDNS_INO: Global<u64> = Global::new(0);
#[unsafe(no_mangle)]
static TASK_GROUP_LEADER: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static TASK_THREAD_PID: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static PID_LEVEL: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static PID_NUMBERS: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static CGROUPS_USED: Global<u32> = Global::new(0);

#[map]
static TARGETS: HashMap<u64, u32> = HashMap::with_max_entries(TARGETS_MAX, 0);
#[map]
static CGROUPS: CgroupArray = CgroupArray::with_max_entries(CGROUPS_MAX, 0);

/// The current task as a firing's head, if it is one that the user asked for.
#[inline(always)]
pub fn target() -> Option<Head> {
    let mode = TARGET_MODE.load();
    let (task, pid_tgid) = identity()?;
    let tgid = (pid_tgid >> 32) as u32;
    if mode & TARGET_ONE != 0 {
        if tgid != TARGET_TGID.load() {
            return None;
        }
    } else if mode & TARGET_SET != 0 {
        if !listed(pid_tgid, mode) {
            return None;
        }
    } else if tgid == SELF_TGID.load() {
        return None;
    }
    if mode & TARGET_CGROUP != 0 && !in_cgroups() {
        return None;
    }
    Some(Head { task: task.address as u64, pid_tgid })
}

/// One helper call where there is a choice: they are what a rejected event costs.
#[inline(always)]
fn identity() -> Option<(Task, u64)> {
    if PIDNS_INO.load() != 0 {
        let mut ids = bpf_pidns_info { pid: 0, tgid: 0 };
        // SAFETY: `ids` is as long as said. Fails for tasks of other namespaces, which have no number here.
        let failed = unsafe { bpf_get_ns_current_pid_tgid(PIDNS_DEV.load(), PIDNS_INO.load(), &mut ids, 8) };
        return if failed != 0 { None } else { Some((Task::current(), (ids.tgid as u64) << 32 | ids.pid as u64)) };
    }
    let task = Task::current();
    if TASK_DIRECT.load() != 0 {
        let tgid: u32 = task.read(TASK_TGID.load());
        let tid: u32 = task.read(TASK_TID.load());
        Some((task, (tgid as u64) << 32 | tid as u64))
    } else {
        Some((task, bpf_get_current_pid_tgid()))
    }
}

#[inline(always)]
fn listed(pid_tgid: u64, mode: u32) -> bool {
    if TARGETS.get_ptr(pid_tgid >> 32).is_some() {
        return true;
    }
    mode & TARGET_TIDS != 0 && TARGETS.get_ptr(pid_tgid & 0xffff_ffff | THREAD).is_some()
}

#[inline(always)]
fn in_cgroups() -> bool {
    let used = CGROUPS_USED.load();
    let mut i = 0;
    while i < CGROUPS_MAX {
        if i < used && CGROUPS.current_task_under_cgroup(i) == Ok(true) {
            return true;
        }
        i += 1;
    }
    false
}

/// A target has a child: the child becomes a target. Ids of both as spoor's PID namespace has them.
#[inline(always)]
pub fn follow(parent_pid_tgid: u64, child_tgid: u32, child_tid: u32) {
    let mode = TARGET_MODE.load();
    if mode & TARGET_FOLLOW == 0 || !listed(parent_pid_tgid, mode) {
        return;
    }
    let same_process = child_tgid == (parent_pid_tgid >> 32) as u32;
    let key = if same_process { child_tid as u64 | THREAD } else { child_tgid as u64 };
    // A new thread of a listed process needs no entry of its own.
    if same_process && TARGETS.get_ptr(child_tgid as u64).is_some() {
        return;
    }
    if TARGETS.insert(key, 1u32, 0).is_err() {
        loss::count(LossKind::FollowFull);
    }
}

/// The numbers of an ended thread may be given to another: forget them.
#[inline(always)]
pub fn forget(pid_tgid: u64, last_thread: bool) {
    let mode = TARGET_MODE.load();
    if mode & TARGET_SET == 0 {
        return;
    }
    let _ = TARGETS.remove(pid_tgid & 0xffff_ffff | THREAD);
    if last_thread {
        let _ = TARGETS.remove(pid_tgid >> 32);
    }
}

/// tgid and tid, in spoor's PID namespace, of a task that is not the current one, such as a new child.
#[inline(always)]
pub fn ids_of<const DIRECT: bool>(task: Kernel<DIRECT>) -> (u32, u32) {
    if PIDNS_INO.load() == 0 {
        return (task.read(TASK_TGID.load()), task.read(TASK_TID.load()));
    }
    let leader: u64 = task.read(TASK_GROUP_LEADER.load());
    (innermost_id(leader as *const u8), innermost_id(task.0))
}

/// A task's number in the PID namespace that it lives in. Copies, since the place of the number is computed.
#[inline(always)]
fn innermost_id(task: *const u8) -> u32 {
    let pid: u64 = Kernel::<false>(task).read(TASK_THREAD_PID.load());
    let pid = Kernel::<false>(pid as *const u8);
    let level: u32 = pid.read(PID_LEVEL.load());
    // struct upid is { int nr; struct pid_namespace *ns; }: 16 bytes (v5.10 include/linux/pid.h).
    pid.read(PID_NUMBERS.load() + level * 16)
}
