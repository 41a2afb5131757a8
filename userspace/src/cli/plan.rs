//! What the typed words mean: a provider, a clause, a target, and what to do with the result.
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use super::UsageError;
use super::args::{
    ClauseArgs, FormatArg, LimitArgs, NamingArgs, Offcpu, OutputArgs, Profile, SortArg, Syscalls, TargetArgs, Threads,
    TimeArgs, WaitArgs,
};
use crate::attach::budget::Limits;
use crate::attach::points::Points;
use crate::attach::sampling::{EVENTS, Event, Sampling};
use crate::attach::target::{Target, cgroup_folder};
use crate::merge::order::{Direction, Order, SortBy};
use crate::program::check;
use crate::program::error::printable;
use crate::program::field::{COMMON, Field, Half, Kind, Unit};
use crate::program::glob::Glob;
use crate::program::scope::{Scope, nearest};
use crate::program::tree::{Action, BinaryOp, Clause, Column, Expr, Function, Key, Node, Type};
use crate::providers::{self, Provider};
use crate::render::Format;
use crate::render::report::{KeyColumn, Layout, ValueColumn};
use crate::session::sockets::View;
use crate::symbolize::stacks::Options;
use probes_common::sched::STATE_RUNNABLE;

/// Everything that a session needs to know.
pub struct Plan {
    /// The command's name, for the report.
    pub command_name: &'static str,
    pub provider: &'static Provider,
    pub scope: Scope,
    pub clause: Clause,
    /// Clauses of other providers, whose rows come into the same report.
    pub beside: Vec<Beside>,
    /// What is shown in place of the clause's keys.
    pub view: Option<View>,
    /// Titles and names of the report's keys and columns.
    pub keys: Vec<KeyColumn>,
    pub values: Vec<ValueColumn>,
    pub layout: Layout,
    pub target: Target,
    /// What to run, with its arguments.
    pub run: Vec<OsString>,
    pub limits: Limits,
    pub ring_bytes: u32,
    pub duration: Option<Duration>,
    pub interval: Option<Duration>,
    /// Runs of programs a second that end it.
    pub max_rate: Option<u64>,
    /// For a provider that samples.
    pub sampling: Option<Sampling>,
    /// For a provider of functions.
    pub points: Option<Points>,
    /// What options ask for beside what the clause needs.
    pub facts: u32,
    /// What was decided for the user.
    pub notes: Vec<String>,
    /// How much is to be found out about a frame.
    pub naming: Options,
    pub order: Order,
    pub format: Format,
    pub output: Option<PathBuf>,
    pub strict: bool,
    pub quiet: bool,
    pub show_program: bool,
    pub verifier_log: bool,
}

/// One clause more, on another provider.
pub struct Beside {
    pub provider: &'static Provider,
    pub scope: Scope,
    pub clause: Clause,
    pub sampling: Option<Sampling>,
    pub limits: Limits,
}

/// What commands have in common, as typed.
pub(super) struct Typed {
    pub command_name: &'static str,
    pub provider: &'static Provider,
    pub target: TargetArgs,
    pub time: TimeArgs,
    pub clause: ClauseArgs,
    pub output: OutputArgs,
    pub events: bool,
    pub ring_bytes: u32,
    pub columns: Vec<ColumnText>,
    /// What options say that are no part of every command.
    pub condition: Option<Expr>,
    pub run: Vec<OsString>,
    pub sampling: Option<Sampling>,
    pub naming: Options,
    /// Facts that options ask for.
    pub facts: u32,
    /// The keys that the kernel side keeps for those that are shown.
    pub kept: Kept,
}

/// From keys that are shown to those that the kernel side keeps.
pub(super) type Kept = fn(&[Key], &Scope) -> Vec<Key>;

/// They are the same.
pub(super) fn as_shown(shown: &[Key], _: &Scope) -> Vec<Key> {
    shown.to_vec()
}

