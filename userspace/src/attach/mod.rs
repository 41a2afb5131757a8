//! From a plan to programs that run: objects, clauses linked in, targets, links. Names the kernel's refusals.
pub mod arch;
pub mod budget;
pub mod features;
pub mod listed;
pub mod object;
pub mod path;
pub mod points;
mod probes;
pub mod runs;
pub mod sampling;
pub mod tables;
pub mod target;
pub mod verifier;
pub mod walk;
pub mod witness;

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};
use probes_common::clause::{CLAUSE_MARKER, EXCHANGE_MARKER, PREDICATE_MARKER};
use probes_common::loss::{LOSS_KINDS, LossKind};

use crate::btf::{Btf, Found};
use crate::program::argument::Used;
use crate::program::codegen::site::Site;
use crate::program::codegen::{self, Shape};
use crate::program::insn::{Insn, MapName};
use crate::program::splice::Part;
use crate::program::tree::Clause;
use crate::providers::{At, Kernel, Probe, Provider, Whose};
use crate::sys::{bpf, perf, process, tracefs};
use budget::Limits;
use features::Refusal;
use object::{ClauseMaps, Linked, Maps};
use path::{Hook, Path};
use points::{Attached, Loaded, Points};
use probes_common::walk::{Span, Standing};
use sampling::{Samplers, Sampling};
use tables::Tables;
use target::Target;
use walk::Walkers;
use zerocopy::IntoBytes;

/// The map of stacks, where a provider takes them.
pub const STACKS: &str = "STACKS";

/// One clause to be enabled on one provider.
pub struct Request<'a> {
    pub provider: &'static Provider,
    pub clause: &'a Clause,
    pub target: &'a Target,
    pub limits: Limits,
    /// Tables are exchanged at the end of each interval.
    pub intervals: bool,
    pub ring_bytes: u32,
    /// What is asked for beside what the clause needs.
    pub facts: u32,
    /// For a provider that samples.
    pub sampling: Option<Sampling>,
    /// For a provider of functions.
    pub points: Option<&'a Points>,
    /// Print the whole of what the verifier says.
    pub verifier_log: bool,
}

/// Loaded programs with their maps. Dropping it detaches everything.
pub struct Enabled {
    pub maps: Maps,
    pub tables: Option<Tables>,
    pub ring: Option<OwnedFd>,
    pub shape: Shape,
    pub path: Path,
    pub facts: u32,
    programs: Vec<Program>,
    links: Vec<OwnedFd>,
    walkers: Option<Walkers>,
    witness: Option<witness::Loaded>,
    sampler: Option<(OwnedFd, Sampling)>,
    points: Option<Loaded>,
    attached: Attached,
    samplers: Option<Samplers>,
    /// At the end of the samplers.
    samples_due: Option<u64>,
}

/// A loaded program and what it is for.
struct Program {
    probe: Probe,
    hook: Hook,
    program: OwnedFd,
}

impl Program {
    fn attach(&self) -> Result<OwnedFd> {
        let program = self.program.as_fd();
        let link = match (self.hook, self.probe.classic) {
            (Hook::Classic, Some(classic)) => {
                let id = tracefs::read(&format!("events/{}/id", classic.event)).context("read tracefs")?;
                perf::attach_tracepoint(id.trim().parse().context("read tracefs")?, program)
            }
            (Hook::Raw, _) => {
                let name = CString::new(self.probe.name).expect("a tracepoint's name has no NUL");
                bpf::raw_tracepoint_open(Some(&name), program)
            }
            _ => bpf::raw_tracepoint_open(None, program),
        };
        link.map_err(Into::into)
    }
}

struct ClauseDescriptors<'a> {
    tables: Option<&'a Tables>,
    ring: Option<&'a OwnedFd>,
    constants: Option<&'a OwnedFd>,
    loss: BorrowedFd<'a>,
}

