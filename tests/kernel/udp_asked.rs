//! `spoor udp --sent`, `--truncated` and `--events`: what has to be asked for, with exact numbers, and nothing twice.
use std::net::UdpSocket;

use serde_json::Value;
use spoor_tests::losses::{self, Loss};
use spoor_tests::net::{Counters, Family, Net};
use spoor_tests::{Context, Finished, Result, bail, ensure, ensure_eq, spoor, udp};

use crate::udp::{FULL, KEYS, resident, told};

crate::tests![
    what_readers_cut_off_is_counted,
    a_waiting_reader_cuts_as_well,
    what_is_looked_at_or_fits_is_not_cut,
    sends_larger_than_the_mtu,
    sends_without_a_route,
    sends_beyond_the_buffer,
    sends_that_were_refused,
    a_packet_that_was_freed_is_not_lost_again,
    what_its_receiver_lost_is_no_failed_send,
    every_loss_is_an_event,
    events_are_of_the_process_that_is_meant,
    an_event_is_a_line,
];

const CUT: &str = "truncated by the reader";

fn what_readers_cut_off_is_counted() -> Result<()> {
    for family in Family::BOTH {
        let net = Net::two()?;
        let _resident = resident(&net)?;
        let told = told(&net, KEYS, &["--truncated"], || losses::truncated(&net, family))?;
        told.is(&net.b, &[CUT], 0)?;
        let rows = told.rows(&net.b)?;
        let [row] = &rows[..] else { bail!("one row, not {} in {}", rows.len(), told.run) };
        ensure_eq!(row.value("cut")? as u64, told.loss.truncated, "datagrams cut in {}", told.run);
        ensure_eq!(row.value("bytes")? as u64, told.loss.bytes_cut, "bytes cut off in {}", told.run);
        let receiver = told.loss.receiver.as_ref().context("a receiver")?;
        told.is_of(&net.b, &format!("workload({})", receiver.pid()))?;
        ensure_eq!(told.report.lost()?, 0, "lost in {}", told.run);
    }
    Ok(())
}

/// In B, on any port: what a reader does there, and who sends to it.
fn pair(net: &Net, bytes: usize) -> Result<(UdpSocket, impl Fn() -> Result<()>)> {
    let receiver = net.b.run(|| Ok(UdpSocket::bind((Family::V4.b(), 0))?))?;
    let sender = net.a.run(|| Ok(UdpSocket::bind((Family::V4.any(), 0))?))?;
    let to = receiver.local_addr()?;
    Ok((receiver, move || {
        sender.send_to(&vec![b'x'; bytes], to)?;
        Ok(())
    }))
}

/// Nobody has seen the datagram in the queue before it is read.
fn a_waiting_reader_cuts_as_well() -> Result<()> {
    const COUNT: u64 = 7;
    let net = Net::two()?;
    let (receiver, send) = pair(&net, 50)?;
    let port = receiver.local_addr()?.port().to_string();
    let trace = udp(&["--by", "reason,lport", "--truncated"]).start()?;
    let reader = std::thread::spawn(move || {
        (0..COUNT).try_for_each(|_| receiver.recv(&mut [0; 10]).map(drop)).map(|()| receiver)
    });
    for _ in 0..COUNT {
        send()?;
        net.settle()?;
    }
    let _receiver = reader.join().expect("the reader does not panic")?;
    let run = trace.interrupt()?;
    let row = run.report_with_loss()?.row(&[("reason", CUT), ("lport", &port)])?;
    ensure_eq!((row.value("cut")? as u64, row.value("bytes")? as u64), (COUNT, COUNT * 40), "cut in {run}");
    Ok(())
}

fn what_is_looked_at_or_fits_is_not_cut() -> Result<()> {
    let net = Net::two()?;
    let (receiver, send) = pair(&net, 70)?;
    let port = receiver.local_addr()?.port().to_string();
    let trace = udp(&["--by", "lport", "--truncated", "--port", &port]).start()?;
    for _ in 0..5 {
        send()?;
        receiver.peek_from(&mut [0; 10])?;
        receiver.peek_from(&mut [])?;
        ensure_eq!(receiver.recv(&mut [0; 70])?, 70, "read");
        send()?;
        ensure_eq!(receiver.recv(&mut [0; 100])?, 70, "read");
    }
    let run = trace.interrupt()?;
    let report = run.report_with_loss()?;
    ensure!(report.rows()?.is_empty() && report.lost()? == 0, "something was cut: {run}");
    Ok(())
}

/// Lost in A before there was a packet: for one reason, so long each.
fn sent(provoke: impl Fn(&Net) -> Result<Loss>, reason: &str, bytes: u64) -> Result<()> {
    let net = Net::two()?;
    let _resident = resident(&net)?;
    let told = told(&net, &format!("{KEYS},raddr,rport"), &["--sent"], || provoke(&net))?;
    told.is(&net.a, &[reason], told.loss.lost)?;
    let sender = told.loss.sender.as_ref().context("a sender")?;
    told.is_of(&net.a, &format!("workload({})", sender.pid()))?;
    for row in told.rows(&net.a)? {
        ensure_eq!(row.value("bytes")?, row.value("datagrams")? * bytes as i64, "bytes in {}", told.run);
        let to = (row.key("raddr")?, row.key("rport")?);
        let sent_to = told.loss.to;
        ensure_eq!(to, (sent_to.ip().to_string(), sent_to.port().to_string()), "sent to, in {}", told.run);
    }
    Ok(())
}

fn sends_larger_than_the_mtu() -> Result<()> {
    Family::BOTH
        .into_iter()
        .try_for_each(|family| sent(|net| losses::larger_than_mtu(net, family), "larger than the MTU", 2000))
}

