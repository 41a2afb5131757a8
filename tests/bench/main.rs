//! `bench [CASE...] [--quick] [--rounds N] [--json FILE] [--results FILE]`: what spoor costs, beside the floor, the peers
//! and nobody.
//! Needs root. `SPOOR_BIN` names the binary, `SPOOR_PEERS` the folder of the peers.
mod busy;
mod cases;
mod counted;
mod crowd;
mod datagrams;
mod disk;
mod floor;
mod functions;
mod hits;
mod keys;
mod once;
mod paths;
mod programs;
mod report;
mod results;
mod rounds;
mod stacks;
mod stats;
mod switches;
mod sys;
mod tool;
mod worker;

use std::time::Instant;

use spoor_tests::{Context, Result, bail};

use report::Table;
use rounds::Stage;
use worker::Worker;

const ROUNDS: usize = 21;
const QUICK_ROUNDS: usize = 2;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let (mut wanted, mut rounds, mut quick, mut json, mut results) = (Vec::new(), None, false, None, None);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--worker" => return worker::run(),
            "--quick" => quick = true,
            "--rounds" => rounds = Some(args.next().context("--rounds N")?.parse().context("--rounds N")?),
            "--results" => results = Some(args.next().context("--results FILE")?),
            "--json" => json = Some(args.next().context("--json FILE")?),
            name if name.starts_with('-') => bail!("no option {name}"),
            _ => wanted.push(arg),
        }
    }
    let known: Vec<&str> = cases::all().map(|case| case.name).chain(once::ONCE.iter().map(|(name, _)| *name)).collect();
    if let Some(unknown) = wanted.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("no case {unknown}; there are {}", known.join(", "));
    }
    let asked = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    let peers = tool::peers();
    let rounds = rounds.unwrap_or(if quick { QUICK_ROUNDS } else { ROUNDS });
    let (worker, other) = (Worker::start()?, Worker::start()?);
    let mut stage = Stage { worker, other, peers: peers.as_deref(), rounds, quick, idle: Vec::new() };
    let mut tables = Vec::new();
    let mut begun = Instant::now();
    let mut done = |table: Table| {
        eprintln!("{}: {:.1} s", table.name, begun.elapsed().as_secs_f64());
        begun = Instant::now();
        println!("{}", table.markdown());
        tables.push(table);
    };
    println!("{}, {rounds} rounds\n", std::fs::read_to_string("/proc/version")?.trim());
    for case in cases::all().filter(|case| asked(case.name)) {
        done(rounds::run(case, &mut stage)?);
    }
    for (_, once) in once::ONCE.iter().filter(|(name, _)| asked(name)) {
        done(once(&mut stage)?);
    }
    if let Some(file) = json {
        let tables: Vec<_> = tables.iter().map(Table::json).collect();
        std::fs::write(&file, serde_json::to_string_pretty(&tables)?).with_context(|| format!("write {file}"))?;
    }
    if let Some(file) = results {
        results::write(file.as_ref(), &tables, &stage).with_context(|| format!("write {file}"))?;
    }
    Ok(())
}
