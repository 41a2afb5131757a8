//! `cargo xtask licences`: the dependencies in, those whose licence nobody has accepted out.
//! Not cargo-deny: its 211 packages take 6 minutes of CPU to build (0.20.2), this a second.

use anyhow::{Result, anyhow};
use serde_json::Value;

use crate::advice::Advise;
use crate::metadata::{self, items};

/// Compatible with MIT OR Apache-2.0 as what spoor is given away under.
const ALLOWED: [&str; 11] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    // inferno, which draws flame graphs: binds its own files only, and whoever changes them.
    "CDDL-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// The kernel accepts helpers only from GPL programs; they are separate files to spoor.
const KERNEL_SIDE: &str = "probes-ebpf";

pub fn run() -> Result<()> {
    let metadata = metadata::read(&[])?;
    let packages = items(&metadata["packages"]);
    let refused: Vec<String> = packages.iter().filter_map(refused).collect();
    if !refused.is_empty() {
        return Err(anyhow!("licences that nobody accepted: {}", refused.join(", ")))
            .advise("another crate, or a line in xtask/src/licences.rs");
    }
    println!("{} packages, all with accepted licences", packages.len());
    Ok(())
}

fn refused(package: &Value) -> Option<String> {
    let name = package["name"].as_str().unwrap_or("?");
    let licence = package["license"].as_str().unwrap_or("none");
    (name != KERNEL_SIDE && !accepted(licence)).then(|| format!("{name} ({licence})"))
}

/// An SPDX expression of names, OR, AND, WITH and parentheses.
fn accepted(expression: &str) -> bool {
    // Before SPDX expressions, crates wrote MIT/Apache-2.0 for OR.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let accepted = any(&mut words);
    accepted && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(words: &mut Words) -> bool {
    let mut accepted = all(words);
    while words.next_if_eq(&"OR").is_some() {
        accepted |= all(words);
    }
    accepted
}

/// AND binds tighter than OR.
fn all(words: &mut Words) -> bool {
    let mut accepted = one(words);
    while words.next_if_eq(&"AND").is_some() {
        accepted &= one(words);
    }
    accepted
}

fn one(words: &mut Words) -> bool {
    match words.next() {
        Some("(") => {
            let accepted = any(words);
            words.next_if_eq(&")").is_some() && accepted
        }
        Some(name) if words.next_if_eq(&"WITH").is_some() => {
            let full = format!("{name} WITH {}", words.next().unwrap_or_default());
            ALLOWED.contains(&full.as_str())
        }
        Some(name) => ALLOWED.contains(&name),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_accepted_choice_of_an_or_is_enough() {
        assert!(accepted("MIT OR Apache-2.0"));
        assert!(accepted("MIT/Apache-2.0"));
        assert!(accepted("GPL-3.0-only OR MIT"));
        assert!(!accepted("GPL-3.0-only OR LGPL-2.1-or-later"));
    }

    #[test]
    fn every_part_of_an_and_has_to_be_accepted() {
        assert!(accepted("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(!accepted("(MIT OR Apache-2.0) AND GPL-2.0-only"));
        assert!(accepted("GPL-2.0-only AND BSD-2-Clause OR MIT"));
    }

    #[test]
    fn an_exception_is_part_of_the_name() {
        assert!(accepted("Apache-2.0 WITH LLVM-exception OR MIT"));
        assert!(!accepted("GPL-2.0 WITH Classpath-exception-2.0"));
    }

    #[test]
    fn what_cannot_be_read_is_not_accepted() {
        for broken in ["", "none", "(MIT", "MIT)", "MIT MIT", "AND MIT"] {
            assert!(!accepted(broken), "{broken}");
        }
    }
}
