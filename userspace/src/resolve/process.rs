//! A process in, the files that it has code of out: its executable, then its libraries as it looks names up in them.
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::Advice;
use crate::symbolize::maps::{self, Kind, Mapping};

use super::link_map;
use super::module::{Code, Mapped, Module, below, identity};

/// Errors: no such process, one that has ended, one that we may not look into.
pub fn modules(pid: u32) -> Result<Vec<Module>, Advice> {
    let text = match fs::read(format!("/proc/{pid}/maps")) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return Err(Advice::new(
                format!("process {pid}: its maps may not be read"),
                "run it as root, with CAP_SYS_PTRACE, and not in a container beside it",
            ));
        }
        Err(_) => return Err(Advice::new(format!("process {pid}: no such process"), "ps -e lists what runs here")),
    };
    let root = root(pid);
    let mut modules: Vec<Module> = Vec::new();
    for mapping in maps::parse(&String::from_utf8_lossy(&text)) {
        if !matches!(mapping.kind, Kind::File(_)) {
            continue;
        }
        let code = Code { start: mapping.start, end: mapping.end, offset: mapping.offset };
        let Some((file, identity)) = reach(pid, &root, &mapping) else { continue };
        match modules.iter_mut().find(|module| module.identity == identity) {
            Some(known) => known.mapped.iter_mut().for_each(|mapped| mapped.code.push(code.clone())),
            None => modules.push(Module {
                file,
                path: mapping.file(),
                identity,
                root: root.clone(),
                mapped: Some(Mapped { pid, code: vec![code] }),
            }),
        }
    }
    if modules.is_empty() {
        // Kernel threads, and what has ended.
        return Err(Advice::new(format!("process {pid}: it has no code of a file"), "name another process, or a file"));
    }
    let executable = PathBuf::from(format!("/proc/{pid}/exe"));
    let executable = fs::metadata(&executable).ok().map(|found| identity(&executable, &found));
    let order = link_map::order(pid, &modules);
    // Without the linker's list: it maps one below the other, mostly.
    let place = |module: &Module| order.iter().position(|known| *known == module.identity).unwrap_or(usize::MAX);
    modules.reverse();
    modules.sort_by_key(|module| (Some(module.identity) != executable, place(module)));
    Ok(modules)
}

/// What `/` is to a process: ours, or as we reach it.
pub fn root(pid: u32) -> PathBuf {
    let key = |process: &str| {
        let namespace = fs::read_link(format!("/proc/{process}/ns/mnt")).ok()?;
        let root = fs::metadata(format!("/proc/{process}/root")).ok()?;
        Some((namespace, root.dev(), root.ino()))
    };
    let theirs = key(&pid.to_string());
    if theirs.is_some() && theirs == key("self") {
        return PathBuf::from("/");
    }
    format!("/proc/{pid}/root").into()
}

/// A path that leads to what is mapped, not to what has its name by now.
fn reach(pid: u32, root: &Path, mapping: &Mapping) -> Option<(PathBuf, (u64, u64))> {
    let path = mapping.file();
    let entry = format!("/proc/{pid}/map_files/{:x}-{:x}", mapping.start, mapping.end);
    let same = |found: &Metadata, is_ours: bool| {
        // btrfs and overlayfs show one device in the maps and another here.
        let same_device = (libc::major(found.dev()), libc::minor(found.dev())) == mapping.device;
        found.ino() == mapping.inode && (!is_ours || same_device)
    };
    let candidates = [
        (path.clone(), true),
        (below(root, &path), root == Path::new("/")),
        // For those without the capability that the last one needs.
        (format!("/proc/{pid}/exe").into(), false),
    ];
    let found = candidates.into_iter().find_map(|(path, is_ours)| {
        let found = fs::metadata(&path).ok().filter(|found| same(found, is_ours))?;
        let identity = identity(&path, &found);
        Some((path, identity))
    });
    found.or_else(|| {
        let path = PathBuf::from(&entry);
        let identity = identity(&path, &fs::metadata(&path).ok()?);
        Some((path, identity))
    })
}
