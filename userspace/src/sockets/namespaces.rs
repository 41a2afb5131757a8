//! The network namespaces of a machine: /proc in, the ways into each of them out.
//! Holds none of them open: a namespace that is held does not end with its last process, nor do its devices.
//! One that only an open file, a socket or a device keeps is not looked for.
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{Error, ErrorKind, Result};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::program::error::printable;
use crate::sys::net;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// As in `net:[4026531840]`.
    pub inode: u64,
    /// The name that `ip netns` or a container engine has for it: that of the file that it is mounted on.
    pub name: Option<String>,
    /// A process in it: the one with the lowest PID. None where only a thread or the name keeps it.
    pub pid: Option<u32>,
    door: Door,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Door {
    /// The calling process is in it.
    Own,
    File(PathBuf),
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// The own one first, then by the lowest PID in it, then those without a process: of threads, of mounts.
    pub known: Vec<Namespace>,
    /// Processes whose namespace we may not know (EACCES: another user's).
    pub hidden: Vec<u32>,
}

/// Threads of all processes together that are looked at: 7 us each.
const THREADS_MAX: usize = 1024;

/// Of all processes that /proc shows and of their threads, and those that are mounted where we see it.
///
/// Errors: /proc is not there. Kernel: 3.0.
pub fn namespaces() -> Result<Namespaces> {
    let own = fs::metadata("/proc/self/ns/net")?;
    let first = Namespace { inode: own.ino(), name: None, pid: None, door: Door::Own };
    let mut found = Namespaces { known: vec![first], hidden: Vec::new() };
    let pids = processes()?;
    for pid in pids.iter().copied() {
        match inode_of(&namespace_file(pid)) {
            Ok(inode) => {
                found.of(inode, || Door::File(namespace_file(pid))).pid.get_or_insert(pid);
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => found.hidden.push(pid),
            // It has ended.
            Err(_) => {}
        }
    }
    for file in pids.into_iter().flat_map(thread_files).take(THREADS_MAX) {
        if let Ok(inode) = inode_of(&file) {
            found.of(inode, || Door::File(file));
        }
    }
    for (inode, path) in mounted(&fs::read("/proc/thread-self/mountinfo").unwrap_or_default()) {
        let namespace = found.of(inode, || Door::File(path.clone()));
        let name = || Some(path.file_name()?.to_string_lossy().into_owned());
        namespace.name = namespace.name.take().or_else(name);
    }
    Ok(found)
}

/// Of the threads of a process but the first, whose namespace is the process's.
fn thread_files(pid: u32) -> impl Iterator<Item = PathBuf> {
    let folder = format!("/proc/{pid}/task");
    // Its links are itself, its name, and one a thread.
    let has_several = fs::metadata(&folder).is_ok_and(|about| about.nlink() > 3);
    let threads = has_several.then(|| fs::read_dir(folder).ok()).flatten().into_iter().flatten().flatten();
    threads.filter(move |thread| *thread.file_name() != *pid.to_string()).map(|thread| thread.path().join("ns/net"))
}

/// Network namespaces that are mounted, and where, from /proc/PID/mountinfo. Those of `ip netns` first, for their names.
fn mounted(mountinfo: &[u8]) -> Vec<(u64, PathBuf)> {
    let mount = |line: &[u8]| {
        // ID, parent, device, root, mount point: proc_pid_mountinfo(5).
        let mut fields = line.split(|byte| *byte == b' ').skip(3);
        let inode = number(std::str::from_utf8(fields.next()?).ok()?)?;
        Some((inode, PathBuf::from(OsString::from_vec(unescape(fields.next()?)))))
    };
    let mut found: Vec<_> = mountinfo.split(|byte| *byte == b'\n').filter_map(mount).collect();
    found.sort_by_key(|(_, path)| !path.starts_with("/run/netns"));
    found
}

/// Blanks and backslashes are written in octal, as `\040`.
fn unescape(mut text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let [first, rest @ ..] = text {
        let octal = rest.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => (bytes.push(byte), text = &rest[3..]),
            None => (bytes.push(*first), text = rest),
        };
    }
    bytes
}

