//! What `spoor udp` tells beside its rows: the counters that sockets have of their own, those of devices, and what no
//! counter records.
use std::net::UdpSocket;

use serde_json::Value;
use socket2::SockRef;
use spoor_tests::folder::Folder;
use spoor_tests::losses::{self, Loss};
use spoor_tests::net::{Family, Namespace, Net};
use spoor_tests::{Context, Finished, Report, Result, Work, ensure, ensure_eq, spoor, udp};

crate::tests![
    drops_of_sockets_are_explained,
    what_no_socket_counts_is_not_looked_for_there,
    a_socket_that_was_closed_leaves_nothing_unexplained,
    sockets_that_were_there_before_have_counted_before,
    drops_of_sockets_add_up_over_intervals,
    what_no_counter_records_is_named,
    what_a_device_drops_is_of_all_protocols,
    a_buffer_is_known_and_its_fill_only_where_the_kernel_tells,
    namespaces_of_threads_and_mounts_are_found,
    what_only_a_file_keeps_is_said_not_to_be_seen,
];

type Provoke = fn(&Net, Family) -> Result<Loss>;

/// In JSON, with what has to be alive for it.
fn told(net: &Net, provoke: impl FnOnce() -> Result<Loss>) -> Result<(Loss, Finished)> {
    let trace = udp(&["--by", "reason,netns,laddr,lport"]).start()?;
    let loss = provoke()?;
    net.settle()?;
    Ok((loss, trace.interrupt()?))
}

/// Somebody has to live there, so that the namespace can be found.
fn resident(namespace: &Namespace) -> Result<Work> {
    namespace.run(|| Work::waiting(&["getppid", "0"]))
}

/// What is told of a namespace; null where nothing is.
fn account(report: &Value, namespace: &Namespace) -> Result<Value> {
    let inode = namespace.inode()?.to_string();
    let accounts = report["kernel"].as_array().into_iter().flatten();
    let mut of = accounts.filter(|account| account["netns"].as_str().is_some_and(|name| name.contains(&inode)));
    Ok(of.next().cloned().unwrap_or_default())
}

fn of(run: &Finished, namespace: &Namespace) -> Result<Value> {
    account(&run.report_with_loss()?.0, namespace)
}

/// dropped, explained, unexplained, closed, missing.
fn numbers(account: &Value) -> Option<[i64; 5]> {
    let number = |name: &str| account["sockets"][name].as_i64();
    let numbers = ["dropped", "explained", "unexplained", "closed", "missing"].map(number);
    numbers.iter().all(Option::is_some).then(|| numbers.map(Option::unwrap_or_default))
}

/// Each is counted at its socket, whatever the namespace's counters say.
fn drops_of_sockets_are_explained() -> Result<()> {
    let provokes: [Provoke; 6] = [
        losses::receive_buffer_full,
        losses::bad_checksum_large,
        losses::bad_checksum_polled,
        losses::filtered,
        losses::bad_address,
        losses::memory_exhausted,
    ];
    for (number, provoke) in provokes.into_iter().enumerate() {
        for family in Family::BOTH {
            let net = Net::two()?;
            let _resident = resident(&net.b)?;
            let (loss, run) = told(&net, || provoke(&net, family))?;
            let lost = loss.lost_packets as i64;
            let sockets = numbers(&of(&run, &net.b)?);
            ensure_eq!(sockets, Some([lost, lost, 0, 0, 0]), "loss {number}, {family:?}: sockets in {run}");
        }
    }
    Ok(())
}

/// A checksum that is wrong at arrival may be counted at a socket, which has not happened here.
fn what_no_socket_counts_is_not_looked_for_there() -> Result<()> {
    let provokes: [Provoke; 3] = [losses::no_socket, losses::length_too_long, losses::bad_checksum_small];
    for provoke in provokes {
        let net = Net::two()?;
        let _resident = resident(&net.b)?;
        let (loss, run) = told(&net, || provoke(&net, Family::V4))?;
        let account = of(&run, &net.b)?;
        ensure_eq!(account["explained"].as_u64(), Some(loss.lost_packets), "explained in {run}");
        ensure!(account["sockets"].is_null(), "sockets in {run}");
    }
    Ok(())
}

/// Of the test's own, with room for few.
fn bind(namespace: &Namespace, family: Family) -> Result<UdpSocket> {
    let bind = || {
        let socket = UdpSocket::bind((family.b(), 0)).context("bind a receiver")?;
        SockRef::from(&socket).set_recv_buffer_size(4096)?;
        Ok(socket)
    };
    namespace.run(bind)
}

