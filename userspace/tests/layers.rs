//! The stages keep to their places: what each folder of src/ may name, read from its source.
use std::fs;
use std::path::{Path, PathBuf};

/// All but files of tests, which measure their speed or write samples.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs")
                && !path.to_string_lossy().ends_with("tests.rs")
            {
                let text = fs::read_to_string(&path).expect("a source");
                found.push((path, text));
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder), &mut found);
    assert!(!found.is_empty(), "no sources in {folder}");
    found
}

/// Lines of code that name one of `words`; tests at the end of a file may name what they like.
fn named(folder: &str, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in sources(folder) {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in lines.filter(|line| words.iter().any(|word| line.contains(word))) {
            found.push(format!("{}: {}", path.display(), line.trim()));
        }
    }
    found
}

const STAGES: [&str; 11] =
    ["program", "btf", "resolve", "attach", "snapshot", "sockets", "stream", "merge", "symbolize", "render", "sinks"];

#[test]
fn stages_do_not_know_the_command_line() {
    for stage in STAGES {
        assert_eq!(named(stage, &["crate::cli", "clap::"]), Vec::<String>::new());
    }
}

#[test]
fn pure_stages_do_no_io_and_read_no_clock() {
    let outside = [
        "std::fs",
        "std::net::Tcp",
        "std::net::Udp",
        "std::env",
        "std::process",
        "Instant",
        "SystemTime",
        "tokio",
        "crate::sys",
    ];
    for stage in ["program", "merge", "render"] {
        assert_eq!(named(stage, &outside), Vec::<String>::new());
    }
}

#[test]
fn only_stages_beside_the_kernel_name_aya() {
    for folder in
        ["program", "btf", "resolve", "merge", "symbolize", "sockets", "render", "sinks", "session", "cli", "sys"]
    {
        assert_eq!(named(folder, &["aya::", "aya_obj::"]), Vec::<String>::new());
    }
}

#[test]
fn stages_know_no_provider_by_name() {
    let names: Vec<String> = spoor::providers::PROVIDERS
        .iter()
        .flat_map(|provider| [format!("providers::{}", provider.name), format!("probes_common::{}", provider.name)])
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for folder in ["program", "btf", "resolve", "attach", "snapshot", "sockets", "stream", "merge", "sinks", "session"]
    {
        assert_eq!(named(folder, &names), Vec::<String>::new());
    }
}

/// What a pattern means is found out before anything is loaded, and for `spoor list` nothing is.
#[test]
fn patterns_are_resolved_without_what_attaches() {
    let later = ["attach", "providers", "session", "snapshot", "stream", "merge", "render", "sinks"]
        .map(|stage| format!("crate::{stage}"));
    let later: Vec<&str> = later.iter().map(String::as_str).chain(["sys::bpf", "sys::perf"]).collect();
    for stage in ["btf", "resolve"] {
        assert_eq!(named(stage, &later), Vec::<String>::new());
    }
}

/// What the kernel tells of its sockets it tells without a program of ours.
#[test]
fn sockets_are_looked_at_without_what_traces() {
    let others =
        ["attach", "providers", "session", "snapshot", "stream", "merge", "symbolize", "resolve", "render", "sinks"]
            .map(|stage| format!("crate::{stage}"));
    let others: Vec<&str> = others.iter().map(String::as_str).chain(["sys::bpf", "sys::perf"]).collect();
    assert_eq!(named("sockets", &others), Vec::<String>::new());
}