impl ClauseMaps for ClauseDescriptors<'_> {
    fn descriptor(&self, name: MapName) -> Option<BorrowedFd<'_>> {
        match name {
            MapName::Table | MapName::Dense | MapName::Front | MapName::Other => self.tables?.descriptor(name),
            MapName::Constants => self.constants.map(AsFd::as_fd),
            MapName::Loss => Some(self.loss),
            MapName::Ring => self.ring.map(AsFd::as_fd),
        }
    }
}

/// Loads everything, attaches nothing. Tries the ways that kernels know from the best to the plainest.
///
/// Errors: [`Refusal`] where the kernel says no, with what to do about it.
pub fn enable(request: &Request) -> Result<Enabled> {
    let provider = request.provider;
    let facts = provider.facts(request.clause) | request.facts;
    let probes = (provider.probes)(facts, request.target.listed().is_some());
    let found = look_up(provider, &probes);
    let probes = probes::choose(probes, &found)?;
    let elsewhere: Option<Vec<Probe>> =
        target::in_container().then(|| probes.iter().copied().flat_map(Probe::elsewhere).collect());
    let not_preempted: &[Probe] = elsewhere.as_ref().unwrap_or(&probes);
    let needs_types = provider.walk.is_some() || probes.iter().any(|probe| probe.raw.is_none());
    let mut refusal = None;
    for path in Path::candidates(&found, !probes.is_empty()).into_iter().filter(|path| !needs_types || path.is_typed())
    {
        let probes = if path.hook == Hook::Classic { not_preempted } else { &probes };
        match enable_by(path, request, facts, probes, &found) {
            Ok(enabled) => return Ok(enabled),
            Err(error) => match error.downcast::<Refusal>() {
                // The best way's refusal says the most, unless it was only not to be had.
                Ok(refused) if refused.is_final() => return Err(refused.into()),
                Ok(refused) => refusal = Some(refusal.unwrap_or(refused)),
                Err(other) => return Err(features::refused(other)),
            },
        }
    }
    Err(refusal.map_or_else(|| anyhow::anyhow!("no way to attach `{}`", provider.name), Into::into))
}

fn look_up(provider: &Provider, probes: &[Probe]) -> Found {
    let (mut tracepoints, mut functions) = probes::names(probes);
    tracepoints.push("sys_enter");
    let members: Vec<_> = arch::MEMBERS.iter().chain(&target::MEMBERS).chain(provider.members).copied().collect();
    functions.extend(provider.walk.map(|_| walk::FUNCTION));
    functions.extend(provider.witness.map(|witness| witness.function));
    Btf::of_running_kernel().map(|btf| btf.look_up(&tracepoints, &members, &functions)).unwrap_or_default()
}

