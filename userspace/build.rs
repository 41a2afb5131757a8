//! Refuses to build with objects that do not come from these sources: whoever changed one must have rebuilt the other.
use std::path::Path;

#[allow(dead_code)]
#[path = "../xtask/src/digest.rs"]
mod digest;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = root.join("../probes-ebpf");
    println!("cargo::rerun-if-changed={}", sources.display());
    println!("cargo::rerun-if-changed=objects/DIGEST");
    let built_from = std::fs::read_to_string(root.join("objects/DIGEST")).unwrap_or_default();
    match digest::of_sources(&sources) {
        Ok(digest) if digest == built_from.trim() => {}
        Ok(_) => {
            println!("cargo::error=the objects in userspace/objects are older than probes-ebpf: run `cargo xtask ebpf`")
        }
        Err(error) => println!("cargo::error=read probes-ebpf: {error}"),
    }
}
