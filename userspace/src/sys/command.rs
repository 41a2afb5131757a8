//! A command that waits before its first instruction.
use std::ffi::{CString, OsStr, OsString};
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::process::check;

/// A forked child that stopped itself before exec.
#[derive(Debug)]
pub struct Stopped {
    pub pid: u32,
    /// Closed by a successful exec; carries errno after a failed one.
    failure: OwnedFd,
}

/// The file that `execvp` would run.
pub fn find_command(name: &OsStr) -> Option<PathBuf> {
    let executable = |path: &Path| {
        let path = CString::new(path.as_os_str().as_bytes()).ok()?;
        // SAFETY: a NUL-terminated path.
        (unsafe { libc::access(path.as_ptr(), libc::X_OK) } == 0).then_some(())
    };
    if name.as_bytes().contains(&b'/') {
        // Whether it may be run is for exec to say, which knows why not.
        let path = PathBuf::from(name);
        return path.exists().then_some(path);
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/local/bin:/usr/bin:/bin"));
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file() && executable(file).is_some())
}

/// Forks a child that stops itself and, once it is continued, becomes `file` with `args`.
///
/// Between the stop and the new program's first instruction the child makes one system call: execve. Not std's Command:
/// it waits for the exec, which would wait for us.
pub fn spawn_stopped(file: &Path, args: &[OsString]) -> Result<Stopped> {
    let path = CString::new(file.as_os_str().as_bytes())?;
    let args = args.iter().map(|arg| CString::new(arg.as_bytes())).collect::<std::result::Result<Vec<_>, _>>()?;
    let mut argv: Vec<_> = args.iter().map(|arg| arg.as_ptr()).collect();
    argv.push(std::ptr::null());
    let mut pipe: [RawFd; 2] = [0; 2];
    // SAFETY: `pipe` has room for two.
    check(unsafe { libc::pipe2(pipe.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: both were just made for us alone.
    let (read, write) = unsafe { (OwnedFd::from_raw_fd(pipe[0]), OwnedFd::from_raw_fd(pipe[1])) };
    // SAFETY: this process has one thread (a current-thread runtime), and the child calls only what is safe after fork.
    let pid = check(unsafe { libc::fork() })?;
    if pid == 0 {
        // SAFETY: plain system calls on memory that was prepared before the fork.
        unsafe {
            // A signal that spoor blocks or ignores is not the command's business.
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            let me = libc::syscall(libc::SYS_getpid);
            libc::syscall(libc::SYS_kill, me, libc::SIGSTOP);
            libc::execv(path.as_ptr(), argv.as_ptr());
            let errno = *libc::__errno_location();
            libc::write(write.as_raw_fd(), std::ptr::from_ref(&errno).cast(), size_of::<i32>());
            libc::_exit(127);
        }
    }
    drop(write);
    let mut status = 0;
    // SAFETY: waits for our own child.
    check(unsafe { libc::waitpid(pid, &mut status, libc::WUNTRACED) })?;
    Ok(Stopped { pid: pid as u32, failure: read })
}

impl Stopped {
    /// Lets it run; the error that exec gave, if it failed.
    pub fn release(&self) -> Result<()> {
        // SAFETY: our own child, which was not waited for.
        check(unsafe { libc::kill(self.pid as i32, libc::SIGCONT) })?;
        let mut errno = 0i32;
        // SAFETY: `errno` has room; a closed pipe gives 0 bytes.
        let read =
            unsafe { libc::read(self.failure.as_raw_fd(), std::ptr::from_mut(&mut errno).cast(), size_of::<i32>()) };
        if read == size_of::<i32>() as isize { Err(Error::from_raw_os_error(errno)) } else { Ok(()) }
    }

    /// Ends a child that never was to run.
    pub fn abandon(&self) {
        // SAFETY: our own child.
        unsafe { libc::kill(self.pid as i32, libc::SIGKILL) };
        let _ = self.wait();
    }

    /// How it went, if it has ended.
    pub fn try_wait(&self) -> Result<Option<std::process::ExitStatus>> {
        let mut status = 0;
        // SAFETY: our own child.
        let pid = check(unsafe { libc::waitpid(self.pid as i32, &mut status, libc::WNOHANG) })?;
        Ok((pid != 0).then(|| std::os::unix::process::ExitStatusExt::from_raw(status)))
    }

    fn wait(&self) -> Result<std::process::ExitStatus> {
        let mut status = 0;
        // SAFETY: our own child.
        check(unsafe { libc::waitpid(self.pid as i32, &mut status, 0) })?;
        Ok(std::os::unix::process::ExitStatusExt::from_raw(status))
    }
}