/// Title, name in JSON, function.
pub(super) type ColumnText = (&'static str, &'static str, &'static str);

/// Errors: [`UsageError`], which exits with 2.
pub fn syscalls(args: Syscalls) -> Result<Plan> {
    check_latency(args.latency, &args.clause)?;
    plan(Typed {
        command_name: "syscalls",
        provider: &providers::syscall::PROVIDER,
        target: args.target,
        time: args.time,
        clause: args.clause,
        output: args.output,
        events: args.stream.events,
        ring_bytes: args.stream.ring,
        columns: (providers::syscall::PROVIDER.default_columns)(args.latency),
        condition: None,
        run: args.command,
        sampling: None,
        naming: Options::default(),
        facts: 0,
        kept: as_shown,
    })
}

/// Errors: -L beside --agg, which has no default table to add to.
pub(super) fn check_latency(latency: bool, clause: &ClauseArgs) -> Result<()> {
    if latency && !clause.functions.is_empty() {
        let advice = "--agg 'p99(elapsed)' and --agg 'max(elapsed)', or -L without --agg";
        return Err(UsageError::new("-L adds columns to the default table, and --agg replaces it", advice).into());
    }
    Ok(())
}

/// Errors: [`UsageError`], which exits with 2.
pub fn profile(args: Profile) -> Result<Plan> {
    let name = &args.sampling.event;
    let Some(event) = Event::named(name) else {
        let known: Vec<&str> = EVENTS.iter().map(|event| event.name).collect();
        let advice = nearest(name, known.iter()).unwrap_or_else(|| format!("one of {}", known.join(", ")));
        return Err(UsageError::new(&format!("--event `{}`: no such event", printable(name)), &advice).into());
    };
    plan(Typed {
        command_name: "profile",
        provider: &providers::profile::PROVIDER,
        target: args.target,
        time: args.time,
        clause: args.clause,
        output: args.output,
        events: false,
        ring_bytes: 0,
        columns: (providers::profile::PROVIDER.default_columns)(false),
        condition: None,
        run: args.command,
        sampling: Some(Sampling { event, hz: args.sampling.hz.map(u64::from) }),
        naming: naming(&args.naming),
        facts: 0,
        kept: as_shown,
    })
}

/// Errors: [`UsageError`], which exits with 2.
pub fn offcpu(mut args: Offcpu) -> Result<Plan> {
    let provider = &providers::sched::PROVIDER;
    if args.waits.wakers {
        let by = args.clause.by.as_deref().unwrap_or(provider.default_key);
        args.clause.by = Some(format!("{by},{WAKERS}"));
    }
    let states = states(&args.waits.states)?;
    let mut columns = (provider.default_columns)(false);
    // Who is preempted does not sleep.
    if states == [STATE_RUNNABLE] {
        columns.swap(0, 1);
    }
    let condition = waits(&args.waits, states, &Scope::new(provider.fields.iter()));
    plan(Typed {
        command_name: "offcpu",
        provider,
        target: args.target,
        time: args.time,
        clause: args.clause,
        output: args.output,
        events: false,
        ring_bytes: 0,
        columns,
        condition,
        run: args.command,
        sampling: None,
        naming: naming(&args.naming),
        facts: 0,
        kept: as_shown,
    })
}

/// Errors: [`UsageError`], which exits with 2.
pub fn threads(args: Threads) -> Result<Plan> {
    let comm = args.target.comm.clone();
    let clause = |by: &str| ClauseArgs {
        by: Some(by.to_owned()),
        predicate: None,
        functions: Vec::new(),
        limits: args.limits.clone(),
        show_program: args.show_program,
        verifier_log: false,
    };
    let mut plan = plan(Typed {
        command_name: "threads",
        provider: &providers::sched::PROVIDER,
        target: args.target,
        time: args.time,
        clause: clause("pid,tid,comm"),
        output: args.output,
        events: false,
        ring_bytes: 0,
        columns: THREAD_TIMES.to_vec(),
        condition: None,
        run: args.command,
        sampling: None,
        naming: Options::default(),
        facts: 0,
        kept: as_shown,
    })?;
    let beside = |provider: &'static Provider, by: &str, sampling: Option<Sampling>| -> Result<Beside> {
        let scope = Scope::new(provider.fields.iter());
        let predicate = comm.as_deref().map(named).transpose()?;
        let (action, ..) = aggregation(provider, (&scope, as_shown), Some(by), &[], &[("count", "count", "count()")])?;
        let mut limits = limits(&args.limits);
        // A place in the code is a key before places are functions.
        limits.max_keys = limits.max_keys.max(sampling.map(|_| PLACES));
        Ok(Beside { provider, scope, clause: Clause { predicate, action }, sampling, limits })
    };
    let sampling = Sampling { event: EVENTS[0], hz: Some(args.hz.into()) };
    plan.beside = vec![
        beside(&providers::profile::PROVIDER, "pid,tid,in_kernel,func", Some(sampling))?,
        beside(&providers::syscall::PROVIDER, "pid,tid", None)?,
    ];
    let column = |(title, name, unit): &(&str, &str, Unit)| ValueColumn {
        title: (*title).to_owned(),
        name: (*name).to_owned(),
        unit: *unit,
        histogram: false,
    };
    plan.values = THREAD_COLUMNS.iter().map(column).collect();
    Ok(plan)
}

