//! From the command line to a plan, and from a result to an exit status.
pub mod args;
pub mod doctor;
pub mod duration;
pub mod func;
pub mod list;
pub mod matches;
pub mod number;
pub mod plan;
pub mod sockets;
mod text_order;
pub mod udp;
pub mod usage;

use std::fmt;

use crate::program::error::ProgramError;

/// What was typed is wrong: exit status 2.
#[derive(Debug)]
pub struct UsageError {
    what: String,
    advice: Option<String>,
}

impl UsageError {
    pub fn new(what: &str, advice: &str) -> UsageError {
        UsageError { what: what.to_owned(), advice: (!advice.is_empty()).then(|| advice.to_owned()) }
    }

    pub fn in_expression(error: &ProgramError, option: &str) -> UsageError {
        // It brings its own lines: the place, and what to try.
        let explained = error.explain(option);
        UsageError { what: explained.strip_prefix("error: ").unwrap_or(&explained).trim_end().to_owned(), advice: None }
    }

    pub fn advice(&self) -> Option<&str> {
        self.advice.as_deref()
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for UsageError {}
