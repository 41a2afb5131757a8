//! A file whose symbols were stripped in, the file that has them out: by build id, then by the name it left.
use std::fs::{File, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::elf::{Bytes, Layout};

const DEBUG: &str = "usr/lib/debug";

/// Where the stripped file is: the root of its process, as we reach it, and its folder below that root.
pub struct Whereabouts {
    pub root: PathBuf,
    pub folder: PathBuf,
}

pub struct DebugFile {
    pub file: Arc<File>,
    pub layout: Layout,
}

pub fn find(stripped: &Layout, place: &Whereabouts) -> Option<DebugFile> {
    candidates(stripped, place).into_iter().find_map(|path| {
        let file = Arc::new(open_regular(&path)?);
        let bytes = Bytes::File(Arc::clone(&file));
        let layout = Layout::read(&bytes).filter(|layout| layout.symtab.is_some() || layout.has_dwarf)?;
        let belongs = match (&stripped.build_id, &layout.build_id) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => stripped.debuglink.as_ref().is_some_and(|(_, sum)| checksum(&bytes) == *sum),
        };
        belongs.then_some(DebugFile { file, layout })
    })
}

/// Source: gdb's manual, "Debugging Information in Separate Files".
fn candidates(stripped: &Layout, place: &Whereabouts) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = Vec::new();
    if let Some((first, rest)) = stripped.build_id.as_ref().and_then(|id| id.split_first()) {
        let hex: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
        let file = format!("{DEBUG}/.build-id/{first:02x}/{hex}.debug");
        paths.push(place.root.join(&file));
        // A container's files are often debugged from outside.
        paths.push(Path::new("/").join(&file));
    }
    if let Some((name, _)) = &stripped.debuglink
        && !name.contains(&b'/')
    {
        let name = std::ffi::OsStr::from_bytes(name);
        let folder = place.folder.strip_prefix("/").unwrap_or(&place.folder);
        // A folder below our root and not the process's is how the maps show what is in a chroot.
        for root in [&*place.root, Path::new("/")] {
            paths.push(root.join(folder).join(name));
            paths.push(root.join(folder).join(".debug").join(name));
            paths.push(root.join(DEBUG).join(folder).join(name));
        }
    }
    paths.dedup();
    paths
}

/// Opening a pipe could block, and opening a device could do anything.
pub fn open_regular(path: &Path) -> Option<File> {
    if !path.metadata().ok()?.is_file() {
        return None;
    }
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).ok()?;
    file.metadata().ok()?.is_file().then_some(file)
}

fn checksum(bytes: &Bytes) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    let mut chunk = vec![0; 256 << 10];
    let mut at = 0;
    loop {
        let count = bytes.read_at(at, &mut chunk);
        if count == 0 {
            return sum.finalize();
        }
        sum.update(&chunk[..count]);
        at += count as u64;
    }
}
