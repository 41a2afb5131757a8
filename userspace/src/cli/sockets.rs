//! `spoor udp --sockets`: the UDP sockets of this moment as a report. Traces nothing.
use std::io::{self, Write};
use std::net::{SocketAddr, SocketAddrV6};

use anyhow::{Context, Result};

use super::UsageError;
use super::args::Udp;
use super::plan;
use crate::attach::target::Target;
use crate::merge::order::arrange;
use crate::merge::plural::agree;
use crate::merge::value::{Aggregation, KeyValue, Row, Value};
use crate::program::field::Unit;
use crate::render::report::{Accounts, KeyColumn, Layout, Loss, LossLine, Report, ValueColumn};
use crate::render::{self, Format, State};
use crate::session::target;
use crate::sinks::file::Shape;
use crate::sinks::{Sink, stderr};
use crate::sockets::diag::UdpSocket;
use crate::sockets::namespaces::Namespace;
use crate::sockets::owners::{Owner, Owners};
use crate::sockets::survey::Survey;
use crate::sys::process;

/// Writes the report. True where something could not be seen.
///
/// Errors: [`UsageError`] for a format that has no place for it; a process that does not exist; a failed write.
pub fn show(args: Udp) -> Result<bool> {
    let format = plan::format(&args.output);
    if format.needs_stacks() {
        let what = format!("--format {format:?} needs stacks, and sockets have none").to_lowercase();
        return Err(UsageError::new(&what, "--format text, json or csv").into());
    }
    let target = Target { pids: args.pids.clone(), ..Target::default() };
    target::check(&target)?;
    let mut sink = Sink::open(args.output.output.as_deref(), Shape::Whole)?;
    let report = report(&args, &target)?;
    let lost = report.loss.total() > 0;
    match write(&report, format, &mut sink) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(sink.explain(error)),
        _ => {}
    }
    if format.is_data_only() {
        stderr::say(if args.output.quiet { render::losses(&report) } else { render::afterword(&report) });
    }
    Ok(lost)
}

fn write(report: &Report, format: Format, sink: &mut Sink) -> io::Result<()> {
    if report.is_empty() && format == Format::Text {
        write!(sink, "no UDP sockets\n{}", render::afterword(report))?;
    } else {
        render::render(report, format, sink, &mut State::default())?;
    }
    sink.finish()
}

fn report(args: &Udp, target: &Target) -> Result<Report> {
    let started_unix_ns = process::unix_ns();
    let begun_ns = process::monotonic_ns();
    let survey = Survey::take().context("look for network namespaces in /proc")?;
    let mut owners = Owners::default();
    owners.look_up(survey.sockets().map(|(_, socket)| socket.inode));
    let holds = |owner: &Owner| args.pids.contains(&owner.pid);
    let is_meant = |socket: &UdpSocket| {
        (args.pids.is_empty() || owners.of(socket.inode).iter().any(holds))
            && args.port.is_none_or(|port| port == socket.local.port())
    };
    let several = survey.seen.len() > 1;
    let meant: Vec<(&Namespace, &UdpSocket)> = survey.sockets().filter(|(_, socket)| is_meant(socket)).collect();
    let loss = unseen(&survey, &owners, &meant);
    let rows =
        meant.iter().map(|(namespace, socket)| row(several.then_some(*namespace), socket, owners.of(socket.inode)));
    let mut aggregation = Aggregation { rows: rows.collect(), other: None };
    let arranged = arrange(&mut aggregation, plan::order(&args.output, Layout::Table));
    Ok(Report {
        command: "udp".to_owned(),
        target: target::json(target),
        started_unix_ns,
        elapsed_ns: process::monotonic_ns() - begun_ns,
        sample_period_ns: None,
        keys: keys(several),
        values: VALUES.map(value_column).to_vec(),
        aggregation,
        events: None,
        rows_left_out: arranged.left_out,
        totals: arranged.totals,
        layout: Layout::Table,
        accounts: Accounts::default(),
        stopped: None,
        loss,
        notes: Vec::new(),
    })
}

fn keys(several: bool) -> Vec<KeyColumn> {
    let names = several.then_some("netns").into_iter().chain(["local", "remote", "process"]);
    names.map(|name| KeyColumn { name: name.to_owned(), unit: Unit::None, bytes: 0 }).collect()
}

