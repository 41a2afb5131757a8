//! A command that waits before its first instruction, and does not outlive a spoor that dies before it lets it go.
use std::cell::Cell;
use std::ffi::{CStr, CString, OsStr, OsString, c_char};
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::process::check;

/// A forked child that waits before exec.
#[derive(Debug)]
pub struct Stopped {
    pub pid: u32,
    /// Closed by a successful exec; carries errno after a failed one.
    failure: OwnedFd,
    hold: Hold,
    stage: Cell<Stage>,
}

/// What keeps it from running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// We trace it: the kernel kills it when we end.
    Traced,
    /// Where nobody may trace (Yama's ptrace_scope 3): it stopped itself.
    Stopped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Waiting,
    /// It has become the command, which is no longer ours to end.
    Released,
    /// exec failed, and it ended.
    Failed,
}

/// Which of the signals that end a run are ignored, as nohup and shells without job control leave them: the command is
/// to find them so. Taken before anybody listens for them.
#[derive(Debug, Clone, Copy)]
pub struct Inherited {
    ignored: [(i32, bool); 2],
}

impl Inherited {
    pub fn now() -> Inherited {
        let is_ignored = |signal| {
            // SAFETY: all zeros is a value of sigaction, which has room for what is asked.
            let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
            // SAFETY: changes nothing.
            let asked = unsafe { libc::sigaction(signal, std::ptr::null(), &mut action) };
            asked == 0 && action.sa_sigaction == libc::SIG_IGN
        };
        Inherited { ignored: [libc::SIGINT, libc::SIGTERM].map(|signal| (signal, is_ignored(signal))) }
    }
}

/// Holds the child where it is traced. Untraced it would end it, which is right when we are gone.
const HOLD_SIGNAL: i32 = libc::SIGVTALRM;

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

