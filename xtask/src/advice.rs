//! The `try:` line of an error: an error and what to do about it in, one error that carries both out.

use std::fmt;

use anyhow::Error;

#[derive(Debug)]
struct Advised {
    error: Error,
    advice: String,
}

impl fmt::Display for Advised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

impl std::error::Error for Advised {}

pub trait Advise<T> {
    /// Says what to do if this failed; survives `.context()` that is added later.
    fn advise(self, advice: impl Into<String>) -> anyhow::Result<T>;
}

impl<T, E: Into<Error>> Advise<T> for Result<T, E> {
    fn advise(self, advice: impl Into<String>) -> anyhow::Result<T> {
        self.map_err(|error| Error::new(Advised { error: error.into(), advice: advice.into() }))
    }
}

/// What to do about `error`, where somebody knew.
pub fn of(error: &Error) -> Option<&str> {
    error.downcast_ref::<Advised>().map(|advised| advised.advice.as_str())
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn advice_survives_added_context_and_is_not_part_of_the_message() {
        let error = Err::<(), _>(anyhow!("no such file")).advise("make it").context("open `x`").unwrap_err();
        assert_eq!(format!("{error:#}"), "open `x`: no such file");
        assert_eq!(of(&error), Some("make it"));
    }
}
