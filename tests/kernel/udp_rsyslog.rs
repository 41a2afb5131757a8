//! `spoor udp` beside a receiver of the real world: rsyslogd, as Debian has it. What it did not write down is what was lost,
//! and what spoor says would help does.
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use spoor_tests::folder::Folder;
use spoor_tests::net::{Counters, Family, Net, socket_drops};
use spoor_tests::skip::skip;
use spoor_tests::{Context, Report, Result, bail, binaries, ensure, ensure_eq, spoor, sys, udp};

crate::tests![what_rsyslogd_did_not_write_down_was_lost, the_buffer_that_is_advised_holds_the_burst];

const PORT: u16 = 7714;
const SENT: u64 = 1000;

/// In B, with what it writes: a line for each message.
struct Rsyslogd {
    process: Child,
    folder: Folder,
}

impl Rsyslogd {
    /// `settings`: of its input.
    fn start(net: &Net, settings: &str) -> Result<Rsyslogd> {
        let Some(tree) = binaries::rsyslog() else {
            return skip("not supported: no rsyslogd; where it can, `cargo xtask test` fetches Debian's");
        };
        let libraries = ["usr/lib", "lib"].map(|lib| tree.join(lib).join("x86_64-linux-gnu"));
        let folder = Folder::new()?;
        let (config, out) = (folder.text("config"), folder.text("out"));
        let address = Family::V4.b();
        let text = format!(
            "global(net.enableDNS=\"off\" localHostname=\"here\")\n\
             module(load=\"imudp\")\n\
             template(name=\"message\" type=\"string\" string=\"%msg%\\n\")\n\
             ruleset(name=\"all\") {{ action(type=\"omfile\" file=\"{out}\" template=\"message\") }}\n\
             input(type=\"imudp\" address=\"{address}\" port=\"{PORT}\" ruleset=\"all\" {settings})\n"
        );
        fs::write(&config, text)?;
        fs::write(&out, "")?;
        let mut command = Command::new(tree.join("usr/sbin/rsyslogd"));
        command.args(["-n", "-f", &config, "-i", &folder.text("pid"), "-M"]).arg(libraries[0].join("rsyslog"));
        command.env("LD_LIBRARY_PATH", std::env::join_paths(&libraries)?);
        command.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let process = net.b.run(|| command.spawn().context("start rsyslogd"))?;
        let started = Rsyslogd { process, folder };
        net.b.wait_for(|_| Ok(!socket_drops(&net.b, Family::V4, PORT)?.is_empty())).context("rsyslogd listens")?;
        Ok(started)
    }

    /// While it is stopped, more than it has room for; then it goes on until it has read all that was kept. How many it
    /// did not write down, which the kernel's counters say too.
    fn flood(&self, net: &Net) -> Result<u64> {
        let before = Counters::of(&net.b)?;
        // One that it read on its way would make the burst smaller than the next.
        sys::stop(self.process.id()).context("stop rsyslogd")?;
        let socket = net.a.run(|| UdpSocket::bind((Family::V4.any(), 0)).context("bind a sender"))?;
        let message = format!("<13>Jan  1 00:00:00 host test: {}", "m".repeat(400));
        for number in 0..SENT {
            socket.send_to(message.as_bytes(), SocketAddr::new(Family::V4.b(), PORT))?;
            // A CPU's queue of what arrives holds 1000.
            if number % 200 == 199 {
                net.settle()?;
            }
        }
        sys::kill(self.process.id(), libc::SIGCONT)?;
        let moved = |now: &Counters, name: &str| now.since(&before).get(name).copied().unwrap_or(0);
        net.b
            .wait_for(|now| {
                let read = moved(now, "UdpInDatagrams");
                Ok(read + moved(now, "UdpRcvbufErrors") == SENT && self.written()? == read)
            })
            .context("rsyslogd writes what it was sent")?;
        let lost = SENT - self.written()?;
        ensure_eq!(moved(&Counters::of(&net.b)?, "UdpRcvbufErrors"), lost, "RcvbufErrors");
        Ok(lost)
    }

    fn written(&self) -> Result<u64> {
        Ok(fs::read_to_string(self.folder.file("out"))?.lines().count() as u64)
    }
}

impl Drop for Rsyslogd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn what_rsyslogd_did_not_write_down_was_lost() -> Result<()> {
    let net = Net::two()?;
    let rsyslogd = Rsyslogd::start(&net, "")?;
    let trace = udp(&["--by", "reason,netns,lport,process"]).start()?;
    let lost = rsyslogd.flood(&net)?;
    let run = trace.interrupt()?;
    ensure!(lost > 0, "its buffer holds {SENT}");
    let report: Report = run.report_with_loss()?;
    let (netns, port) = (net.b.inode()?.to_string(), PORT.to_string());
    let process = format!("rsyslogd({})", rsyslogd.process.id());
    let key = [("reason", "receive buffer full"), ("netns", &netns), ("lport", &port), ("process", &process)];
    ensure_eq!(report.row(&key)?.value("datagrams")? as u64, lost, "lost in {run}");
    Ok(())
}

/// One number of the advice is what to set.
fn the_buffer_that_is_advised_holds_the_burst() -> Result<()> {
    let net = Net::two()?;
    let rsyslogd = Rsyslogd::start(&net, "")?;
    let trace = spoor(&["udp", "--port", &PORT.to_string()]).start()?;
    rsyslogd.flood(&net)?;
    let run = trace.interrupt()?;
    drop(rsyslogd);
    let Some((_, advice)) = run.stdout.split_once("SO_RCVBUF ") else {
        bail!("no advice in {run}");
    };
    let bytes = advice.split_whitespace().next().context("a number")?;
    let rsyslogd = Rsyslogd::start(&net, &format!("rcvbufsize=\"{bytes}\""))?;
    ensure_eq!(rsyslogd.flood(&net)?, 0, "lost with {bytes} bytes, as was advised in {run}");
    Ok(())
}
