//! One lost datagram in, out a line or one NDJSON object.
//!
//! ```text
//! 22:13:20.123456 receive buffer full  192.0.2.1:5140 <- 192.0.2.7:41000  512 B  rsyslogd(811)
//! ```
use std::borrow::Cow;
use std::fmt::Write;
use std::net::SocketAddr;

use super::{escape, strace};

/// One loss, from a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Prints as UTC.
    pub time_unix_ns: u64,
    pub reason: Cow<'static, str>,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    /// Names and ids of those that hold the socket, or why there are none.
    pub process: Vec<u8>,
    /// On its way out.
    pub sent: bool,
    /// It has come, and `bytes` of it are lost.
    pub cut: bool,
    /// 0: not known, of a send.
    pub bytes: u32,
    pub datagrams: u32,
    pub truesize: u32,
    /// 0: not known.
    pub rcvbuf: u32,
    pub fill: u32,
    /// Empty: not known.
    pub interface: Vec<u8>,
    /// 0: not known.
    pub netns: u64,
    pub family: u32,
}

/// Appends one line.
pub fn line(out: &mut Vec<u8>, lost: &Lost) {
    strace::time_of_day(out, lost.time_unix_ns);
    let mut text = String::new();
    let way = if lost.sent { "->" } else { "<-" };
    let length = match (lost.bytes, lost.cut) {
        (0, _) if lost.sent => "? B".to_owned(),
        (bytes, true) => format!("{bytes} B cut off"),
        (bytes, false) => format!("{bytes} B"),
    };
    let several = if lost.datagrams > 1 { format!(" in {} datagrams", lost.datagrams) } else { String::new() };
    // Writing into a string does not fail.
    let _ = write!(text, " {}  {} {way} {}  {length}{several}  ", lost.reason, lost.local, remote(lost));
    escape::push_name(&mut text, &lost.process);
    if lost.rcvbuf > 0 {
        let _ = write!(text, "  {} of {} B used", lost.fill, lost.rcvbuf);
    }
    text.push('\n');
    out.extend_from_slice(text.as_bytes());
}

/// Where it is not known, nothing but a question mark.
fn remote(lost: &Lost) -> Cow<'static, str> {
    if lost.remote.ip().is_unspecified() && lost.remote.port() == 0 {
        "?".into()
    } else {
        lost.remote.to_string().into()
    }
}

/// Appends one object: what is not known is null.
pub fn json(out: &mut Vec<u8>, lost: &Lost) {
    let known = |number: u32| (number > 0).then_some(number);
    let is_remote_known = !lost.remote.ip().is_unspecified() || lost.remote.port() != 0;
    let object = serde_json::json!({
        "time_unix_ns": lost.time_unix_ns,
        "reason": lost.reason,
        "laddr": lost.local.ip().to_string(),
        "lport": lost.local.port(),
        "raddr": is_remote_known.then(|| lost.remote.ip().to_string()),
        "rport": is_remote_known.then(|| lost.remote.port()),
        "process": escape::data(&lost.process),
        "sent": lost.sent,
        "cut": lost.cut,
        "bytes": if lost.sent { known(lost.bytes) } else { Some(lost.bytes) },
        "datagrams": lost.datagrams,
        "truesize": known(lost.truesize),
        "rcvbuf": known(lost.rcvbuf),
        "fill": known(lost.rcvbuf).map(|_| lost.fill),
        "ifname": (!lost.interface.is_empty()).then(|| escape::data(&lost.interface)),
        "netns": (lost.netns > 0).then_some(lost.netns),
        "family": lost.family,
    });
    out.extend_from_slice(object.to_string().as_bytes());
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> Lost {
        Lost {
            time_unix_ns: 1_000_000_123_456_000,
            reason: "receive buffer full".into(),
            local: "192.0.2.1:5140".parse().unwrap(),
            remote: "192.0.2.7:41000".parse().unwrap(),
            process: b"rsys\x1blogd(811)".to_vec(),
            sent: false,
            cut: false,
            bytes: 512,
            datagrams: 1,
            truesize: 1280,
            rcvbuf: 4608,
            fill: 5120,
            interface: b"eth0".to_vec(),
            netns: 4_026_531_840,
            family: 4,
        }
    }

    fn text(lost: &Lost) -> String {
        let mut out = Vec::new();
        line(&mut out, lost);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_says_what_was_lost_and_whose_it_was() {
        assert_eq!(
            text(&lost()),
            "13:46:40.123456 receive buffer full  192.0.2.1:5140 <- 192.0.2.7:41000  512 B  rsys\\x1blogd(811)  5120 of 4608 B used\n"
        );
        let none = "0.0.0.0:0".parse().unwrap();
        let sent = Lost { sent: true, bytes: 0, rcvbuf: 0, remote: none, reason: "no route".into(), ..lost() };
        assert_eq!(text(&sent), "13:46:40.123456 no route  192.0.2.1:5140 -> ?  ? B  rsys\\x1blogd(811)\n");
        let cut = Lost { cut: true, bytes: 412, rcvbuf: 0, ..lost() };
        assert!(text(&cut).contains("412 B cut off"));
        assert!(text(&Lost { datagrams: 10, ..lost() }).contains("512 B in 10 datagrams"));
    }

    #[test]
    fn an_object_has_null_for_what_is_not_known() {
        let none = "[::]:0".parse().unwrap();
        let mut out = Vec::new();
        json(&mut out, &Lost { sent: true, bytes: 0, rcvbuf: 0, remote: none, netns: 0, ..lost() });
        let object: serde_json::Value = serde_json::from_slice(&out).unwrap();
        for name in ["raddr", "rport", "bytes", "rcvbuf", "fill", "netns"] {
            assert!(object[name].is_null(), "{name}");
        }
        assert_eq!((object["lport"].as_u64(), object["ifname"].as_str()), (Some(5140), Some("eth0")));
    }
}
