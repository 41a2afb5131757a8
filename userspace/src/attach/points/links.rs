//! Links between loaded programs and their points. What the kernel refuses is left out and named; the rest goes on.
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Result;

use super::{Group, How, Loaded, Numbered, support};
use crate::attach::features;
use crate::error::Advice;
use crate::resolve::Place;
use crate::sys::bpf::{self, UprobeMulti};
use crate::sys::files::MappedCode;
use crate::sys::perf::{self, ProbePlace};
use crate::sys::tracefs;

/// What holds the programs where they are. Dropping it takes them off.
#[derive(Default)]
pub struct Attached {
    /// Go at once.
    pub links: Vec<OwnedFd>,
    /// Take 0.1 s and more each.
    pub slow: Vec<OwnedFd>,
    /// Points that the kernel refused, and why.
    pub refused: Vec<Refused>,
}

/// A point by its function, and why it is none.
pub type Refused = (String, String);

impl Loaded {
    /// Attaches everything: returns before entries, so that an entry that is seen has its return seen.
    ///
    /// Errors: no privilege; nothing could be attached.
    pub fn attach(&self) -> Result<Attached> {
        let mut attached = Attached::default();
        for group in &self.groups {
            let mut members = group.members.clone();
            if let Some(leave) = &group.leave {
                members = self.attach_group(group, leave.as_fd(), true, &members, &mut attached)?;
            }
            self.attach_group(group, group.hit.as_fd(), false, &members, &mut attached)?;
        }
        if attached.links.is_empty()
            && attached.slow.is_empty()
            && let Some((function, why)) = attached.refused.first()
        {
            let is_of_kernel = |numbered: &Numbered| matches!(numbered.point.place, Place::Kernel { .. });
            if self.points.points.iter().all(is_of_kernel)
                && let Err(why) = support::kernel_functions()
            {
                let what = format!("attach to `{function}`: no function of the kernel can be traced here ({why})");
                let advice = "a tracepoint, such as tracepoint:sched:sched_switch: spoor list 'tracepoint:*:*'";
                return Err(Advice::new(what, advice).into());
            }
            let what = format!("attach to `{function}`: {why}");
            return Err(Advice::new(what, "another function; `spoor doctor` shows what can be attached to here").into());
        }
        Ok(attached)
    }

    /// Gives the members that could be attached to.
    fn attach_group(
        &self,
        group: &Group,
        program: BorrowedFd,
        at_return: bool,
        members: &[usize],
        attached: &mut Attached,
    ) -> Result<Vec<usize>> {
        match group.how {
            How::UprobeMulti => self.attach_files(program, at_return, members, attached),
            How::KprobeMulti => {
                let links = &mut attached.links;
                let mut link = |members: &[usize]| {
                    let symbols: Vec<CString> =
                        members.iter().map(|member| symbol(self.numbered(*member))).collect::<io::Result<_>>()?;
                    let symbols: Vec<&CStr> = symbols.iter().map(CString::as_c_str).collect();
                    let link = bpf::link_kprobes(program, &symbols, &self.cookies(members), at_return)?;
                    links.push(link);
                    Ok(())
                };
                self.halving(members, &mut link, &mut attached.refused)
            }
            _ => {
                let mut done = Vec::new();
                for member in members {
                    let numbered = self.numbered(*member);
                    match attach_one(group.how, numbered, program, at_return, self.confined.as_deref(), self.is_late) {
                        Ok(fds) => {
                            let held = if group.how.is_slow() { &mut attached.slow } else { &mut attached.links };
                            held.extend(fds);
                            done.push(*member);
                        }
                        Err(error) => self.refuse(*member, error, &mut attached.refused)?,
                    }
                }
                Ok(done)
            }
        }
    }

