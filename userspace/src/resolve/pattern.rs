//! What was typed in, what it asks for out. Looks at no file.
use crate::error::Advice;
use crate::program::error::printable;
use crate::program::glob::{Glob, GlobError};

use super::glob::NameGlob;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// `MODULE:FUNCTION` or `FUNCTION`; the module is a path or a short name.
    Function { module: Option<String>, glob: NameGlob },
    /// `MODULE:+OFFSET`
    Offset { module: String, offset: u64 },
    /// `MODULE:FUNCTION+OFFSET` or `FUNCTION+OFFSET`
    FunctionOffset { module: Option<String>, function: NameGlob, offset: u64 },
    /// `MODULE:FILE:LINE`
    Line { module: String, source: String, line: u64 },
    /// `kernel:FUNCTION`
    Kernel { glob: Glob },
    /// `kernel:FUNCTION+OFFSET`
    KernelOffset { function: Glob, offset: u64 },
    /// `tracepoint:GROUP:EVENT`
    Tracepoint { group: Glob, event: Glob },
    /// `usdt:MODULE:PROVIDER:NAME` or `usdt:PROVIDER:NAME`
    Usdt { module: Option<String>, provider: Glob, name: Glob },
}

impl Pattern {
    /// A colon divides if it is not one of two: `libstdc++:std::string::*`, `ns::func`. `\:` is a colon of a path.
    ///
    /// Errors: too few or too many parts, an empty one, a malformed glob or number.
    pub fn parse(text: &str) -> Result<Pattern, Advice> {
        let shown = printable(text);
        let malformed = |why: &str, advice: &str| Advice::new(format!("pattern `{shown}`: {why}"), advice);
        let glob = |part: &str| Glob::parse(part.as_bytes()).map_err(|error| in_glob(&shown, &error));
        let parts = parts(text);
        if parts.iter().any(|part| part.is_empty()) {
            let advice = "MODULE:FUNCTION, where * stands for any name: `libc:mem*`, `libc:*`";
            return Err(malformed("a part of it is empty", advice));
        }
        match parts[..] {
            ["tracepoint", group, event] => Ok(Pattern::Tracepoint { group: glob(group)?, event: glob(event)? }),
            ["tracepoint", ..] => Err(malformed(
                "no GROUP:EVENT of a tracepoint",
                "`tracepoint:sched:sched_switch`, or `tracepoint:sched:*`",
            )),
            ["usdt", provider, name] => {
                Ok(Pattern::Usdt { module: None, provider: glob(provider)?, name: glob(name)? })
            }
            ["usdt", module, provider, name] => {
                Ok(Pattern::Usdt { module: Some(plain(module)), provider: glob(provider)?, name: glob(name)? })
            }
            ["usdt", ..] => Err(malformed(
                "no PROVIDER:NAME of a USDT probe",
                "`usdt:PATH:PROVIDER:NAME`, or `usdt:PROVIDER:NAME` in what the target has mapped",
            )),
            ["kernel", place] => match place_in_function(place) {
                None => Ok(Pattern::Kernel { glob: glob(place)? }),
                Some((function, digits)) => {
                    let function = glob(function)?;
                    if function.is_literal().is_none() {
                        return Err(malformed("an offset in no particular function", "the name of one function"));
                    }
                    match number(digits) {
                        Some(offset) => Ok(Pattern::KernelOffset { function, offset }),
                        None => Err(malformed(
                            "what follows `+` is no offset",
                            "`kernel:NAME+0x1a`, or `kernel:NAME+26`: bytes behind the function's first",
                        )),
                    }
                }
            },
            ["kernel", _, line] if is_number(line) => Err(malformed(
                "lines of the kernel's source are not known",
                "`kernel:NAME+0x1a`, an instruction of a function",
            )),
            [module, source, line] if is_number(line) => match line.parse() {
                Ok(line @ 1..) => Ok(Pattern::Line { module: plain(module), source: plain(source), line }),
                _ => Err(malformed("no such line", "`PATH:worker.c:120`: lines are counted from 1")),
            },
            [source, line] if is_number(line) && source.contains('.') => Err(malformed(
                "a line of no program or library",
                &format!("name the file that it is in: `PATH:{shown}`, `libfoo:{shown}`"),
            )),
            [module, place] if place.starts_with('+') => match number(&place[1..]) {
                Some(offset) => Ok(Pattern::Offset { module: plain(module), offset }),
                None => Err(malformed("what follows `+` is no offset", "`PATH:+0x1234`, a place in the file")),
            },
            [offset] if offset.starts_with('+') => {
                Err(malformed("an offset in no file", "name the file: `PATH:+0x1234`, `libc:+0x1234`"))
            }
            [path] if path.contains('/') && !path.contains("::") => {
                Err(malformed("a file without a function", &format!("`{shown}:*`, or `{shown}:main`")))
            }
            [function] => named(None, function, &shown),
            // The names of some compilers have colons as well.
            [module, ..] => named(Some(plain(module)), &text[module.len() + 1..], &shown),
            [] => Err(malformed("it is empty", "a function's name, or MODULE:FUNCTION")),
        }
    }
}

