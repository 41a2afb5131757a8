//! `cargo xtask dist`: the workspace in, what users are given out: one static file, its man page
//! and its completions, in dist/.

use anyhow::{Context, Result, anyhow};

use crate::advice::Advise;
use crate::shell::{cmd, output};
use crate::{files, paths, static_build};

/// The promise is one small file; going beyond takes a decision, and then an edit here. The last one: functions, with what
/// finds them in files, took it from 6 MiB to a quarter more.
const MAX_BYTES: usize = 27 * 1024 * 1024 / 4;

/// What the program writes about itself, so that it never disagrees with its own flags.
const GENERATED: [(&str, &str); 4] =
    [("man", "spoor.1"), ("complete-bash", "spoor.bash"), ("complete-zsh", "_spoor"), ("complete-fish", "spoor.fish")];

pub fn run() -> Result<()> {
    let built = static_build::build("dist", &["--package=spoor", "--bin=spoor"])?.program("spoor")?;
    let dist = paths::root().join("dist");
    files::remove(&dist)?;
    files::make_folder(&dist)?;
    let spoor = dist.join("spoor");
    // With its permissions.
    std::fs::copy(&built, &spoor).with_context(|| format!("copy `{}`", built.display()))?;
    for (what, name) in GENERATED {
        let text = output(&mut cmd(&spoor.to_string_lossy(), ["--generate", what]))
            .with_context(|| format!("make `dist/{name}`"))?;
        files::write(&dist.join(name), format!("{text}\n").as_bytes())?;
    }
    let mut size = 0;
    for name in ["spoor"].into_iter().chain(GENERATED.map(|(_, name)| name)) {
        let bytes = files::read(&dist.join(name))?.len();
        println!("{bytes:>9} B  dist/{name}");
        if name == "spoor" {
            size = bytes;
        }
    }
    if size > MAX_BYTES {
        return Err(anyhow!("`dist/spoor` has {size} B, more than {MAX_BYTES} B"))
            .advise("cargo tree -p spoor -e normal, for what came in last");
    }
    Ok(())
}
