//! A test program on this machine: a command in, the stage that it makes out.

use std::process::Command;
use std::time::{Duration, Instant};

use super::stage::Stage;
use super::tally;
use crate::watch::watch;

/// Tests take seconds to minutes; this is for those that hang.
const LIMIT: Duration = Duration::from_secs(900);

pub fn run(name: &str, command: &mut Command, prefix: &str) -> Stage {
    let started = Instant::now();
    let watched = match watch(command, prefix, LIMIT) {
        Ok(watched) => watched,
        Err(error) => return Stage::failed(name, format!("{error:#}"), started.elapsed()),
    };
    // Failed tests speak for themselves; a bad end without one does not.
    let told = tally::counts(&watched.lines).is_some_and(|counts| counts.failed > 0);
    let trouble = match watched.status {
        None => Some(format!("killed after {} s", LIMIT.as_secs())),
        Some(status) if !status.success() && !told => Some(status.to_string()),
        Some(_) => None,
    };
    Stage::ran(name, &watched.lines, trouble, started.elapsed())
}
