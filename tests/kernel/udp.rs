//! `spoor udp`: what was lost on purpose has its row, with the reason, the place and the process, and the kernel's own
//! counters say the same.
use std::collections::BTreeMap;
use std::net::UdpSocket;

use spoor_tests::losses::{self, Loss};
use spoor_tests::net::{Beyond, Family, Namespace, Net};
use spoor_tests::{Context, Finished, Report, Result, Row, Work, ensure, ensure_eq, spoor, udp};

crate::tests![
    receive_buffer_full,
    no_socket,
    bad_checksum_at_arrival,
    bad_checksum_at_the_readers_copy,
    bad_checksum_when_polled,
    filtered,
    encapsulated,
    length_too_long,
    length_below_header,
    shorter_than_header,
    bad_address,
    closed_unread,
    connected_elsewhere,
    sockets_that_share_a_port,
    packets_of_several_datagrams,
    multicast,
    multicast_unwanted,
    memory_exhausted,
    cpu_backlog,
    fragments_never_completed,
    fragments_overlapping,
    spoofed_source,
    firewall_input,
    firewall_output,
    neighbour_absent,
    neighbour_queue_full,
    queue_full,
    too_large_to_forward,
    what_a_raw_socket_has_no_room_for_is_not_lost,
    what_is_read_in_part_is_not_lost,
    sends_that_fail_are_the_kernels_to_tell,
    what_arrives_is_no_loss,
    a_process_is_a_target,
    the_end_of_one_of_two_processes_does_not_end_it,
    who_has_ended_by_then_is_named,
    a_port_is_a_target,
    who_sent_it_is_a_target,
    stacks_are_those_of_the_kernel,
    what_would_help_is_said,
    intervals_add_up,
];

/// Losses, and spoor's report of the time in which they were.
pub struct Told {
    pub loss: Loss,
    pub run: Finished,
    pub report: Report,
}

pub const KEYS: &str = "reason,netns,laddr,lport,process,family";

/// `by` has these keys, in any order: `reason`, `netns` and `lport`.
pub fn told(net: &Net, by: &str, args: &[&str], provoke: impl FnOnce() -> Result<Loss>) -> Result<Told> {
    let trace = udp(&["--by", by]).and(args).start()?;
    let loss = provoke()?;
    net.settle()?;
    let run = trace.interrupt()?;
    Ok(Told { loss, report: run.report_with_loss()?, run })
}

impl Told {
    /// Of this namespace, or of none that is known any more, at the port that was sent to.
    pub fn rows(&self, namespace: &Namespace) -> Result<Vec<Row>> {
        let inode = namespace.inode()?.to_string();
        let mut rows = self.report.rows()?;
        let (port, address) = (self.loss.to.port().to_string(), self.loss.to.ip().to_string());
        rows.retain(|row| {
            let is = |key: &str, value: &str| row.is(&[(key, value)]).unwrap_or(false);
            // Behind the first fragment there is no port.
            is("netns", &inode) || is("netns", "0") && (is("lport", &port) || is("laddr", &address))
        });
        Ok(rows)
    }

    /// Lost there: so many datagrams, for one of these reasons, which differ from kernel to kernel.
    pub fn is(&self, namespace: &Namespace, reasons: &[&str], datagrams: u64) -> Result<()> {
        let rows = self.rows(namespace)?;
        let mut lost = BTreeMap::new();
        for row in &rows {
            *lost.entry(row.key("reason")?).or_insert(0) += row.value("datagrams")? as u64;
        }
        let total: u64 = lost.values().sum();
        ensure!(
            lost.keys().all(|reason| reasons.contains(&reason.as_str())),
            "{lost:?}, not {reasons:?}: {}",
            self.run
        );
        ensure_eq!(total, datagrams, "lost for {reasons:?} in {}", self.run);
        Ok(())
    }

    /// What the kernel counted in that namespace is explained by the rows.
    fn is_explained(&self, namespace: &Namespace, packets: u64) -> Result<()> {
        let accounts = self.report.0["kernel"].as_array().cloned().unwrap_or_default();
        let inode = namespace.inode()?.to_string();
        let of = accounts.iter().find(|account| account["netns"].as_str().is_some_and(|name| name.contains(&inode)));
        let account = of.with_context(|| format!("no account of {inode} in {}", self.run))?;
        ensure_eq!(account["explained"].as_u64(), Some(packets), "explained in {}", self.run);
        ensure_eq!(account["unexplained"].as_i64(), Some(0), "unexplained in {}", self.run);
        Ok(())
    }

