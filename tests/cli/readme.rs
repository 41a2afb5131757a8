//! README.md does not lie about the command line: every command in it is one that spoor takes.
use crate::run;

const README: &str = include_str!("../../README.md");

const CGROUP: &str = "system.slice/nginx.service";

/// Lines of code blocks that begin with `spoor`, and the words of the first command as cargo runs it.
fn commands() -> Vec<Vec<String>> {
    let code = README.lines().filter_map(|line| line.strip_prefix("    "));
    code.filter_map(|line| {
        let line = line.strip_prefix("$ ").unwrap_or(line);
        let args = line.strip_prefix("spoor ").or_else(|| line.strip_prefix("cargo run --release -- "))?;
        Some(words(&args.replace("PID", "1")))
    })
    .collect()
}

/// As a shell splits them, where there are no other quotes than single ones.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().expect("there is a word").push(c),
        }
    }
    words
}

/// What stands for a word of a command that looks at files and processes, which the machine that tests may not have.
fn here(command: &str, word: &str) -> String {
    let library = || spoor_tests::binaries::tracee_library().canonicalize().expect("is built").display().to_string();
    match word {
        // A cgroup is looked for before the program is shown; this one is everywhere.
        CGROUP => "/".to_owned(),
        // A port.
        "53" => word.to_owned(),
        _ if !matches!(command, "func" | "list" | "udp") => word.to_owned(),
        // Ours; it has libc.
        _ if !word.is_empty() && word.bytes().all(|c| c.is_ascii_digit()) => std::process::id().to_string(),
        _ if word.starts_with("usdt:") => format!("usdt:{}:tracee:constants", library()),
        "/opt/app:worker.c:120" => format!("{}:lines.c:13", library()),
        _ if word.starts_with("postgres:") || word.starts_with("libssl:") => format!("{}:tracee_six", library()),
        _ => word.to_owned(),
    }
}

#[test]
fn every_command_in_the_readme_is_understood() {
    let commands = commands();
    assert!(commands.len() > 10, "{} commands in README.md", commands.len());
    for mut command in commands {
        // What is run is looked for.
        if let Some(at) = command.iter().position(|word| word == "--").filter(|_| command[0] == "func") {
            command.splice(at + 1.., ["true".to_owned()]);
        }
        let at = command.iter().position(|word| word == "--").unwrap_or(command.len());
        let mut args: Vec<String> = command.iter().map(|word| here(&command[0], word)).collect();
        // A list is no program.
        let shows = |word: &String| matches!(word.as_str(), "--show-program" | "--sockets");
        if command[0] != "list" && !command.iter().any(shows) {
            args.insert(at, "--show-program".to_owned());
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let run = run(&args);
        // Tracepoints are in tracefs, which only root may read.
        let may_be_refused = !spoor_tests::sys::is_root() && args.iter().any(|word| word.starts_with("tracepoint:"));
        assert!(run.code() == 0 || may_be_refused && run.code() == 1, "{run}");
    }
}

#[test]
fn every_command_that_the_readme_tables_exists() {
    for line in README.lines().filter(|line| line.starts_with("| `spoor ")) {
        let name = line.split('`').nth(1).and_then(|command| command.split(' ').nth(1)).expect("a command");
        assert_eq!(run(&[name, "--help"]).code(), 0, "{name}");
    }
}