fn enable_by(path: Path, request: &Request, facts: u32, probes: &[Probe], found: &Found) -> Result<Enabled> {
    let provider = request.provider;
    if path.hook != Hook::Raw && probes.iter().any(|probe| probes::id(probe, found).is_none()) {
        return Err(Refusal::not_here("the kernel has no BTF").into());
    }
    let memory = tables::machine(found);
    let machine = machine(request, path, found, memory);
    let (predicate, compiled) = match provider.points {
        Some(_) => {
            codegen::compile_parts(request.clause, &machine).map(|(predicate, action)| (Some(predicate), action))?
        }
        None => (None, codegen::compile(request.clause, &machine)?),
    };
    let text_rooms = request.points.map(|points| points.text_rooms(&machine.used)).unwrap_or_default();
    let kernel = Kernel { btf: found.clone(), task_direct: path.task_direct, used: machine.used.clone(), text_rooms };
    let exchange = codegen::site::exchange(machine.compare_exchange)?;
    let mut parts =
        vec![Part { marker: CLAUSE_MARKER, code: &compiled.code }, Part { marker: EXCHANGE_MARKER, code: &exchange }];
    parts.extend(predicate.as_ref().map(|code| Part { marker: PREDICATE_MARKER, code }));

    // Shared by all providers; a program that has no use for one does not have it.
    let mut shared = request.target.globals(found);
    shared.push(("TASK_DIRECT", u32::from(path.task_direct).to_ne_bytes().to_vec()));
    shared.push(("HEAD_WANTED", u32::from(provider.needs_head(request.clause, facts)).to_ne_bytes().to_vec()));
    shared.push(("VERDICT_KEPT", u32::from(path.is_never_preempted()).to_ne_bytes().to_vec()));
    let all_meant = request.points.is_some_and(|points| points::will_be_exact(points, request.target))
        && facts == 0
        && !provider.needs_head(request.clause, facts);
    let confined = request.points.is_some() && points::is_confined(request.target);
    shared.push(("CONFINED", u32::from(confined).to_ne_bytes().to_vec()));
    shared.push(("ALL_MEANT", u32::from(all_meant).to_ne_bytes().to_vec()));
    shared.push(("EXCHANGES", u32::from(machine.compare_exchange).to_ne_bytes().to_vec()));
    shared.push(("TASK_PT_REGS", u32::from(path.task_pt_regs).to_ne_bytes().to_vec()));
    shared.extend(arch::globals(found));
    let own = (provider.globals)(&kernel, facts);
    let mut entries = request.target.map_entries();
    entries.extend((provider.map_entries)(facts));
    entries.push((STACKS, budget::stacks(request.limits, memory)));
    let mut on_demand: Vec<&str> = Vec::new();
    if memory.on_demand {
        on_demand.push(STACKS);
        on_demand.extend(provider.large_values.map(|(map, _)| map));
    } else {
        entries.extend(provider.large_values);
    }
    let linked = Linked::new(provider.object, &shared, &own, &entries, &on_demand)?;
    if memory.on_demand
        && let Some(stacks) = linked.maps.get(STACKS)
    {
        tables::warm(stacks.as_fd())?;
    }
    request.target.fill(linked.map("TARGETS")?, linked.map("CGROUPS")?)?;
    for (map, key, value) in (provider.map_contents)(facts) {
        bpf::map_update(linked.map(map)?, &key, &value).with_context(|| format!("fill map `{map}`"))?;
    }

    let constants = constants_map(&compiled.constants).context("create the clause's constants")?;
    let (tables, ring) = match &compiled.shape {
        Shape::Table { key_bytes, layout, dense, front } => {
            let tables = Tables::new(*key_bytes, layout.bytes(), (*dense, *front), request, found)?;
            (Some(tables), None)
        }
        Shape::Stream { .. } => (None, Some(ring(request.ring_bytes)?)),
    };
    let descriptors = ClauseDescriptors {
        tables: tables.as_ref(),
        ring: ring.as_ref(),
        constants: constants.as_ref(),
        loss: linked.map("LOSS")?,
    };
    let mut programs = Vec::new();
    for probe in probes {
        let (hook, name) = match (path.hook, probe.classic) {
            _ if probe.at == At::Entry => (Hook::Entry, probe.typed),
            _ if probe.at == At::Return => (Hook::Return, probe.typed),
            (Hook::Classic, Some(classic)) => (Hook::Classic, classic.program),
            (Hook::Classic | Hook::Typed, _) => (Hook::Typed, probe.typed),
            _ => (Hook::Raw, probe.raw.context("the program needs types")?),
        };
        let insns = linked.instructions(name, &parts, &descriptors)?;
        let btf_id = probes::id(probe, found);
        let log = path.is_last_resort() || request.verifier_log;
        let program = object::load(name, &insns, linked.license(), hook, btf_id, log)
            .map_err(|error| Refusal::load(provider, probe.name, error, request.verifier_log))?;
        programs.push(Program { probe: *probe, hook, program });
    }
    let walkers = match provider.walk {
        Some(walk) => Some(Walkers::load(walk, provider, found, |name| {
            Ok((linked.instructions(name, &parts, &descriptors)?, linked.license().clone()))
        })?),
        None => None,
    };
    let witness = witness::load(provider, found, &linked, |name| linked.instructions(name, &parts, &descriptors))?;
    let sampler = match (provider.sampler, request.sampling) {
        (Some(name), Some(sampling)) => {
            let insns = linked.instructions(name, &parts, &descriptors)?;
            let log = path.is_last_resort() || request.verifier_log;
            let program = object::load_sampler(name, &insns, linked.license(), log)
                .map_err(|error| Refusal::load(provider, sampling.event.name, error, request.verifier_log))?;
            Some((program, sampling))
        }
        _ => None,
    };
    let points = match (provider.points, request.points) {
        (Some(programs), Some(points)) => {
            let source = SiteSource { linked: &linked, parts: &parts, maps: &descriptors, machine: &machine };
            let whole_log = request.verifier_log;
            Some(Loaded::new(points, request.target, &machine.used, provider, programs, &source, whole_log)?)
        }
        _ => None,
    };
    Ok(Enabled {
        maps: linked.maps,
        tables,
        ring,
        shape: compiled.shape,
        path,
        facts,
        programs,
        links: Vec::new(),
        walkers,
        witness,
        sampler,
        points,
        attached: Attached::default(),
        samplers: None,
        samples_due: None,
    })
}

