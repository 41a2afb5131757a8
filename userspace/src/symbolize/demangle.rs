//! A linker's name in, the name in the source out: Rust (both manglings) and C++; all others stay as they are.
use std::fmt::{self, Write};

/// A few bytes of a mangled name can stand for gigabytes of text.
const LONGEST: usize = 16 << 10;
/// Room for most names.
const USUAL: usize = 512;

pub fn demangle(name: &str) -> String {
    source_name(name).unwrap_or_else(|| name.to_owned())
}

/// The name, and of a C++ function the name alone, without what it takes and returns. None: no mangled name.
pub fn source_names(name: &str) -> Option<(String, Option<String>)> {
    if !is_cpp(name) {
        return Some((source_name(name)?, None));
    }
    let symbol = cpp_demangle::Symbol::new(name).ok()?;
    let whole = cpp(&symbol, cpp_demangle::DemangleOptions::new())?;
    let alone = cpp(&symbol, cpp_demangle::DemangleOptions::new().no_params().no_return_type());
    Some((whole, alone))
}

fn is_cpp(name: &str) -> bool {
    name.starts_with("_Z") && rustc_demangle::try_demangle(name).is_err()
}

fn source_name(name: &str) -> Option<String> {
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        let mut out = Bounded::new();
        // Alternate: without the hash at its end.
        write!(out, "{rust:#}").ok()?;
        return Some(out.text());
    }
    if !name.starts_with("_Z") {
        return None;
    }
    cpp(&cpp_demangle::Symbol::new(name).ok()?, cpp_demangle::DemangleOptions::new())
}

fn cpp(symbol: &cpp_demangle::Symbol<&str>, options: cpp_demangle::DemangleOptions) -> Option<String> {
    let mut out = Bounded::new();
    symbol.structured_demangle(&mut out, &options).ok()?;
    Some(out.text())
}

struct Bounded(String);

impl Bounded {
    fn new() -> Bounded {
        Bounded(String::with_capacity(USUAL))
    }

    /// In as much memory as it needs: a hundred thousand may be kept.
    fn text(&self) -> String {
        self.0.as_str().to_owned()
    }
}

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > LONGEST {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rust_names_lose_their_hash() {
        assert_eq!(demangle("_ZN3std2io5stdio6_print17h0123456789abcdefE"), "std::io::stdio::_print");
        assert_eq!(demangle("_RNvNtCs1234_7mycrate3foo3bar"), "mycrate::foo::bar");
    }

    #[test]
    fn cpp_names_keep_their_arguments_and_tell_their_clones() {
        assert_eq!(demangle("_ZN5store3putEiPKc"), "store::put(int, char const*)");
        assert_eq!(demangle("_ZN5store3putEi.isra.0"), "store::put(int) [clone .isra.0]");
    }

    #[test]
    fn cpp_names_alone_have_no_arguments_and_no_result() {
        let names = |name| source_names(name).unwrap();
        assert_eq!(names("_ZN5store3putEiPKc").1.unwrap(), "store::put");
        let template = names("_ZN2ns4ruleIiEET_S1_");
        assert_eq!(template, ("int ns::rule<int>(int)".to_owned(), Some("ns::rule<int>".to_owned())));
        assert_eq!(names("_ZNK5storeclEi").1.unwrap(), "store::operator()");
        assert_eq!(names("_ZN3std2io5stdio6_print17h0123456789abcdefE"), ("std::io::stdio::_print".to_owned(), None));
        assert_eq!(source_names("malloc"), None);
    }

    #[test]
    fn other_names_stay() {
        for name in ["malloc", "main.main", "_Z", "_ZNx", "foo.cold", ""] {
            assert_eq!(demangle(name), name);
        }
    }

    /// `p<p<p<a, a>, p<a, a>>, ...>`: each pair is the one before it, twice; 2^30 words in 300 bytes.
    #[test]
    fn a_name_that_would_fill_the_memory_stays_mangled() {
        let digit = |at: u32| char::from_digit(at, 36).unwrap().to_ascii_uppercase();
        let pairs = |most| (1..most).map(|at| format!("S0_IS{0}_S{0}_E", digit(at))).collect::<String>();
        let name = |most| format!("_Z1fv1pI1aS_E{}", pairs(most));
        let short = demangle(&name(4));
        assert!(short != name(4) && short.len() > 20, "{short}");
        assert_eq!(demangle(&name(30)), name(30));
    }
}