/// Room for places that threads are sampled at.
const PLACES: u32 = 65_536;

fn limits(args: &LimitArgs) -> Limits {
    Limits { map_memory: args.map_memory, max_keys: args.max_keys }
}

/// What the first clause of `threads` adds up.
const THREAD_TIMES: [ColumnText; 5] = [
    ("on-cpu", "oncpu_ns", "sum(oncpu)"),
    ("runnable", "runnable_ns", "sum(runnable)"),
    ("blocked", "blocked_ns", "sum(blocked)"),
    ("voluntary", "voluntary", "sum(left && state != R)"),
    ("involuntary", "involuntary", "sum(left && state == R)"),
];

/// What its report shows (`merge::threads`).
const THREAD_COLUMNS: [(&str, &str, Unit); 9] = [
    ("on-cpu", "oncpu_ns", Unit::Ns),
    ("user", "user_ns", Unit::Ns),
    ("kernel", "kernel_ns", Unit::Ns),
    ("runnable", "runnable_ns", Unit::Ns),
    ("blocked", "blocked_ns", Unit::Ns),
    ("voluntary", "voluntary", Unit::None),
    ("involuntary", "involuntary", Unit::None),
    ("syscalls", "syscalls", Unit::None),
    ("hottest", "hottest", Unit::None),
];

/// The keys of --wakers.
const WAKERS: &str = "waker,waker_kstack,waker_ustack";

pub(super) fn naming(args: &NamingArgs) -> Options {
    Options { inlines: args.inlines, lines: args.lines }
}

fn states(letters: &[String]) -> Result<Vec<u64>> {
    let number = |letter: &String| {
        providers::sched::state(letter).ok_or_else(|| {
            let what = format!("--state `{}`: no such state", printable(letter));
            UsageError::new(&what, &format!("one of {}", providers::sched::states().join(", "))).into()
        })
    };
    let mut states = letters.iter().map(number).collect::<Result<Vec<_>>>()?;
    states.sort_unstable();
    states.dedup();
    Ok(states)
}

fn waits(args: &WaitArgs, states: Vec<u64>, scope: &Scope) -> Option<Expr> {
    let field = |name| Expr::field(scope.field(name).expect("a field of the provider"));
    let limit = |op, limit: Duration| {
        let ns = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        Expr::binary(op, field("offcpu"), Expr::constant(ns, Type::Unsigned))
    };
    let state =
        (!states.is_empty()).then(|| Expr { node: Node::OneOf(Box::new(field("state")), states), ty: Type::Unsigned });
    let parts = [args.min.map(|min| limit(BinaryOp::Ge, min)), args.max.map(|max| limit(BinaryOp::Le, max)), state];
    parts.into_iter().flatten().reduce(|all, part| Expr::truth_of(BinaryOp::LogicalAnd, all, part))
}

/// Stacks take a page each: people are shown those that matter.
const STACKS_SHOWN: usize = 10;

fn plan(typed: Typed) -> Result<Plan> {
    let scope = Scope::new(typed.provider.fields.iter());
    plan_in(typed, scope)
}

