//! A test that cannot run here says so by an error of its own kind, with the reason.
use std::fmt;

#[derive(Debug)]
pub struct Skip(pub String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "skipped: {}", self.0)
    }
}

impl std::error::Error for Skip {}

/// Only where a probe says that the machine lacks something.
pub fn skip<T>(why: &str) -> anyhow::Result<T> {
    Err(Skip(why.to_owned()).into())
}
