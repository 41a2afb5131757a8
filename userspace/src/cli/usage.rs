//! What the parser of the command line refuses, in our words: its error in, a [`UsageError`] out.
//! Must not judge what was typed. A kind that the definition in `args` cannot give keeps the parser's own sentence.
use std::ffi::OsString;

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};

use super::UsageError;
use super::args::Cli;
use crate::program::error::printable;

/// `typed`: the words of the command line behind the program's name.
pub fn explain(error: &Error, typed: impl IntoIterator<Item = OsString>) -> UsageError {
    let command = typed.into_iter().next().and_then(|word| word.into_string().ok()).unwrap_or_default();
    let refused = Refused { error, command };
    let (what, advice) = refused.words();
    UsageError::new(&printable(&what), &printable(&advice))
}

struct Refused<'a> {
    error: &'a Error,
    /// The first word, which should be one of the commands.
    command: String,
}

impl Refused<'_> {
    fn words(&self) -> (String, String) {
        let option = self.option();
        match self.error.kind() {
            ErrorKind::UnknownArgument => self.unknown_argument(),
            ErrorKind::InvalidSubcommand => self.unknown_command(),
            ErrorKind::InvalidValue if self.value().is_empty() => {
                let choice = self.list(ContextKind::ValidValue);
                let choice = if choice.is_empty() { choice } else { format!(", one of {choice}") };
                (format!("{option} needs a value"), format!("{}{choice}", self.option_with_value()))
            }
            ErrorKind::InvalidValue => {
                let near = self.one(ContextKind::SuggestedValue);
                let advice = near.unwrap_or_else(|| format!("one of {}", self.list(ContextKind::ValidValue)));
                (format!("{option} `{}`: no such value", self.value()), advice)
            }
            ErrorKind::ValueValidation => self.value_refused(&option),
            ErrorKind::ArgumentConflict => {
                let others = self.list(ContextKind::PriorArg);
                if others.is_empty() || others == option {
                    return (format!("{option} is given twice"), "once".to_owned());
                }
                (format!("{option} does not go with {others}"), "one without the other".to_owned())
            }
            ErrorKind::MissingRequiredArgument => self.missing(&option),
            ErrorKind::InvalidUtf8 => ("an argument is not UTF-8".to_owned(), self.help()),
            _ => (self.own_sentence(), self.help()),
        }
    }

    fn unknown_argument(&self) -> (String, String) {
        let word = self.one(ContextKind::InvalidArg).unwrap_or_default();
        if let Some(near) = self.one(ContextKind::SuggestedArg) {
            return (format!("unknown option `{word}`"), near);
        }
        if word.starts_with('-') {
            return (format!("unknown option `{word}`"), self.elsewhere().unwrap_or_else(|| self.help()));
        }
        let runs = Cli::command()
            .find_subcommand(&self.command)
            .is_some_and(|command| command.get_positionals().any(clap::Arg::is_last_set));
        let advice = if runs { format!("-- {word}, if that is the command to run") } else { self.help() };
        (format!("nothing takes the word `{word}`"), advice)
    }

    /// Words that a command cannot do without.
    fn missing(&self, option: &str) -> (String, String) {
        let what = option.replace(['<', '>'], "");
        let what = what.trim_end_matches("...");
        let advice = match what {
            "PATTERN" => "spoor func 'libc:mem*'; spoor func --help shows other patterns".to_owned(),
            _ => self.help(),
        };
        (format!("`spoor {}` needs a {what}", self.command), advice)
    }

    /// A command that has the option.
    fn elsewhere(&self) -> Option<String> {
        let Some(ContextValue::StyledStrs(tips)) = self.error.get(ContextKind::Suggested) else { return None };
        tips.iter().find_map(|tip| {
            let tip = tip.to_string();
            Some(format!("spoor {}", tip.strip_prefix('\'')?.strip_suffix("' exists")?))
        })
    }

    fn unknown_command(&self) -> (String, String) {
        let what = format!("unknown command `{}`", self.one(ContextKind::InvalidSubcommand).unwrap_or_default());
        let near = self.list(ContextKind::SuggestedSubcommand);
        if !near.is_empty() {
            return (what, format!("spoor {near}"));
        }
        let command = Cli::command();
        let names: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
        (what, format!("one of {}", names.join(", ")))
    }

    /// A parser of ours says what to do, too; one of clap's does not.
    fn value_refused(&self, option: &str) -> (String, String) {
        let source = std::error::Error::source(self.error);
        let why = source.map_or_else(|| "not a value for it".to_owned(), ToString::to_string);
        let advice = source.and_then(|source| source.downcast_ref::<UsageError>()).and_then(UsageError::advice);
        (format!("{option} `{}`: {why}", self.value()), advice.map_or_else(|| self.help(), str::to_owned))
    }

    fn help(&self) -> String {
        match Cli::command().find_subcommand(&self.command) {
            Some(command) => format!("spoor {} --help", command.get_name()),
            None => "spoor --help".to_owned(),
        }
    }

    /// Clap's first line without its tag.
    fn own_sentence(&self) -> String {
        let text = self.error.to_string();
        let line = text.lines().next().unwrap_or_default();
        line.strip_prefix("error: ").unwrap_or(line).trim_end_matches(':').to_owned()
    }

    /// `--pid` of `--pid <PID>`.
    fn option(&self) -> String {
        self.list(ContextKind::InvalidArg)
    }

    /// `--pid PID`.
    fn option_with_value(&self) -> String {
        self.one(ContextKind::InvalidArg).unwrap_or_default().replace(['<', '>'], "")
    }

    fn value(&self) -> String {
        self.one(ContextKind::InvalidValue).unwrap_or_default()
    }

    fn one(&self, kind: ContextKind) -> Option<String> {
        match self.error.get(kind) {
            Some(ContextValue::String(text)) => Some(text.clone()),
            _ => None,
        }
    }

    /// Without the names of their values.
    fn list(&self, kind: ContextKind) -> String {
        let bare = |text: &String| text.split(" <").next().unwrap_or_default().to_owned();
        match self.error.get(kind) {
            Some(ContextValue::String(text)) => bare(text),
            Some(ContextValue::Strings(texts)) => texts.iter().map(bare).collect::<Vec<_>>().join(", "),
            _ => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn explained(words: &[&str]) -> (String, String) {
        let error = Cli::try_parse_from(std::iter::once(&"spoor").chain(words)).expect_err("is refused");
        let usage = explain(&error, words.iter().map(OsString::from));
        (usage.to_string(), usage.advice().unwrap_or_default().to_owned())
    }

    #[test]
    fn every_refusal_says_what_and_what_to_do() {
        for (words, what, advice) in [
            (&["syscalls", "--folow"][..], "unknown option `--folow`", "--follow"),
            (&["syscalls", "--zzz"], "unknown option `--zzz`", "spoor syscalls --help"),
            (&["--zzz"], "unknown option `--zzz`", "spoor --help"),
            (&["--events", "syscalls"], "unknown option `--events`", "spoor syscalls --events"),
            (&["sycalls"], "unknown command `sycalls`", "spoor syscalls"),
            (&["zzz"], "unknown command `zzz`", "one of syscalls, profile, offcpu, threads, func, udp, list, doctor"),
            (&["syscalls", "ls"], "nothing takes the word `ls`", "-- ls, if that is the command to run"),
            (
                &["func"],
                "`spoor func` needs a PATTERN",
                "spoor func 'libc:mem*'; spoor func --help shows other patterns",
            ),
            (&["func", "--max-probes", "-1", "x"], "--max-probes `-1`: not a count", "10240 or 40k"),
            (&["list", "a", "b"], "nothing takes the word `b`", "spoor list --help"),
            (&["syscalls", "-p"], "--pid needs a value", "--pid PID"),
            (
                &["syscalls", "--format"],
                "--format needs a value",
                "--format FORMAT, one of text, json, csv, folded, svg, pprof",
            ),
            (
                &["syscalls", "--format", "xml"],
                "--format `xml`: no such value",
                "one of text, json, csv, folded, svg, pprof",
            ),
            (&["syscalls", "--format", "jsn"], "--format `jsn`: no such value", "json"),
            (&["offcpu", "--min", "0s"], "--min `0s`: shorter than 1ns", "10ms, 50us or 1s"),
            (&["syscalls", "-d", "5x"], "--duration `5x`: not a duration", "5s, 500ms or 2m"),
            (&["syscalls", "--asc", "--desc"], "--asc does not go with --desc", "one without the other"),
            (&["syscalls", "--events", "--by", "pid"], "--events does not go with --by", "one without the other"),
            (&["syscalls", "-d", "1s", "-d", "2s"], "--duration is given twice", "once"),
        ] {
            assert_eq!(explained(words), (what.to_owned(), advice.to_owned()), "{words:?}");
        }
    }

    #[test]
    fn values_with_a_minus_are_values() {
        for (words, what) in [
            (&["syscalls", "-d", "-1s"][..], "--duration `-1s`: not a duration"),
            (&["syscalls", "-i", "-1"], "--interval `-1`: not a duration"),
            (&["syscalls", "-p", "-1"], "--pid `-1`: not a process id"),
            (&["syscalls", "-t", "0"], "--tid `0`: not a thread id"),
            (&["syscalls", "--map-memory", "-1"], "--map-memory `-1`: not a size of at least 4K"),
            (&["syscalls", "--max-keys", "-1"], "--max-keys `-1`: not a count"),
            (&["syscalls", "--ring", "-1"], "--ring `-1`: not a size of at least 4K"),
            (&["syscalls", "--top", "-1"], "--top `-1`: not a number of rows"),
        ] {
            let (explained, advice) = explained(words);
            assert_eq!(explained, what, "{words:?}");
            assert!(!advice.is_empty() && !advice.contains("--help"), "{words:?}: {advice}");
        }
    }

    #[test]
    fn control_characters_in_words_are_escaped() {
        for words in [&["syscalls", "--\x1b[31m"][..], &["\x1b[31m"], &["syscalls", "--format", "\x1b[31m"]] {
            let (what, advice) = explained(words);
            assert!(what.contains("\\x1b[31m") && !(what + &advice).contains('\x1b'), "{words:?}");
        }
    }
}
