//! `spoor list`: what can be named, from the providers' own tables.
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

/// Providers with the kernel path that they take here, then fields with types and units.
pub fn list(pattern: Option<&str>, _pid: Option<u32>) -> Result<String> {
    let glob = Glob::parse(pattern.unwrap_or("*").as_bytes())
        .map_err(|error| UsageError::new(&format!("`{}`: {error}", printable(pattern.unwrap_or("*"))), "'arg*'"))?;
    let mut out = String::new();
    for provider in PROVIDERS {
        let fields: Vec<&Field> = provider.fields.iter().filter(|field| glob.matches(field.name.as_bytes())).collect();
        if pattern.is_none() {
            let path = match super::doctor::path_of(provider) {
                Ok(path) => format!("here by {path}"),
                Err(error) => match error.downcast_ref::<Refusal>().and_then(Refusal::privilege) {
                    Some(why) => format!("unknown here: {why}"),
                    None => "not here, see spoor doctor".to_owned(),
                },
            };
            let _ = writeln!(out, "{}  {} ({path}; kernel {})", provider.name, provider.doc, provider.minimum_kernel);
        }
        push_fields(&mut out, &fields);
        if has_both_halves(provider) && glob.matches(BOTH_HALVES.as_bytes()) {
            push_field(&mut out, BOTH_HALVES, "stack", "", "both as one: kstack above ustack");
        }
    }
    let common: Vec<&Field> = COMMON.iter().filter(|field| glob.matches(field.name.as_bytes())).collect();
    if !common.is_empty() && pattern.is_none() {
        let _ = writeln!(out, "every provider");
    }
    push_fields(&mut out, &common);
    if out.is_empty() {
        return Err(unknown(pattern.unwrap_or("*")).into());
    }
    Ok(out)
}

fn unknown(pattern: &str) -> UsageError {
    let what = format!("`{}`: no field has such a name", printable(pattern));
    let name = pattern.replace(['*', '?'], "");
    let near = PROVIDERS.iter().find_map(|provider| Scope::new(provider.fields).near_field(&name));
    UsageError::new(&what, &near.map_or_else(|| "spoor list".to_owned(), |near| format!("spoor list {near}")))
}

fn push_fields(out: &mut String, fields: &[&Field]) {
    for field in fields {
        let ty = match field.kind {
            Kind::Number(Type::Signed) => "i64",
            Kind::Number(Type::Unsigned) => "u64",
            Kind::Enumeration(_) => "name",
            Kind::Text => "string",
            Kind::Stack(Half::Kernel | Half::User) => "stack",
            Kind::Stack(Half::Function | Half::Module) => "name",
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
