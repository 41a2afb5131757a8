//! Launchers: a command in a PID namespace of its own, or in that of another process. The kernel's `unshare` and
//! `nsenter`, which a virtual machine with these few files does not have.
use std::ffi::CString;

use crate::children::child;
use crate::protocol::{Did, Protocol, fail, say};
use crate::{Args, sys};

/// The command is PID 1 in there, and dies with us.
pub fn inside(args: &Args, _: &Protocol) -> Did {
    // SAFETY: takes no pointers.
    must_libc(unsafe { libc::unshare(libc::CLONE_NEWPID) }, "unshare");
    let pid = child(|| {
        // SAFETY: takes no pointers.
        must_libc(unsafe { libc::unshare(libc::CLONE_NEWNS) }, "unshare");
        mount(c"none", c"/", c"", libc::MS_REC | libc::MS_PRIVATE);
        mount(c"proc", c"/proc", c"proc", 0);
        run(args.from(0))
    });
    say(&format!("launched {pid}"));
    leave_like(sys::wait4(pid))
}

/// A copy of this program where nobody else sees it.
pub fn elsewhere(args: &Args, _: &Protocol) -> Did {
    let folder = args.text(0, "DIR");
    hide(folder, &[("/proc/self/exe", HIDDEN)]);
    run_hidden(folder, args.from(1))
}

/// A program with a library that it looks for beside itself.
pub fn linked_elsewhere(args: &Args, _: &Protocol) -> Did {
    let (folder, program, library) = (args.text(0, "DIR"), args.text(1, "PROGRAM"), args.text(2, "LIBRARY"));
    let name = library.rsplit('/').next().unwrap_or(library);
    hide(folder, &[(program, HIDDEN), (library, name)]);
    run_hidden(folder, args.from(3))
}

const HIDDEN: &str = "hidden";

/// Copies of files, by their new names in a folder that from now on only this process and its children see.
fn hide(folder: &str, files: &[(&str, &str)]) {
    let at = CString::new(folder).expect("came from a C string");
    // SAFETY: takes no pointers.
    must_libc(unsafe { libc::unshare(libc::CLONE_NEWNS) }, "unshare");
    mount(c"none", c"/", c"", libc::MS_REC | libc::MS_PRIVATE);
    mount(c"hidden", &at, c"tmpfs", 0);
    for (file, name) in files {
        if let Err(error) = std::fs::copy(file, format!("{folder}/{name}")) {
            fail(format_args!("copy {file} to {folder}/{name}: {error}"));
        }
    }
}

fn run_hidden(folder: &str, args: &[&str]) -> ! {
    let program = format!("{folder}/{HIDDEN}");
    run(&[&[program.as_str()], args].concat());
    sys::exit_group(1)
}

pub fn enter(args: &Args, _: &Protocol) -> Did {
    let target: libc::pid_t = args.number(0, "PID");
    for (name, kind) in [("pid", libc::CLONE_NEWPID), ("mnt", libc::CLONE_NEWNS)] {
        let path = CString::new(format!("/proc/{target}/ns/{name}")).expect("has no NUL");
        let fd = sys::must(sys::openat(&path, libc::O_RDONLY, 0), "open a namespace") as i32;
        // SAFETY: takes no pointers.
        must_libc(unsafe { libc::setns(fd, kind) }, "setns");
        sys::close(fd as i64);
    }
    let pid = child(|| run(args.from(1)));
    say(&format!("launched {pid}"));
    leave_like(sys::wait4(pid))
}

fn run(words: &[&str]) {
    // SAFETY: takes no pointers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let words: Vec<CString> = words.iter().map(|word| CString::new(*word).expect("came from a C string")).collect();
    let mut argv: Vec<_> = words.iter().map(|word| word.as_ptr()).collect();
    argv.push(core::ptr::null());
    // SAFETY: strings that end, in a list that ends.
    unsafe { libc::execvp(argv[0], argv.as_ptr()) };
    fail(format_args!("exec {:?} failed", words.first()));
}

fn mount(source: &core::ffi::CStr, at: &core::ffi::CStr, kind: &core::ffi::CStr, flags: u64) {
    // SAFETY: strings that end.
    let ret = unsafe { libc::mount(source.as_ptr(), at.as_ptr(), kind.as_ptr(), flags, core::ptr::null()) };
    must_libc(ret, "mount");
}

fn must_libc(ret: i32, what: &str) {
    if ret != 0 {
        fail(format_args!("{what}: {}", std::io::Error::last_os_error()));
    }
}

fn leave_like(status: i32) -> ! {
    let code = if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 128 + libc::WTERMSIG(status) };
    sys::exit_group(code)
}
