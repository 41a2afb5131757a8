//! A file of code as its process calls it and as spoor reaches it.
use std::fs::{self, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use crate::symbolize::debug_file::Whereabouts;
use crate::sys::files::is_overlaid;

/// As many as the kernel follows.
const MOST_LINKS: usize = 40;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// What it is opened by, and what a probe is attached by.
    pub file: PathBuf,
    /// Below its process's root; without symbolic links.
    pub path: PathBuf,
    /// As [`identity`] has it: many paths lead to one file.
    pub identity: (u64, u64),
    /// What `/` is to its process, as spoor reaches it.
    pub root: PathBuf,
    pub mapped: Option<Mapped>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped {
    pub pid: u32,
    /// By address.
    pub code: Vec<Code>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    pub start: u64,
    pub end: u64,
    /// Of its first byte, in the file.
    pub offset: u64,
}

impl Module {
    /// A file that nobody needs to have mapped. None: there is no such file.
    pub fn of_path(root: &Path, path: &Path) -> Option<Module> {
        let path = follow(root, path)?;
        let file = below(root, &path);
        let found = fs::metadata(&file).ok().filter(|found| found.is_file())?;
        let identity = identity(&file, &found);
        Some(Module { file, path, identity, root: root.to_path_buf(), mapped: None })
    }

    /// Without folders.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned()
    }

    pub fn whereabouts(&self) -> Whereabouts {
        Whereabouts { root: self.root.clone(), folder: self.path.parent().unwrap_or(Path::new("/")).to_path_buf() }
    }

    /// Whether people mean it by `short`: its name, `libc` of `libc.so.6` and `libc-2.31.so`.
    pub fn is_called(&self, short: &str) -> bool {
        is_called(&self.name(), short)
    }
}

pub fn is_called(name: &str, short: &str) -> bool {
    if name == short {
        return true;
    }
    // musl has libc and the dynamic linker in one file.
    if short == "libc" && name.starts_with("ld-musl-") {
        return true;
    }
    let Some(rest) = name.strip_prefix(short).filter(|_| !short.is_empty()) else { return false };
    let is_ending = |rest: &str| rest == ".so" || rest.starts_with(".so.");
    if is_ending(rest) {
        return true;
    }
    let version = rest.strip_prefix('-').filter(|version| version.starts_with(|c: char| c.is_ascii_digit()));
    version.is_some_and(|version| {
        let end = version.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(version.len());
        // The dot belongs to `.so`.
        let end = version[..end].trim_end_matches('.').len();
        is_ending(&version[end..])
    })
}

/// Device and inode. Containers of one image have a device each for the file that they share, and the kernel puts probes into
/// the shared one: on an overlay, whose inodes have the numbers of those below, size and times stand for the device.
pub fn identity(file: &Path, found: &Metadata) -> (u64, u64) {
    /// No device has it.
    const OVERLAID: u64 = 1 << 63;
    if !is_overlaid(file) {
        return (found.dev(), found.ino());
    }
    let mut hasher = DefaultHasher::new();
    let times = [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()];
    (found.size(), times).hash(&mut hasher);
    (hasher.finish() | OVERLAID, found.ino())
}

/// The path without symbolic links, which are taken as a process with this root takes them.
fn follow(root: &Path, path: &Path) -> Option<PathBuf> {
    if root == Path::new("/") {
        return path.canonicalize().ok();
    }
    let mut done = PathBuf::from("/");
    let mut rest: Vec<PathBuf> = parts(path);
    let mut links = 0;
    while let Some(part) = rest.pop() {
        if part == Path::new("..") {
            done.pop();
            continue;
        }
        let here = done.join(&part);
        match fs::read_link(below(root, &here)) {
            Ok(target) => {
                links += 1;
                if links > MOST_LINKS {
                    return None;
                }
                if target.is_absolute() {
                    done = PathBuf::from("/");
                }
                rest.extend(parts(&target));
            }
            Err(_) => done = here,
        }
    }
    Some(done)
}

/// From the last one on.
fn parts(path: &Path) -> Vec<PathBuf> {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(PathBuf::from(name)),
        Component::ParentDir => Some(PathBuf::from("..")),
        _ => None,
    });
    parts.rev().collect()
}

pub fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn short_names_leave_out_version_and_ending() {
        for (name, short) in [
            ("libc.so.6", "libc"),
            ("libc-2.31.so", "libc"),
            ("libc.so.6", "libc.so.6"),
            ("ld-musl-x86_64.so.1", "libc"),
            ("libstdc++.so.6.0.30", "libstdc++"),
            ("libglib-2.0.so.0.7400.6", "libglib"),
            ("libglib-2.0.so.0.7400.6", "libglib-2.0"),
            ("libm.so", "libm"),
            ("nginx", "nginx"),
        ] {
            assert!(is_called(name, short), "{name} {short}");
        }
        for (name, short) in [
            ("libc.so.6", "c"),
            ("libc.so.6", "lib"),
            ("libc.so.6", ""),
            ("libcrypt.so.1", "libc"),
            ("libc-client.so.2007e", "libc"),
            ("libc-2.31.sox", "libc"),
            ("libc-2.31", "libc"),
            ("libc.so.6", "libc.s"),
            ("libm.source", "libm"),
        ] {
            assert!(!is_called(name, short), "{name} {short}");
        }
    }

    /// A root with `/real/lib.so.1`, `/link -> /real` and `/real/lib.so -> ../link/lib.so.1`.
    #[test]
    fn links_stay_below_the_root_of_the_process() {
        let root = std::env::temp_dir().join(format!("spoor-module-{}", std::process::id()));
        fs::create_dir_all(root.join("real")).unwrap();
        fs::write(root.join("real/lib.so.1"), "").unwrap();
        symlink("/real", root.join("link")).unwrap();
        symlink("../link/lib.so.1", root.join("real/lib.so")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let found = Module::of_path(&root, Path::new("/link/lib.so")).unwrap();
        assert_eq!((found.path.as_path(), found.name().as_str()), (Path::new("/real/lib.so.1"), "lib.so.1"));
        assert_eq!(found.file, root.join("real/lib.so.1"));
        assert_eq!(Module::of_path(&root, Path::new("/../../link/lib.so")).unwrap(), found);
        assert_eq!(Module::of_path(&root, Path::new("/loop")), None);
        assert_eq!(Module::of_path(&root, Path::new("/real")), None);
        assert_eq!(Module::of_path(&root, Path::new("/real/none")), None);
        fs::remove_dir_all(&root).unwrap();
    }
}
