//! A file that output goes to. A whole one takes the place of an old one in one step, at its end, under the old one's
//! links, mode and owner. One that grows is written where it is: it can be read along, and keeps what it has.
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use crate::sys::files;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Nothing half written: all of it or what was there.
    Whole,
    Growing,
}

pub struct OutputFile {
    file: File,
    stage: Stage,
}

enum Stage {
    /// In its place, with the old content. A new file, which has a path here, goes again if nothing is ever written.
    Unbegun { created: Option<PathBuf> },
    /// In its place, being written.
    Begun,
    /// Without a name until it is complete, or under another.
    Apart { name: PathBuf, partial: PathBuf, is_named: bool },
}

/// As many links as the kernel follows.
const LINKS_MAX: usize = 40;

impl OutputFile {
    pub fn open(name: &Path, shape: Shape) -> io::Result<OutputFile> {
        let target = target(name);
        let existing = match File::options().write(true).open(&target) {
            Ok(existing) => existing,
            Err(error) if error.kind() == ErrorKind::NotFound => return OutputFile::new(target, shape),
            Err(error) => return Err(error),
        };
        let old = existing.metadata()?;
        // A device or a pipe cannot be replaced.
        if shape == Shape::Whole
            && old.is_file()
            && !is_of_a_process(&target)
            && let Ok(apart) = OutputFile::apart(target, Some(&old))
        {
            return Ok(apart);
        }
        let stage = if old.is_file() { Stage::Unbegun { created: None } } else { Stage::Begun };
        Ok(OutputFile { file: existing, stage })
    }

    fn new(name: PathBuf, shape: Shape) -> io::Result<OutputFile> {
        if shape == Shape::Whole {
            return OutputFile::apart(name, None);
        }
        let file = File::options().write(true).create_new(true).open(&name)?;
        Ok(OutputFile { file, stage: Stage::Unbegun { created: Some(name) } })
    }

    /// Errors: the folder takes no new file, or nobody may give it the old one's owner.
    fn apart(name: PathBuf, old: Option<&Metadata>) -> io::Result<OutputFile> {
        let mut partial = name.clone().into_os_string();
        partial.push(format!(".partial-{}", std::process::id()));
        let partial = PathBuf::from(partial);
        let folder = match name.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let mut options = File::options();
        // Until it has the old one's owner it is for nobody else.
        options.write(true).mode(if old.is_some() { 0o600 } else { 0o666 });
        let nameless = OpenOptions::clone(&options).custom_flags(libc::O_TMPFILE).open(folder);
        // Not every file system has it (NFS, older overlayfs).
        let (file, is_named) = match nameless {
            Ok(file) => (file, false),
            Err(_) => (options.create_new(true).open(&partial)?, true),
        };
        let apart = OutputFile { file, stage: Stage::Apart { name, partial, is_named } };
        if let Some(old) = old {
            let new = apart.file.metadata()?;
            if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
                fchown(&apart.file, Some(old.uid()), Some(old.gid()))?;
            }
            apart.file.set_permissions(old.permissions())?;
        }
        Ok(apart)
    }

    /// The old content goes.
    pub fn begin(&mut self) -> io::Result<()> {
        if matches!(self.stage, Stage::Unbegun { .. }) {
            self.file.set_len(0)?;
            self.stage = Stage::Begun;
        }
        Ok(())
    }

    /// Everything is written: it takes its name.
    pub fn finish(&mut self) -> io::Result<()> {
        self.begin()?;
        let Stage::Apart { name, partial, is_named } = &mut self.stage else { return Ok(()) };
        if !*is_named {
            match files::link(self.file.as_fd(), name) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                linked => {
                    linked?;
                    self.stage = Stage::Begun;
                    return Ok(());
                }
            }
            files::link(self.file.as_fd(), partial)?;
            *is_named = true;
        }
        fs::rename(partial, name)?;
        self.stage = Stage::Begun;
        Ok(())
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begin()?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        match &self.stage {
            Stage::Apart { partial: left, is_named: true, .. } | Stage::Unbegun { created: Some(left) } => {
                let _ = fs::remove_file(left);
            }
            _ => {}
        }
    }
}

