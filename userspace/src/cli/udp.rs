//! `spoor udp`: what was typed into a plan. The kernel side keeps what owners and the kernel's own counters are found by; the
//! keys that were asked for are made of that for the report.
use std::net::IpAddr;

use anyhow::Result;

use probes_common::udp::{FACT_CUT, FACT_SENT};

use super::args::{TargetArgs, Udp};
use super::plan::{Plan, Typed, plan_in};
use crate::program::field::Kind;
use crate::program::scope::Scope;
use crate::program::tree::{Action, BinaryOp, Expr, Key, Type};
use crate::providers::udp::{ACCOUNT, PROVIDER};
use crate::session::sockets::View;
use crate::symbolize::stacks::Options;

/// What [`ACCOUNT`] holds.
const IN_ACCOUNT: [&str; 3] = ["reason", "family", "netns"];
/// What a socket, its owners and its namespace are found by.
const SOCKET: [&str; 3] = ["socket", "laddr", "lport"];

/// Errors: [`super::UsageError`], which exits with 2.
pub fn udp(args: Udp) -> Result<Plan> {
    // What every firing of other providers has is of whoever ran, and says nothing here.
    let scope = Scope::only(PROVIDER.fields);
    let port = args.port.map(|port| is(&scope, "lport", port.into()));
    let peer = args.peer.map(|peer| is_peer(&scope, peer));
    let sent = if args.sent || args.all { FACT_SENT } else { 0 };
    let cut = if args.truncated || args.all { FACT_CUT } else { 0 };
    let mut columns = (PROVIDER.default_columns)(false);
    if cut != 0 {
        // Behind what is lost.
        columns.insert(1, ("cut", "cut", "sum(cut)"));
    }
    let events = args.stream.events;
    let mut plan = plan_in(
        Typed {
            command_name: "udp",
            provider: &PROVIDER,
            target: TargetArgs::default(),
            time: args.time,
            clause: args.clause,
            output: args.output,
            events,
            ring_bytes: args.stream.ring,
            columns,
            condition: port.into_iter().chain(peer).reduce(and),
            run: Vec::new(),
            sampling: None,
            naming: Options::default(),
            facts: sent | cut,
            kept,
        },
        scope,
    )?;
    let shown = match &mut plan.clause.action {
        Action::Aggregate { keys, .. } => {
            let kept = kept(keys, &plan.scope);
            std::mem::replace(keys, kept)
        }
        Action::Stream => Vec::new(),
    };
    // Beside events there is no table that could be held against the kernel's counters.
    let is_whole = plan.clause.predicate.is_none() && !events;
    // The kernel side does not know who holds a socket: rows are picked when they are read.
    plan.target.pids.clone_from(&args.pids);
    plan.view = Some(View { shown, pids: args.pids, is_whole });
    Ok(plan)
}

/// The keys that the kernel side needs for those that are shown.
fn kept(shown: &[Key], scope: &Scope) -> Vec<Key> {
    let field = |name: &str| scope.field(name).expect("a field of the provider");
    let key = |name: &str| match field(name).kind {
        Kind::Address => Key::Text { field: field(name) },
        _ => Key::Number { name: name.to_owned(), expr: Expr::field(field(name)) },
    };
    let is_owner = |key: &Key| scope.field(key.name()).is_some_and(|field| matches!(field.kind, Kind::Owner(_)));
    let mut kept = vec![key(ACCOUNT)];
    kept.extend(SOCKET.map(key));
    for key in shown.iter().filter(|key| !is_owner(key) && !IN_ACCOUNT.contains(&key.name())) {
        if !kept.contains(key) {
            kept.push(key.clone());
        }
    }
    kept
}

fn is(scope: &Scope, name: &str, value: u64) -> Expr {
    let field = Expr::field(scope.field(name).expect("a field of the provider"));
    Expr::binary(BinaryOp::Eq, field, Expr::constant(value, Type::Unsigned))
}

fn is_peer(scope: &Scope, peer: IpAddr) -> Expr {
    let bytes = match peer {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    };
    let half =
        |half: usize| u64::from_ne_bytes(bytes[half * 8..half * 8 + 8].try_into().expect("half of sixteen bytes"));
    and(is(scope, "raddr_high", half(0)), is(scope, "raddr_low", half(1)))
}

fn and(all: Expr, part: Expr) -> Expr {
    Expr::truth_of(BinaryOp::LogicalAnd, all, part)
}
