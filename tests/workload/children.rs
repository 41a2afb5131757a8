//! Child processes: the calls that return twice, and those that never return.
use core::ffi::{c_int, c_void};
use std::ffi::CString;

use crate::burn::{Burner, spoor_burn_a};
use crate::calls::repeat_getppid;
use crate::protocol::{Did, Protocol, fail};
use crate::thread::Thread;
use crate::{Args, sys};

fn many(name: &'static str, args: &Args, protocol: &Protocol, make: fn() -> i64) -> Did {
    let n = args.number(0, "N");
    protocol.start();
    for _ in 0..n {
        let pid = sys::must(make(), name);
        sys::wait4(pid as libc::pid_t);
    }
    Did::new().and(name, n).and("wait4", n).and("exit_group", n)
}

pub fn fork(args: &Args, protocol: &Protocol) -> Did {
    #[cfg(not(target_arch = "x86_64"))]
    crate::protocol::unsupported("this architecture has no fork");
    #[cfg(target_arch = "x86_64")]
    many("fork", args, protocol, || {
        // SAFETY: no pointers; the child has a copy of everything.
        let pid = unsafe { sys::call(libc::SYS_fork, [0; 6]) };
        leave_if_child(pid)
    })
}

/// All of the child's life is in the assembly: it runs on its parent's stack.
pub fn vfork(args: &Args, protocol: &Protocol) -> Did {
    #[cfg(not(target_arch = "x86_64"))]
    crate::protocol::unsupported("this architecture has no vfork");
    #[cfg(target_arch = "x86_64")]
    many("vfork", args, protocol, || {
        let pid: i64;
        // SAFETY: the child touches no memory and leaves; the parent goes on with its own registers.
        unsafe {
            core::arch::asm!("syscall", "test rax, rax", "jnz 2f", "mov eax, 231", "xor edi, edi", "syscall", "ud2", "2:",
                inlateout("rax") libc::SYS_vfork => pid, lateout("rdi") _, lateout("rcx") _, lateout("r11") _);
        }
        pid
    })
}

pub fn clone(args: &Args, protocol: &Protocol) -> Did {
    many("clone", args, protocol, || {
        // SAFETY: the child only leaves.
        leave_if_child(unsafe { sys::clone_process() })
    })
}

pub fn clone3(args: &Args, protocol: &Protocol) -> Did {
    many("clone3", args, protocol, || {
        // struct clone_args, version 0: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls.
        let arguments: [u64; 8] = [0, 0, 0, 0, libc::SIGCHLD as u64, 0, 0, 0];
        // SAFETY: as long as said; the child only leaves.
        let pid = unsafe {
            sys::call(libc::SYS_clone3, [arguments.as_ptr() as u64, size_of_val(&arguments) as u64, 0, 0, 0, 0])
        };
        leave_if_child(pid)
    })
}

fn leave_if_child(pid: i64) -> i64 {
    if pid == 0 {
        sys::exit_group(0);
    }
    pid
}

/// Runs `work` in a child that leaves by exit_group; its pid.
pub fn child(work: impl FnOnce()) -> libc::pid_t {
    // SAFETY: the callers are single-threaded here.
    let pid = sys::must(unsafe { sys::clone_process() }, "clone");
    if pid == 0 {
        work();
        sys::exit_group(0);
    }
    pid as libc::pid_t
}

/// The other threads of a process that leaves by exit_group die without a call of their own.
pub fn exit_group(args: &Args, protocol: &Protocol) -> Did {
    let (k, t): (u64, usize) = (args.number(0, "K"), args.number(1, "T"));
    let threads: Vec<Thread> = (0..t).map(|_| Thread::new()).collect();
    protocol.start();
    for _ in 0..k {
        let pid = child(|| {
            for thread in &threads {
                thread.run(spin, core::ptr::null());
            }
        });
        sys::wait4(pid);
    }
    Did::new().and("clone", k + k * t as u64).and("wait4", k).and("exit_group", k)
}

extern "C" fn spin(_: *mut c_void) -> c_int {
    loop {
        core::hint::spin_loop();
    }
}

pub fn children(args: &Args, protocol: &Protocol) -> Did {
    let (k, n) = (args.number(0, "K"), args.number(1, "N"));
    let depth: u64 = args.optional(2, "DEPTH").unwrap_or(1);
    let mut pids = vec![0; k];
    protocol.start();
    for pid in &mut pids {
        *pid = child(|| generation(n, depth));
    }
    for pid in pids {
        if sys::wait4(pid) != 0 {
            fail(format_args!("child {pid} failed"));
        }
    }
    let each = k as u64 * depth;
    Did::new().and("getppid", each * n).and("clone", each).and("wait4", each).and("exit_group", each)
}

fn generation(n: u64, depth: u64) {
    repeat_getppid(n);
    if depth > 1 {
        let pid = child(|| generation(n, depth - 1));
        sys::wait4(pid);
    }
}

pub fn existing(args: &Args, protocol: &Protocol) -> Did {
    let (k, n): (usize, u64) = (args.number(0, "K"), args.number(1, "N"));
    let [from, to] = sys::pipe();
    let work = || {
        // Not kept by the children: at their parent's early end they must see the end of the pipe.
        sys::close(to as i64);
        if sys::readv(from, &mut [0]) == 1 {
            repeat_getppid(n);
        }
    };
    let pids: Vec<_> = (0..k).map(|_| child(work)).collect();
    let all = vec![0u8; k];
    protocol.start_with(&pids);
    sys::must(sys::writev(to, &all), "release the children");
    for pid in pids {
        sys::wait4(pid);
    }
    Did::new().and("getppid", k as u64 * n).and("wait4", k as u64).and("exit_group", k as u64)
}

/// One after the other, each at work for a short time: as itself, or as the program at PATH.
pub fn brief(args: &Args, protocol: &Protocol) -> Did {
    let (k, ns): (u64, u64) = (args.number(0, "K"), args.number(1, "NS"));
    let words = args.from(2).first().map(|path| [*path, "spend", args.text(1, "NS")]);
    let words: Vec<CString> =
        words.iter().flatten().map(|word| CString::new(*word).expect("came from a C string")).collect();
    let mut argv: Vec<u64> = words.iter().map(|word| word.as_ptr() as u64).collect();
    argv.push(0);
    let envp = [0u64];
    let burner = Burner::new();
    protocol.start();
    for _ in 0..k {
        let pid = child(|| {
            if words.is_empty() {
                burner.spend(ns, spoor_burn_a);
            } else {
                // SAFETY: strings that end, in lists that end.
                unsafe { sys::call(libc::SYS_execve, [argv[0], argv.as_ptr() as u64, envp.as_ptr() as u64, 0, 0, 0]) };
                sys::exit_group(1);
            }
        });
        if sys::wait4(pid) != 0 {
            fail(format_args!("child {pid} failed"));
        }
    }
    Did::new().and("children", k)
}

/// What such a child runs: silent, whatever is asked of it.
pub fn spend(args: &Args, _: &Protocol) -> Did {
    Burner::new().spend(args.number(0, "NS"), spoor_burn_a);
    sys::exit_group(0)
}