fn sends_without_a_route() -> Result<()> {
    Family::BOTH.into_iter().try_for_each(|family| sent(|net| losses::no_route(net, family), "no route", 100))
}

fn sends_beyond_the_buffer() -> Result<()> {
    sent(losses::send_buffer_full, "send buffer full", 100)
}

/// Every second send is told what became of the one before, and sends nothing.
fn sends_that_were_refused() -> Result<()> {
    const COUNT: i64 = 5;
    let net = Net::two()?;
    let nobody = net.b.run(|| Ok(UdpSocket::bind(("127.0.0.1", 0))?))?;
    let to = nobody.local_addr()?;
    drop(nobody);
    let sender = net.b.run(|| Ok(UdpSocket::bind(("127.0.0.1", 0))?))?;
    sender.connect(to)?;
    let trace = udp(&["--by", "reason,lport,rport", "--sent"]).start()?;
    let before = Counters::of(&net.b)?;
    for refused in 1..=COUNT {
        sender.send(b"x")?;
        net.b.wait_for(|now| Ok(now.since(&before).get("IcmpInDestUnreachs") == Some(&(refused as u64))))?;
        let told = sender.send(b"x").map_err(|error| error.kind());
        ensure_eq!(told, Err(std::io::ErrorKind::ConnectionRefused), "the second send");
    }
    let run = trace.interrupt()?;
    let (ours, theirs) = (sender.local_addr()?.port().to_string(), to.port().to_string());
    let report = run.report_with_loss()?;
    let refused = report.row(&[("reason", "refused by the other side"), ("lport", &ours), ("rport", &theirs)])?;
    ensure_eq!(refused.value("datagrams")?, COUNT, "refused in {run}");
    // What a kernel without reasons cannot tell has another name.
    let arrived = report.row(&[("lport", &theirs), ("rport", &ours)])?;
    ensure_eq!(arrived.value("datagrams")?, COUNT, "lost where they came, in {run}");
    Ok(())
}

/// The sender is told, too, but one loss is one.
fn a_packet_that_was_freed_is_not_lost_again() -> Result<()> {
    type Provoke = fn(&Net) -> Result<Loss>;
    let cases: [(Provoke, &str); 2] =
        [(losses::queue_full, "queueing discipline"), (|net| losses::firewall_output(net, Family::V4), "netfilter")];
    for (provoke, reason) in cases {
        let net = Net::two()?;
        let _resident = resident(&net)?;
        let told = told(&net, KEYS, &["--sent"], || provoke(&net))?;
        told.is(&net.a, &[reason], told.loss.lost)?;
    }
    Ok(())
}

/// Of this namespace, each an object; the last line is the report.
fn events(run: &Finished, net: &Net) -> Result<Vec<Value>> {
    let inode = net.b.inode()?;
    let lines: Vec<Value> = run
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
        .collect::<Result<_>>()?;
    let Some((report, events)) = lines.split_last() else { bail!("nothing came: {run}") };
    ensure_eq!(report["loss"]["total"].as_u64(), Some(0), "lost events in {run}");
    ensure_eq!(report["events"].as_u64(), Some(events.len() as u64), "events in {run}");
    Ok(events.iter().filter(|event| event["netns"] == inode).cloned().collect())
}

/// Newer devices say so to whoever sent it.
fn what_its_receiver_lost_is_no_failed_send() -> Result<()> {
    for family in Family::BOTH {
        let net = Net::two()?;
        let _resident = resident(&net)?;
        let told = told(&net, KEYS, &["--all"], || losses::cpu_backlog_told(&net, family))?;
        told.is(&net.b, &["CPU backlog"], told.loss.lost)?;
        let in_a = told.rows(&net.a)?;
        ensure!(in_a.is_empty(), "{} rows of the sender in {}", in_a.len(), told.run);
    }
    Ok(())
}

fn every_loss_is_an_event() -> Result<()> {
    let net = Net::two()?;
    let trace = udp(&["--events"]).start()?;
    let loss = losses::receive_buffer_full(&net, Family::V4)?;
    net.settle()?;
    let run = trace.interrupt()?;
    let events = events(&run, &net)?;
    ensure_eq!(events.len() as u64, loss.lost, "events in {run}");
    let process = format!("workload({})", loss.receiver.as_ref().context("a receiver")?.pid());
    for event in events {
        ensure!(FULL.iter().any(|reason| event["reason"] == *reason), "{event}");
        ensure!(event["process"] == process && event["lport"] == loss.to.port(), "{event}, not of {process}");
        ensure!(event["raddr"] == Family::V4.a().to_string() && event["bytes"] == 512, "{event}");
    }
    Ok(())
}

fn events_are_of_the_process_that_is_meant() -> Result<()> {
    let net = Net::two()?;
    let other = std::process::id().to_string();
    let trace = udp(&["--events", "-p", &other]).start()?;
    let loss = losses::receive_buffer_full(&net, Family::V4)?;
    net.settle()?;
    let run = trace.interrupt()?;
    ensure!(loss.lost > 0 && events(&run, &net)?.is_empty(), "of another process: {run}");
    Ok(())
}

fn an_event_is_a_line() -> Result<()> {
    let net = Net::two()?;
    let trace = spoor(&["udp", "--events"]).start()?;
    let loss = losses::receive_buffer_full(&net, Family::V4)?;
    net.settle()?;
    let run = trace.interrupt()?;
    let words = format!(":{} <- {}:", loss.to.port(), Family::V4.a());
    let process = format!("workload({})", loss.receiver.as_ref().context("a receiver")?.pid());
    let lines = run.stdout.lines().filter(|line| line.contains(&words) && line.contains(&process)).count();
    ensure_eq!(lines as u64, loss.lost, "lines with `{words}` in {run}");
    Ok(())
}
