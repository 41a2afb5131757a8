//! Waits of a known kind, in functions with known names and a known caller, woken by a known thread.
use core::arch::naked_asm;
use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::children::child;
use crate::protocol::{Did, Protocol, fail};
use crate::thread::Thread;
use crate::{Args, sys};

/// A system call: its number and what it is given.
pub type Call = [u64; 7];

/// Makes a [`Call`] in a frame of its own that a walk by frame pointers finds.
macro_rules! wait {
    ($($name:ident)+) => {$(
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        extern "C" fn $name(call: *const Call) -> i64 {
            #[cfg(target_arch = "x86_64")]
            naked_asm!(
                "push rbp", "mov rbp, rsp", "mov rax, [rdi]", "mov rsi, [rdi + 16]", "mov rdx, [rdi + 24]",
                "mov r10, [rdi + 32]", "mov r8, [rdi + 40]", "mov r9, [rdi + 48]", "mov rdi, [rdi + 8]", "syscall",
                "pop rbp", "ret"
            );
            #[cfg(target_arch = "aarch64")]
            naked_asm!(
                "stp x29, x30, [sp, #-16]!", "mov x29, sp", "mov x9, x0", "ldp x8, x0, [x9]", "ldp x1, x2, [x9, #16]",
                "ldp x3, x4, [x9, #32]", "ldr x5, [x9, #48]", "svc #0", "ldp x29, x30, [sp], #16", "ret"
            );
        }
    )+};
}

wait!(spoor_nap spoor_lock spoor_unlock spoor_read spoor_write);

/// Who calls them all.
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub extern "C" fn spoor_wait_caller(call: *const Call, wait: extern "C" fn(*const Call) -> i64) -> i64 {
    #[cfg(target_arch = "x86_64")]
    naked_asm!("push rbp", "mov rbp, rsp", "call rsi", "pop rbp", "ret");
    #[cfg(target_arch = "aarch64")]
    naked_asm!("stp x29, x30, [sp, #-16]!", "mov x29, sp", "blr x1", "ldp x29, x30, [sp], #16", "ret");
}

fn nap(ns: u64) {
    let time = libc::timespec { tv_sec: (ns / 1_000_000_000) as i64, tv_nsec: (ns % 1_000_000_000) as i64 };
    let call = [libc::SYS_nanosleep as u64, &raw const time as u64, 0, 0, 0, 0, 0];
    spoor_wait_caller(&raw const call, spoor_nap);
}

fn futex(word: &AtomicU32, operation: i32, value: u32, at: extern "C" fn(*const Call) -> i64) -> i64 {
    let call = [libc::SYS_futex as u64, word.as_ptr() as u64, operation as u64, value.into(), 0, 0, 0];
    spoor_wait_caller(&raw const call, at)
}

/// Reads or writes one byte.
fn one_byte(nr: libc::c_long, fd: i32, at: extern "C" fn(*const Call) -> i64) -> i64 {
    let mut byte = [0u8];
    let call = [nr as u64, fd as u64, byte.as_mut_ptr() as u64, 1, 0, 0, 0];
    spoor_wait_caller(&raw const call, at)
}

struct Nappers {
    start: [i32; 2],
    end: [i32; 2],
    each: u64,
    ns: u64,
    slept_ns: AtomicU64,
}

/// T threads, made before `ready`, that wait to be let go, sleep N times each, and leave.
pub fn naps(args: &Args, protocol: &Protocol) -> Did {
    let count: usize = args.number(0, "T");
    let nappers: &Nappers = Box::leak(Box::new(Nappers {
        start: sys::pipe(),
        end: sys::pipe(),
        each: args.number(1, "N"),
        ns: args.number(2, "NS"),
        slept_ns: AtomicU64::new(0),
    }));
    let threads: Vec<Thread> = (0..count).map(|_| Thread::new()).collect();
    let arg = (nappers as *const Nappers).cast();
    let tids: Vec<_> = threads.iter().map(|thread| thread.run(napper, arg)).collect();
    let all = vec![0u8; count];
    protocol.start_with(&tids);
    sys::must(sys::writev(nappers.start[1], &all), "release the threads");
    for _ in 0..count {
        sys::must(sys::readv(nappers.end[0], &mut [0]), "wait for a thread");
    }
    threads.iter().for_each(Thread::join);
    Did::new().and("naps", count as u64 * nappers.each).and("slept_ns", nappers.slept_ns.load(Ordering::Acquire))
}

