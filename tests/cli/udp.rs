//! `spoor udp --sockets`: a process that has sockets, beside the table of them. No root.
use std::process::Command;

use spoor_tests::{Finished, Report, Work, binaries};

use crate::run;

const SENT: u64 = 100;

/// A process with the sockets of `workload udp-sockets`, which stay as they are.
struct Sockets {
    work: Work,
    did: serde_json::Value,
}

impl Sockets {
    fn open() -> Sockets {
        let mut work = Work::holding(&["udp-sockets", &SENT.to_string()]).expect("starts");
        let did = work.run().expect("opens sockets");
        Sockets { work, did }
    }

    fn number(&self, what: &str) -> u64 {
        self.did[what].as_u64().unwrap_or_else(|| panic!("no {what} in {}", self.did))
    }

    fn text(&self, what: &str) -> String {
        self.number(what).to_string()
    }

    fn full(&self) -> String {
        format!("127.0.0.1:{}", self.number("full_port"))
    }

    fn process(&self) -> String {
        format!("workload({})", self.work.pid())
    }
}

fn json(args: &[&str]) -> (Report, Finished) {
    let run = run(&[&["udp", "--sockets", "--format", "json"], args].concat());
    (run.report_of_code().expect("a report"), run)
}

/// The queue's bytes and the drops that /proc has for a port of 127.0.0.1.
fn of_proc(port: u64) -> (i64, i64) {
    let text = std::fs::read_to_string("/proc/net/udp").expect("/proc/net/udp");
    let local = format!("0100007F:{port:04X}");
    let line = text.lines().find(|line| line.split_whitespace().nth(1) == Some(&local)).expect("a line");
    let words: Vec<&str> = line.split_whitespace().collect();
    let queue = words[4].split(':').nth(1).expect("two queues");
    (i64::from_str_radix(queue, 16).expect("hexadecimal"), words[12].parse().expect("a number"))
}

/// Two sockets alike are sent 100 datagrams each; what one of them had when it was read says what the other dropped.
#[test]
fn a_full_socket_has_its_buffer_its_fill_and_every_drop() {
    let sockets = Sockets::open();
    let (report, run) = json(&["-p", &sockets.work.pid()]);
    let row =
        report.row(&[("local", &sockets.full()), ("remote", "*"), ("process", &sockets.process())]).expect("full");
    let dropped = (SENT - sockets.number("kept")) as i64;
    assert!(dropped > 0 && dropped < SENT as i64, "{dropped}");
    let (fill, drops) = of_proc(sockets.number("full_port"));
    let value = |name| row.value(name).expect("a number");
    assert_eq!((value("drops"), value("drops")), (dropped, drops), "{run}");
    assert_eq!(value("fill_bytes"), fill, "{run}");
    assert!(fill > 512, "{run}");
    assert_eq!(value("buffer_bytes"), sockets.number("full_rcvbuf") as i64, "{run}");
    assert_eq!(value("fill_percent"), fill * 100 / value("buffer_bytes"), "{run}");
    let read = format!("127.0.0.1:{}", sockets.number("read_port"));
    let row = report.row(&[("local", &read), ("remote", "*")]).expect("read");
    assert_eq!(["drops", "fill_bytes", "fill_percent"].map(|name| row.value(name).expect("a number")), [dropped, 0, 0]);
}

#[test]
fn who_sends_is_shown_with_where_to() {
    let sockets = Sockets::open();
    let (report, run) = json(&["-p", &sockets.work.pid()]);
    let row = report.row(&[("remote", &sockets.full()), ("process", &sockets.process())]).expect("a writer");
    assert_eq!((row.value("drops").expect("drops"), row.value("fill_bytes").expect("fill")), (0, 0), "{run}");
}

/// A child has inherited the socket of ::1.
#[test]
fn a_shared_socket_has_all_processes_that_hold_it() {
    let sockets = Sockets::open();
    let child = sockets.work.others()[0];
    let (report, run) = json(&["--port", &sockets.text("shared_port"), "-p", &child.to_string()]);
    let mut pids = [sockets.work.own_pid(), child];
    pids.sort_unstable();
    let both = pids.map(|pid| format!("workload({pid})")).join(", ");
    let local = format!("[::1]:{}", sockets.number("shared_port"));
    let row = report.row(&[("local", &local), ("process", &both)]).expect("shared");
    assert_eq!(row.value("buffer_bytes").expect("buffer"), sockets.number("shared_rcvbuf") as i64, "{run}");
    assert_eq!(report.rows().expect("rows").len(), 1, "{run}");
}

#[test]
fn sockets_on_one_port_are_a_row_each() {
    let sockets = Sockets::open();
    let (report, run) = json(&["--port", &sockets.text("pair_port"), "-p", &sockets.work.pid()]);
    let local = format!("127.0.0.1:{}", sockets.number("pair_port"));
    let locals: Vec<String> = report.rows().expect("rows").iter().map(|row| row.key("local").expect("local")).collect();
    assert_eq!(locals, [local.clone(), local], "{run}");
}

