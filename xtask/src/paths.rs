//! Where things are: nothing in, paths out.

use std::env;
use std::path::PathBuf;

/// The workspace that `cargo xtask` was typed in, from any folder below it.
pub fn root() -> PathBuf {
    // Asked at run time: clones that share a CARGO_TARGET_DIR also share this binary.
    let xtask = env::var_os("CARGO_MANIFEST_DIR").unwrap_or(env!("CARGO_MANIFEST_DIR").into());
    PathBuf::from(xtask).parent().expect("xtask lies in the workspace").into()
}

/// A place for what is built or downloaded. Follows `CARGO_TARGET_DIR`, as cargo itself does.
pub fn target(below: &str) -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    root().join(target).join(below)
}