    /// Every row is of this process.
    pub fn is_of(&self, namespace: &Namespace, process: &str) -> Result<()> {
        for row in self.rows(namespace)? {
            ensure_eq!(row.key("process")?, process, "process of {:?} in {}", row.keys, self.run);
        }
        Ok(())
    }
}

pub const FULL: [&str; 1] = ["receive buffer full"];

/// In both families, lost in B, for one of these reasons; the kernel counts so many of them, too, if `counted`.
fn in_b(provoke: fn(&Net, Family) -> Result<Loss>, reasons: &[&str], counted: bool) -> Result<()> {
    for family in Family::BOTH {
        let net = Net::two()?;
        // Somebody has to live there, so that its counters can be found.
        let _resident = resident(&net)?;
        let told = told(&net, KEYS, &[], || provoke(&net, family)).with_context(|| format!("{family:?}"))?;
        told.is(&net.b, reasons, told.loss.lost).with_context(|| format!("{family:?}"))?;
        if counted {
            told.is_explained(&net.b, told.loss.lost_packets)?;
        }
        let number = if family == Family::V4 { "4" } else { "6" };
        for row in told.rows(&net.b)? {
            ensure_eq!(row.key("family")?, number, "family of {:?} in {}", row.keys, told.run);
        }
        if let Some(receiver) = &told.loss.receiver {
            told.is_of(&net.b, &format!("workload({})", receiver.pid()))?;
        }
    }
    Ok(())
}

pub fn resident(net: &Net) -> Result<spoor_tests::Work> {
    net.b.run(|| Work::waiting(&["getppid", "0"]))
}

fn receive_buffer_full() -> Result<()> {
    in_b(losses::receive_buffer_full, &FULL, true)
}

fn no_socket() -> Result<()> {
    in_b(losses::no_socket, &["no socket"], true)
}

fn bad_checksum_at_arrival() -> Result<()> {
    in_b(losses::bad_checksum_small, &["bad checksum"], true)
}

fn bad_checksum_at_the_readers_copy() -> Result<()> {
    in_b(losses::bad_checksum_large, &["bad checksum at the reader's copy", "reader's copy failed"], true)
}

fn bad_checksum_when_polled() -> Result<()> {
    in_b(losses::bad_checksum_polled, &["bad checksum at the reader's copy"], true)
}

fn filtered() -> Result<()> {
    in_b(losses::filtered, &["socket filter", "socket filter or policy"], true)
}

fn encapsulated() -> Result<()> {
    in_b(losses::encapsulated, &["encapsulation"], false)
}

const LENGTHS: [&str; 1] = ["bad length"];

fn length_too_long() -> Result<()> {
    in_b(losses::length_too_long, &LENGTHS, true)
}

fn length_below_header() -> Result<()> {
    in_b(losses::length_below_header, &LENGTHS, true)
}

fn shorter_than_header() -> Result<()> {
    in_b(losses::shorter_than_header, &LENGTHS, true)
}

fn bad_address() -> Result<()> {
    in_b(losses::bad_address, &["reader's copy failed"], true)
}

/// The kernel frees them some time later, where nothing is left of socket and namespace.
fn closed_unread() -> Result<()> {
    for family in Family::BOTH {
        let net = Net::two()?;
        let trace = udp(&["--events"]).start()?;
        let loss = losses::closed_unread(&net, family)?;
        // All of a socket are freed at once.
        trace.process.stdout.wait_for_words("closed unread")?;
        let run = trace.interrupt()?;
        let (address, port) = (format!("\"laddr\":\"{}\"", family.b()), format!("\"lport\":{}", loss.to.port()));
        let is_ours = |line: &&str| line.contains("closed unread") && line.contains(&address) && line.contains(&port);
        ensure_eq!(run.stdout.lines().filter(is_ours).count() as u64, loss.lost, "lost in {run}");
    }
    Ok(())
}

fn connected_elsewhere() -> Result<()> {
    in_b(losses::connected_elsewhere, &["no socket"], true)
}

fn sockets_that_share_a_port() -> Result<()> {
    in_b(losses::reuse_port_full, &FULL, true)
}

fn packets_of_several_datagrams() -> Result<()> {
    in_b(losses::gro_buffer_full, &FULL, true)
}