/// Returns how many it lost: what it took in is read.
fn overfill(net: &Net, receiver: &UdpSocket) -> Result<i64> {
    const SENT: i64 = 50;
    let to = receiver.local_addr()?;
    let sender = net.a.run(|| Ok(UdpSocket::bind((Family::of(to).any(), 0))?))?;
    for _ in 0..SENT {
        sender.send_to(&[b'x'; 512], to)?;
    }
    net.settle()?;
    receiver.set_nonblocking(true)?;
    let mut received = 0;
    while receiver.recv(&mut [0; 512]).is_ok() {
        received += 1;
    }
    ensure!((1..SENT).contains(&received), "{received} of {SENT} were received");
    Ok(SENT - received)
}

/// Its counter went with it: one socket loses and stays, the other one loses and is closed.
fn a_socket_that_was_closed_leaves_nothing_unexplained() -> Result<()> {
    for family in Family::BOTH {
        let net = Net::two()?;
        let _resident = resident(&net.b)?;
        let [stays, goes] = [bind(&net.b, family)?, bind(&net.b, family)?];
        let trace = udp(&["--by", "reason,lport"]).start()?;
        let (open, closed) = (overfill(&net, &stays)?, overfill(&net, &goes)?);
        drop(goes);
        let run = trace.interrupt()?;
        ensure_eq!(numbers(&of(&run, &net.b)?), Some([open, open, 0, 1, closed]), "{family:?}: sockets in {run}");
    }
    Ok(())
}

fn sockets_that_were_there_before_have_counted_before() -> Result<()> {
    let net = Net::two()?;
    let _resident = resident(&net.b)?;
    let receiver = bind(&net.b, Family::V4)?;
    overfill(&net, &receiver)?;
    let trace = udp(&["--by", "reason,lport"]).start()?;
    let lost = overfill(&net, &receiver)?;
    let run = trace.interrupt()?;
    ensure_eq!(numbers(&of(&run, &net.b)?), Some([lost, lost, 0, 0, 0]), "sockets in {run}");
    Ok(())
}

fn drops_of_sockets_add_up_over_intervals() -> Result<()> {
    let net = Net::two()?;
    let _resident = resident(&net.b)?;
    let receiver = bind(&net.b, Family::V4)?;
    let trace = udp(&["--by", "reason,lport", "-i", "200ms"]).start()?;
    let mut lost = 0;
    for _ in 0..3 {
        lost += overfill(&net, &receiver)?;
    }
    let run = trace.interrupt()?;
    let (mut explained, mut dropped) = (0, 0);
    for line in run.stdout.lines() {
        let Some(numbers) = numbers(&account(&Report::parse(line)?.0, &net.b)?) else { continue };
        dropped += numbers[0];
        explained += numbers[1];
        ensure_eq!(numbers[2..], [0; 3], "unexplained, closed and missing in {run}");
    }
    // What was dropped while an interval ended is told in both, and bracketed there.
    ensure!(explained == lost && dropped >= lost, "{explained} explained and {dropped} dropped of {lost}: {run}");
    Ok(())
}

/// The kernel frees it some time later: the trace ends when it has told of it.
fn what_no_counter_records_is_named() -> Result<()> {
    const WHAT: &str = "closed unread";
    let net = Net::two()?;
    let trace = udp(&["--by", "reason", "-i", "200ms"]).start()?;
    let loss = losses::closed_unread(&net, Family::V4)?;
    trace.process.stdout.wait_for_words(WHAT)?;
    let run = trace.interrupt()?;
    let mut named = 0;
    for line in run.stdout.lines() {
        let report = Report::parse(line)?;
        let rows = report.rows()?.into_iter().filter(|row| row.is(&[("reason", WHAT)]).unwrap_or(false));
        let lost: i64 = rows.map(|row| row.value("datagrams")).sum::<Result<_>>()?;
        let nowhere = report.0["not_counted"]["nowhere"][WHAT].as_u64().unwrap_or(0);
        ensure_eq!(nowhere, lost as u64, "told beside the rows, and in them, in {run}");
        named += nowhere;
    }
    ensure!(named >= loss.lost, "{named} of {} in {run}", loss.lost);

    let trace = spoor(&["udp", "--by", "reason", "-i", "200ms"]).start()?;
    losses::closed_unread(&net, Family::V4)?;
    trace.process.stdout.wait_for("kernel: no counter records these: closed unread ")?;
    trace.interrupt().map(drop)
}