/// Programs of points: what depends on the site, beside the clause.
struct SiteSource<'a> {
    linked: &'a Linked,
    parts: &'a [Part<'a>],
    maps: &'a ClauseDescriptors<'a>,
    machine: &'a codegen::Machine,
}

impl points::Source for SiteSource<'_> {
    fn instructions(&self, program: &str, site: &Site) -> Result<Vec<Insn>> {
        let codes = codegen::site::compile(site, self.machine)?;
        let of_site = codes.iter().map(|(marker, code)| Part { marker: *marker, code });
        let parts: Vec<Part> = self.parts.iter().copied().chain(of_site).collect();
        self.linked.instructions(program, &parts, self.maps)
    }

    fn license(&self) -> &CString {
        self.linked.license()
    }
}

fn machine(request: &Request, path: Path, found: &Found, memory: budget::Machine) -> codegen::Machine {
    let provider = request.provider;
    let task = |member| found.offset("task_struct", member);
    codegen::Machine {
        // A task that a typed program was given can be read whatever the kernel.
        task_direct: path.task_direct && provider.whose != Whose::Nobody
            || provider.whose == Whose::Another && path.is_typed(),
        another: (provider.whose == Whose::Another).then(|| another(found)),
        task_comm: task("comm"),
        task_real_parent: task("real_parent"),
        task_tgid: task("tgid"),
        compare_exchange: features::compare_exchange(),
        firing_bytes: provider.firing_bytes,
        firing_texts: provider.firing_texts,
        intervals: request.intervals,
        used: Used::by(request.clause),
        dense_bytes: budget::dense(request.limits, memory, request.intervals),
        front_bytes: budget::front(request.limits, memory, request.intervals),
    }
}

fn another(found: &Found) -> codegen::Another {
    let path = |steps: &[(&'static str, &'static str)]| -> Option<Vec<u32>> {
        steps.iter().map(|(structure, member)| found.offset(structure, member)).collect()
    };
    let cgroup = [("task_struct", "cgroups"), ("css_set", "dfl_cgrp"), ("cgroup", "kn"), ("kernfs_node", "id")];
    codegen::Another {
        cred: path(&[("task_struct", "cred"), ("cred", "uid"), ("cred", "gid")]).and_then(|path| path.try_into().ok()),
        cgroup: path(&cgroup).and_then(|path| path.try_into().ok()),
    }
}