/// Each of the three sockets loses its own copy.
fn multicast() -> Result<()> {
    let net = Net::two()?;
    let told = told(&net, KEYS, &[], || losses::multicast_full(&net))?;
    told.is(&net.b, &FULL, told.loss.lost)?;
    told.is_explained(&net.b, told.loss.lost)
}

fn multicast_unwanted() -> Result<()> {
    let net = Net::two()?;
    let told = told(&net, KEYS, &[], || losses::multicast_unwanted(&net))?;
    told.is(&net.b, &["multicast without listener"], told.loss.lost)?;
    told.is_explained(&net.b, told.loss.lost)
}

fn memory_exhausted() -> Result<()> {
    for family in Family::BOTH {
        let net = Net::two()?;
        let told = told(&net, KEYS, &[], || losses::memory_exhausted(&net, family))?;
        told.is(&net.b, &["udp_mem exhausted"], told.loss.lost)?;
        let receiver = told.loss.receiver.as_ref().context("a receiver")?;
        told.is_of(&net.b, &format!("workload({})", receiver.pid()))?;
    }
    Ok(())
}

/// The counter is a CPU's, of all protocols and namespaces: it stands with those of our own.
fn cpu_backlog() -> Result<()> {
    for family in Family::BOTH {
        let net = Net::two()?;
        let _resident = resident(&net)?;
        let told = told(&net, KEYS, &[], || losses::cpu_backlog(&net, family))?;
        told.is(&net.b, &["CPU backlog"], told.loss.lost)?;
        told.is_explained(&net.b, 0)?;
        let accounts = told.report.0["kernel"].as_array().context("accounts")?;
        let dropped: u64 =
            accounts.iter().filter_map(|account| account["all_protocols"]["softnet dropped"].as_u64()).sum();
        ensure!(dropped >= told.loss.lost, "softnet dropped {dropped}, lost {} in {}", told.loss.lost, told.run);
    }
    Ok(())
}

/// Fragments have rows, datagrams have none.
fn fragments_never_completed() -> Result<()> {
    for family in Family::BOTH {
        let net = Net::two()?;
        let told = told(&net, KEYS, &[], || losses::never_completed(&net, family))?;
        told.is(&net.b, &["fragments incomplete"], told.loss.lost_packets)?;
    }
    Ok(())
}

/// The one that overlaps is freed at once; the other, too, or when the time is over.
fn fragments_overlapping() -> Result<()> {
    let net = Net::two()?;
    let told = told(&net, KEYS, &[], || losses::overlapping(&net))?;
    let rows = told.rows(&net.b)?;
    let of = |reason: &str| {
        rows.iter()
            .filter(|row| row.is(&[("reason", reason)]).unwrap_or(false))
            .map(|row| row.value("datagrams"))
            .sum::<Result<i64>>()
    };
    ensure_eq!(of("fragments overlap or no memory")? as u64, told.loss.lost, "overlapping in {}", told.run);
    ensure!([0, told.loss.lost].contains(&(of("fragments incomplete")? as u64)), "others in {}", told.run);
    Ok(())
}

fn spoofed_source() -> Result<()> {
    let net = Net::two()?;
    let told = told(&net, KEYS, &[], || losses::spoofed_source(&net))?;
    told.is(&net.b, &["reverse path filter", "reverse path filter or no route"], told.loss.lost)
}

fn firewall_input() -> Result<()> {
    in_b(losses::firewall_input, &["netfilter"], false)
}

/// Lost where they were sent from, by who sent them.
fn in_a(provoke: impl Fn(&Net) -> Result<Loss>, reasons: &[&str]) -> Result<()> {
    let net = Net::two()?;
    let by = "reason,netns,lport,process,sent";
    let told = told(&net, by, &[], || provoke(&net))?;
    told.is(&net.a, reasons, told.loss.lost)?;
    for row in told.rows(&net.a)? {
        ensure_eq!(row.key("sent")?, "1", "way of {:?} in {}", row.keys, told.run);
    }
    if let Some(sender) = &told.loss.sender {
        told.is_of(&net.a, &format!("workload({})", sender.pid()))?;
    }
    Ok(())
}

fn firewall_output() -> Result<()> {
    Family::BOTH.into_iter().try_for_each(|family| in_a(|net| losses::firewall_output(net, family), &["netfilter"]))
}

fn neighbour_absent() -> Result<()> {
    in_a(losses::neighbour_absent, &["neighbour unresolved"])
}

