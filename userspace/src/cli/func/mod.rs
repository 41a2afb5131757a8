//! `spoor func`: patterns in, a plan with points out.
mod dangers;
mod fields;
mod numbered;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;

use super::UsageError;
use super::args::Func;
use super::plan::{Plan, Typed, as_shown, check_latency, naming, plan_in, target};
use crate::attach::points::{Numbered, Points};
use crate::attach::target::Target;
use crate::error::Advice;
use crate::program::argument::Used;
use crate::program::scope::Scope;
use crate::providers::function::{ARGUMENTS, PROVIDER};
use crate::resolve::code::Code;
use crate::resolve::{self, Pattern, Place, Point, Whom};
use crate::session;
use crate::sys::command;
use dangers::dangers;
use fields::{ArgumentNames, own_fields};
use numbered::numbered;

/// Errors: [`UsageError`], which exits with 2; patterns that nothing matches.
pub fn func(args: Func) -> Result<Plan> {
    check_latency(args.latency, &args.clause)?;
    let patterns =
        args.patterns.iter().map(|text| Pattern::parse(text)).collect::<Result<Vec<_>, _>>().map_err(usage)?;
    let whom = whom(&target(&args.target)?, &args.command)?;
    let resolved = resolve::resolve(&patterns, &whom)?;
    let found = resolved.points.len();
    if found == 0 {
        let (name, why) = resolved.refused.first().map_or(("", ""), |(name, why)| (name, why));
        // A reason ends in what to do about it.
        let (why, advice) = why.rsplit_once(": ").unwrap_or((why, "another pattern"));
        return Err(Advice::new(format!("`{name}` cannot be traced: {why}"), advice).into());
    }
    if found > args.points.max_probes as usize {
        let what = format!("{found} functions match, more than --max-probes {}", args.points.max_probes);
        return Err(Advice::new(what, format!("a narrower pattern, or --max-probes {found}")).into());
    }
    let names = ArgumentNames::of(&resolved.points);
    let scope = Scope::new(names.fields().into_iter().chain(own_fields(&resolved.points)));
    let (may_be_slow, anyway) = (args.points.slow_detach, args.points.unsafe_returns);
    let mut plan = plan_in(
        Typed {
            command_name: "func",
            provider: &PROVIDER,
            target: args.target,
            time: args.time,
            clause: args.clause,
            output: args.output,
            events: false,
            ring_bytes: 0,
            columns: (PROVIDER.default_columns)(args.latency),
            condition: None,
            run: args.command,
            sampling: None,
            naming: naming(&args.naming),
            facts: 0,
            kept: as_shown,
        },
        scope,
    )?;
    let used = Used::by(&plan.clause);
    if used.arguments.len() > ARGUMENTS || used.texts.len() > probes_common::clause::TEXTS {
        let what = format!("an expression can name {ARGUMENTS} arguments and {} texts", probes_common::clause::TEXTS);
        return Err(UsageError::new(&what, "fewer of them in --by, --where and --agg").into());
    }
    let returns = args.latency || PROVIDER.facts(&plan.clause) & probes_common::function::FACT_RETURN != 0;
    if returns && let Some(point) = resolved.points.iter().find(|point| !has_return(point)) {
        let what = format!("`{}` is passed and does not return: it has no `ret` and no `elapsed`", point.function);
        return Err(UsageError::new(&what, "leave out -L, `ret` and `elapsed`, or trace functions only").into());
    }
    let codes = codes(&resolved.points);
    if returns {
        plan.notes.extend(dangers(&resolved.points, &codes, anyway)?);
    }
    let (points, without) = having(numbered(&resolved, &names, &codes), &used, &names)?;
    plan.points = Some(Points { points, returns, may_be_slow });
    plan.notes.extend(resolved.notes);
    plan.notes.extend(without);
    plan.notes.extend(resolved.refused.iter().map(|(name, why)| format!("{name} is not traced: {why}")));
    Ok(plan)
}

/// What is to be known of each file that has points.
fn codes(points: &[Point]) -> HashMap<Arc<Path>, Code> {
    let mut codes = HashMap::new();
    for point in points {
        if let Place::User { file, .. } = &point.place {
            codes.entry(Arc::clone(file)).or_insert_with(|| Code::of(file));
        }
    }
    codes
}

/// The points that have all arguments which the clause names; what to say of the others.
///
/// Errors: none has them.
fn having(points: Vec<Numbered>, used: &Used, names: &ArgumentNames) -> Result<(Vec<Numbered>, Vec<String>)> {
    let lacks = |point: &Numbered| used.arguments.iter().copied().find(|number| !point.operands.contains_key(number));
    let (without, with): (Vec<_>, Vec<_>) = points.into_iter().partition(|point| lacks(point).is_some());
    let say = |point: &Numbered| {
        let name = lacks(point).map_or_else(String::new, |number| names.name(number));
        format!("{} is not traced: it has no `{name}`", point.point.function)
    };
    match (without.first(), with.is_empty()) {
        (Some(first), true) => {
            let have =
                first.point.arguments.iter().map(|argument| argument.name.as_str()).collect::<Vec<_>>().join(", ");
            let advice = if have.is_empty() { "leave it out".to_owned() } else { format!("one of {have}") };
            Err(UsageError::new(&say(first), &advice).into())
        }
        _ => Ok((with, without.iter().map(say).collect())),
    }
}

pub(super) fn usage(advice: Advice) -> UsageError {
    UsageError::new(&advice.to_string(), advice.advice())
}

/// Whose files the patterns are about.
pub(super) fn whom(target: &Target, run: &[std::ffi::OsString]) -> Result<Whom> {
    session::check_target(target)?;
    if let Some(name) = run.first() {
        // What is wrong with it is said when it is run.
        return Ok(command::find_command(name).map_or(Whom::Nobody, Whom::Command));
    }
    let pids = target.processes();
    Ok(if pids.is_empty() { Whom::Nobody } else { Whom::Processes(pids) })
}

fn has_return(point: &Point) -> bool {
    match point.place {
        Place::User { is_entry, .. } => is_entry,
        Place::Kernel { offset, .. } => offset == 0,
        Place::Tracepoint { .. } => false,
    }
}