extern "C" fn napper(arg: *mut c_void) -> c_int {
    // SAFETY: leaked, and shared by atomics only.
    let nappers = unsafe { &*arg.cast::<Nappers>() };
    sys::readv(nappers.start[0], &mut [0]);
    for _ in 0..nappers.each {
        let begin = sys::now_ns();
        nap(nappers.ns);
        nappers.slept_ns.fetch_add(sys::now_ns() - begin, Ordering::AcqRel);
    }
    sys::writev(nappers.end[1], &[0]);
    0
}

struct Handoff {
    start: [i32; 2],
    word: AtomicU32,
    pipe: [i32; 2],
    by_futex: bool,
    rounds: u64,
    /// How many rounds the waiter has begun, and how many it slept in.
    begun: AtomicU64,
    waits: AtomicU64,
    waited_ns: AtomicU64,
    over: AtomicBool,
}

/// A thread, made before `ready`, that is kept waiting N times for NS by the first one.
pub fn handoff(args: &Args, protocol: &Protocol) -> Did {
    let by_futex = match args.text(0, "futex|pipe") {
        "futex" => true,
        "pipe" => false,
        other => fail(format_args!("`{other}` is neither futex nor pipe")),
    };
    let (rounds, ns): (u64, u64) = (args.number(1, "N"), args.number(2, "NS"));
    let handoff: &Handoff = Box::leak(Box::new(Handoff {
        start: sys::pipe(),
        word: AtomicU32::new(0),
        pipe: sys::pipe(),
        by_futex,
        rounds,
        begun: AtomicU64::new(0),
        waits: AtomicU64::new(0),
        waited_ns: AtomicU64::new(0),
        over: AtomicBool::new(false),
    }));
    let waiter = Thread::new();
    let tid = waiter.run(wait_for_it, (handoff as *const Handoff).cast());
    protocol.start_with(&[tid]);
    sys::must(sys::writev(handoff.start[1], &[0]), "release the thread");
    for round in 0..rounds {
        nap(ns);
        while handoff.begun.load(Ordering::Acquire) == round {
            core::hint::spin_loop();
        }
        if by_futex {
            handoff.word.store(round as u32 + 1, Ordering::Release);
            futex(&handoff.word, libc::FUTEX_WAKE, 1, spoor_unlock);
        } else {
            one_byte(libc::SYS_write, handoff.pipe[1], spoor_write);
        }
    }
    while !handoff.over.load(Ordering::Acquire) {
        core::hint::spin_loop();
    }
    waiter.join();
    Did::new()
        .and("waits", handoff.waits.load(Ordering::Acquire))
        .and("waited_ns", handoff.waited_ns.load(Ordering::Acquire))
}

extern "C" fn wait_for_it(arg: *mut c_void) -> c_int {
    // SAFETY: leaked, and shared by atomics only.
    let handoff = unsafe { &*arg.cast::<Handoff>() };
    sys::readv(handoff.start[0], &mut [0]);
    for round in 0..handoff.rounds {
        let begin = sys::now_ns();
        handoff.begun.fetch_add(1, Ordering::AcqRel);
        if handoff.by_futex {
            while handoff.word.load(Ordering::Acquire) == round as u32 {
                if futex(&handoff.word, libc::FUTEX_WAIT, round as u32, spoor_lock) == 0 {
                    handoff.waits.fetch_add(1, Ordering::AcqRel);
                }
            }
        } else {
            one_byte(libc::SYS_read, handoff.pipe[0], spoor_read);
            handoff.waits.fetch_add(1, Ordering::AcqRel);
        }
        handoff.waited_ns.fetch_add(sys::now_ns() - begin, Ordering::AcqRel);
    }
    handoff.over.store(true, Ordering::Release);
    0
}