/// Too large for the device of B, which says so in A and in B. They are no loss that UDP counts.
fn what_a_device_drops_is_of_all_protocols() -> Result<()> {
    let net = Net::two()?;
    let _residents = (resident(&net.a)?, resident(&net.b)?);
    net.b.set_mtu(1280)?;
    let trace = udp(&["--by", "reason"]).start()?;
    let sender = net.a.run(|| Ok(UdpSocket::bind((Family::V4.any(), 0))?))?;
    for _ in 0..12 {
        sender.send_to(&[b'x'; 1400], (Family::V4.b(), 7700))?;
    }
    net.settle()?;
    let run = trace.interrupt()?;
    for (namespace, name) in [(&net.a, "va tx_dropped"), (&net.b, "vb rx_dropped")] {
        let account = of(&run, namespace)?;
        ensure_eq!(account["all_protocols"][name].as_u64(), Some(12), "{name} in {run}");
        let balance = ["explained", "unexplained"].map(|name| account[name].as_i64());
        ensure_eq!(balance, [Some(0); 2], "balance in {run}");
    }
    Ok(())
}

/// No process is in it: first a thread of the test's is, then it is mounted.
fn namespaces_of_threads_and_mounts_are_found() -> Result<()> {
    let is_told = |net: &Net| {
        let (loss, run) = told(net, || losses::no_socket(net, Family::V4))?;
        let account = of(&run, &net.b)?;
        ensure_eq!(account["explained"].as_u64(), Some(loss.lost), "explained in {run}");
        ensure_eq!(account["unexplained"].as_i64(), Some(0), "unexplained in {run}");
        Ok(account["netns"].as_str().unwrap_or_default().to_owned())
    };
    let net = Net::two()?;
    let inside = std::thread::scope(|scope| {
        let (entered, is_entered) = std::sync::mpsc::channel();
        let (leave, is_left) = std::sync::mpsc::channel::<()>();
        let b = &net.b;
        scope.spawn(move || {
            b.run(move || {
                entered.send(())?;
                // An error: the other end is gone.
                Ok(is_left.recv().is_err())
            })
        });
        is_entered.recv().context("enter a namespace")?;
        let name = is_told(&net);
        drop(leave);
        name
    })?;
    ensure!(inside.contains("net:["), "its name is {inside}");
    let folder = Folder::new()?;
    let name = format!("test-{}", net.b.inode()?);
    let _mount = net.b.mount(&folder.file(&name))?;
    ensure_eq!(is_told(&net)?, name, "its name");
    Ok(())
}

fn what_only_a_file_keeps_is_said_not_to_be_seen() -> Result<()> {
    let net = Net::two()?;
    let (_, run) = told(&net, || losses::no_socket(&net, Family::V4))?;
    let report = run.report_with_loss()?.0;
    let unseen = report["netns_unseen"].as_array().cloned().unwrap_or_default();
    ensure!(unseen.contains(&net.b.inode()?.into()), "{unseen:?} in {run}");
    Ok(())
}

/// From 5.17 to 6.10 no loss names its socket; a port that nobody has has none in any kernel. Neither has a fill of 0.
fn a_buffer_is_known_and_its_fill_only_where_the_kernel_tells() -> Result<()> {
    let found = ::spoor::btf::Btf::of_running_kernel()?.look_up(&["kfree_skb"], &[], &[]);
    let is_named = found.arguments.get("kfree_skb").is_some_and(|arguments| *arguments != 3);
    for family in Family::BOTH {
        let net = Net::two()?;
        let _resident = resident(&net.b)?;
        let receiver = bind(&net.b, family)?;
        let trace = udp(&["--by", "lport"]).start()?;
        overfill(&net, &receiver)?;
        let nobody = losses::no_socket(&net, family)?.to.port();
        let run = trace.interrupt()?;
        let report = run.report_with_loss()?;
        let of = |port: u16| -> Result<[Option<i64>; 2]> {
            let row = report.row(&[("lport", &port.to_string())])?;
            Ok(["rcvbuf", "fill"].map(|name| row.values[name].as_i64()))
        };
        let [buffer, fill] = of(receiver.local_addr()?.port())?;
        // Twice what was asked for.
        ensure_eq!(buffer, Some(8192), "buffer in {run}");
        ensure_eq!(fill.is_some_and(|fill| fill > 0), is_named, "a fill of {fill:?} in {run}");
        ensure_eq!(of(nobody)?, [None, None], "buffer and fill of nobody in {run}");
    }
    Ok(())
}
