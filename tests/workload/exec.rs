//! A chain of execs: the process stays, its image and all its memory go.
use core::ffi::{c_int, c_void};
use std::ffi::CString;

use crate::protocol::{Did, Protocol, fail};
use crate::thread::Thread;
use crate::{Args, sys};

/// The third argument is ours: how many of the chain's execs are done.
pub fn exec(args: &Args, protocol: &Protocol) -> Did {
    let (path, n): (_, u64) = (args.text(0, "PATH"), args.number(1, "N"));
    let done: u64 = args.optional(2, "DONE").unwrap_or(0);
    let mut words = vec![path.to_owned()];
    if protocol.hold {
        words.push("--hold".to_owned());
    }
    words.extend(
        ["--exit", &protocol.exit.to_string(), "exec", path, &n.to_string(), &(done + 1).to_string()]
            .map(str::to_owned),
    );
    let words: Vec<CString> = words.into_iter().map(|word| CString::new(word).expect("came from a C string")).collect();
    let mut argv: Vec<u64> = words.iter().map(|word| word.as_ptr() as u64).collect();
    argv.push(0);
    let envp = [0u64];

    protocol.start();
    if done == n {
        return Did::new().and("execve", n);
    }
    // SAFETY: strings that end, in lists that end.
    let ret = unsafe { sys::call(libc::SYS_execve, [argv[0], argv.as_ptr() as u64, envp.as_ptr() as u64, 0, 0, 0]) };
    fail(format_args!("execve {path}: errno {}", -ret))
}

/// The thread becomes the process: its id is then the first thread's, which is killed.
pub fn by_a_thread(args: &Args, protocol: &Protocol) -> Did {
    let words = [args.text(0, "PATH"), "--exit", &protocol.exit.to_string(), "getppid", args.text(1, "N")]
        .map(|word| CString::new(word).expect("came from a C string"));
    let mut argv: Vec<u64> = words.iter().map(|word| word.as_ptr() as u64).collect();
    argv.push(0);
    let thread = Thread::new();
    protocol.start();
    thread.run(execute, argv.as_ptr().cast());
    loop {
        core::hint::spin_loop();
    }
}

extern "C" fn execute(argv: *mut c_void) -> c_int {
    let envp = [0u64];
    // SAFETY: the list of `by_a_thread`, which waits for ever; strings that end, in a list that ends.
    unsafe {
        let path = *argv.cast::<u64>();
        sys::call(libc::SYS_execve, [path, argv as u64, envp.as_ptr() as u64, 0, 0, 0]);
    }
    sys::exit_group(1)
}