static READS: AtomicBool = AtomicBool::new(false);

/// A thread, made before `ready`, that reads from a pipe that nobody writes to.
pub fn hang(_: &Args, protocol: &Protocol) -> Did {
    let pipe: &[i32; 2] = Box::leak(Box::new(sys::pipe()));
    let thread = Thread::new();
    let tid = thread.run(read_for_ever, pipe.as_ptr().cast());
    // On its way into the kernel; the rest of the way is shorter than the start of any tracer.
    while !READS.load(Ordering::Acquire) {
        core::hint::spin_loop();
    }
    protocol.start_with(&[tid]);
    Did::new()
}

extern "C" fn read_for_ever(pipe: *mut c_void) -> c_int {
    READS.store(true, Ordering::Release);
    // SAFETY: leaked by `hang`.
    one_byte(libc::SYS_read, unsafe { *pipe.cast::<i32>() }, spoor_read);
    0
}

/// Two threads, made before `ready`, that both want the same CPU for NS.
pub fn compete(args: &Args, protocol: &Protocol) -> Did {
    let (cpu, ns): (usize, u64) = (args.number(0, "CPU"), args.number(1, "NS"));
    let start: &[i32; 2] = Box::leak(Box::new(sys::pipe()));
    let make = || -> &'static Rival {
        let rival = Rival { start: start[0], cpu, ns, wall_ns: AtomicU64::new(0), cpu_ns: AtomicU64::new(0) };
        Box::leak(Box::new(rival))
    };
    let rivals = [make(), make()];
    let threads = [Thread::new(), Thread::new()];
    let run = |of: usize| threads[of].run(want_the_cpu, (rivals[of] as *const Rival).cast());
    protocol.start_with(&[run(0), run(1)]);
    sys::must(sys::writev(start[1], &[0, 0]), "release the threads");
    // Not by spinning: the CPUs are for the two.
    while rivals.iter().any(|rival| rival.cpu_ns.load(Ordering::Acquire) == 0) {
        nap(1_000_000);
    }
    threads.iter().for_each(Thread::join);
    let [walls, spents] = [0, 1].map(|which| {
        [0, 1].map(|of| if which == 0 { &rivals[of].wall_ns } else { &rivals[of].cpu_ns }.load(Ordering::Acquire))
    });
    Did::new()
        .and("wall_ns_0", walls[0])
        .and("wall_ns_1", walls[1])
        .and("cpu_ns_0", spents[0])
        .and("cpu_ns_1", spents[1])
}

struct Rival {
    start: i32,
    cpu: usize,
    ns: u64,
    wall_ns: AtomicU64,
    cpu_ns: AtomicU64,
}

extern "C" fn want_the_cpu(arg: *mut c_void) -> c_int {
    // SAFETY: leaked, and shared by atomics only.
    let rival = unsafe { &*arg.cast::<Rival>() };
    sys::pin(rival.cpu);
    sys::readv(rival.start, &mut [0]);
    let (begin, begin_cpu) = (sys::now_ns(), sys::thread_cpu_ns());
    while sys::now_ns() - begin < rival.ns {
        core::hint::spin_loop();
    }
    rival.wall_ns.store(sys::now_ns() - begin, Ordering::Release);
    rival.cpu_ns.store(sys::thread_cpu_ns() - begin_cpu, Ordering::Release);
    0
}

