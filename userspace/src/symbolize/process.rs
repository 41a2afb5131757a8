//! A process's id in, what is needed to name its addresses out, opened while it lives and kept when it is gone.
use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};

use super::debug_file::{Whereabouts, open_regular};
use super::files::{FileId, Files};
use super::frame::Unknown;
use super::maps::{self, Kind, Mapping};
use super::perf_map::PerfMap;

/// Mappings that were there before.
const PAST: usize = 4096;
/// Pages that fresh maps did not know; more of them do not cause fresh ones, which cost up to 5 ms each: a walk up a stack
/// without frame pointers finds a new one every time.
const MISSES: usize = 64;
const PAGE: u64 = 4096;

pub struct Process {
    tgid: u32,
    root: Root,
    now: Vec<Mapping>,
    /// Code that was unmapped, left by an exec, or told of: stacks from before still have its addresses. Oldest first.
    past: Vec<Mapping>,
    misses: HashSet<u64>,
    /// Why its maps were never read; then it has only what the kernel told.
    pub unread: Option<Unknown>,
    /// Its id in its own PID namespace, and its user.
    itself: Option<(u32, u32)>,
    perf_map: Option<PerfMap>,
    /// When it was last asked for.
    pub used: u64,
}

impl Process {
    pub fn new(tgid: u32, roots: &mut Roots) -> Process {
        Process {
            tgid,
            root: roots.of(tgid),
            now: Vec::new(),
            past: Vec::new(),
            misses: HashSet::new(),
            unread: None,
            itself: None,
            perf_map: None,
            used: 0,
        }
    }

    /// Reads its maps and opens what is new in them. If it cannot, what was known stays.
    pub fn look(&mut self, files: &mut Files, roots: &mut Roots) -> Result<(), Unknown> {
        let text = match fs::read(format!("/proc/{}/maps", self.tgid)) {
            // A process that has ended and was not waited for has an empty one.
            Ok(text) if text.is_empty() => return Err(Unknown::ProcessGone),
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => return Err(Unknown::Denied),
            Err(_) => return Err(Unknown::ProcessGone),
        };
        // A container's process enters its root after its first instructions.
        self.root = roots.of(self.tgid);
        let mut mappings = maps::parse(&String::from_utf8_lossy(&text));
        for mapping in mappings.iter_mut().filter(|mapping| matches!(mapping.kind, Kind::File(_))) {
            let known = maps::find(&self.now, mapping.start).filter(|known| known.is_same(mapping));
            mapping.kind = match known {
                Some(known) if known.kind != Kind::File(None) => known.kind,
                _ => Kind::File(self.file(mapping, files)),
            };
        }
        let gone = std::mem::replace(&mut self.now, mappings).into_iter().filter(|mapping| {
            let stays = maps::find(&self.now, mapping.start).is_some_and(|now| now.is_same(mapping));
            !stays && matches!(mapping.kind, Kind::File(_) | Kind::Vdso)
        });
        self.past.extend(gone);
        self.past.drain(..self.past.len().saturating_sub(PAST));
        self.unread = None;
        let status = fs::read_to_string(format!("/proc/{}/status", self.tgid));
        self.itself = status.ok().and_then(|status| own_pid_and_user(&status)).or(self.itself);
        self.open_perf_map();
        Ok(())
    }

    /// Takes over what it had without being looked at, oldest first: what is mapped now is newer.
    pub fn adopt(&mut self, mappings: impl Iterator<Item = Mapping>, files: &mut Files) {
        for mut mapping in mappings {
            if self.find(mapping.start).is_some_and(|known| known.covers(&mapping)) {
                continue;
            }
            if mapping.kind == Kind::File(None) {
                mapping.kind = Kind::File(self.file(&mapping, files));
            }
            self.past.push(mapping);
        }
        self.past.drain(..self.past.len().saturating_sub(PAST));
    }

