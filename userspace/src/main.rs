//! The command `spoor`: typed words in, exit status out. Everything else is in the library.
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory, Parser};

use spoor::attach::features::Refusal;
use spoor::cli::args::{Cli, Command, Generate};
use spoor::cli::plan::Plan;
use spoor::cli::{UsageError, doctor, func, list, plan, sockets, udp, usage};
use spoor::error::Advice;
use spoor::program::error::printable;
use spoor::session;
use spoor::sinks::stderr;

const TRACED: u8 = 0;
const NOT_TRACED: u8 = 1;
const USAGE: u8 = 2;
const LOST: u8 = 3;

fn main() -> ExitCode {
    let done = match Cli::try_parse() {
        Ok(cli) => run(cli),
        Err(refused) if refused.use_stderr() => Err(usage::explain(&refused, std::env::args_os().skip(1)).into()),
        // Help or the version.
        Err(asked) => written(asked.print(), "help"),
    };
    ExitCode::from(done.unwrap_or_else(|error| complain(&error)))
}

fn run(cli: Cli) -> Result<u8> {
    if let Some(generate) = cli.generate {
        return print(&generated(generate)?, "man page or completions");
    }
    match cli.command {
        Some(Command::Syscalls(args)) => trace(plan::syscalls(*args)?),
        Some(Command::Profile(args)) => trace(plan::profile(*args)?),
        Some(Command::Offcpu(args)) => trace(plan::offcpu(*args)?),
        Some(Command::Threads(args)) => trace(plan::threads(*args)?),
        Some(Command::Func(args)) => trace(func::func(*args)?),
        Some(Command::Udp(args)) if args.sockets => {
            let strict = args.output.strict;
            let lost = sockets::show(*args)?;
            Ok(if strict && lost { LOST } else { TRACED })
        }
        Some(Command::Udp(args)) => trace(udp::udp(*args)?),
        Some(Command::List { glob, pid }) => {
            let listing = list::list(glob.as_deref(), pid)?;
            let mut stdout = io::stdout();
            let mut pieces = listing.text.iter();
            let result = pieces.try_for_each(|piece| stdout.write_all(piece.as_bytes())).and_then(|()| stdout.flush());
            let done = written(result, "list")?;
            // Beside the list: each line of that is a pattern.
            listing.notes.iter().for_each(|note| stderr::say_line(format_args!("note: {}", printable(note))));
            Ok(done)
        }
        Some(Command::Doctor) => print(doctor::examine().as_bytes(), "findings"),
        None => {
            stderr::say(Cli::command().render_help());
            Ok(USAGE)
        }
    }
}

fn trace(plan: Plan) -> Result<u8> {
    if plan.show_program {
        return print(format!("{}\n", session::show_program(&plan)).as_bytes(), "program");
    }
    let strict = plan.strict;
    let outcome = session::run(plan)?;
    Ok(if strict && outcome.lost { LOST } else { TRACED })
}

/// Text for people or files.
fn print(bytes: &[u8], what: &str) -> Result<u8> {
    let mut stdout = io::stdout();
    written(stdout.write_all(bytes).and_then(|()| stdout.flush()), what)
}

/// Whoever stops reading has had enough.
fn written(result: io::Result<()>, what: &str) -> Result<u8> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Advice::new(format!("write the {what} to standard output: {error}"), "make room, or write elsewhere")
                .into())
        }
        _ => Ok(TRACED),
    }
}

fn generated(what: Generate) -> Result<Vec<u8>> {
    use clap_complete::Shell;
    let mut command = Cli::command();
    let mut bytes = Vec::new();
    let shell = match what {
        Generate::Man => {
            man_page(command, &mut bytes)?;
            return Ok(bytes);
        }
        Generate::CompleteBash => Shell::Bash,
        Generate::CompleteZsh => Shell::Zsh,
        Generate::CompleteFish => Shell::Fish,
    };
    clap_complete::generate(shell, &mut command, "spoor", &mut bytes);
    Ok(bytes)
}

/// One page for all: `spoor` itself, then each command with its options.
fn man_page(command: clap::Command, out: &mut Vec<u8>) -> io::Result<()> {
    clap_mangen::Man::new(command.clone()).render(out)?;
    for command in command.get_subcommands() {
        let name = format!("spoor {}", command.get_name());
        writeln!(out, ".SH \"{}\"", name.to_uppercase())?;
        let page = clap_mangen::Man::new(command.clone().bin_name(name));
        page.render_description_section(out)?;
        page.render_synopsis_section(out)?;
        page.render_options_section(out)?;
        page.render_extra_section(out)?;
    }
    Ok(())
}

/// One line what and why, one line what to do.
fn complain(error: &anyhow::Error) -> u8 {
    // Paths and the kernel's words are in it, and may hold anything.
    let what: Vec<String> = format!("{error:#}").lines().map(printable).collect();
    stderr::say_line(format_args!("error: {}", what.join("\n")));
    let usage = error.downcast_ref::<UsageError>();
    let advice = usage
        .and_then(UsageError::advice)
        .or_else(|| error.downcast_ref::<Refusal>().and_then(Refusal::advice))
        .or_else(|| error.downcast_ref::<Advice>().map(Advice::advice));
    if let Some(advice) = advice {
        stderr::say_line(format_args!("try:   {}", printable(advice)));
    }
    if usage.is_some() { USAGE } else { NOT_TRACED }
}
