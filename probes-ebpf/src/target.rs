//! The target filter: the first thing that every program does.
use core::hint::black_box;

use aya_ebpf::{
    Global,
    bindings::bpf_pidns_info,
    helpers::{bpf_get_current_pid_tgid, bpf_get_ns_current_pid_tgid},
    macros::map,
    maps::{Array, CgroupArray, HashMap, PerCpuArray},
};
use probes_common::{
    clause::Head,
    loss::LossKind,
    target::{
        CGROUP_LEVELS_MAX, CGROUPS_MAX, NAMESPACES_MAX, TARGET_CGROUP, TARGET_FOLLOW, TARGET_ONE, TARGET_SET,
        TARGET_TIDS, TARGETS_MAX, THREAD, UNKNOWN_OFFSET, Verdict,
    },
};

use crate::atomic;
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
/// Offset of a PID namespace's inode.
#[unsafe(no_mangle)]
static PIDNS_INUM: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static CGROUPS_USED: Global<u32> = Global::new(0);
/// The same cgroups by their ids; 0: none.
#[unsafe(no_mangle)]
static CGROUP_IDS: Global<[u64; CGROUPS_MAX as usize]> = Global::new([0; CGROUPS_MAX as usize]);
/// From a task to its cgroup's id, and on to the cgroup above.
#[unsafe(no_mangle)]
static TASK_CGROUPS: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static CSS_SET_CGROUP: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static CGROUP_NODE: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static NODE_ID: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static CGROUP_PARENT: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static CSS_CGROUP: Global<u32> = Global::new(UNKNOWN_OFFSET);

/// 1 where programs are not preempted, so that `VERDICT` has one user at a time.
#[unsafe(no_mangle)]
static VERDICT_KEPT: Global<u32> = Global::new(0);
/// 1 where the clause or the provider needs the firing's head.
#[unsafe(no_mangle)]
static HEAD_WANTED: Global<u32> = Global::new(1);

#[map]
static VERDICT: PerCpuArray<Verdict> = PerCpuArray::with_max_entries(1, 0);
#[map]
static GENERATION: Array<u64> = Array::with_max_entries(1, 0);
#[map]
static TARGETS: HashMap<u64, u64> = HashMap::with_max_entries(TARGETS_MAX, 0);
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

/// Another task's tgid << 32 | tid, if it is one that the user asked for. The idle tasks are nobody.
#[inline(always)]
pub fn target_of(task: Kernel<true>) -> Option<u64> {
    let mode = TARGET_MODE.load();
    let (tgid, tid) = ids_of(task);
    if tid == 0 {
        return None;
    }
    let pid_tgid = (tgid as u64) << 32 | tid as u64;
    let meant = if mode & TARGET_ONE != 0 {
        tgid == TARGET_TGID.load()
    } else if mode & TARGET_SET != 0 {
        listed(pid_tgid, mode)
    } else {
        tgid != SELF_TGID.load()
    };
    if !meant || mode & TARGET_CGROUP != 0 && !below_cgroups(task) {
        return None;
    }
    Some(pid_tgid)
}

/// False where a task is certainly none that the user asked for: cheaper than to ask whether it is one.
#[inline(always)]
pub fn may_be_target(task: Kernel<true>) -> bool {
    let one = TARGET_MODE.load() & TARGET_ONE != 0 && PIDNS_INO.load() == 0;
    !one || task.read::<u32>(TASK_TGID.load()) == TARGET_TGID.load()
}

/// Whether the current task has left the cgroups that are meant.
#[inline(always)]
pub fn has_moved_out() -> bool {
    TARGET_MODE.load() & TARGET_CGROUP != 0 && !in_cgroups()
}

/// As [`target`], for a firing that comes from the thread whose saved registers are at `regs`. Who it is takes a helper,
/// whose return alone costs 12 ns where returns are guarded: it is asked once for each time that a thread gets the CPU.
/// The head is empty where nobody wants it.
#[inline(always)]
pub fn target_with(regs: *const u8) -> Option<Head> {
    // A process can move to another cgroup at any time.
    if VERDICT_KEPT.load() == 0 || TARGET_MODE.load() & TARGET_CGROUP != 0 {
        return target();
    }
    let (Some(kept), Some(generation)) = (VERDICT.get_ptr_mut(0), GENERATION.get_ptr(0)) else { return target() };
    // SAFETY: live map values; no other program of this CPU comes in between.
    unsafe {
        let generation = generation.read_volatile();
        if (*kept).who == regs as u64 && (*kept).generation == generation {
            if (*kept).meant == 0 {
                return None;
            }
            if HEAD_WANTED.load() == 0 {
                return Some(Head { task: 0, pid_tgid: 0 });
            }
            let (task, pid_tgid) = identity()?;
            return Some(Head { task: task.address as u64, pid_tgid });
        }
        let head = target();
        (*kept).who = regs as u64;
        (*kept).generation = generation;
        (*kept).meant = head.is_some() as u64;
        head
    }
}

/// A thread has ended, whoever it was: what is known by the address of its stack may be untrue from now on.
#[inline(always)]
pub fn stack_is_free() {
    if let Some(generation) = GENERATION.get_ptr_mut(0) {
        // SAFETY: a live map value.
        unsafe { atomic::add(generation, 1) };
    }
}

/// tgid << 32 | tid of the current task, whoever it is; 0 where it has no number in spoor's PID namespace.
#[inline(always)]
pub fn current_ids() -> u64 {
    match identity() {
        Some((_, pid_tgid)) => pid_tgid,
        None => 0,
    }
}

