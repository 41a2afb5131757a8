//! What is said beside the report, on standard error. Whoever cannot hear it, a full disk or a closed pipe, loses only
//! that: `eprint!` would end the run in a panic.
use std::fmt::Display;
use std::io::{self, Write};

/// Writes the text as it is, in one piece.
pub fn say(text: impl Display) {
    let _ = io::stderr().write_all(text.to_string().as_bytes());
}

/// Writes the text and ends the line.
pub fn say_line(text: impl Display) {
    say(format_args!("{text}\n"));
}
