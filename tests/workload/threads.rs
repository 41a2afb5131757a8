//! Several threads at once. They wait in readv of one pipe and report by writev to another: counts that are known.
use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::calls::repeat_getppid;
use crate::children::child;
use crate::protocol::{Did, Protocol};
use crate::thread::Thread;
use crate::{Args, sys};

struct Crew {
    start: [i32; 2],
    end: [i32; 2],
    each: u64,
    /// All on this CPU.
    cpu: Option<usize>,
    interrupt_ns: u64,
    over: AtomicBool,
    interrupts: AtomicU64,
}

pub fn threads(args: &Args, protocol: &Protocol) -> Did {
    run(args.number(0, "T"), args.number(1, "N"), None, None, protocol)
}

pub fn hot(args: &Args, protocol: &Protocol) -> Did {
    run(args.number(0, "T"), args.number(1, "N"), Some(args.number(2, "CPU")), args.optional(3, "NS"), protocol)
}

fn run(count: usize, each: u64, cpu: Option<usize>, interrupt_ns: Option<u64>, protocol: &Protocol) -> Did {
    let crew: &Crew = Box::leak(Box::new(Crew {
        start: sys::pipe(),
        end: sys::pipe(),
        each,
        cpu,
        interrupt_ns: interrupt_ns.unwrap_or(0),
        over: AtomicBool::new(false),
        interrupts: AtomicU64::new(0),
    }));
    let arg = (crew as *const Crew).cast();
    let threads: Vec<Thread> = (0..count).map(|_| Thread::new()).collect();
    let tids: Vec<_> = threads.iter().map(|thread| thread.run(worker, arg)).collect();
    let interrupter = interrupt_ns.map(|_| {
        let thread = Thread::new();
        thread.run(interrupt, arg);
        thread
    });
    let all = vec![0u8; count + interrupter.iter().len()];

    protocol.start_with(&tids);
    sys::must(sys::writev(crew.start[1], &all), "release the threads");
    for _ in 0..count {
        sys::must(sys::readv(crew.end[0], &mut [0]), "wait for a thread");
    }
    crew.over.store(true, Ordering::Release);
    threads.iter().chain(&interrupter).for_each(Thread::join);

    let interrupts = crew.interrupts.load(Ordering::Acquire);
    let did = Did::new().and("getppid", count as u64 * each + interrupts).and("exit", all.len() as u64);
    match interrupter {
        Some(_) => did.and("nanosleep", interrupts),
        None => did,
    }
}

extern "C" fn worker(arg: *mut c_void) -> c_int {
    // SAFETY: the crew is leaked, and shared by atomics only.
    let crew = unsafe { &*arg.cast::<Crew>() };
    if let Some(cpu) = crew.cpu {
        sys::pin(cpu);
    }
    sys::readv(crew.start[0], &mut [0]);
    repeat_getppid(crew.each);
    sys::writev(crew.end[1], &[0]);
    0
}

/// Preempts the others wherever they are: real-time, on their CPU, woken by a timer.
extern "C" fn interrupt(arg: *mut c_void) -> c_int {
    // SAFETY: as in `worker`.
    let crew = unsafe { &*arg.cast::<Crew>() };
    if let Some(cpu) = crew.cpu {
        sys::pin(cpu);
    }
    let priority = libc::sched_param { sched_priority: 1 };
    // SAFETY: the parameter lives until the call returns.
    let ret = unsafe {
        sys::call(libc::SYS_sched_setscheduler, [0, libc::SCHED_FIFO as u64, &raw const priority as u64, 0, 0, 0])
    };
    sys::must(ret, "sched_setscheduler");
    sys::readv(crew.start[0], &mut [0]);
    while !crew.over.load(Ordering::Acquire) {
        sys::nanosleep(crew.interrupt_ns);
        sys::getppid();
        crew.interrupts.fetch_add(1, Ordering::Release);
    }
    0
}

/// N clone, N exit. At most 64 at a time, each on the stack of one that left long ago: waiting for the last one would
/// spin for a time slice where all share a CPU, and every blocking wait is a call that would have to be counted.
pub fn exits(args: &Args, protocol: &Protocol) -> Did {
    let n = args.number(0, "N");
    let threads: Vec<Thread> = (0..64).map(|_| Thread::new()).collect();
    protocol.start();
    for i in 0..n {
        let thread = &threads[i as usize % threads.len()];
        thread.join();
        thread.run(leave, core::ptr::null());
    }
    threads.iter().for_each(Thread::join);
    Did::new().and("clone", n).and("exit", n)
}

extern "C" fn leave(_: *mut c_void) -> c_int {
    sys::exit_thread()
}

/// The last one to be counted as alive need not be the last one to leave.
pub fn exits_at_once(args: &Args, protocol: &Protocol) -> Did {
    let (k, t): (u64, usize) = (args.number(0, "K"), args.number(1, "T"));
    let threads: Vec<Thread> = (0..t).map(|_| Thread::new()).collect();
    protocol.start();
    for _ in 0..k {
        let pid = child(|| {
            // Its own copy: the child has the memory of its parent at the fork.
            for thread in &threads {
                thread.run(leave_together, core::ptr::null());
            }
            GO.store(true, Ordering::Release);
            sys::exit_thread()
        });
        sys::wait4(pid);
    }
    let all = k * (t as u64 + 1);
    Did::new().and("clone", all).and("wait4", k).and("exit", all)
}

static GO: AtomicBool = AtomicBool::new(false);

extern "C" fn leave_together(_: *mut c_void) -> c_int {
    while !GO.load(Ordering::Acquire) {
        core::hint::spin_loop();
    }
    sys::exit_thread()
}