    /// It is gone: what it is said to have had from here on is newer than what it was seen to have.
    pub fn end(&mut self) {
        let (other, code) = self.now.drain(..).partition(|mapping| mapping.kind == Kind::NotCode);
        self.now = other;
        self.past.extend::<Vec<_>>(code);
    }

    /// A child's share: what it has until it maps or execs something itself, and the root that it sees.
    pub fn bequeath(&self, child: &mut Process, files: &mut Files) {
        if child.unread.is_some() {
            child.root = self.root.clone();
        }
        let code = self.past.iter().chain(&self.now).filter(|mapping| mapping.kind != Kind::NotCode);
        child.adopt(code.cloned(), files);
    }

    fn file(&self, mapping: &Mapping, files: &mut Files) -> Option<FileId> {
        // The same one of another process, mostly; which may be all that is left of a mount namespace.
        files.find(mapping.device, mapping.inode).or_else(|| files.keep(self.open(mapping)?))
    }

    /// The file behind a mapping, also if it was deleted or replaced or is in another mount namespace.
    pub fn open(&self, mapping: &Mapping) -> Option<File> {
        let entry = format!("/proc/{}/map_files/{:x}-{:x}", self.tgid, mapping.start, mapping.end);
        // The link is for CAP_CHECKPOINT_RESTORE. Without it there is one for the program itself, and for the others a path,
        // which is seen from the process's root, or from ours if it is below it, and may lead to another file by now.
        open_regular(Path::new(&entry)).or_else(|| {
            let path = mapping.file();
            let same = |file: &File, is_ours: bool| {
                let Ok(found) = file.metadata() else { return false };
                let device = (libc::major(found.dev()), libc::minor(found.dev()));
                // btrfs and overlayfs show one device in the maps and another here.
                found.ino() == mapping.inode && (!is_ours || device == mapping.device)
            };
            let theirs = [PathBuf::from(format!("/proc/{}/exe", self.tgid)), below(&self.root.path(self.tgid), &path)];
            let theirs = theirs.iter().find_map(|path| open_regular(path).filter(|file| same(file, false)));
            theirs.or_else(|| open_regular(&path).filter(|file| same(file, true)))
        })
    }

    pub fn whereabouts(&self, mapping: &Mapping) -> Whereabouts {
        let folder = mapping.file().parent().map(Path::to_path_buf).unwrap_or_default();
        Whereabouts { root: self.root.path(self.tgid), folder }
    }

    /// Code where there is any, now or before.
    pub fn find(&self, address: u64) -> Option<&Mapping> {
        let now = maps::find(&self.now, address);
        let past = || self.past.iter().rev().find(|past| (past.start..past.end).contains(&address));
        match now {
            Some(mapping) if mapping.kind != Kind::NotCode => now,
            _ => past().or(now),
        }
    }

    /// False only for what is known to be no code.
    pub fn may_call_from(&self, address: u64) -> bool {
        let is_code = self.find(address).map_or(self.unread.is_some(), |mapping| mapping.kind != Kind::NotCode);
        is_code || self.perf_map.as_ref().is_some_and(|perf_map| perf_map.find(address).is_some())
    }

    /// Whether the maps should be read anew for these: no for those that fresh maps did not have either.
    pub fn is_new(&self, address: u64) -> bool {
        let unknown = self.find(address).is_none_or(|mapping| mapping.kind == Kind::NotCode);
        unknown && self.misses.len() < MISSES && !self.misses.contains(&(address / PAGE))
    }

    /// Its maps have changed: what was not there may be there now.
    pub fn forget_misses(&mut self) {
        self.misses.clear();
    }

    pub fn missed(&mut self, address: u64) {
        if self.is_new(address) {
            self.misses.insert(address / PAGE);
        }
    }

