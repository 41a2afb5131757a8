//! `--show-program`: a plan in, the D program that it stands for out.
use super::{points_in_d, target};
use crate::attach::points::Points;
use crate::attach::sampling::{DEFAULT_HZ, Sampling};
use crate::cli::plan::Plan;
use crate::program::scope::Scope;
use crate::program::show::{self, Place};
use crate::program::tree::{Action, Clause};
use crate::providers::Provider;

/// The plan's clauses as dtrace would have them written.
pub fn show_program(plan: &Plan) -> String {
    let mut lines = match &plan.points {
        Some(points) => clause_on_points(plan, points),
        None => clause_in_d(plan, plan.provider, (&shown(plan), &plan.scope), plan.sampling),
    };
    for beside in &plan.beside {
        lines.extend(clause_in_d(plan, beside.provider, (&beside.clause, &beside.scope), beside.sampling));
    }
    lines.extend(target::comment_in_d(&plan.target));
    lines.join("\n")
}

/// The clause with the keys that people asked for.
fn shown(plan: &Plan) -> Clause {
    let mut clause = plan.clause.clone();
    if let (Some(view), Action::Aggregate { keys, .. }) = (&plan.view, &mut clause.action) {
        *keys = view.shown.clone();
    }
    clause
}

/// One clause, with the one that notes what it needs before it. The target is not part of the clause, it is decided before;
/// D has no other place for it than the predicate.
fn clause_in_d(
    plan: &Plan,
    provider: &Provider,
    (clause, scope): (&Clause, &Scope),
    sampling: Option<Sampling>,
) -> Vec<String> {
    let target = target::in_d(&plan.target, !plan.run.is_empty());
    let at = |probe| Place { probe, names: provider.dtrace_names, target: &target };
    let mut facts = 0;
    crate::program::fields_of(clause, &mut |field| facts |= field.facts);
    let before = provider.dtrace_before.filter(|(needed, ..)| facts & needed != 0);
    let mut lines: Vec<String> =
        before.iter().map(|(_, probe, statement)| show::statement(statement, scope, &at(probe))).collect();
    let probe = match sampling {
        Some(sampling) => provider.dtrace_probe.replace("{hz}", &sampling.hz.unwrap_or(DEFAULT_HZ).to_string()),
        None => provider.dtrace_probe.to_owned(),
    };
    lines.push(show::clause(clause, scope, &at(&probe)));
    if let Some(sampling) = sampling.filter(|sampling| sampling.period_ns().is_none()) {
        lines.push(format!("/* samples of {}, not of time */", sampling.event.name));
    }
    lines
}

/// A clause for each kind of points.
fn clause_on_points(plan: &Plan, points: &Points) -> Vec<String> {
    let target = target::in_d(&plan.target, !plan.run.is_empty());
    let is_one = plan.target.pids.len() + plan.target.tids.len() == 1 && !plan.target.follow;
    let one = is_one || !plan.run.is_empty() && !plan.target.follow;
    let mut lines = Vec::new();
    for probes in points_in_d::probes(points, &plan.clause) {
        let mut names: Vec<(&str, &str)> =
            probes.names.iter().map(|(ours, theirs)| (ours.as_str(), theirs.as_str())).collect();
        names.extend(plan.provider.dtrace_names);
        let at = |probe| Place { probe, names: &names, target: &target };
        if let Some((probe, statement)) = &probes.before {
            lines.push(show::statement(statement, &plan.scope, &at(probe)));
        }
        lines.push(show::clause(&plan.clause, &plan.scope, &at(&probes.probe)));
        lines.extend(probes.comments.iter().map(|comment| format!("/* {} */", comment.replace("*/", "*\\/"))));
        if probes.is_of_process && !one {
            lines.push("/* $target is one process in D; here it is every one that is meant */".to_owned());
        }
    }
    lines
}