/// A function, or an instruction of one.
fn named(module: Option<String>, place: &str, shown: &str) -> Result<Pattern, Advice> {
    let names = |part: &str| NameGlob::parse(part).map_err(|error| in_glob(shown, &error));
    let malformed = |why: &str, advice: &str| Advice::new(format!("pattern `{shown}`: {why}"), advice);
    // `operator+` of C++ and `A<N+1>` have a `+` as well, but no number to the end.
    let is_number =
        |text: &str| text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(|c| c.is_ascii_alphanumeric());
    let Some((function, digits)) = place_in_function(place).filter(|(_, digits)| is_number(digits)) else {
        return Ok(Pattern::Function { module, glob: names(place)? });
    };
    let function = names(function)?;
    if !function.is_literal() {
        let advice = r"the name of one function; a `*` that is a part of it is `\*`";
        return Err(malformed("an offset in no particular function", advice));
    }
    match number(digits) {
        Some(offset) => Ok(Pattern::FunctionOffset { module, function, offset }),
        None => Err(malformed(
            "what follows `+` is no offset",
            "`libc:NAME+0x1a`, or `libc:NAME+26`: bytes behind the function's first",
        )),
    }
}

fn in_glob(shown: &str, error: &GlobError) -> Advice {
    let advice = match error {
        GlobError::UnclosedBracket => r"`\[` for a bracket, `[a-z]` for one character of several",
        GlobError::TooLong => "a shorter one, with `*` for a part of it",
        GlobError::TrailingBackslash => r"`\\` for a backslash",
        GlobError::ReversedRange(..) | GlobError::NotAscii | GlobError::Nul => {
            "`*` for any text, `?` for a byte, `[a-z]` for one of several"
        }
    };
    Advice::new(format!("`{shown}`: {error}"), advice)
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|c| c.is_ascii_digit())
}

/// `vfs_read` and `0x1a` of `vfs_read+0x1a`. Names of Rust have a blank behind their `+`: `<dyn a::A + Send>::run`.
fn place_in_function(place: &str) -> Option<(&str, &str)> {
    place.rsplit_once('+').filter(|(function, digits)| !function.is_empty() && !digits.starts_with(' '))
}

/// Hexadecimal with `0x`, else decimal.
fn number(text: &str) -> Option<u64> {
    let digits = |text: &str| text.bytes().all(|c| c.is_ascii_hexdigit());
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16).ok().filter(|_| digits(hex)),
        None => text.parse().ok().filter(|_| digits(text)),
    }
}

fn plain(module: &str) -> String {
    module.replace(r"\:", ":")
}