fn constants_map(bytes: &[u8]) -> Result<Option<OwnedFd>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let map = bpf::map_create(&bpf::MapSpec {
        name: "constants",
        map_type: bpf::MAP_TYPE_ARRAY,
        key_bytes: 4,
        value_bytes: bytes.len() as u32,
        max_entries: 1,
        flags: bpf::F_RDONLY_PROG,
        inner: None,
    })?;
    bpf::map_update(map.as_fd(), &0u32.to_ne_bytes(), bytes)?;
    bpf::map_freeze(map.as_fd())?;
    Ok(Some(map))
}

fn ring(bytes: u32) -> Result<OwnedFd> {
    bpf::map_create(&bpf::MapSpec {
        name: "ring",
        map_type: bpf::MAP_TYPE_RINGBUF,
        key_bytes: 0,
        value_bytes: 0,
        max_entries: bytes,
        flags: 0,
        inner: None,
    })
    .context("create the ring buffer")
}

impl Enabled {
    /// Attaches all programs, in the provider's order. From here on firings count.
    pub fn go(&mut self, target: &Target) -> Result<()> {
        for program in &self.programs {
            let link = program
                .attach()
                .with_context(|| format!("attach to `{}`", program.probe.name))
                .map_err(features::refused)?;
            self.links.push(link);
        }
        if let Some(witness) = &self.witness {
            self.links.extend(witness.attach(|name| self.maps[name].as_fd())?);
        }
        if let Some((program, sampling)) = &self.sampler {
            self.samplers = Some(Samplers::attach(*sampling, program.as_fd())?);
        }
        if let Some(points) = &self.points {
            self.attached = points.attach()?;
        }
        target.add_existing_children(self.maps["TARGETS"].as_fd(), self.maps.get("GENERATION").map(AsFd::as_fd))
    }

    /// For a provider that knows what each thread does: notes it, and lets firings count from here on. Gives the threads
    /// that sleep, whose user stacks it cannot walk.
    pub fn begin(&self) -> Result<Vec<Standing>> {
        let Some(walkers) = &self.walkers else { return Ok(Vec::new()) };
        self.set_span(Span { begin_ns: process::monotonic_ns(), end_ns: 0, report_ns: 0 })?;
        walkers.at_start()
    }

    /// Fires what is open, so that a report that is read now has it. Up to when it counts, monotonic: now, or the end. None:
    /// this provider has nothing open.
    pub fn fire_open(&self) -> Result<Option<u64>> {
        let Some(walkers) = &self.walkers else { return Ok(None) };
        let mut span = self.span()?;
        span.report_ns = if span.end_ns == 0 { process::monotonic_ns() } else { span.end_ns };
        self.set_span(span)?;
        walkers.at_end()?;
        Ok(Some(span.report_ns))
    }

    fn span(&self) -> Result<Span> {
        let mut words = [0u64; 3];
        bpf::map_lookup(self.maps["SPAN"].as_fd(), &0u32.to_ne_bytes(), words.as_mut_bytes())?;
        let [begin_ns, end_ns, report_ns] = words;
        Ok(Span { begin_ns, end_ns, report_ns })
    }

    fn set_span(&self, span: Span) -> Result<()> {
        let words = [span.begin_ns, span.end_ns, span.report_ns];
        bpf::map_update(self.maps["SPAN"].as_fd(), &0u32.to_ne_bytes(), words.as_bytes()).context("set the time span")
    }

    /// For a provider that knows what each thread does: from here on nothing counts, though programs may still be called.
    fn end(&self) -> Result<()> {
        if self.walkers.is_none() {
            return Ok(());
        }
        let span = self.span()?;
        // Closed first: what is counted after the end was read would be counted beyond it.
        self.set_span(Span { end_ns: u64::MAX, ..span })?;
        self.set_span(Span { end_ns: process::monotonic_ns(), ..span })
    }