    /// A link for each file and process.
    fn attach_files(
        &self,
        program: BorrowedFd,
        at_return: bool,
        members: &[usize],
        attached: &mut Attached,
    ) -> Result<Vec<usize>> {
        let mut files: BTreeMap<&Path, Vec<usize>> = BTreeMap::new();
        for member in members {
            if let Place::User { file, .. } = &self.numbered(*member).point.place {
                files.entry(file).or_default().push(*member);
            }
        }
        let mut done = Vec::new();
        for (file, mut members) in files {
            let path = c_string(file.as_os_str().as_bytes())?;
            let link = |members: &[usize], pid: u32| {
                let places = members.iter().map(|member| match self.numbered(*member).point.place {
                    Place::User { offset, usdt, .. } => (offset, usdt.unwrap_or(0)),
                    _ => (0, 0),
                });
                let (offsets, semaphores): (Vec<u64>, Vec<u64>) = places.unzip();
                bpf::link_uprobes(
                    program,
                    &UprobeMulti {
                        path: &path,
                        offsets: &offsets,
                        cookies: &self.cookies(members),
                        semaphores: semaphores.iter().any(|at| *at != 0).then_some(semaphores.as_slice()),
                        pid: pid as i32,
                        at_return,
                    },
                )
            };
            let confined = self.confined.as_deref().filter(|_| support::uprobe_multi().exact);
            let pids = confined.unwrap_or(&[0]);
            // The kernel looks at an instruction when it is in a process's memory, and says nothing if that comes later.
            if !pids.iter().all(|pid| is_mapped(*pid, file))
                && let Ok(_mapped) = MappedCode::of(file)
            {
                let ours = std::process::id();
                members =
                    self.halving(&members, &mut |members| link(members, ours).map(drop), &mut attached.refused)?;
            }
            for pid in pids {
                let links = &mut attached.links;
                let mut link = |members: &[usize]| link(members, *pid).map(|link| links.push(link));
                members = self.halving(&members, &mut link, &mut attached.refused)?;
            }
            done.extend(members);
        }
        Ok(done)
    }

    /// One link for all, or where one of them is refused, for the halves: in the end it stands alone. Gives those that are
    /// linked.
    fn halving(
        &self,
        members: &[usize],
        link: &mut dyn FnMut(&[usize]) -> io::Result<()>,
        refused: &mut Vec<Refused>,
    ) -> Result<Vec<usize>> {
        if members.is_empty() {
            return Ok(Vec::new());
        }
        match link(members) {
            Ok(()) => Ok(members.to_vec()),
            Err(error) if members.len() == 1 || is_about_all(&error) => {
                self.refuse(members[0], error, refused)?;
                Ok(Vec::new())
            }
            Err(_) => {
                let (first, second) = members.split_at(members.len() / 2);
                let mut done = self.halving(first, link, refused)?;
                done.extend(self.halving(second, link, refused)?);
                Ok(done)
            }
        }
    }

    /// Errors: what is refused for all of them.
    fn refuse(&self, member: usize, error: io::Error, refused: &mut Vec<Refused>) -> Result<()> {
        let function = &self.numbered(member).point.function;
        if is_about_all(&error) {
            let what = format!("attach to `{function}`");
            return Err(features::refused(anyhow::Error::new(error).context(what)));
        }
        refused.push((function.clone(), why(&error, &self.numbered(member).point.place)));
        Ok(())
    }

    fn numbered(&self, member: usize) -> &Numbered {
        &self.points.points[member]
    }

    fn cookies(&self, members: &[usize]) -> Vec<u64> {
        members.iter().map(|member| self.numbered(*member).cookie).collect()
    }
}

/// Whether a process has this file in its memory now. Nobody in particular has: 0.
fn is_mapped(pid: u32, file: &Path) -> bool {
    let Ok(inode) = std::fs::metadata(file).map(|file| file.ino().to_string()) else { return false };
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    maps.lines().any(|line| line.split_ascii_whitespace().nth(4) == Some(&inode))
}