fn neighbour_queue_full() -> Result<()> {
    in_a(losses::neighbour_queue_full, &["neighbour unresolved", "neighbour queue full"])
}

fn queue_full() -> Result<()> {
    in_a(losses::queue_full, &["queueing discipline"])
}

/// Lost where they were to be forwarded, which is neither where they came from nor where they were to go.
fn too_large_to_forward() -> Result<()> {
    for family in Family::BOTH {
        let way = Beyond::with_mtu(1280)?;
        let told = told(&way.net, "reason,netns,laddr,lport,process,family,sent", &[], || {
            losses::too_large_to_forward(&way, family)
        })?;
        told.is(
            &way.net.b,
            &["larger than the MTU", "not forwarded: larger than the MTU, TTL or policy"],
            told.loss.lost,
        )?;
        for row in told.rows(&way.net.b)? {
            let (address, port) = (told.loss.to.ip().to_string(), told.loss.to.port().to_string());
            ensure!(
                row.is(&[("laddr", &address), ("lport", &port), ("process", "(no socket)"), ("sent", "0")])?,
                "{:?} in {}",
                row.keys,
                told.run
            );
        }
    }
    Ok(())
}

/// What it had no room for, and what it had when it was closed, which the kernel frees some time later.
fn what_a_raw_socket_has_no_room_for_is_not_lost() -> Result<()> {
    for family in Family::BOTH {
        let net = Net::two()?;
        let trace = udp(&["--by", "reason,bytes", "-d", "2s"]).start()?;
        losses::raw_socket_full(&net, family)?;
        let run = trace.finish()?;
        let rows = run.report_with_loss()?.rows()?;
        // Nobody else's are as long.
        let of_b = |row: &&Row| row.key("bytes").is_ok_and(|bytes| bytes == "517");
        ensure_eq!(rows.iter().filter(of_b).count(), 0, "rows of {run}");
    }
    Ok(())
}

fn what_is_read_in_part_is_not_lost() -> Result<()> {
    in_b(losses::truncated, &[], false)
}

/// There is no packet yet: only counters and the sender's errno know.
fn sends_that_fail_are_the_kernels_to_tell() -> Result<()> {
    let net = Net::two()?;
    let told = told(&net, KEYS, &[], || losses::send_buffer_full(&net))?;
    told.is(&net.a, &[], 0)?;
    let account = told.report.0["kernel"].to_string();
    ensure!(account.contains(&format!("\"Udp SndbufErrors\":{}", told.loss.lost)), "{account} in {}", told.run);
    Ok(())
}

fn what_arrives_is_no_loss() -> Result<()> {
    let net = Net::two()?;
    let _resident = resident(&net)?;
    let told = told(&net, KEYS, &[], || {
        let receiver = net.b.run(|| Ok(UdpSocket::bind((Family::V4.b(), 7700))?))?;
        let sender = net.a.run(|| Ok(UdpSocket::bind((Family::V4.any(), 0))?))?;
        for _ in 0..20 {
            sender.send_to(b"x", receiver.local_addr()?)?;
            receiver.recv(&mut [0; 2])?;
        }
        let mut loss = losses::no_socket(&net, Family::V4)?;
        loss.lost = 0;
        Ok(loss)
    })?;
    // Those that were lost for another reason stand alone.
    told.is(&net.b, &["no socket"], 20)
}

/// Of two receivers that lose, one is meant.
fn a_process_is_a_target() -> Result<()> {
    let net = Net::two()?;
    let mut other = net.b.run(|| Work::holding(&["udp-receiver", "0.0.0.0:7701", "--rcvbuf", "4096"]))?;
    let trace = udp(&["--by", "lport,process", "-p", &other.pid()]).start()?;
    let full = losses::receive_buffer_full(&net, Family::V4)?;
    let sender = net.a.run(|| Ok(UdpSocket::bind((Family::V4.any(), 0))?))?;
    for _ in 0..50 {
        sender.send_to(&[b'x'; 512], (Family::V4.b(), 7701))?;
    }
    net.settle()?;
    let received = other.run()?["received"].as_u64().context("what it received")?;
    let run = trace.interrupt()?;
    let rows = run.report_with_loss()?.rows()?;
    ensure!(full.lost > 0 && rows.len() == 1, "{} rows in {run}", rows.len());
    ensure_eq!(rows[0].key("lport")?, "7701", "port in {run}");
    ensure!(run.report()?.0["target"].to_string().contains(&other.pid()), "the target is not told: {run}");
    ensure_eq!(rows[0].value("datagrams")? as u64, 50 - received, "lost in {run}");
    Ok(())
}