/// Rows are in order of these.
const VALUES: [(&str, &str, Unit); 4] = [
    ("drops", "drops", Unit::None),
    ("fill", "fill_bytes", Unit::Bytes),
    ("fill%", "fill_percent", Unit::None),
    ("buffer", "buffer_bytes", Unit::Bytes),
];

fn value_column((title, name, unit): (&str, &str, Unit)) -> ValueColumn {
    ValueColumn { title: title.to_owned(), name: name.to_owned(), unit, histogram: false }
}

fn row(namespace: Option<&Namespace>, socket: &UdpSocket, owners: &[Owner]) -> Row {
    let remote = socket.remote.map_or_else(|| "*".to_owned(), |remote| remote.to_string());
    let texts = [local(socket).into_bytes(), remote.into_bytes(), processes(owners)];
    let namespace = namespace.map(|namespace| namespace.label().into_bytes());
    let fill = socket.rmem.unwrap_or(socket.rx_queue);
    let percent = socket.rcvbuf.filter(|most| *most > 0).map(|most| u64::from(fill) * 100 / u64::from(most));
    Row {
        keys: namespace.into_iter().chain(texts).map(KeyValue::Text).collect(),
        values: vec![
            Value::Int(socket.drops.into()),
            Value::Int(fill.into()),
            Value::Maybe(percent.map(i128::from)),
            Value::Maybe(socket.rcvbuf.map(i128::from)),
        ],
    }
}

/// With the device that it is bound to where a zone would stand, as `127.0.0.53%2:53`.
fn local(socket: &UdpSocket) -> String {
    match (socket.local, socket.interface) {
        (SocketAddr::V6(local), Some(index)) => {
            SocketAddrV6::new(*local.ip(), local.port(), local.flowinfo(), index).to_string()
        }
        (local, Some(index)) => format!("{}%{index}:{}", local.ip(), local.port()),
        (local, None) => local.to_string(),
    }
}

/// `nginx(17), nginx(18)`.
fn processes(owners: &[Owner]) -> Vec<u8> {
    let one = |owner: &Owner| [owner.comm.as_slice(), format!("({})", owner.pid).as_bytes()].concat();
    let all = owners.iter().map(one).collect::<Vec<_>>().join(&b", "[..]);
    if all.is_empty() { b"-".to_vec() } else { all }
}

/// What the table does not have, and why that may be.
fn unseen(survey: &Survey, owners: &Owners, shown: &[(&Namespace, &UdpSocket)]) -> Loss {
    const ROOT: &str = "run it as root, outside of containers";
    let refused: Vec<String> = survey.refused.iter().map(|(namespace, why)| format!("{namespace} ({why})")).collect();
    let unread = owners.unread();
    let mut hidden: Vec<u32> = survey.hidden.iter().chain(&unread.hidden).copied().collect();
    hidden.sort_unstable();
    hidden.dedup();
    // The kernel's own have no inode.
    let lone = shown.iter().filter(|(_, socket)| socket.inode != 0 && owners.of(socket.inode).is_empty()).count();
    let pids = |pids: &[u32]| shortened(&pids.iter().map(u32::to_string).collect::<Vec<_>>());
    let line = |name, count: usize, lost, what: String, advice: Option<&str>| {
        let count = Some(count as u64);
        LossLine { name, count, lost, what: agree(count, &what), advice: advice.map(str::to_owned) }
    };
    let refused_what = format!("namespaces whose sockets may not be seen: {}", shortened(&refused));
    let hidden_what = format!("processes whose sockets and namespace may not be known: {}", pids(&hidden));
    let cut_what = format!("processes with so many open files that not all were read: {}", pids(&unread.cut));
    Loss {
        kinds: vec![
            line("namespaces_refused", refused.len(), true, refused_what, Some(ROOT)),
            line("owners_unknown", lone, true, "sockets whose process was not found".to_owned(), None),
            line("processes_hidden", hidden.len(), false, hidden_what, None),
            line("processes_cut", unread.cut.len(), false, cut_what, None),
        ],
    }
}

/// A line has room for a few.
fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let more = names.len().saturating_sub(SHOWN);
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}
