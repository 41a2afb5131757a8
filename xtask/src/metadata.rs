//! What cargo knows about the workspace: `cargo metadata` in, its JSON out.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::shell::{cmd, output};

pub fn read(args: &[&str]) -> Result<Value> {
    let mut command = cmd("cargo", ["metadata", "--format-version=1", "--locked"]);
    let text = output(command.args(args)).context("ask cargo for the packages")?;
    serde_json::from_str(&text).context("read the JSON of `cargo metadata`")
}

/// The elements of a JSON array; nothing for anything else.
pub fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
