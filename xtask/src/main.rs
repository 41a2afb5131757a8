//! What a developer of spoor does besides `cargo build`: command line in, built and tested files out.
//! Must not depend on package `spoor`: its build script refuses to run while the objects are stale.

use std::process::ExitCode;

use clap::Parser;

mod advice;
mod bench;
mod digest;
mod dist;
mod ebpf;
mod files;
mod licences;
mod metadata;
mod paths;
mod rustc;
mod shell;
mod static_build;
mod test;
mod toolchain;
mod vm;
mod watch;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Build and test steps of spoor")]
enum Task {
    /// Build the kernel-side programs into userspace/objects
    Ebpf(ebpf::Args),
    /// Run every test: host, cli, and the kernel tests here and in QEMU
    Test(test::Args),
    /// Measure what spoor costs, beside the peers; as root, on a machine that does nothing else
    Bench(bench::Args),
    /// Make the static `spoor`, its man page and completions in dist/
    Dist,
    /// Check the licence of every dependency against the allow-list
    Licences,
}

fn main() -> ExitCode {
    if let Some(code) = rustc::wrap() {
        return code;
    }
    let done = match Task::parse() {
        Task::Ebpf(args) => ebpf::run(&args),
        Task::Test(args) => return test::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::Dist => dist::run(),
        Task::Licences => licences::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            if let Some(advice) = advice::of(&error) {
                eprintln!("try:   {advice}");
            }
            ExitCode::FAILURE
        }
    }
}
