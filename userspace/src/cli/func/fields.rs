//! The fields that points have besides the provider's own: names of functions and modules, and of their arguments.
use std::borrow::Cow;
use std::collections::HashMap;

use crate::program::argument::Argument;
use crate::program::field::{COMMON, Field, Names};
use crate::program::tree::Type;
use crate::providers::function::{NUMBERED, PROVIDER, argument, func as func_field, module, text};
use crate::resolve::Point;

/// The names of a table's values: their numbers are places in it.
struct Listed(Vec<String>);

impl Names for Listed {
    fn name(&self, value: u64) -> Cow<'static, str> {
        let name = usize::try_from(value).ok().and_then(|at| self.0.get(at));
        name.map_or_else(|| value.to_string(), Clone::clone).into()
    }

    fn all(&self) -> Vec<(Cow<'static, str>, u64)> {
        self.0.iter().enumerate().map(|(at, name)| (name.clone().into(), at as u64)).collect()
    }
}

/// Once in a run: fields live as long as the process.
fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// The provider's fields, with the points' names in the places of those that have none.
pub fn own_fields(points: &[Point]) -> Vec<&'static Field> {
    let (functions, modules) = (functions(points), modules(points));
    let count = |count: usize| u32::try_from(count).unwrap_or(0);
    let func = leak(func_field(leak(Listed(shown(&functions))), count(functions.len())));
    let module = leak(module(leak(Listed(modules.clone())), count(modules.len())));
    let rest = PROVIDER.fields.iter().filter(|field| field.name != func.name && field.name != module.name);
    [func, module].into_iter().chain(rest.map(|field| with_sign(field, points))).collect()
}

/// `arg0` to `arg5` are signed where a USDT probe says so.
fn with_sign(field: &'static Field, points: &[Point]) -> &'static Field {
    let Some(number) = plain_number(field.name) else { return field };
    let mut arguments = points.iter().flat_map(|point| &point.arguments);
    let is_signed = arguments.any(|argument| argument.name == field.name && argument.ty == Type::Signed);
    if is_signed { leak(argument(field.name, Type::Signed, number, field.doc)) } else { field }
}

/// Functions with their modules, each once: a probe may have several places.
pub fn functions(points: &[Point]) -> Vec<(&str, &str)> {
    let mut functions: Vec<_> = points.iter().map(function).collect();
    functions.sort_unstable();
    functions.dedup();
    functions
}

pub fn function(point: &Point) -> (&str, &str) {
    (&point.function, &point.module)
}

/// Of functions in their order: with its module where another one has the same name.
fn shown(functions: &[(&str, &str)]) -> Vec<String> {
    let name = |at: usize| functions.get(at).map(|(function, _)| *function);
    let show = |(at, (function, module)): (usize, &(&str, &str))| {
        let is_twice = name(at + 1) == Some(function) || at.checked_sub(1).and_then(name) == Some(function);
        if is_twice { format!("{module}`{function}") } else { (*function).to_owned() }
    };
    functions.iter().enumerate().map(show).collect()
}

pub fn modules(points: &[Point]) -> Vec<String> {
    let mut modules: Vec<&str> = points.iter().map(|point| &*point.module).collect();
    modules.sort_unstable();
    modules.dedup();
    modules.into_iter().map(str::to_owned).collect()
}

/// Names that points have for their arguments, each with a number: `arg0` to `arg5` have those, all others follow.
#[derive(Default)]
pub struct ArgumentNames {
    others: Vec<Other>,
    numbers: HashMap<String, u16>,
}

struct Other {
    name: String,
    ty: Type,
    is_text: bool,
    /// It is as wide as an address.
    is_wide: bool,
}

impl ArgumentNames {
    pub fn of(points: &[Point]) -> ArgumentNames {
        let mut names = ArgumentNames::default();
        for argument in points.iter().flat_map(|point| &point.arguments) {
            let Argument { ty, bytes, value, .. } = *argument;
            let is_wide = bytes == 8;
            match names.number(&argument.name) {
                Some(number) => {
                    // Where one has a sign, all are read so.
                    let other = number.checked_sub(NUMBERED).and_then(|at| names.others.get_mut(usize::from(at)));
                    if let Some(other) = other.filter(|_| ty == Type::Signed) {
                        other.ty = ty;
                    }
                }
                None => {
                    // More names than there are numbers are none that anybody types.
                    let Ok(number) = u16::try_from(names.others.len() + usize::from(NUMBERED)) else { break };
                    let name = argument.name.clone();
                    names.numbers.insert(name.clone(), number);
                    names.others.push(Other { name, ty, is_text: value.is_text(), is_wide });
                }
            }
        }
        names
    }

    pub fn number(&self, name: &str) -> Option<u16> {
        plain_number(name).or_else(|| self.numbers.get(name).copied())
    }

    pub fn name(&self, number: u16) -> String {
        match number.checked_sub(NUMBERED) {
            None => format!("arg{number}"),
            Some(other) => self.others.get(usize::from(other)).map_or_else(String::new, |other| other.name.clone()),
        }
    }

    /// Fields by these names; one that would hide another is `args.NAME` only.
    pub fn fields(&self) -> Vec<&'static Field> {
        let taken = |name: &str| PROVIDER.fields.iter().chain(&COMMON).any(|field| field.name == name);
        let mut fields: Vec<&'static Field> = Vec::new();
        for (other, number) in self.others.iter().zip(NUMBERED..) {
            let names = [(!taken(&other.name)).then(|| other.name.clone()), Some(format!("args.{}", other.name))];
            for name in names.into_iter().flatten() {
                let text_name = String::leak(format!("str({name})"));
                let shown = String::leak(name);
                if other.is_text {
                    fields.push(leak(text(shown, number, 0, "text of the record")));
                    continue;
                }
                fields.push(leak(argument(shown, other.ty, number, "named argument")));
                if other.is_wide {
                    fields.push(leak(text(text_name, number, 0, "text that the argument points to")));
                }
            }
        }
        fields
    }
}