/// Two have dropped, and only one of them still has something in its queue.
#[test]
fn drops_and_then_fill_decide_the_order() {
    let sockets = Sockets::open();
    let pid = sockets.work.pid();
    let (report, run) = json(&["-p", &pid, "--top", "2"]);
    let locals: Vec<String> = report.rows().expect("rows").iter().map(|row| row.key("local").expect("local")).collect();
    assert_eq!(locals, [sockets.full(), format!("127.0.0.1:{}", sockets.number("read_port"))], "{run}");
    // Of two readers, two writers, one shared and two on a port.
    assert_eq!(report.0["rows_left_out"], 5, "{run}");
    assert_eq!(report.0["target"]["pids"][0].to_string(), pid, "{run}");
}

/// Columns are found by their titles: `netns` is there only where there are several.
#[test]
fn the_table_is_for_people_and_csv_for_programs() {
    let sockets = Sockets::open();
    let pid = sockets.work.pid();
    let (full, process) = (sockets.full(), sockets.process());
    let table = run(&["udp", "--sockets", "-p", &pid]);
    let titles: Vec<&str> = table.stdout.lines().next().expect("a header").split_whitespace().collect();
    assert!(titles.ends_with(&["local", "remote", "process", "drops", "fill", "fill%", "buffer"]), "{table}");
    let line = table.stdout.lines().find(|line| line.split_whitespace().any(|word| word == full)).expect("a row");
    let words: Vec<&str> = line.split_whitespace().skip(titles.len() - 7).collect();
    let dropped = (SENT - sockets.number("kept")).to_string();
    assert_eq!(words[..4], [&full, "*", &process, &dropped], "{table}");
    assert!(words[4].ends_with("KiB") && words[6] == "8.00KiB", "{table}");
    let csv = run(&["udp", "--sockets", "-p", &pid, "--format", "csv", "--top", "1"]);
    let (fill, _) = of_proc(sockets.number("full_port"));
    let lines: Vec<&str> = csv.stdout.lines().collect();
    assert!(lines[0].ends_with("local,remote,process,drops,fill_bytes,fill_percent,buffer_bytes"), "{csv}");
    assert!(lines[1].ends_with(&format!("{full},*,{process},{dropped},{fill},{},8192", fill * 100 / 8192)), "{csv}");
    assert_eq!(lines.len(), 2, "{csv}");
    assert!(csv.stderr.contains("6 more rows: --top 0 shows all"), "{csv}");
}

/// `unshare --net`, which needs root: elsewhere there is nothing to see.
#[test]
fn sockets_of_another_network_namespace_are_shown_with_it() {
    if !spoor_tests::sys::is_root() {
        return;
    }
    let mut command = Command::new("unshare");
    command.args(["--net", "--"]).arg(binaries::workload()).args(["--wait", "--hold", "udp-sockets", "0"]);
    // Without a loopback device that is up there is nowhere to send to.
    let Ok(mut work) = Work::start(&mut command) else { return };
    let did = work.run().expect("opens sockets");
    let namespace = std::fs::read_link(format!("/proc/{}/ns/net", work.pid())).expect("a namespace");
    let local = format!("127.0.0.1:{}", did["full_port"]);
    let (report, run) = json(&["-p", &work.pid()]);
    let process = format!("workload({})", work.pid());
    let keys = [("netns", namespace.to_str().expect("text")), ("local", &local), ("process", &process)];
    let row = report.row(&keys).expect("the socket");
    assert_eq!(row.value("buffer_bytes").expect("buffer"), did["full_rcvbuf"].as_i64().expect("a number"), "{run}");
}

#[test]
fn what_has_no_socket_says_so() {
    let mut work = Work::holding(&["getppid", "1"]).expect("starts");
    work.run().expect("works");
    let run = run(&["udp", "--sockets", "-p", &work.pid()]);
    assert_eq!((run.code(), run.stdout.lines().next()), (0, Some("no UDP sockets")), "{run}");
}

#[test]
fn what_makes_no_table_is_refused() {
    for (args, code, words) in [
        (&["udp", "--sockets", "-d", "1s"][..], 2, &["--sockets does not go with --duration"][..]),
        (&["udp", "--sockets", "--port", "65536"], 2, &["--port `65536`: not a port", "1 to 65535"]),
        (&["udp", "--sockets", "--format", "svg"], 2, &["--format svg needs stacks", "text, json or csv"]),
        (&["udp", "--sockets", "-p", "4194305"], 1, &["-p 4194305: no such process"]),
        (&["udp", "--sockets", "-o", "/spoor-no-such-folder/x"], 1, &["/spoor-no-such-folder/x"]),
    ] {
        run(args).refused(code, words).expect("refused");
    }
}