/// `scope`: the provider's fields, and those that this run has besides.
pub(super) fn plan_in(typed: Typed, scope: Scope) -> Result<Plan> {
    let Typed { provider, clause, .. } = &typed;
    let predicate = predicate(&typed.target, typed.condition.clone(), clause.predicate.as_deref(), &scope)?;
    let (action, keys, values) = if typed.events {
        (Action::Stream, Vec::new(), Vec::new())
    } else {
        aggregation(provider, (&scope, typed.kept), clause.by.as_deref(), &clause.functions, &typed.columns)?
    };
    let layout = if clause.functions.is_empty() { Layout::Table } else { Layout::Dtrace };
    let format = format(&typed.output);
    let is_stack = |name: &str| {
        scope.field(name).is_some_and(|field| matches!(field.kind, Kind::Stack(Half::Kernel | Half::User)))
    };
    let has_stacks = keys.iter().any(|key| is_stack(&key.name));
    check_format(&typed, format, has_stacks)?;
    let run = &typed.run;
    if run.is_empty() && typed.target.follow && typed.target.pids.is_empty() && typed.target.tids.is_empty() {
        return Err(UsageError::new("--follow has nobody to follow", "-p PID, -t TID or -- COMMAND").into());
    }
    if !(run.is_empty() || typed.target.pids.is_empty() && typed.target.tids.is_empty()) {
        return Err(UsageError::new("-- COMMAND is a target of its own", "leave out -p and -t, or the command").into());
    }
    let mut order = order(&typed.output, layout);
    if has_stacks && format == Format::Text && typed.output.top.is_none() {
        order.top = Some(STACKS_SHOWN);
    }
    Ok(Plan {
        command_name: typed.command_name,
        provider,
        clause: Clause { predicate, action },
        scope,
        beside: Vec::new(),
        view: None,
        keys,
        values,
        layout,
        target: target(&typed.target)?,
        run: typed.run,
        limits: limits(&typed.clause.limits),
        ring_bytes: typed.ring_bytes,
        duration: typed.time.duration,
        interval: typed.time.interval,
        max_rate: typed.time.max_rate.map(u64::from),
        sampling: typed.sampling,
        points: None,
        facts: typed.facts,
        notes: Vec::new(),
        naming: typed.naming,
        order,
        format,
        output: typed.output.output,
        strict: typed.output.strict,
        quiet: typed.output.quiet,
        show_program: typed.clause.show_program,
        verifier_log: typed.clause.verifier_log,
    })
}

/// Refuses what a format cannot hold before anything is traced.
fn check_format(typed: &Typed, format: Format, has_stacks: bool) -> Result<()> {
    let name = format!("--format {format:?}").to_lowercase();
    let refuse = |what: &str, advice: &str| Err(UsageError::new(&format!("{name} {what}"), advice).into());
    if typed.events && !matches!(format, Format::Text | Format::Json) {
        return refuse("has no place for --events", "--format json for one object a line, or text");
    }
    if format.needs_stacks() && !has_stacks {
        return refuse("needs stacks as keys", "spoor profile or spoor offcpu, with --by stack, ustack or kstack");
    }
    if format.is_one_document() && typed.time.interval.is_some() {
        return refuse("holds one report, and -i makes several", "leave out -i, or --format folded or json");
    }
    if format.is_binary() && typed.output.output.is_none() && std::io::stdout().is_terminal() {
        return refuse("is not for a terminal", "-o profile.pb.gz");
    }
    Ok(())
}

pub(super) fn target(args: &TargetArgs) -> Result<Target> {
    let cgroups = args.cgroups.iter().map(|path| cgroup_folder(path)).collect::<Result<Vec<_>>>()?;
    Ok(Target {
        pids: args.pids.clone(),
        tids: args.tids.clone(),
        cgroups,
        follow: args.follow,
        command: None,
        comm: args.comm.clone(),
    })
}

/// `--comm`, options of one command, and `--where` together.
fn predicate(target: &TargetArgs, options: Option<Expr>, text: Option<&str>, scope: &Scope) -> Result<Option<Expr>> {
    let comm = target.comm.as_deref().map(named).transpose()?;
    let condition = text
        .map(|text| check::predicate(text, scope).map_err(|error| UsageError::in_expression(&error, "--where")))
        .transpose()?;
    let parts = [comm, options, condition].into_iter().flatten();
    Ok(parts.reduce(|all, part| Expr::truth_of(BinaryOp::LogicalAnd, all, part)))
}

/// `--comm`.
fn named(pattern: &str) -> Result<Expr> {
    let glob = Glob::parse(pattern.as_bytes()).map_err(|error| {
        let what = format!("--comm `{}`: {error}", printable(pattern));
        UsageError::new(&what, "write \\[ for the character itself")
    })?;
    let field = COMMON.iter().find(|field| field.name == "comm").expect("every firing has a comm");
    Ok(Expr { node: Node::Matches(field, glob), ty: Type::Unsigned })
}