/// One helper call where there is a choice: they are what a rejected event costs.
#[inline(always)]
fn identity() -> Option<(Task, u64)> {
    if PIDNS_INO.load() != 0 {
        let mut ids = bpf_pidns_info { pid: 0, tgid: 0 };
        // SAFETY: `ids` is as long as said. Fails for tasks of other namespaces.
        let failed = unsafe { bpf_get_ns_current_pid_tgid(PIDNS_DEV.load(), PIDNS_INO.load(), &mut ids, 8) };
        let task = Task::current();
        if failed == 0 {
            return Some((task, (ids.tgid as u64) << 32 | ids.pid as u64));
        }
        // One that lives in a namespace below spoor's has a number in spoor's, too; all others have none.
        let (tgid, tid) = ids_of(Kernel::<false>(task.address));
        return if tgid == 0 { None } else { Some((task, (tgid as u64) << 32 | tid as u64)) };
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

/// The same of another task: up from its cgroup, by their ids.
#[inline(always)]
fn below_cgroups(task: Kernel<true>) -> bool {
    let ids = CGROUP_IDS.load();
    let set: u64 = task.read(TASK_CGROUPS.load());
    let mut cgroup: u64 = Kernel::<false>(set as *const u8).read(CSS_SET_CGROUP.load());
    let mut level = 0;
    while level < CGROUP_LEVELS_MAX {
        if cgroup == 0 {
            return false;
        }
        let here = Kernel::<false>(cgroup as *const u8);
        let node: u64 = here.read(CGROUP_NODE.load());
        let id: u64 = Kernel::<false>(node as *const u8).read(NODE_ID.load());
        if id != 0 && (id == ids[0] || id == ids[1] || id == ids[2] || id == ids[3]) {
            return true;
        }
        let parent: u64 = here.read(CGROUP_PARENT.load());
        cgroup = if parent == 0 { 0 } else { Kernel::<false>(parent as *const u8).read(CSS_CGROUP.load()) };
        level += 1;
    }
    false
}

/// The current task has a child: one of a target may become a target. Ids as spoor's PID namespace has them.
#[inline(always)]
pub fn born(child_tgid: u32, child_tid: u32) {
    let mode = TARGET_MODE.load();
    if mode & TARGET_SET == 0 {
        return;
    }
    let Some((_, parent)) = identity() else { return };
    if child_tgid == (parent >> 32) as u32 {
        if let Some(threads) = TARGETS.get_ptr_mut(child_tgid as u64) {
            // SAFETY: a live map value.
            unsafe { atomic::add(threads, 1) };
        } else if mode & TARGET_FOLLOW != 0 && listed(parent, mode) {
            add(child_tid as u64 | THREAD);
        }
    } else if mode & TARGET_FOLLOW != 0 && listed(parent, mode) {
        add(child_tgid as u64);
    } else {
        // A number that a target had is given to a stranger.
        let _ = TARGETS.remove(child_tgid as u64);
    }
}

#[inline(always)]
fn add(key: u64) {
    if TARGETS.insert(key, 1, 0).is_err() {
        loss::count(LossKind::FollowFull);
    }
}

/// A thread has ended; a process goes from the list with the last of its threads. Not with signal->live: that is 0 for
/// all of the last ones that are on their way to here.
#[inline(always)]
pub fn ended(pid_tgid: u64) {
    if TARGET_MODE.load() & TARGET_SET == 0 {
        return;
    }
    let _ = TARGETS.remove(pid_tgid & 0xffff_ffff | THREAD);
    if let Some(threads) = TARGETS.get_ptr_mut(pid_tgid >> 32) {
        // SAFETY: a live map value. Two that end at once may both see 0; the second removes nothing.
        let left = unsafe {
            atomic::add(threads, u64::MAX);
            threads.read_volatile()
        };
        if left == 0 {
            let _ = TARGETS.remove(pid_tgid >> 32);
        }
    }
}

/// tgid and tid, in spoor's PID namespace, of a task that may live in another; 0 where it has none there.
#[inline(always)]
pub fn ids_of<const DIRECT: bool>(task: Kernel<DIRECT>) -> (u32, u32) {
    if PIDNS_INO.load() == 0 {
        return (task.read(TASK_TGID.load()), task.read(TASK_TID.load()));
    }
    let leader: u64 = task.read(TASK_GROUP_LEADER.load());
    (number_here(leader as *const u8), number_here(task.0))
}

/// A task's number in spoor's PID namespace. Copies, since the place of the number is computed.
#[inline(always)]
fn number_here(task: *const u8) -> u32 {
    // struct upid is { int nr; struct pid_namespace *ns; } (v5.10 include/linux/pid.h).
    const UPID_BYTES: u32 = 16;
    const UPID_NS: u32 = 8;
    let pid: u64 = Kernel::<false>(task).read(TASK_THREAD_PID.load());
    let pid = Kernel::<false>(pid as *const u8);
    let level: u32 = pid.read(PID_LEVEL.load());
    let mut i = 0;
    while i < NAMESPACES_MAX {
        // Hidden from the optimizer, which would make both bounds one that the verifier cannot follow.
        if black_box(i) > level {
            break;
        }
        let at = PID_NUMBERS.load() + i * UPID_BYTES;
        let namespace: u64 = pid.read(at + UPID_NS);
        let inode: u32 = Kernel::<false>(namespace as *const u8).read(PIDNS_INUM.load());
        if inode as u64 == PIDNS_INO.load() {
            return pid.read(at);
        }
        i += 1;
    }
    0
}
