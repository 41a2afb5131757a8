//! Programs that run on any Linux: packages and targets in, paths of static executables out. Beside them what a build
//! script made.
//! One target folder for `test` and `dist`: the same sources, flags and libraries, but `dist` has them optimized as a whole.

use std::env::consts::ARCH;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::shell::{cargo, output};

pub struct Built {
    messages: String,
}

/// `cargo build` in this profile with these arguments, linked statically.
pub fn build(profile: &str, args: &[&str]) -> Result<Built> {
    let mut command = cargo("static", ["build", "--profile", profile, "--locked", "--target"]);
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

    /// The folder of what the build script of a package made.
    pub fn out_dir(&self, package: &str) -> Result<PathBuf> {
        out_dir(&self.messages, package).with_context(|| format!("`{package}` has no build script"))
    }
}

fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    objects(messages)
        .find(|message| message["target"]["name"] == name && message["executable"].is_string())
        .and_then(|message| Some(message["executable"].as_str()?.into()))
}

fn out_dir(messages: &str, package: &str) -> Option<PathBuf> {
    // `path+file:///folder#name@version`, without the name where the folder has it.
    let is_of = |id: &str| id.contains(&format!("#{package}@")) || id.contains(&format!("/{package}#"));
    objects(messages)
        .filter(|message| message["reason"] == "build-script-executed")
        .find(|message| message["package_id"].as_str().is_some_and(is_of))
        .and_then(|message| Some(message["out_dir"].as_str()?.into()))
}

/// Cargo's messages, one JSON object a line.
fn objects(messages: &str) -> impl Iterator<Item = Value> {
    messages.lines().filter_map(|line| serde_json::from_str(line).ok())
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

    #[test]
    fn out_dir_is_found_by_its_package_in_both_forms_of_an_id() {
        let messages = r#"{"reason":"build-script-executed","package_id":"path+file:///w/tests#spoor-tests@0.1.0","out_dir":"/t/a"}
            {"reason":"build-script-executed","package_id":"path+file:///w/spoor#0.1.0","out_dir":"/t/b"}
            {"reason":"compiler-artifact","package_id":"path+file:///w/xtask#0.1.0"}"#;
        assert_eq!(out_dir(messages, "spoor-tests"), Some("/t/a".into()));
        assert_eq!(out_dir(messages, "spoor"), Some("/t/b".into()));
        assert_eq!(out_dir(messages, "xtask"), None);
    }
}
