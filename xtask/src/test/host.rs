//! The tests that need neither root nor a certain kernel.

use anyhow::Result;

use super::kernel::{self, Programs};
use super::program;
use super::stage::Stage;
use crate::metadata::{self, items};
use crate::shell::cargo;

/// Unit tests, in the target folder that a developer's own `cargo test` uses.
pub fn unit_tests() -> Stage {
    // --no-fail-fast: one broken test says nothing about the next program's.
    let mut command = cargo("", ["test", "--locked", "--no-fail-fast"]);
    command.args(["-p", "spoor", "-p", "probes-common", "-p", "xtask"]);
    program::run("host", &mut command, "")
}

/// All of package spoor-tests but the kernel tests: golden, cli and what else has a target there.
pub fn cli_tests(programs: &Programs) -> Stage {
    let names = match test_targets() {
        Ok(names) => names,
        Err(error) => return Stage::failed("cli", format!("{error:#}"), Default::default()),
    };
    let mut command = cargo("", ["test", "--locked", "--no-fail-fast", "-p", "spoor-tests"]);
    command.arg("--lib");
    for name in names {
        command.args(["--test", &name]);
    }
    program::run("cli", programs.name_in(&mut command), "")
}

fn test_targets() -> Result<Vec<String>> {
    let workspace = metadata::read(&["--no-deps"])?;
    let mut names = Vec::new();
    for package in items(&workspace["packages"]) {
        for target in items(&package["targets"]) {
            let name = target["name"].as_str().unwrap_or_default();
            let is_test = items(&target["kind"]).iter().any(|kind| kind == "test");
            if package["name"] == "spoor-tests" && is_test && name != kernel::TARGET {
                names.push(name.to_owned());
            }
        }
    }
    Ok(names)
}
