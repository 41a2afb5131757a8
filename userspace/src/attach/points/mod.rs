//! Points of function probes: how each is attached here, the programs that serve it, the links.
mod links;
mod own_stack;
pub mod support;

use std::collections::{BTreeMap, HashMap};
use std::ffi::CString;
use std::os::fd::OwnedFd;

use anyhow::Result;

use super::features::{Refusal, Support};
use super::target::Target;
use crate::error::Advice;
use crate::program::argument::{Used, Value};
use crate::program::codegen::site::{Context, Cookie, Leave, Operand, Site};
use crate::program::insn::Insn;
use crate::providers::{PointPrograms, Provider};
use crate::resolve::{Place, Point};
use crate::sys::bpf::{self, ProgramSpec};
pub use links::Attached;

/// What is to be attached to.
#[derive(Debug, Clone, Default)]
pub struct Points {
    pub points: Vec<Numbered>,
    /// Their entries are noted and their returns fire; else it fires where they are.
    pub returns: bool,
    /// However long it takes to detach.
    pub may_be_slow: bool,
}

impl Points {
    /// For each text that a clause names, the bytes that it has at most.
    pub fn text_rooms(&self, used: &Used) -> Vec<u32> {
        let room = |number: &u16| {
            let rooms = self.points.iter().map(|point| match point.operands.get(number) {
                Some(Operand { value: Value::RecordText(_), bytes, .. }) => *bytes,
                _ => u32::MAX,
            });
            rooms.max().unwrap_or(u32::MAX)
        };
        used.texts.iter().map(room).collect()
    }
}

/// A point with what its firings say.
#[derive(Debug, Clone)]
pub struct Numbered {
    pub point: Point,
    pub cookie: u64,
    /// Its arguments by their numbers.
    pub operands: BTreeMap<u16, Operand>,
    /// What its return is like.
    pub leave: Leave,
    /// For fentry: the function's id in the kernel's BTF, and how many parameters it has.
    pub typed: Option<(u32, u8)>,
}

/// A way to attach to a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum How {
    /// One link for all points of a file. Kernel: 6.6.
    UprobeMulti,
    /// A perf event each, which takes long to close.
    Uprobe,
    /// A call that the function begins with is patched in. Kernel: 5.5.
    Fentry,
    /// One link for all functions. Kernel: 5.18.
    KprobeMulti,
    Kprobe,
    Tracepoint,
}

impl How {
    pub fn name(self) -> &'static str {
        match self {
            How::UprobeMulti => "uprobe.multi",
            How::Uprobe => "perf uprobe",
            How::Fentry => "fentry",
            How::KprobeMulti => "kprobe.multi",
            How::Kprobe => "perf kprobe",
            How::Tracepoint => "tracepoint",
        }
    }

    /// Points of this kind are detached one by one.
    pub fn is_slow(self) -> bool {
        matches!(self, How::Uprobe | How::Kprobe)
    }
}

/// Up to so many functions have a patched-in call each, which costs least when it is hit and most to attach.
pub const FENTRY_MAX: usize = 4;

/// Up to so many are detached one by one without asking.
const SLOW_MAX: usize = 20;
/// Measured on 5.10 to 6.1: what it takes to detach one.
const SLOW_SECONDS: f64 = 0.15;

/// Programs for points that can share them.
struct Group {
    how: How,
    hit: OwnedFd,
    leave: Option<OwnedFd>,
    /// Numbers of its points.
    members: Vec<usize>,
}

/// All programs, loaded.
pub struct Loaded {
    points: Points,
    groups: Vec<Group>,
    confined: Option<Vec<u32>>,
    /// The target is a command that has not begun.
    is_late: bool,
}

/// What a program is made of: its instructions for a site.
pub trait Source {
    fn instructions(&self, program: &str, site: &Site) -> Result<Vec<Insn>>;
    fn license(&self) -> &CString;
}