/// Of three colons the first one divides: `app:::global`.
fn parts(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let (mut parts, mut start, mut at) = (Vec::new(), 0, 0);
    while at < bytes.len() {
        let colons = bytes[at..].iter().take_while(|c| **c == b':').count();
        if bytes[at] == b'\\' {
            at += 2;
        } else if colons == 0 {
            at += 1;
        } else if colons % 2 == 1 {
            parts.push(&text[start..at]);
            start = at + 1;
            at += colons;
        } else {
            at += colons;
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Pattern {
        Pattern::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn function(text: &str) -> (Option<String>, String) {
        match parsed(text) {
            Pattern::Function { module, glob } => (module, glob.text().to_owned()),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_single_colon_divides_module_and_function() {
        for (text, module, name) in [
            ("malloc", None, "malloc"),
            ("libc:malloc", Some("libc"), "malloc"),
            ("libssl:SSL_*", Some("libssl"), "SSL_*"),
            ("ns::func*", None, "ns::func*"),
            ("/path/to/exe:ns::func*", Some("/path/to/exe"), "ns::func*"),
            ("libstdc++:std::string::*", Some("libstdc++"), "std::string::*"),
            ("./app:<a::B as c::D>::run", Some("./app"), "<a::B as c::D>::run"),
            ("app:::global", Some("app"), "::global"),
            ("store::put(int, std::map<int, char const*>)", None, "store::put(int, std::map<int, char const*>)"),
            ("app:type:.eq.main.T", Some("app"), "type:.eq.main.T"),
            (r"/odd\:path/app:main", Some("/odd:path/app"), "main"),
            ("app:ns::operator+", Some("app"), "ns::operator+"),
            ("app:ns::operator+(int)", Some("app"), "ns::operator+(int)"),
            ("app:<dyn a::A + Send>::run", Some("app"), "<dyn a::A + Send>::run"),
            ("app:f<(1)+2>", Some("app"), "f<(1)+2>"),
            ("<core/x as b::C>::run", None, "<core/x as b::C>::run"),
            (r"operator\*", None, r"operator\*"),
        ] {
            assert_eq!(function(text), (module.map(str::to_owned), name.to_owned()), "{text}");
        }
    }

    #[test]
    fn other_places_have_patterns_of_their_own() {
        let glob = |text: &str| Glob::parse(text.as_bytes()).unwrap();
        let offset = |module: &str, offset| Pattern::Offset { module: module.to_owned(), offset };
        assert_eq!(parsed("/bin/x:+0x1234"), offset("/bin/x", 0x1234));
        assert_eq!(parsed("libc:+10"), offset("libc", 10));
        let line =
            |module: &str, source: &str, line| Pattern::Line { module: module.into(), source: source.into(), line };
        assert_eq!(parsed("/app/server:worker.c:120"), line("/app/server", "worker.c", 120));
        assert_eq!(parsed("libfoo:src/foo.cc:88"), line("libfoo", "src/foo.cc", 88));
        assert_eq!(parsed(r"app:odd\:name.c:1"), line("app", "odd:name.c", 1));
        assert_eq!(parsed("kernel:vfs_*"), Pattern::Kernel { glob: glob("vfs_*") });
        let inside = |offset| Pattern::KernelOffset { function: glob("vfs_read.isra.0"), offset };
        assert_eq!(parsed("kernel:vfs_read.isra.0+0x1a"), inside(0x1a));
        assert_eq!(parsed("kernel:vfs_read.isra.0+26"), inside(26));
        assert_eq!(parsed("kernel:vfs_read.isra.0+0"), inside(0));
        assert_eq!(parsed("kernel:<dyn A + Send>::run"), Pattern::Kernel { glob: glob("<dyn A + Send>::run") });
        let inside = |module: Option<&str>, name: &str, offset| Pattern::FunctionOffset {
            module: module.map(str::to_owned),
            function: NameGlob::parse(name).unwrap(),
            offset,
        };
        assert_eq!(parsed("libc:malloc+0x1a"), inside(Some("libc"), "malloc", 0x1a));
        assert_eq!(parsed("/opt/app:ns::put(int)+26"), inside(Some("/opt/app"), "ns::put(int)", 26));
        assert_eq!(parsed("own+0"), inside(None, "own", 0));
        assert_eq!(parsed("app:ns::operator++0x4"), inside(Some("app"), "ns::operator+", 4));
        assert_eq!(parsed(r"app:put(char\*)+4"), inside(Some("app"), r"put(char\*)", 4));
        let tracepoint = Pattern::Tracepoint { group: glob("sched"), event: glob("sched_*") };
        assert_eq!(parsed("tracepoint:sched:sched_*"), tracepoint);
        let usdt = |module: Option<&str>| Pattern::Usdt {
            module: module.map(str::to_owned),
            provider: glob("libc"),
            name: glob("*jmp"),
        };
        assert_eq!(parsed("usdt:libc:*jmp"), usdt(None));
        assert_eq!(parsed("usdt:/lib/libc.so.6:libc:*jmp"), usdt(Some("/lib/libc.so.6")));
    }

    #[test]
    fn malformed_patterns_say_what_to_do() {
        for (text, what, advice) in [
            ("", "a part of it is empty", "`libc:mem*`"),
            ("libc:", "a part of it is empty", "`libc:*`"),
            (":malloc", "a part of it is empty", "MODULE:FUNCTION"),
            ("/bin/ls", "a file without a function", "`/bin/ls:main`"),
            ("libc:+0xg", "no offset", "PATH:+0x1234"),
            ("libc:++1", "no offset", "PATH:+0x1234"),
            ("libc:+0x10000000000000000", "no offset", "PATH:+0x1234"),
            ("+0x10", "an offset in no file", "name the file"),
            ("app:worker.c:0", "no such line", "counted from 1"),
            ("app:worker.c:99999999999999999999", "no such line", "counted from 1"),
            ("worker.c:120", "a line of no program or library", "`libfoo:worker.c:120`"),
            ("kernel:fs/read_write.c:460", "not known", "`kernel:NAME+0x1a`"),
            ("kernel:f+", "no offset", "kernel:NAME+0x1a"),
            ("kernel:f+0xg", "no offset", "kernel:NAME+26"),
            ("kernel:f+-1", "no offset", "kernel:NAME+0x1a"),
            ("kernel:f*+1", "no particular function", "one function"),
            ("libc:f+0xg", "no offset", "libc:NAME+26"),
            ("f+0x10000000000000000", "no offset", "libc:NAME+0x1a"),
            ("libc:mem*+4", "no particular function", "one function"),
            ("libc:mem[", "`[` without `]`", r"`\[` for a bracket"),
            ("libc:x\\", "`\\` at the end", r"`\\` for a backslash"),
            ("tracepoint:sched", "no GROUP:EVENT", "sched_switch"),
            ("tracepoint:a:b:c", "no GROUP:EVENT", "sched_switch"),
            ("usdt:x", "no PROVIDER:NAME", "usdt:PATH:PROVIDER:NAME"),
            ("usdt:a:b:c:d", "no PROVIDER:NAME", "usdt:PATH:PROVIDER:NAME"),
        ] {
            let error = Pattern::parse(text).unwrap_err();
            assert!(error.to_string().contains(what), "{text}: {error}");
            assert!(error.advice().contains(advice), "{text}: {}", error.advice());
        }
        let shown = Pattern::parse("\x1b[:x").unwrap_or_else(|error| panic!("{error}"));
        assert!(matches!(shown, Pattern::Function { module: Some(_), .. }));
        assert!(Pattern::parse("\x1b:[").unwrap_err().to_string().contains("\\x1b"));
    }
}