/// The number in `arg0` to `arg5`.
pub fn plain_number(name: &str) -> Option<u16> {
    name.strip_prefix("arg")?.parse().ok().filter(|number| *number < NUMBERED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::argument::Value;
    use crate::resolve::Place;

    fn point(event: &str, arguments: &[(&str, Type, Value)]) -> Point {
        let argument = |(name, ty, value): &(&str, Type, Value)| Argument {
            name: (*name).to_owned(),
            ty: *ty,
            bytes: 8,
            value: *value,
        };
        Point {
            place: Place::Tracepoint { group: "g".to_owned(), event: event.to_owned() },
            function: event.to_owned(),
            module: "g".into(),
            arguments: arguments.iter().map(argument).collect(),
        }
    }

    #[test]
    fn a_module_is_shown_where_two_functions_have_one_name() {
        let functions = [("free", "libc"), ("malloc", "ld"), ("malloc", "libc"), ("mmap", "libc")];
        assert_eq!(shown(&functions), ["free", "ld`malloc", "libc`malloc", "mmap"]);
    }

    #[test]
    fn an_argument_hides_no_field_that_every_firing_has() {
        let at = Value::Record(8);
        let points = [point("a", &[("pid", Type::Signed, at), ("count", Type::Unsigned, at)])];
        let names: Vec<&str> = ArgumentNames::of(&points).fields().iter().map(|field| field.name).collect();
        assert_eq!(names, ["args.pid", "str(args.pid)", "count", "str(count)", "args.count", "str(args.count)"]);
    }

    #[test]
    fn names_have_one_number_and_the_sign_that_one_of_them_has() {
        let at = Value::Record(8);
        let points = [
            point("a", &[("x", Type::Unsigned, at)]),
            point("b", &[("arg2", Type::Signed, at), ("x", Type::Signed, at)]),
        ];
        let names = ArgumentNames::of(&points);
        assert_eq!((names.number("x"), names.number("arg2"), names.number("y")), (Some(NUMBERED), Some(2), None));
        assert_eq!(names.fields()[0].ty(), Type::Signed);
        let arg2 = own_fields(&points).into_iter().find(|field| field.name == "arg2").map(Field::ty);
        assert_eq!(arg2, Some(Type::Signed));
    }
}