impl Loaded {
    /// Errors: [`Refusal`] where the kernel refuses a program; more points than can be detached in a reasonable time.
    pub fn new(
        points: &Points,
        target: &Target,
        used: &Used,
        provider: &Provider,
        programs: PointPrograms,
        source: &impl Source,
        whole_log: bool,
    ) -> Result<Loaded> {
        let mut hows = ways(points);
        let confined = confined(target);
        check_slow(points, &hows, confined.as_ref().map_or(1, Vec::len))?;
        let mut loaded =
            Loaded { points: points.clone(), groups: Vec::new(), confined, is_late: target.command.is_some() };
        let all: Vec<usize> = (0..points.points.len()).collect();
        let mut waiting = grouped(points, &hows, used, &all)?;
        waiting.reverse();
        while let Some((how, site, members)) = waiting.pop() {
            let first = &points.points[members[0]];
            let load = |name: &str, site: &Site, at_return: bool| -> Result<OwnedFd> {
                let insns = source.instructions(name, site)?;
                // Kernels with stacks to share attach to user space in no other way.
                let (insns, _others) = match how {
                    How::UprobeMulti => own_stack::on_own_stack(insns).map(|(insns, others)| (insns, Some(others)))?,
                    _ => (insns, None),
                };
                let (program_type, attach_type) = kind(how, at_return);
                let attach_btf_id = first.typed.filter(|_| how == How::Fentry).map_or(0, |(id, _)| id);
                let license = source.license();
                let spec = ProgramSpec { name, program_type, attach_type, attach_btf_id, insns: &insns, license };
                let log = how != How::Fentry || whole_log;
                Ok(bpf::prog_load(&spec, log)
                    .map_err(|error| Refusal::load(provider, &first.point.function, error, whole_log))?)
            };
            let leaving = Site { leaves: Some(first.leave), ..site.clone() };
            let programs = if points.returns {
                load(programs.enter, &site, false)
                    .and_then(|enter| Ok((enter, Some(load(programs.leave, &leaving, true)?))))
            } else {
                load(programs.hit, &site, false).map(|hit| (hit, None))
            };
            match programs {
                Ok((hit, leave)) => loaded.groups.push(Group { how, hit, leave, members }),
                // Another way may be open where this one is not.
                Err(_) if how == How::Fentry => {
                    members.iter().for_each(|member| hows[*member] = kprobes());
                    waiting.extend(grouped(points, &hows, used, &members)?);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(loaded)
    }

    /// Ways that were taken.
    pub fn ways(&self) -> Vec<How> {
        let mut ways: Vec<How> = self.groups.iter().map(|group| group.how).collect();
        ways.sort_unstable();
        ways.dedup();
        ways
    }

    pub fn programs(&self) -> impl Iterator<Item = (&'static str, &OwnedFd)> {
        self.groups.iter().flat_map(|group| {
            std::iter::once((group.how.name(), &group.hit))
                .chain(group.leave.iter().map(|leave| (group.how.name(), leave)))
        })
    }
}

/// Whether probes of user space are put into the target alone.
pub fn is_confined(target: &Target) -> bool {
    let by_kernel = support::uprobe_multi();
    confined(target).is_some() && (by_kernel.exact || by_kernel.multi != Support::Yes)
}

/// Whether points of this target come from it alone, before programs are loaded.
pub fn will_be_exact(points: &Points, target: &Target) -> bool {
    confined(target).is_some_and(|pids| pids.len() == 1)
        && support::uprobe_multi().exact
        && target.tids.is_empty()
        && target.cgroups.is_empty()
        && ways(points).iter().all(|how| *how == How::UprobeMulti)
}

/// The processes that probes of user space are put into; None: all.
fn confined(target: &Target) -> Option<Vec<u32>> {
    /// A link each.
    const MOST: usize = 8;
    let pids = target.processes();
    (!target.follow && (1..=MOST).contains(&pids.len())).then_some(pids)
}

fn ways(points: &Points) -> Vec<How> {
    let kernel = points.points.iter().filter(|point| matches!(point.point.place, Place::Kernel { .. })).count();
    let way = |numbered: &Numbered| match &numbered.point.place {
        Place::User { .. } if support::uprobe_multi().multi == Support::Yes => How::UprobeMulti,
        Place::User { .. } => How::Uprobe,
        // The links of many are at the beginnings of functions only.
        Place::Kernel { offset: 1.., .. } => How::Kprobe,
        Place::Kernel { .. } if kernel <= FENTRY_MAX && numbered.typed.is_some() => How::Fentry,
        Place::Kernel { .. } => kprobes(),
        Place::Tracepoint { .. } => How::Tracepoint,
    };
    points.points.iter().map(way).collect()
}

fn kprobes() -> How {
    if *support::kprobe_multi() == Support::Yes { How::KprobeMulti } else { How::Kprobe }
}

fn check_slow(points: &Points, hows: &[How], processes: usize) -> Result<()> {
    let slow = hows.iter().filter(|how| how.is_slow()).count() * processes;
    if slow <= SLOW_MAX || points.may_be_slow {
        return Ok(());
    }
    let seconds = (slow as f64 * SLOW_SECONDS * if points.returns { 2.0 } else { 1.0 }).ceil();
    Err(Advice::new(
        format!("{slow} points: this kernel detaches them one by one, which takes about {seconds} s"),
        "--slow-detach if that does not matter, or a narrower pattern",
    )
    .into())
}

/// Points that the same program serves: attached alike, with their arguments in the same places, and results as wide.
fn grouped(points: &Points, hows: &[How], used: &Used, members: &[usize]) -> Result<Vec<(How, Site, Vec<usize>)>> {
    let mut groups: Vec<(How, Site, Vec<usize>)> = Vec::new();
    let mut places: HashMap<(How, Site, Option<Leave>), usize> = HashMap::new();
    for member in members {
        let (how, numbered) = (hows[*member], &points.points[*member]);
        let site = site(how, numbered, used)?;
        let result = points.returns.then_some(numbered.leave);
        let place = *places.entry((how, site.clone(), result)).or_insert_with(|| {
            groups.push((how, site, Vec::new()));
            groups.len() - 1
        });
        groups[place].2.push(*member);
    }
    // Asking the kernel for the cookie costs a call.
    for (_, site, members) in &mut groups {
        if let [alone] = members[..] {
            site.cookie = Cookie::Constant(points.points[alone].cookie);
        }
    }
    Ok(groups)
}

fn site(how: How, numbered: &Numbered, used: &Used) -> Result<Site> {
    let one_by_one = match how {
        How::UprobeMulti | How::KprobeMulti => false,
        How::Uprobe | How::Kprobe => !support::cookies(),
        How::Fentry | How::Tracepoint => true,
    };
    let operand = |number: &u16| {
        numbered.operands.get(number).copied().ok_or_else(|| {
            let what = format!("`{}` has no such argument as the expression names", numbered.point.function);
            anyhow::Error::from(Advice::new(what, "a pattern whose points all have it"))
        })
    };
    Ok(Site {
        context: match (how, numbered.typed) {
            (How::Fentry, Some((_, parameters))) => Context::Words { parameters },
            (How::Tracepoint, _) => Context::Record,
            _ => Context::Registers,
        },
        cookie: if one_by_one { Cookie::Constant(numbered.cookie) } else { Cookie::Kept },
        arguments: used.arguments.iter().map(operand).collect::<Result<_>>()?,
        leaves: None,
    })
}

fn kind(how: How, at_return: bool) -> (u32, u32) {
    match how {
        How::UprobeMulti => (bpf::PROG_TYPE_KPROBE, bpf::ATTACH_TRACE_UPROBE_MULTI),
        How::KprobeMulti => (bpf::PROG_TYPE_KPROBE, bpf::ATTACH_TRACE_KPROBE_MULTI),
        How::Uprobe | How::Kprobe => (bpf::PROG_TYPE_KPROBE, 0),
        How::Fentry if at_return => (bpf::PROG_TYPE_TRACING, bpf::ATTACH_TRACE_FEXIT),
        How::Fentry => (bpf::PROG_TYPE_TRACING, bpf::ATTACH_TRACE_FENTRY),
        How::Tracepoint => (bpf::PROG_TYPE_TRACEPOINT, 0),
    }
}