fn aggregation(
    provider: &Provider,
    (scope, kept): (&Scope, Kept),
    by: Option<&str>,
    functions: &[String],
    default_columns: &[ColumnText],
) -> Result<(Action, Vec<KeyColumn>, Vec<ValueColumn>)> {
    let default_key = if functions.is_empty() { Some(provider.default_key) } else { None };
    let keys = match by.or(default_key).map(both_halves) {
        Some(text) => {
            check::keys_kept(&text, scope, kept).map_err(|error| UsageError::in_expression(&error, "--by"))?
        }
        None => Vec::new(),
    };
    let mut columns = Vec::new();
    let mut values = Vec::new();
    let mut add = |title: &str, name: &str, text: &str| -> Result<()> {
        let function = check::function(text, scope).map_err(|error| UsageError::in_expression(&error, "--agg"))?;
        let unit = unit_of(&function);
        let histogram =
            matches!(function, Function::Quantize(_) | Function::Lquantize { .. } | Function::Llquantize { .. });
        values.push(ValueColumn { title: title.to_owned(), name: name.to_owned(), unit, histogram });
        columns.push(Column { name: name.to_owned(), unit, function });
        Ok(())
    };
    if functions.is_empty() {
        for (title, name, text) in default_columns {
            add(title, name, text)?;
        }
    }
    for text in functions {
        let text = text.trim();
        add(text, text, text)?;
    }
    let key_columns = keys.iter().map(|key| key_column(key, scope)).collect();
    Ok((Action::Aggregate { keys, columns }, key_columns, values))
}

/// The key that is both halves of a stack.
pub const BOTH_HALVES: &str = "stack";

fn both_halves(by: &str) -> String {
    let names = by.split(',').map(|name| if name.trim() == BOTH_HALVES { "kstack,ustack" } else { name });
    names.collect::<Vec<_>>().join(",")
}

fn key_column(key: &Key, scope: &Scope) -> KeyColumn {
    let field = scope.field(key.name());
    KeyColumn {
        name: key.name().to_owned(),
        unit: field.map_or(Unit::None, |field| field.unit),
        bytes: dtrace_bytes(field),
    }
}

/// The C type that dtrace has for it.
fn dtrace_bytes(field: Option<&Field>) -> u8 {
    match field.map(|field| field.name) {
        Some("pid" | "tid" | "ppid" | "cpu" | "uid" | "gid") => 4,
        Some("func" | "module") => 0,
        _ => 8,
    }
}

fn unit_of(function: &Function) -> Unit {
    match function {
        Function::Count => Unit::None,
        Function::Sum(arg)
        | Function::Avg(arg)
        | Function::Min(arg)
        | Function::Max(arg)
        | Function::Stddev(arg)
        | Function::Quantize(arg)
        | Function::Lquantize { arg, .. }
        | Function::Llquantize { arg, .. }
        | Function::Percentile { arg, .. } => arg.unit(),
    }
}

pub(super) fn order(args: &OutputArgs, layout: Layout) -> Order {
    let direction = match (args.asc, args.desc, layout) {
        (true, _, _) => Direction::Asc,
        (_, true, _) | (_, _, Layout::Table) => Direction::Desc,
        (_, _, Layout::Dtrace) => Direction::Asc,
    };
    let by = match args.sort {
        SortArg::Value => SortBy::Value,
        SortArg::Key => SortBy::Key,
    };
    // Keys read from A to Z unless asked otherwise.
    let direction = if by == SortBy::Key && !args.desc { Direction::Asc } else { direction };
    Order { by, direction, top: args.top.filter(|top| *top > 0) }
}

pub(super) fn format(args: &OutputArgs) -> Format {
    let by_ending = || {
        let name = args.output.as_ref()?.file_name()?.to_str()?.to_ascii_lowercase();
        let (stem, ending) = name.rsplit_once('.')?;
        match ending {
            "json" | "ndjson" | "jsonl" => Some(Format::Json),
            "csv" => Some(Format::Csv),
            "folded" => Some(Format::Folded),
            "svg" => Some(Format::Svg),
            "pprof" => Some(Format::Pprof),
            "gz" if stem.ends_with(".pb") => Some(Format::Pprof),
            _ => None,
        }
    };
    match args.format {
        Some(FormatArg::Text) => Format::Text,
        Some(FormatArg::Json) => Format::Json,
        Some(FormatArg::Csv) => Format::Csv,
        Some(FormatArg::Folded) => Format::Folded,
        Some(FormatArg::Svg) => Format::Svg,
        Some(FormatArg::Pprof) => Format::Pprof,
        None => by_ending().unwrap_or(Format::Text),
    }
}
