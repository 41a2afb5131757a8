//! `spoor list`: what can be named. Fields, from the providers' own tables; what a pattern matches is looked up by
//! [`super::matches`].
use std::fmt::Write;

use anyhow::Result;

use super::UsageError;
use super::plan::BOTH_HALVES;
use crate::attach::features::Refusal;
use crate::program::error::printable;
use crate::program::field::{COMMON, Field, Half, Kind, Unit};
use crate::program::glob::Glob;
use crate::program::scope::Scope;
use crate::program::tree::Type;
use crate::providers::{PROVIDERS, Provider};

/// What goes to standard output, and what is said beside it.
#[derive(Debug, Default)]
pub struct Listing {
    /// In pieces, to be joined.
    pub text: Vec<String>,
    pub notes: Vec<String>,
}

/// Fields, or the functions, tracepoints and USDT probes that a pattern of `spoor func` matches. A word without a colon is
/// the name of a field, if there is one; with a process it is a function's.
///
/// Errors: [`UsageError`] for what names no field; a pattern that nothing matches.
pub fn list(pattern: Option<&str>, pid: Option<u32>) -> Result<Listing> {
    let points = match (pattern, pid) {
        (None, Some(pid)) => {
            let advice = format!("spoor list -p {pid} 'libc:mem*'");
            return Err(
                UsageError::new("-p PID says whose functions a pattern is about, and there is none", &advice).into()
            );
        }
        (Some(pattern), Some(_)) => Some(pattern),
        (Some(pattern), None) => Some(pattern).filter(|pattern| pattern.contains([':', '/'])),
        (None, None) => None,
    };
    if let Some(pattern) = points {
        return super::matches::matches(pattern, pid);
    }
    let glob = Glob::parse(pattern.unwrap_or("*").as_bytes())
        .map_err(|error| UsageError::new(&format!("`{}`: {error}", printable(pattern.unwrap_or("*"))), "'arg*'"))?;
    let text = fields(&glob, pattern.is_none());
    match pattern {
        // Nobody has a function of that name: it was meant to be a field.
        Some(pattern) if text.is_empty() => super::matches::matches(pattern, None).map_err(|_| unknown(pattern).into()),
        _ => Ok(Listing { text: vec![text], notes: Vec::new() }),
    }
}

/// Fields with types and units; of `all` also the providers, with the kernel path that they take here.
fn fields(glob: &Glob, all: bool) -> String {
    let mut out = String::new();
    for provider in PROVIDERS {
        let fields: Vec<&Field> = provider.fields.iter().filter(|field| glob.matches(field.name.as_bytes())).collect();
        if all {
            let path = match super::doctor::path_of(provider) {
                Ok(path) => format!("here by {path}"),
                Err(error) => match error.downcast_ref::<Refusal>().and_then(Refusal::privilege) {
                    Some(why) => format!("unknown here: {why}"),
                    None => "not here, see spoor doctor".to_owned(),
                },
            };
            let _ = writeln!(out, "{}  {} ({path}; kernel {})", provider.name, provider.doc, provider.minimum_kernel);
        }
        let both = has_both_halves(provider) && glob.matches(BOTH_HALVES.as_bytes());
        if !all && (both || !fields.is_empty()) {
            let _ = writeln!(out, "{}", provider.name);
        }
        push_fields(&mut out, &fields);
        if both {
            push_field(&mut out, BOTH_HALVES, "stack", "", "both as one: kstack above ustack");
        }
    }
    let common: Vec<&Field> = COMMON.iter().filter(|field| glob.matches(field.name.as_bytes())).collect();
    if !common.is_empty() {
        let _ = writeln!(out, "every provider");
    }
    push_fields(&mut out, &common);
    out
}

fn unknown(pattern: &str) -> UsageError {
    let what = format!("`{}`: no field and no function of the kernel has such a name", printable(pattern));
    let name = pattern.replace(['*', '?'], "");
    let near = PROVIDERS.iter().find_map(|provider| Scope::new(provider.fields).near_field(&name));
    let advice = near.map(|near| format!("spoor list {near}"));
    UsageError::new(&what, &advice.unwrap_or_else(|| "spoor list; or -p PID for the functions of a process".to_owned()))
}

fn push_fields(out: &mut String, fields: &[&Field]) {
    for field in fields {
        let ty = match field.kind {
            Kind::Number(Type::Signed) => "i64",
            Kind::Number(Type::Unsigned) => "u64",
            Kind::Enumeration(_) => "name",
            Kind::Text => "string",
            Kind::Stack(Half::Kernel | Half::User) => "stack",
            Kind::Stack(Half::Function | Half::Module) | Kind::Owner(_) => "name",
            Kind::Address => "addr",
        };
        let unit = match field.unit {
            Unit::None => "",
            Unit::Ns => "ns",
            Unit::Bytes => "bytes",
        };
        push_field(out, field.name, ty, unit, field.doc);
    }
}

fn push_field(out: &mut String, name: &str, ty: &str, unit: &str, doc: &str) {
    let _ = writeln!(out, "  {name:<12} {ty:<6} {unit:<5}  {doc}");
}

fn has_both_halves(provider: &Provider) -> bool {
    let has = |half| provider.fields.iter().any(|field| matches!(field.kind, Kind::Stack(its) if its == half));
    has(Half::Kernel) && has(Half::User)
}
