//! Programs that run on any Linux: packages and targets in, paths of static executables out.
//! One target folder for `test` and `dist`, so that what is tested is what is given away.

use std::env::consts::ARCH;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::shell::{cargo, output};

pub struct Built {
    messages: String,
}

/// `cargo build --release` with these arguments, linked statically.
pub fn build(args: &[&str]) -> Result<Built> {
    let mut command = cargo("static", ["build", "--release", "--locked", "--target"]);
    // An explicit target keeps the flag away from build scripts and macros.
    command.arg(format!("{ARCH}-unknown-linux-gnu"));
    command.args(args).arg("--message-format=json-render-diagnostics");
    command.env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static");
    let messages = output(command.stderr(Stdio::inherit())).context("build static programs")?;
    Ok(Built { messages })
}

impl Built {
    /// The executable of the target with this name.
    pub fn program(&self, name: &str) -> Result<PathBuf> {
        executable(&self.messages, name).with_context(|| format!("cargo built no program `{name}`"))
    }
}

/// Reads cargo's messages, one JSON object a line.
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|message| message["target"]["name"] == name && message["executable"].is_string())
        .and_then(|message| Some(message["executable"].as_str()?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executable_is_found_by_its_target_and_not_a_library_of_that_name() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"spoor"},"executable":null}
            {"reason":"compiler-artifact","target":{"name":"spoor"},"executable":"/t/spoor"}
            {"reason":"build-finished","success":true}"#;
        assert_eq!(executable(messages, "spoor"), Some("/t/spoor".into()));
        assert_eq!(executable(messages, "workload"), None);
    }
}