    /// Lets JIT code that came since have its name.
    pub fn refresh_perf_map(&mut self) {
        if self.perf_map.is_none() && self.has_made_code() {
            self.open_perf_map();
        }
        if let Some(perf_map) = &mut self.perf_map {
            perf_map.refresh();
        }
    }

    pub fn has_made_code(&self) -> bool {
        self.now.iter().chain(&self.past).any(|mapping| mapping.kind == Kind::Anonymous)
    }

    pub fn perf_map(&self) -> Option<&PerfMap> {
        self.perf_map.as_ref()
    }

    pub fn has_open_perf_map(&self) -> bool {
        self.perf_map.as_ref().is_some_and(PerfMap::is_open)
    }

    pub fn close_perf_map(&mut self) {
        self.perf_map.iter_mut().for_each(PerfMap::close);
    }

    fn open_perf_map(&mut self) {
        let Some((own_pid, owner)) = self.itself else { return };
        let path = below(&self.root.path(self.tgid), Path::new(&format!("/tmp/perf-{own_pid}.map")));
        // After an exec it may have another one.
        if let Some(found) = PerfMap::open(&path, owner)
            && self.perf_map.as_ref().is_none_or(|known| !known.is_same(&found))
        {
            self.perf_map = Some(found);
        }
    }
}

fn own_pid_and_user(status: &str) -> Option<(u32, u32)> {
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let own_pid = line("NSpid:")?.split_whitespace().next_back()?.parse().ok()?;
    let user = line("Uid:")?.split_whitespace().nth(1)?.parse().ok()?;
    Some((own_pid, user))
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// What `/` is to a process.
#[derive(Clone)]
enum Root {
    Ours,
    /// Kept open, which outlives the process.
    Kept(Rc<File>),
    OfProcess,
}

impl Root {
    fn path(&self, tgid: u32) -> PathBuf {
        match self {
            Root::Ours => PathBuf::from("/"),
            Root::Kept(folder) => format!("/proc/self/fd/{}", folder.as_raw_fd()).into(),
            Root::OfProcess => format!("/proc/{tgid}/root").into(),
        }
    }
}

/// The roots of all processes: one for each container, not for each process.
pub struct Roots {
    kept: HashMap<RootKey, Weak<File>>,
    ours: Option<RootKey>,
    most: usize,
}

/// Mount namespace; device and inode of the root in it.
type RootKey = (PathBuf, u64, u64);

impl Roots {
    pub fn new(most: usize) -> Roots {
        Roots { kept: HashMap::new(), ours: key("self"), most }
    }

    fn of(&mut self, tgid: u32) -> Root {
        let Some(key) = key(&tgid.to_string()) else { return Root::OfProcess };
        if self.ours.as_ref() == Some(&key) {
            return Root::Ours;
        }
        if let Some(kept) = self.kept.get(&key).and_then(Weak::upgrade) {
            return Root::Kept(kept);
        }
        self.kept.retain(|_, kept| kept.strong_count() > 0);
        if self.kept.len() >= self.most {
            return Root::OfProcess;
        }
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let root = OpenOptions::new().read(true).custom_flags(flags).open(format!("/proc/{tgid}/root"));
        root.map_or(Root::OfProcess, |root| {
            let root = Rc::new(root);
            self.kept.insert(key, Rc::downgrade(&root));
            Root::Kept(root)
        })
    }
}

fn key(process: &str) -> Option<RootKey> {
    let namespace = fs::read_link(format!("/proc/{process}/ns/mnt")).ok()?;
    let root = fs::metadata(format!("/proc/{process}/root")).ok()?;
    Some((namespace, root.dev(), root.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pid_in_the_innermost_namespace_is_the_process_s_own() {
        let status = "Name:\tnode\nUid:\t1000\t1001\t1000\t1000\nNSpid:\t4711\t12\t1\n";
        assert_eq!(own_pid_and_user(status), Some((1, 1001)));
        assert_eq!(own_pid_and_user("Name:\tnode\n"), None);
    }
}