/// What the reports of intervals say so far was lost, by port and process.
fn reported(stdout: &str) -> Result<BTreeMap<(String, String), u64>> {
    let mut lost = BTreeMap::new();
    for line in stdout.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        for row in Report::parse(line)?.rows()? {
            *lost.entry((row.key("lport")?, row.key("process")?)).or_insert(0) += row.value("datagrams")? as u64;
        }
    }
    Ok(lost)
}

/// Of two receivers the first ends. Once its neighbour's next loss is reported, that loses again: who had stopped with the
/// first would miss it. Each ends when its losses are reported: before 6.11 the kernel does not name the socket, and that of
/// a process that is gone is nobody's.
fn the_end_of_one_of_two_processes_does_not_end_it() -> Result<()> {
    let net = Net::two()?;
    let receiver =
        |port: u16| net.b.run(|| Work::holding(&["udp-receiver", &format!("0.0.0.0:{port}"), "--rcvbuf", "4096"]));
    let (mut first, mut second) = (receiver(7701)?, receiver(7702)?);
    let (first_pid, second_pid) = (first.pid(), second.pid());
    let pids = ["-p", &first_pid, "-p", &second_pid];
    let mut trace = udp(&["--by", "lport,process", "-i", "300ms"]).and(&pids).start()?;
    let stdout = trace.process.stdout.clone();
    let sender = net.a.run(|| Ok(UdpSocket::bind((Family::V4.any(), 0))?))?;
    let flood = |port: u16| -> Result<()> {
        for _ in 0..50 {
            sender.send_to(&[b'x'; 512], (Family::V4.b(), port))?;
        }
        net.settle()
    };
    // It goes on holding its socket until it is released.
    let lost_by = |work: &mut Work, sent: u64| -> Result<u64> {
        let lost = sent - work.run()?["received"].as_u64().context("what it received")?;
        let process = format!("workload({})", work.pid());
        let is_told = |(key, told): (&(String, String), &u64)| key.1 == process && *told == lost;
        net.b.wait_for(|_| Ok(reported(&stdout.text())?.iter().any(is_told))).context("its losses are reported")?;
        Ok(lost)
    };
    flood(7701)?;
    let lost_by_first = lost_by(&mut first, 50)?;
    first.release()?;
    first.end()?;
    flood(7702)?;
    stdout.wait_for_words("7702").context("a report of the second")?;
    flood(7702)?;
    ensure!(trace.process.is_running()?, "spoor ended while a target runs");
    let lost_by_second = lost_by(&mut second, 100)?;
    second.release()?;
    second.end()?;
    let run = trace.finish()?;
    ensure_eq!(run.code(), 0, "status of {run}");
    let of = |port: &str, pid: &str, lost: u64| ((port.to_owned(), format!("workload({pid})")), lost);
    let expected = [of("7701", &first_pid, lost_by_first), of("7702", &second_pid, lost_by_second)];
    ensure!(lost_by_first > 0, "the first lost nothing");
    ensure_eq!(reported(&run.stdout)?, BTreeMap::from(expected), "lost in {run}");
    Ok(())
}

/// Where the kernel does not name the socket (before 6.11), it is known by the address that it had when it was there.
fn who_has_ended_by_then_is_named() -> Result<()> {
    let net = Net::two()?;
    let _resident = resident(&net)?;
    let mut receiver = net.b.run(|| Work::holding(&["udp-receiver", "0.0.0.0:7701", "--rcvbuf", "4096"]))?;
    let pid = receiver.pid();
    let trace = udp(&["--by", "reason,lport,process"]).and(&["-p", &pid]).start()?;
    let sender = net.a.run(|| Ok(UdpSocket::bind((Family::V4.any(), 0))?))?;
    for _ in 0..50 {
        sender.send_to(&[b'x'; 512], (Family::V4.b(), 7701))?;
    }
    net.settle()?;
    let lost = 50 - receiver.run()?["received"].as_u64().context("what it received")?;
    receiver.release()?;
    receiver.end()?;
    let run = trace.finish()?;
    let report = run.report_with_loss()?;
    let row = report.row(&[("lport", "7701"), ("reason", FULL[0])])?;
    ensure_eq!(row.key("process")?, format!("workload({pid})"), "process in {run}");
    ensure_eq!(row.value("datagrams")? as u64, lost, "lost in {run}");
    Ok(())
}