/// Where the last link of a chain points to, whether or not that exists. What a process has open (/dev/stdout) is no
/// place in a folder: its link stays.
fn target(name: &Path) -> PathBuf {
    let mut path = name.to_owned();
    for _ in 0..LINKS_MAX {
        if is_of_a_process(&path) {
            break;
        }
        let Ok(to) = fs::read_link(&path) else { break };
        path = path.parent().unwrap_or(Path::new("")).join(to);
    }
    path
}

fn is_of_a_process(path: &Path) -> bool {
    path.parent().and_then(|folder| folder.canonicalize().ok()).is_some_and(|folder| folder.starts_with("/proc"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Folder {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let name = format!("spoor-sink-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).unwrap();
            Folder(path)
        }

        fn names(&self) -> Vec<String> {
            let mut names: Vec<_> =
                fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn write(name: &Path, shape: Shape) {
        let mut file = OutputFile::open(name, shape).unwrap();
        file.write_all(b"new").unwrap();
        file.finish().unwrap();
    }

    const SHAPES: [Shape; 2] = [Shape::Whole, Shape::Growing];

    #[test]
    fn a_link_stays_a_link_and_its_file_gets_the_output() {
        for shape in SHAPES {
            let folder = Folder::new();
            fs::write(folder.0.join("real"), "old and longer").unwrap();
            symlink("real", folder.0.join("link")).unwrap();
            symlink("missing", folder.0.join("dangling")).unwrap();
            for name in ["link", "dangling"] {
                write(&folder.0.join(name), shape);
                assert!(fs::symlink_metadata(folder.0.join(name)).unwrap().is_symlink());
            }
            for name in ["real", "missing"] {
                assert_eq!(fs::read_to_string(folder.0.join(name)).unwrap(), "new", "{shape:?}");
            }
            assert_eq!(folder.names(), ["dangling", "link", "missing", "real"]);
        }
    }

    #[test]
    fn an_existing_file_keeps_its_mode() {
        for shape in SHAPES {
            let folder = Folder::new();
            let name = folder.0.join("report");
            fs::write(&name, "old").unwrap();
            for mode in [0o600, 0o664] {
                fs::set_permissions(&name, fs::Permissions::from_mode(mode)).unwrap();
                write(&name, shape);
                assert_eq!(fs::metadata(&name).unwrap().mode() & 0o7777, mode, "{shape:?}");
            }
        }
    }

    #[test]
    fn a_whole_file_that_is_not_finished_leaves_the_old_one() {
        let folder = Folder::new();
        let name = folder.0.join("report");
        let unfinished = || OutputFile::open(&name, Shape::Whole).unwrap().write_all(b"half").unwrap();
        unfinished();
        assert!(folder.names().is_empty());
        fs::write(&name, "old").unwrap();
        unfinished();
        assert_eq!((fs::read_to_string(&name).unwrap().as_str(), folder.names().len()), ("old", 1));
    }

    #[test]
    fn a_growing_file_that_never_began_is_as_before() {
        let folder = Folder::new();
        let name = folder.0.join("events");
        drop(OutputFile::open(&name, Shape::Growing).unwrap());
        assert!(folder.names().is_empty());
        fs::write(&name, "old").unwrap();
        drop(OutputFile::open(&name, Shape::Growing).unwrap());
        assert_eq!(fs::read_to_string(&name).unwrap(), "old");
    }

    #[test]
    fn a_growing_file_can_be_read_along_and_keeps_what_it_has() {
        let folder = Folder::new();
        let name = folder.0.join("events");
        let mut file = OutputFile::open(&name, Shape::Growing).unwrap();
        file.write_all(b"first").unwrap();
        assert_eq!(fs::read_to_string(&name).unwrap(), "first");
        drop(file);
        assert_eq!(folder.names(), ["events"]);
    }

    #[test]
    fn a_file_that_appears_in_between_is_replaced() {
        let folder = Folder::new();
        let name = folder.0.join("report");
        let mut file = OutputFile::open(&name, Shape::Whole).unwrap();
        fs::write(&name, "somebody else's").unwrap();
        file.write_all(b"new").unwrap();
        file.finish().unwrap();
        drop(file);
        assert_eq!((fs::read_to_string(&name).unwrap().as_str(), folder.names().len()), ("new", 1));
    }

    #[test]
    fn a_device_is_written_to_and_stays() {
        for shape in SHAPES {
            write(Path::new("/dev/null"), shape);
        }
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}
