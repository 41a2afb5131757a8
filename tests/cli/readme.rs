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

#[test]
fn every_command_in_the_readme_is_understood() {
    let commands = commands();
    assert!(commands.len() > 10, "{} commands in README.md", commands.len());
    for command in commands {
        let at = command.iter().position(|word| word == "--").unwrap_or(command.len());
        // A cgroup is looked for before the program is shown; this one is everywhere.
        let here = |word| if word == CGROUP { "/" } else { word };
        let mut args: Vec<&str> = command.iter().map(|word| here(word.as_str())).collect();
        if !args.contains(&"--show-program") {
            args.insert(at, "--show-program");
        }
        let run = run(&args);
        assert_eq!(run.code(), 0, "{run}");
    }
}

#[test]
fn every_command_that_the_readme_tables_exists() {
    for line in README.lines().filter(|line| line.starts_with("| `spoor ")) {
        let name = line.split('`').nth(1).and_then(|command| command.split(' ').nth(1)).expect("a command");
        assert_eq!(run(&[name, "--help"]).code(), 0, "{name}");
    }
}
