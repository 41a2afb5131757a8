//! The firing of the provider `sched`: a thread gets a CPU again, with what it did since it got one the last time.
use crate::clause::Head;

/// Bits of the global `FACTS`.
pub const FACT_KSTACK: u32 = 1;
pub const FACT_USTACK: u32 = 2;
/// Who woke it.
pub const FACT_WAKER: u32 = 4;
pub const FACT_WAKER_KSTACK: u32 = 8;
pub const FACT_WAKER_USTACK: u32 = 16;
/// The time on a CPU, too: a thread's last run and what still runs at the end are fired with nothing behind them.
pub const FACT_ONCPU: u32 = 32;
/// When it was woken: without it, all time off the CPU counts as asleep.
pub const FACT_WOKEN: u32 = 64;

/// From one time that a thread gets a CPU to the next: it ran, slept, and waited for a CPU.
#[repr(C)]
pub struct SchedFiring {
    pub head: Head,
    pub oncpu_ns: u64,
    /// Asleep and waiting: the two below together.
    pub offcpu_ns: u64,
    pub blocked_ns: u64,
    pub runnable_ns: u64,
    /// How it left the CPU: one of the `STATE_` constants.
    pub state: u64,
    /// 1: it left the CPU since the firing before; 0: it was off it before tracing began, or began its life there.
    pub left: u64,
    /// Ids in the map `STACKS`, or one of its constants: where it left the CPU.
    pub kstack: u64,
    pub ustack: u64,
    pub waker: Waker,
}

/// Who woke a thread: what ran on the CPU that the wake-up came from.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Waker {
    /// tgid << 32 | tid; 0: nobody did.
    pub pid_tgid: u64,
    /// 16 bytes, NUL padded.
    pub comm: [u64; 2],
    pub kstack: u64,
    pub ustack: u64,
}

/// The letters of ps(1): R, S, D, T, t, X, P, I.
pub const STATE_RUNNABLE: u64 = 0;
pub const STATE_SLEEPING: u64 = 1;
pub const STATE_DISK: u64 = 2;
pub const STATE_STOPPED: u64 = 3;
pub const STATE_TRACED: u64 = 4;
pub const STATE_DEAD: u64 = 5;
pub const STATE_PARKED: u64 = 6;
pub const STATE_IDLE: u64 = 7;
/// One that no letter stands for.
pub const STATE_OTHER: u64 = 8;
/// Not off any CPU: only in the map.
pub const STATE_ON_CPU: u64 = 9;

pub const STATES: u32 = 9;

/// Value of the map `THREADS`, by the task's address: an exec can change a thread's id.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Thread {
    /// Monotonic ns since when it has its state.
    pub since_ns: u64,
    pub state: u64,
    /// Since when it could run; 0 while it sleeps.
    pub woken_ns: u64,
    /// How long it had run before.
    pub oncpu_ns: u64,
    pub ustack: u64,
    /// 1: it was like that when tracing began.
    pub began_before: u64,
    /// 1: it left the CPU, and no firing has told that yet.
    pub left: u64,
    /// What the kernel says that it has run, when it last left the CPU.
    pub ran_ns: u64,
    /// Of waits whose end was not seen: what the next firing has to tell, too.
    pub owed_blocked_ns: u64,
    pub owed_runnable_ns: u64,
    pub waker: Waker,
}

pub const THREADS_MAX: u32 = 16_384;
