//! Whose a socket is: its inode in, all processes that hold it out, from the links in /proc/PID/fd.
use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;

use super::namespaces::processes;

/// Who holds the sockets that were asked for, as last seen: who has ended since, or closed it, stays.
#[derive(Debug, Default)]
pub struct Owners {
    /// Everything that was asked for, also what nobody holds.
    known: HashMap<u64, Vec<Owner>>,
    unread: Unread,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub pid: u32,
    /// As the process chose it: it may hold anything.
    pub comm: Vec<u8>,
}

/// Processes that the last reading of /proc left out, at least in part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unread {
    /// Another user's (EACCES).
    pub hidden: Vec<u32>,
    /// With more open files than are read.
    pub cut: Vec<u32>,
}

/// Of one process: half a second's reading.
const FILES_MAX: usize = 65_536;
/// Of all processes together.
const ALL_FILES_MAX: usize = 524_288;

impl Owners {
    /// Looks for the holders of these sockets, and reads /proc if there is one among them that was not asked for before.
    pub fn look_up(&mut self, inodes: impl IntoIterator<Item = u64>) {
        let before = self.known.len();
        // No file has number 0: such a socket is the kernel's.
        for inode in inodes.into_iter().filter(|inode| *inode != 0) {
            self.known.entry(inode).or_default();
        }
        if self.known.len() > before {
            self.refresh();
        }
    }

    /// Reads /proc again, for all that was ever asked for.
    pub fn refresh(&mut self) {
        self.unread = Unread::default();
        let mut left = ALL_FILES_MAX;
        for pid in processes().unwrap_or_default() {
            self.read(pid, &mut left);
        }
    }

    /// By PID; empty where nobody was found, and for what was never asked for.
    pub fn of(&self, inode: u64) -> &[Owner] {
        self.known.get(&inode).map_or(&[], Vec::as_slice)
    }

    pub fn unread(&self) -> &Unread {
        &self.unread
    }

    fn read(&mut self, pid: u32, left: &mut usize) {
        let most = FILES_MAX.min(*left);
        let files = match fs::read_dir(format!("/proc/{pid}/fd")) {
            Ok(files) => files,
            Err(error) => {
                if error.kind() == ErrorKind::PermissionDenied {
                    self.unread.hidden.push(pid);
                }
                return;
            }
        };
        // Read once, and only of those that hold one of the sockets.
        let mut comm = None;
        for (count, file) in files.enumerate() {
            if count == most {
                self.unread.cut.push(pid);
                *left -= count;
                return;
            }
            let Some(inode) = file.ok().and_then(|file| socket_inode(&fs::read_link(file.path()).ok()?)) else {
                continue;
            };
            let Some(owners) = self.known.get_mut(&inode) else { continue };
            let comm = comm.get_or_insert_with(|| comm_of(pid));
            note(owners, Owner { pid, comm: comm.clone() });
        }
    }
}

/// A process has it once, however many descriptors; its name may have changed.
fn note(owners: &mut Vec<Owner>, owner: Owner) {
    match owners.binary_search_by_key(&owner.pid, |known| known.pid) {
        Ok(at) => owners[at] = owner,
        Err(at) => owners.insert(at, owner),
    }
}

/// `socket:[48213]`.
fn socket_inode(link: &std::path::Path) -> Option<u64> {
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

fn comm_of(pid: u32) -> Vec<u8> {
    let mut comm = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    // The line's end is the file's; another before it would be the name's.
    if comm.last() == Some(&b'\n') {
        comm.pop();
    }
    comm
}

#[cfg(test)]
#[path = "owners_tests.rs"]
mod tests;
