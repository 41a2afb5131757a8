//! What the typed words mean: a provider, a clause, a target, and what to do with the result.
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use super::UsageError;
use super::args::{FormatArg, OutputArgs, SortArg, Syscalls, TargetArgs};
use crate::attach::budget::Limits;
use crate::attach::target::{Target, cgroup_folder};
use crate::merge::order::{Direction, Order, SortBy};
use crate::program::check;
use crate::program::error::printable;
use crate::program::field::{COMMON, Field, Unit};
use crate::program::glob::Glob;
use crate::program::scope::Scope;
use crate::program::tree::{Action, BinaryOp, Clause, Column, Expr, Function, Key, Node, Type};
use crate::providers::{self, Provider};
use crate::render::Format;
use crate::render::report::{KeyColumn, Layout, ValueColumn};

/// Everything that a session needs to know.
pub struct Plan {
    /// The command's name, for the report.
    pub command_name: &'static str,
    pub provider: &'static Provider,
    pub scope: Scope,
    pub clause: Clause,
    /// Titles and names of the clause's keys and columns.
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
    pub order: Order,
    pub format: Format,
    pub output: Option<PathBuf>,
    pub strict: bool,
    pub quiet: bool,
    pub show_program: bool,
    pub verifier_log: bool,
}

/// Errors: [`UsageError`], which exits with 2.
pub fn syscalls(args: Syscalls) -> Result<Plan> {
    let provider = &providers::syscall::PROVIDER;
    if args.latency && !args.clause.functions.is_empty() {
        let advice = "--agg 'p99(elapsed)' and --agg 'max(elapsed)', or -L without --agg";
        return Err(UsageError::new("-L adds columns to the default table, and --agg replaces it", advice).into());
    }
    let scope = Scope::new(provider.fields.iter());
    let predicate = predicate(&args.target, args.clause.predicate.as_deref(), &scope)?;
    let (action, keys, values) = if args.clause.events {
        (Action::Stream, Vec::new(), Vec::new())
    } else {
        aggregation(provider, &scope, args.clause.by.as_deref(), &args.clause.functions, args.latency)?
    };
    let layout = if args.clause.functions.is_empty() { Layout::Table } else { Layout::Dtrace };
    let format = format(&args.output);
    if args.clause.events && format == Format::Csv {
        return Err(UsageError::new("--events has no CSV form", "--format json for one object a line, or text").into());
    }
    if args.command.is_empty() && args.target.follow && args.target.pids.is_empty() && args.target.tids.is_empty() {
        return Err(UsageError::new("--follow has nobody to follow", "-p PID, -t TID or -- COMMAND").into());
    }
    if !(args.command.is_empty() || args.target.pids.is_empty() && args.target.tids.is_empty()) {
        return Err(UsageError::new("-- COMMAND is a target of its own", "leave out -p and -t, or the command").into());
    }
    Ok(Plan {
        command_name: "syscalls",
        provider,
        clause: Clause { predicate, action },
        scope,
        keys,
        values,
        layout,
        target: target(&args.target)?,
        run: args.command,
        limits: Limits { map_memory: args.clause.map_memory, max_keys: args.clause.max_keys },
        ring_bytes: args.clause.ring,
        duration: args.time.duration,
        interval: args.time.interval,
        order: order(&args.output, layout),
        format,
        output: args.output.output,
        strict: args.output.strict,
        quiet: args.output.quiet,
        show_program: args.clause.show_program,
        verifier_log: args.clause.verifier_log,
    })
}

fn target(args: &TargetArgs) -> Result<Target> {
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

/// `--comm` and `--where` together.
fn predicate(target: &TargetArgs, text: Option<&str>, scope: &Scope) -> Result<Option<Expr>> {
    let comm = match &target.comm {
        Some(pattern) => {
            let glob = Glob::parse(pattern.as_bytes()).map_err(|error| {
                let what = format!("--comm `{}`: {error}", printable(pattern));
                UsageError::new(&what, "write \\[ for the character itself")
            })?;
            let field = COMMON.iter().find(|field| field.name == "comm").expect("every firing has a comm");
            Some(Expr { node: Node::Matches(field, glob), ty: Type::Unsigned })
        }
        None => None,
    };
    let condition = text
        .map(|text| check::predicate(text, scope).map_err(|error| UsageError::in_expression(&error, "--where")))
        .transpose()?;
    Ok(match (comm, condition) {
        (Some(comm), Some(condition)) => Some(Expr::truth_of(BinaryOp::LogicalAnd, comm, condition)),
        (comm, condition) => comm.or(condition),
    })
}

fn aggregation(
    provider: &Provider,
    scope: &Scope,
    by: Option<&str>,
    functions: &[String],
    latency: bool,
) -> Result<(Action, Vec<KeyColumn>, Vec<ValueColumn>)> {
    let default_key = if functions.is_empty() { Some(provider.default_key) } else { None };
    let keys = match by.or(default_key) {
        Some(text) => check::keys(text, scope).map_err(|error| UsageError::in_expression(&error, "--by"))?,
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
        for (title, name, text) in (provider.default_columns)(latency) {
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

fn order(args: &OutputArgs, layout: Layout) -> Order {
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

fn format(args: &OutputArgs) -> Format {
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
