//! `cargo xtask bench`: builds `spoor` and the benches as users get them, optimized, and runs the cases.

use anyhow::Result;

use crate::{paths, shell};

const TARGET: &str = "bench";

#[derive(clap::Args)]
pub struct Args {
    /// Only these cases; a name that is none tells all of them
    case: Vec<String>,
    /// Few rounds and short windows: under two minutes for all cases
    #[arg(long)]
    quick: bool,
    /// Rounds of each case, in which everybody takes turns
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Write the numbers as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<String>,
    /// Write the tables as a page, such as tests/bench/RESULTS.md; what is written by hand at its end stays
    #[arg(long, value_name = "FILE")]
    results: Option<String>,
}

/// `SPOOR_PEERS` names the folder with the peers.
pub fn run(args: &Args) -> Result<()> {
    let built = ["build", "--release", "--locked", "--package=spoor", "--package=spoor-tests", "--bins"];
    shell::run(&mut shell::cargo(TARGET, built))?;
    let programs = paths::target(TARGET).join("release");
    let mut bench = shell::cmd(&programs.join("bench").to_string_lossy(), &args.case);
    bench.env("SPOOR_BIN", programs.join("spoor")).env("WORKLOAD_BIN", programs.join("workload"));
    if args.quick {
        bench.arg("--quick");
    }
    for (name, value) in [
        ("--rounds", args.rounds.map(|rounds| rounds.to_string())),
        ("--json", args.json.clone()),
        ("--results", args.results.clone()),
    ] {
        if let Some(value) = value {
            bench.args([name, &value]);
        }
    }
    shell::run(&mut bench)
}
