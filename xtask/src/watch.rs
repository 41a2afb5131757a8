//! A program whose output is read while it runs: a command and a time limit in, its lines out.

use std::io::{BufRead, BufReader};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

pub struct Watched {
    /// What it wrote to standard output, without line ends; standard error goes to ours.
    pub lines: Vec<String>,
    /// `None`: killed, since it ran into the limit.
    pub status: Option<ExitStatus>,
}

/// Runs `command`, shows each line behind `prefix`, and kills it after `limit`.
pub fn watch(command: &mut Command, prefix: &str, limit: Duration) -> Result<Watched> {
    let end = Instant::now() + limit;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("start `{}`", command.get_program().display()))?;
    let mut output = BufReader::new(child.stdout.take().expect("piped above"));
    let (send, receive) = mpsc::channel();
    // Not joined: a grandchild that keeps the pipe open must not keep us beyond the limit.
    thread::spawn(move || {
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = plain(&String::from_utf8_lossy(&line));
            line.clear();
            if send.send(text).is_err() {
                break;
            }
        }
    });
    let mut lines = Vec::new();
    loop {
        match receive.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                println!("{prefix}{line}");
                lines.push(line);
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Ok(Watched { lines, status: Some(child.wait()?) });
            }
            Err(RecvTimeoutError::Timeout) => {
                child.kill().context("kill what ran too long")?;
                child.wait()?;
                return Ok(Watched { lines, status: None });
            }
        }
    }
}

/// Without line end, colours and other escapes: test programs colour a console, SeaBIOS clears it.
fn plain(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        if c == '\x1b' {
            // ESC [ parameters letter, or ESC and one character.
            if rest.next() == Some('[') {
                rest.find(|c| c.is_ascii_alphabetic());
            }
        } else if c == '\t' || !c.is_control() {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_ends_gives_its_lines_and_status() {
        let mut command = Command::new("sh");
        let ended = watch(command.args(["-c", "echo a; printf b; exit 3"]), "", Duration::from_secs(60));
        let ended = ended.unwrap();
        assert_eq!(ended.lines, ["a", "b"]);
        assert_eq!(ended.status.unwrap().code(), Some(3));
    }

    #[test]
    fn a_command_that_hangs_is_killed_at_the_limit_and_keeps_its_lines() {
        let mut command = Command::new("sh");
        let ended = watch(command.args(["-c", "echo a; exec sleep 60"]), "", Duration::from_millis(300));
        let ended = ended.unwrap();
        assert_eq!(ended.lines, ["a"]);
        assert!(ended.status.is_none());
    }

    #[test]
    fn escapes_of_a_console_are_not_part_of_a_line() {
        assert_eq!(plain("\x1bc\x1b[?7l\x1b[2Jtest a ... \x1b[32mok\x1b[0m\r\n"), "test a ... ok");
    }
}
