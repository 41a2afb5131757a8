//! Other programs: a command in, its success or its output out.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::paths;

/// A command that runs in the workspace and never waits for a person.
pub fn cmd<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(paths::root()).stdin(Stdio::null());
    command
}

/// Runs cargo in a target directory of its own, so that it neither waits for the lock of the
/// cargo that started us nor throws away what that one has built with other flags.
pub fn cargo<S: AsRef<OsStr>>(target: &str, args: impl IntoIterator<Item = S>) -> Command {
    // Not $CARGO: under `cargo xtask` that is one toolchain's cargo, and `+nightly` needs rustup's.
    let mut command = cmd("cargo", args);
    command.env("CARGO_TARGET_DIR", paths::target(target));
    // Set by the cargo and the rustup proxy above us; they would pin the toolchain of the child.
    for variable in ["RUSTUP_TOOLCHAIN", "CARGO", "RUSTC", "RUSTDOC"] {
        command.env_remove(variable);
    }
    command
}

/// Runs a command whose output the reader wants to see.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("start {}", name(command)))?;
    if !status.success() {
        bail!("{}: {status}", name(command));
    }
    Ok(())
}

/// Runs a command and gives its standard output; its standard error is part of the error.
pub fn output(command: &mut Command) -> Result<String> {
    let out = command.output().with_context(|| format!("start {}", name(command)))?;
    if !out.status.success() {
        let said = String::from_utf8_lossy(&out.stderr);
        match reason(&said) {
            Some(reason) => bail!("{}: {}: {reason}", name(command), out.status),
            None => bail!("{}: {}", name(command), out.status),
        }
    }
    Ok(String::from_utf8_lossy(&out.stdout).trim_end().to_owned())
}

/// The line that says it: the first that calls itself an error (apt's begin with `E:`), else the
/// last; rustup puts a backtrace below its own.
fn reason(said: &str) -> Option<&str> {
    let mut lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let is_error = |line: &&str| line.starts_with("error") || line.starts_with("E:");
    lines.clone().find(is_error).or_else(|| lines.next_back())
}

/// The program and its first words: enough to know it by, short enough for one line.
fn name(command: &Command) -> String {
    let words: Vec<_> =
        [command.get_program()].into_iter().chain(command.get_args().take(4)).map(OsStr::to_string_lossy).collect();
    let more = if command.get_args().len() > 4 { " ..." } else { "" };
    format!("`{}{more}`", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_is_the_error_line_else_the_last() {
        assert_eq!(reason("info: a\nerror: no network\nbacktrace:\n"), Some("error: no network"));
        assert_eq!(reason("W: old\nE: 404\nE: 404 too"), Some("E: 404"));
        assert_eq!(reason("tar: x\n  tar: giving up \n\n"), Some("tar: giving up"));
        assert_eq!(reason("\n"), None);
    }

    #[test]
    fn output_of_a_command_that_fails_is_an_error_with_its_reason() {
        let error = output(&mut cmd("sh", ["-c", "echo no >&2; exit 2"])).unwrap_err();
        let text = error.to_string();
        assert!(text.ends_with("`: exit status: 2: no") && text.starts_with("`sh -c"), "{text}");
    }
}