/// Neither privilege nor memory is a matter of one point.
fn is_about_all(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES | libc::ENOMEM | libc::EMFILE | libc::ENFILE))
}

/// What the kernel's errors mean here.
fn why(error: &io::Error, place: &Place) -> String {
    /// What the kernel says to an instruction that it cannot run elsewhere; no error of user space.
    const ENOTSUPP: i32 = 524;
    let is_inside = matches!(place, Place::Kernel { offset: 1.., .. });
    let not_here = match is_inside {
        true => "no probe can be put on the instruction there",
        false => "no probe can be put on its first instruction",
    };
    let meaning = match error.raw_os_error() {
        Some(ENOTSUPP) => return not_here.to_owned(),
        Some(libc::EILSEQ) if is_inside => "no instruction begins there",
        Some(libc::EINVAL | libc::EOPNOTSUPP | libc::EILSEQ) => not_here,
        Some(libc::ENOENT | libc::ESRCH) => "the kernel does not let it be probed, or it is gone",
        Some(libc::EADDRNOTAVAIL) => "several functions have that name",
        Some(libc::EBUSY | libc::EEXIST) => "it is being patched by another tool",
        _ => return error.to_string(),
    };
    format!("{meaning} ({error})")
}

/// `pids`: the only processes that a probe of user space is put into. `is_late`: they run something else as yet.
fn attach_one(
    how: How,
    numbered: &Numbered,
    program: BorrowedFd,
    at_return: bool,
    pids: Option<&[u32]>,
    is_late: bool,
) -> io::Result<Vec<OwnedFd>> {
    match (&numbered.point.place, how) {
        (Place::Kernel { .. }, How::Fentry) => Ok(vec![bpf::raw_tracepoint_open(None, program)?]),
        (Place::Kernel { offset, .. }, _) => {
            let place = ProbePlace::Kernel { symbol: &symbol(numbered)?, offset: *offset };
            listen(perf::open_probe(place, at_return, None)?, numbered.cookie, program)
        }
        (Place::User { file, offset, usdt, .. }, _) => {
            let path = c_string(file.as_os_str().as_bytes())?;
            // So that the kernel looks at the instruction now.
            let mapped = MappedCode::of(file);
            let place = ProbePlace::File { path: &path, offset: *offset, semaphore: usdt.unwrap_or(0) };
            let Some(pids) = pids else {
                return listen(perf::open_probe(place, at_return, None)?, numbered.cookie, program);
            };
            // In ours, where the target has it not. Before its first instruction a command has nothing, and each look takes
            // 0.1 s: there what cannot be probed is not told.
            if !is_late && mapped.is_ok() && !pids.iter().all(|pid| is_mapped(*pid, file)) {
                drop(perf::open_probe(place, at_return, Some(std::process::id()))?);
            }
            let mut held = Vec::new();
            for pid in pids {
                held.extend(listen(perf::open_probe(place, at_return, Some(*pid))?, numbered.cookie, program)?);
            }
            Ok(held)
        }
        (Place::Tracepoint { group, event }, _) => {
            let id = tracefs::read(&format!("events/{group}/{event}/id"))?;
            let id = id.trim().parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
            Ok(vec![perf::attach_tracepoint(id, program)?])
        }
    }
}

/// With a cookie where the kernel keeps them.
fn listen(event: OwnedFd, cookie: u64, program: BorrowedFd) -> io::Result<Vec<OwnedFd>> {
    if support::cookies() {
        let link = bpf::link_perf_event(program, event.as_fd(), cookie)?;
        perf::enable(&event)?;
        return Ok(vec![link, event]);
    }
    perf::listen(&event, program)?;
    Ok(vec![event])
}

fn symbol(numbered: &Numbered) -> io::Result<CString> {
    match &numbered.point.place {
        Place::Kernel { symbol, .. } => c_string(symbol.as_bytes()),
        _ => Err(io::Error::from(io::ErrorKind::InvalidInput)),
    }
}

fn c_string(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}