impl Namespaces {
    /// The one with this number, which may be new. There are few: it is no table.
    fn of(&mut self, inode: u64, door: impl FnOnce() -> Door) -> &mut Namespace {
        let at = self.known.iter().position(|known| known.inode == inode).unwrap_or_else(|| {
            self.known.push(Namespace { inode, name: None, pid: None, door: door() });
            self.known.len() - 1
        });
        &mut self.known[at]
    }
}

/// Does something in a namespace; in all but the own one on a thread of its own.
///
/// Errors: `PermissionDenied` where we may not enter; `NotFound` where it is gone.
pub fn within<T: Send>(namespace: &Namespace, act: impl FnOnce() -> T + Send) -> Result<T> {
    match &namespace.door {
        Door::Own => Ok(act()),
        Door::File(path) => net::within(open(path, namespace.inode)?.as_fd(), act),
    }
}

/// The same, or where we may not enter it, what can be read of it in the folder that /proc has for a process in it.
///
/// Errors: why we may not enter, where there is no such process either; those of `act`.
pub fn within_or_beside<T: Send>(
    namespace: &Namespace,
    act: impl FnOnce() -> Result<T> + Send,
    beside: impl FnOnce(&Path) -> Result<T>,
) -> Result<T> {
    let refused = match within(namespace, act).and_then(|done| done) {
        Err(refused) if refused.kind() == ErrorKind::PermissionDenied => refused,
        done => return done,
    };
    let Some(pid) = namespace.pid else { return Err(refused) };
    let told = beside(Path::new(&format!("/proc/{pid}/net")));
    // Its number may be another's by now.
    let is_there = inode_of(&namespace_file(pid)).is_ok_and(|inode| inode == namespace.inode);
    told.ok().filter(|_| is_there).ok_or(refused)
}

/// Through the process that it was found by, else through any that is in it now.
fn open(path: &Path, inode: u64) -> Result<File> {
    let open = |path: &Path| {
        // What only has the name must not make us wait.
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        if file.metadata()?.ino() == inode { Ok(file) } else { Err(gone()) }
    };
    match open(path) {
        Err(error) if error.kind() != ErrorKind::PermissionDenied => {
            let other =
                processes()?.into_iter().find(|pid| inode_of(&namespace_file(*pid)).is_ok_and(|its| its == inode));
            other.map_or(Err(error), |pid| open(&namespace_file(pid)))
        }
        opened => opened,
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::NotFound, "the namespace is gone")
}

fn namespace_file(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/ns/net"))
}

fn inode_of(file: &Path) -> Result<u64> {
    let link = fs::read_link(file)?;
    link.to_str().and_then(number).ok_or_else(|| Error::new(ErrorKind::InvalidData, "not a network namespace"))
}

/// `net:[4026531840]`.
fn number(link: &str) -> Option<u64> {
    link.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}

/// All processes that /proc shows, by number.
pub fn processes() -> Result<Vec<u32>> {
    let entries = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut pids: Vec<u32> = entries.collect();
    pids.sort_unstable();
    Ok(pids)
}

impl Namespace {
    /// True where the calling process is in it.
    pub fn is_own(&self) -> bool {
        self.door == Door::Own
    }

    /// Its name, or its number as the kernel writes it.
    pub fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("net:[{}]", self.inode))
    }
}

/// For people: `blue`, or `net:[4026532177] of process 4711`.
impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, self.pid) {
            (None, Some(pid)) => write!(f, "{} of process {pid}", self.label()),
            _ => f.write_str(&printable(&self.label())),
        }
    }
}

#[cfg(test)]
#[path = "namespaces_tests.rs"]
mod tests;