    /// Detaches all programs and waits until none of them runs any more.
    pub fn stop(&mut self) -> Result<()> {
        self.end()?;
        if let Some(witness) = &self.witness {
            witness.end(|name| self.maps[name].as_fd())?;
        }
        self.samplers_end();
        // Once entries are no more seen, a return without one says nothing of what was before.
        let began_before = (!self.attached.links.is_empty()).then(|| self.ledger(LossKind::BeganBefore)).transpose()?;
        // The last of them first: entries were attached after returns, and one whose return is not seen is a loss. Taking
        // off a link takes 0.1 s, in which calls go on.
        while let Some(link) = self.attached.links.pop() {
            drop(link);
        }
        while let Some(link) = self.links.pop() {
            drop(link);
        }
        process::wait_for_grace_period();
        if let Some(counts) = began_before {
            let kind = (LossKind::BeganBefore as u32).to_ne_bytes();
            bpf::map_update(self.loss_map(), &kind, &counts).context("put the loss ledger right")?;
        }
        Ok(())
    }

    /// What the ledger says of a kind, a count for each CPU.
    fn ledger(&self, kind: LossKind) -> Result<Vec<u8>> {
        let mut counts = vec![0; process::possible_cpus() as usize * size_of::<u64>()];
        bpf::map_lookup(self.loss_map(), &(kind as u32).to_ne_bytes(), &mut counts).context("read the loss ledger")?;
        Ok(counts)
    }

    /// Points that the kernel refused, and why.
    pub fn refused_points(&self) -> &[(String, String)] {
        &self.attached.refused
    }

    /// How its points are attached.
    pub fn point_ways(&self) -> Vec<points::How> {
        self.points.as_ref().map(Loaded::ways).unwrap_or_default()
    }

    /// Takes off one of those that take long; how many are left. None: there was none.
    pub fn detach_slow(&mut self) -> Option<usize> {
        self.attached.slow.pop().map(|_| self.attached.slow.len())
    }

    fn samplers_end(&mut self) {
        if let Some(samplers) = self.samplers.take() {
            self.samples_due = samplers.due().map(|due| due.saturating_sub(samplers.tolerance()));
        }
    }

    /// Samples that were due and that no program was given: throttled, or late. None: this event has no period.
    pub fn samples_missed(&self, possible_cpus: u32) -> Option<u64> {
        let due = match &self.samplers {
            Some(samplers) => samplers.due()?.saturating_sub(samplers.tolerance()),
            None => self.samples_due?,
        };
        let taken = sampling::taken(self.maps.get("SAMPLES")?.as_fd(), possible_cpus).ok()?;
        Some(due.saturating_sub(taken))
    }

    /// Firings that programs missed since BPF ran on the CPU already. None: this kernel does not tell.
    pub fn recursion_misses(&self) -> Option<u64> {
        let of = |program: &OwnedFd| bpf::prog_info(program.as_fd()).ok()?.recursion_misses;
        let all: u64 = self.loaded().map(|(_, program)| of(program)).sum::<Option<u64>>()?;
        // What one of two missed and the other saw.
        let pairs = self.programs.windows(2).filter(|pair| pair[1].probe.again);
        let seen: u64 =
            pairs.map(|pair| Some(of(&pair[0].program)?.max(of(&pair[1].program)?))).sum::<Option<u64>>()?;
        Some(all.saturating_sub(seen))
    }

    fn loaded(&self) -> impl Iterator<Item = (&'static str, &OwnedFd)> {
        let own = self.programs.iter().map(|program| (program.probe.name, &program.program));
        let own = own.chain(self.witness.iter().map(|witness| (witness.function, &witness.program)));
        own.chain(self.points.iter().flat_map(Loaded::programs))
    }

    /// Each program with its own account of what it cost.
    pub fn programs(&self) -> impl Iterator<Item = (&'static str, bpf::ProgramInfo)> + '_ {
        self.loaded().filter_map(|(name, program)| Some((name, bpf::prog_info(program.as_fd()).ok()?)))
    }

    pub fn loss_map(&self) -> BorrowedFd<'_> {
        self.maps["LOSS"].as_fd()
    }
}

const _: () = assert!(LOSS_KINDS == 24, "the ledger's map and its reader agree");
