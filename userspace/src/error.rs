//! Errors that know what to do about them.
use std::fmt;

/// What and why in one line, what to do in another.
#[derive(Debug)]
pub struct Advice {
    what: String,
    advice: String,
}

impl Advice {
    pub fn new(what: impl Into<String>, advice: impl Into<String>) -> Advice {
        Advice { what: what.into(), advice: advice.into() }
    }

    pub fn advice(&self) -> &str {
        &self.advice
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Advice {}