/// Forks a child that waits and, once it is released, becomes `file` with `args`.
///
/// Between the wait and the new program's first instruction the child makes one system call: execve. Not std's Command:
/// it waits for the exec, which would wait for us.
pub fn spawn_stopped(file: &Path, args: &[OsString], inherited: Inherited) -> Result<Stopped> {
    let path = CString::new(file.as_os_str().as_bytes())?;
    let args = args.iter().map(|arg| CString::new(arg.as_bytes())).collect::<std::result::Result<Vec<_>, _>>()?;
    let mut argv: Vec<_> = args.iter().map(|arg| arg.as_ptr()).collect();
    argv.push(std::ptr::null());
    let mut pipe: [RawFd; 2] = [0; 2];
    // SAFETY: `pipe` has room for two.
    check(unsafe { libc::pipe2(pipe.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: both were just made for us alone.
    let (read, write) = unsafe { (OwnedFd::from_raw_fd(pipe[0]), OwnedFd::from_raw_fd(pipe[1])) };
    // SAFETY: takes nothing.
    let parent = unsafe { libc::getpid() };
    // Our handlers must not run in the child.
    let before = block_all();
    // SAFETY: this process has one thread (a current-thread runtime), and the child calls only what is safe after fork.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: we are that child; `argv` ends with a null pointer.
        unsafe { become_command(parent, &path, &argv, write.as_raw_fd(), inherited) }
    }
    let forked = check(pid);
    // SAFETY: puts back what was there.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &before, std::ptr::null_mut()) };
    let pid = forked?;
    drop(write);
    let status = wait(pid, libc::WUNTRACED)?;
    if !libc::WIFSTOPPED(status) {
        return Err(Error::other("a signal ended it before it began"));
    }
    let hold = if libc::WSTOPSIG(status) == HOLD_SIGNAL { Hold::Traced } else { Hold::Stopped };
    let stopped = Stopped { pid: pid as u32, failure: read, hold, stage: Cell::new(Stage::Waiting) };
    if hold == Hold::Traced {
        ptrace(libc::PTRACE_SETOPTIONS, pid, libc::PTRACE_O_EXITKILL as usize).inspect_err(|_| stopped.abandon())?;
    }
    Ok(stopped)
}

fn block_all() -> libc::sigset_t {
    // SAFETY: all zeros is a value of sigset_t; both have room.
    unsafe {
        let (mut all, mut before): (libc::sigset_t, libc::sigset_t) = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::sigprocmask(libc::SIG_SETMASK, &all, &mut before);
        before
    }
}

/// The child's way from fork to exec.
///
/// # Safety
/// Only in a forked child, with memory that was prepared before: it calls what is safe after fork, and nothing else.
unsafe fn become_command(
    parent: libc::pid_t,
    path: &CStr,
    argv: &[*const c_char],
    failure: RawFd,
    inherited: Inherited,
) -> ! {
    // SAFETY: the caller's promise.
    unsafe {
        // Until the hold does it, this ends us with our parent; it may have ended before we asked.
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        if libc::getppid() != parent {
            libc::_exit(127);
        }
        for (signal, is_ignored) in inherited.ignored {
            libc::signal(signal, if is_ignored { libc::SIG_IGN } else { libc::SIG_DFL });
        }
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        libc::signal(HOLD_SIGNAL, libc::SIG_DFL);
        // A signal that spoor blocks is not the command's business.
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
        let is_traced = libc::ptrace(libc::PTRACE_TRACEME, 0, 0usize, 0usize) == 0;
        // It would outlive exec, and end the command with spoor.
        libc::prctl(libc::PR_SET_PDEATHSIG, 0);
        let me = libc::syscall(libc::SYS_getpid);
        libc::syscall(libc::SYS_kill, me, if is_traced { HOLD_SIGNAL } else { libc::SIGSTOP });
        libc::execv(path.as_ptr(), argv.as_ptr());
        let errno = *libc::__errno_location();
        libc::write(failure, std::ptr::from_ref(&errno).cast(), size_of::<i32>());
        libc::_exit(127)
    }
}

impl Stopped {
    /// Lets it run; the error that exec gave, if it failed.
    pub fn release(&self) -> Result<()> {
        let pid = self.pid as i32;
        let released = match self.hold {
            // The signal that held it is not delivered.
            Hold::Traced => ptrace(libc::PTRACE_DETACH, pid, 0),
            // SAFETY: our own child, which was not waited for.
            Hold::Stopped => check(unsafe { libc::kill(pid, libc::SIGCONT) }).map(drop),
        };
        match released {
            // Somebody killed it: an end like any other.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
            released => released?,
        }
        self.stage.set(Stage::Released);
        let mut errno = 0i32;
        // SAFETY: `errno` has room; a closed pipe gives 0 bytes.
        let read =
            unsafe { libc::read(self.failure.as_raw_fd(), std::ptr::from_mut(&mut errno).cast(), size_of::<i32>()) };
        if read != size_of::<i32>() as isize {
            return Ok(());
        }
        self.stage.set(Stage::Failed);
        Err(Error::from_raw_os_error(errno))
    }

    pub fn stage(&self) -> Stage {
        self.stage.get()
    }

    /// Ends a child that never was to run.
    pub fn abandon(&self) {
        // SAFETY: our own child.
        unsafe { libc::kill(self.pid as i32, libc::SIGKILL) };
        let _ = wait(self.pid as i32, 0);
    }

    /// How it went, if it has ended.
    pub fn try_wait(&self) -> Result<Option<std::process::ExitStatus>> {
        let mut status = 0;
        // SAFETY: our own child.
        let pid = check(unsafe { libc::waitpid(self.pid as i32, &mut status, libc::WNOHANG) })?;
        Ok((pid != 0).then(|| std::os::unix::process::ExitStatusExt::from_raw(status)))
    }
}

fn wait(pid: libc::pid_t, options: i32) -> Result<i32> {
    let mut status = 0;
    // SAFETY: waits for our own child.
    check(unsafe { libc::waitpid(pid, &mut status, options) })?;
    Ok(status)
}

/// Requests that take a number.
fn ptrace(request: libc::c_uint, pid: libc::pid_t, data: usize) -> Result<()> {
    // SAFETY: the kernel reads no memory for these.
    check(unsafe { libc::ptrace(request, pid, 0usize, data) } as i32).map(drop)
}