/// K threads or processes, one after the other, that sleep N times each and end.
pub fn born(args: &Args, protocol: &Protocol) -> Did {
    let threads = match args.text(0, "thread|process") {
        "thread" => true,
        "process" => false,
        other => fail(format_args!("`{other}` is neither thread nor process")),
    };
    let count: u64 = args.number(1, "K");
    let rest = Naps { each: args.number(2, "N"), ns: args.number(3, "NS") };
    let rest: &Naps = Box::leak(Box::new(rest));
    let thread = Thread::new();
    protocol.start();
    for _ in 0..count {
        let arg = (rest as *const Naps as *mut Naps).cast();
        if threads {
            thread.run(nap_and_leave, arg);
            thread.join();
        } else {
            sys::wait4(child(|| {
                nap_and_leave(arg);
            }));
        }
    }
    Did::new().and("naps", count * rest.each)
}

struct Naps {
    each: u64,
    ns: u64,
}

extern "C" fn nap_and_leave(arg: *mut c_void) -> c_int {
    // SAFETY: leaked by `born`.
    let naps = unsafe { &*arg.cast::<Naps>() };
    (0..naps.each).for_each(|_| nap(naps.ns));
    0
}

/// What a thread does in its life: burn CPU time, sleep, or both in turns of 5 ms.
struct Life {
    runs: bool,
    naps: bool,
    ns: u64,
    start: i32,
    /// Where nobody writes; -1: it ends.
    stays: i32,
    /// 0: it is not over.
    lived_ns: AtomicU64,
}

/// Three threads, made before `ready`, that live such a life of NS and stay, and three that are born and end.
pub fn lives(args: &Args, protocol: &Protocol) -> Did {
    let ns: u64 = args.number(0, "NS");
    let (start, never) = (sys::pipe(), sys::pipe());
    let make = |stays: i32| {
        [(true, false), (false, true), (true, true)].map(|(runs, naps)| -> &'static Life {
            Box::leak(Box::new(Life { runs, naps, ns, start: start[0], stays, lived_ns: AtomicU64::new(0) }))
        })
    };
    let (stay, end) = (make(never[0]), make(-1));
    let threads: Vec<Thread> = (0..6).map(|_| Thread::new()).collect();
    let run = |thread: &Thread, life: &'static Life| thread.run(live, (life as *const Life).cast());
    let tids = [0, 1, 2].map(|of| run(&threads[of], stay[of]));
    protocol.start_with(&tids);
    sys::must(sys::writev(start[1], &[0, 0, 0]), "release the threads");
    let mut born = [(0, 0); 3];
    for of in 0..3 {
        let begin = sys::now_ns();
        let tid = run(&threads[of + 3], end[of]);
        threads[of + 3].join();
        born[of] = (tid as u64, sys::now_ns() - begin);
    }
    while stay.iter().any(|life| life.lived_ns.load(Ordering::Acquire) == 0) {
        nap(1_000_000);
    }
    Did::new()
        .and("tid_0", born[0].0)
        .and("tid_1", born[1].0)
        .and("tid_2", born[2].0)
        .and("outer_ns_0", born[0].1)
        .and("outer_ns_1", born[1].1)
        .and("outer_ns_2", born[2].1)
        .and("inner_ns_0", end[0].lived_ns.load(Ordering::Acquire))
        .and("inner_ns_1", end[1].lived_ns.load(Ordering::Acquire))
        .and("inner_ns_2", end[2].lived_ns.load(Ordering::Acquire))
}

extern "C" fn live(arg: *mut c_void) -> c_int {
    const TURN_NS: u64 = 5_000_000;
    let begin = sys::now_ns();
    // SAFETY: leaked, and shared by atomics only.
    let life = unsafe { &*arg.cast::<Life>() };
    if life.stays >= 0 {
        sys::readv(life.start, &mut [0]);
    }
    let work = sys::now_ns();
    while sys::now_ns() - work < life.ns {
        let turn = sys::now_ns();
        while life.runs && sys::now_ns() - turn < TURN_NS {
            core::hint::spin_loop();
        }
        if life.naps {
            nap(TURN_NS);
        }
    }
    life.lived_ns.store(sys::now_ns() - begin, Ordering::Release);
    if life.stays >= 0 {
        sys::readv(life.stays, &mut [0]);
    }
    0
}