fn a_port_is_a_target() -> Result<()> {
    let net = Net::two()?;
    let trace = udp(&["--by", "reason,lport", "--port", "7799"]).start()?;
    losses::receive_buffer_full(&net, Family::V4)?;
    let loss = losses::no_socket(&net, Family::V4)?;
    let run = trace.interrupt()?;
    let report = run.report_with_loss()?;
    let row = report.row(&[("lport", "7799")])?;
    ensure_eq!(row.value("datagrams")? as u64, loss.lost, "lost in {run}");
    ensure_eq!(report.rows()?.len(), 1, "rows of {run}");
    ensure!(report.0["kernel"].is_null(), "a part is compared with the whole: {run}");
    Ok(())
}

fn who_sent_it_is_a_target() -> Result<()> {
    for family in Family::BOTH {
        let net = Net::two()?;
        for (peer, lost) in [(family.a(), true), (family.absent(), false)] {
            let trace = udp(&["--by", "raddr", "--peer", &peer.to_string()]).start()?;
            let loss = losses::receive_buffer_full(&net, family)?;
            let run = trace.interrupt()?;
            let rows = run.report_with_loss()?.rows()?;
            ensure_eq!(rows.len(), usize::from(lost), "rows of {run}");
            if lost {
                ensure_eq!(rows[0].key("raddr")?, peer.to_string(), "who sent, in {run}");
                ensure_eq!(rows[0].value("datagrams")? as u64, loss.lost, "lost in {run}");
            }
        }
    }
    Ok(())
}

/// Where the kernel gave it up.
fn stacks_are_those_of_the_kernel() -> Result<()> {
    let net = Net::two()?;
    let trace = udp(&["--by", "lport,kstack,reason"]).start()?;
    let loss = losses::no_socket(&net, Family::V4)?;
    let run = trace.interrupt()?;
    let rows = run.report_with_loss()?.rows()?;
    let rows: Vec<&Row> = rows.iter().filter(|row| row.is(&[("lport", "7799")]).unwrap_or(false)).collect();
    let lost: i64 = rows.iter().map(|row| row.value("datagrams")).sum::<Result<i64>>()?;
    ensure_eq!(lost as u64, loss.lost, "lost in {run}");
    for row in rows {
        ensure!(row.keys["kstack"].to_string().contains("ip_local_deliver"), "{} in {run}", row.keys["kstack"]);
        ensure_eq!(row.key("reason")?, "no socket", "reason in {run}");
    }
    Ok(())
}

/// With the arithmetic of what was seen at that socket.
fn what_would_help_is_said() -> Result<()> {
    let net = Net::two()?;
    // Before 6.11 the kernel does not name the socket: it is found where somebody is.
    let _resident = resident(&net)?;
    let trace = spoor(&["udp"]).start()?;
    let loss = losses::receive_buffer_full(&net, Family::V4)?;
    let run = trace.interrupt()?;
    let advice = format!("and {} found it full", loss.lost);
    let line = run.stdout.lines().find(|line| line.contains(&advice)).with_context(|| format!("no advice in {run}"))?;
    ensure!(line.contains("a buffer of 8192 B holds") && line.contains("datagrams of 512 B"), "{line}");
    Ok(())
}

fn intervals_add_up() -> Result<()> {
    let net = Net::two()?;
    let _resident = resident(&net)?;
    let trace = udp(&["--by", "reason,netns,lport", "-i", "300ms"]).start()?;
    let mut lost = 0;
    for _ in 0..3 {
        lost += losses::no_socket(&net, Family::V4)?.lost;
    }
    let run = trace.interrupt()?;
    let (mut sum, mut explained) = (0, 0);
    let inode = net.b.inode()?.to_string();
    for line in run.stdout.lines() {
        let report = Report::parse(line)?;
        for row in report.rows()?.iter().filter(|row| row.is(&[("netns", &inode)]).unwrap_or(false)) {
            sum += row.value("datagrams")? as u64;
        }
        let accounts = report.0["kernel"].as_array().cloned().unwrap_or_default();
        for account in accounts.iter().filter(|account| account["netns"].to_string().contains(&inode)) {
            explained += account["explained"].as_u64().unwrap_or(0);
            ensure_eq!(account["unexplained"].as_i64(), Some(0), "unexplained in {run}");
        }
    }
    ensure_eq!((sum, explained), (lost, lost), "lost and explained in {run}");
    Ok(())
}
