//! `spoor func`: patterns into points, and the fields that these have besides the provider's own.
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use anyhow::Result;
use probes_common::function::{AT_ENTRY, IN_USER, MODULE_SHIFT};

use super::UsageError;
use super::args::Func;
use super::plan::{Plan, Typed, naming, plan_in, target};
use crate::attach::points::{Numbered, Points};
use crate::attach::target::Target;
use crate::btf::Btf;
use crate::btf::signature::signatures;
use crate::error::Advice;
use crate::program::argument::{Argument, Register, Used, Value};
use crate::program::codegen::site::{Leave, Operand, PARAMETERS, RETURN_ABOVE, STACK};
use crate::program::field::{COMMON, Field, Names};
use crate::program::scope::Scope;
use crate::program::tree::Type;
use crate::providers::function::{ARGUMENTS, NUMBERED, PROVIDER, argument, func as func_field, module, text};
use crate::resolve::code::{Code, Returns, is_way_out};
use crate::resolve::{self, Pattern, Place, Point, Whom};
use crate::session;
use crate::sys::{command, process};

/// Errors: [`UsageError`], which exits with 2; patterns that nothing matches.
pub fn func(args: Func) -> Result<Plan> {
    if args.latency && !args.clause.functions.is_empty() {
        let advice = "--agg 'p99(elapsed)' and --agg 'max(elapsed)', or -L without --agg";
        return Err(UsageError::new("-L adds columns to the default table, and --agg replaces it", advice).into());
    }
    let patterns =
        args.patterns.iter().map(|text| Pattern::parse(text)).collect::<Result<Vec<_>, _>>().map_err(usage)?;
    let whom = whom(&target(&args.target)?, &args.command)?;
    let resolved = resolve::resolve(&patterns, &whom)?;
    let found = resolved.points.len();
    if found == 0 {
        let (name, why) = resolved.refused.first().map_or(("", ""), |(name, why)| (name, why));
        // A reason ends in what to do about it.
        let (why, advice) = why.rsplit_once(": ").unwrap_or((why, "another pattern"));
        return Err(Advice::new(format!("`{name}` cannot be traced: {why}"), advice).into());
    }
    if found > args.points.max_probes as usize {
        let what = format!("{found} functions match, more than --max-probes {}", args.points.max_probes);
        return Err(Advice::new(what, format!("a narrower pattern, or --max-probes {found}")).into());
    }
    let names = ArgumentNames::of(&resolved.points);
    let scope = Scope::new(names.fields().into_iter().chain(own_fields(&resolved.points)));
    let (may_be_slow, anyway) = (args.points.slow_detach, args.points.unsafe_returns);
    let mut plan = plan_in(
        Typed {
            command_name: "func",
            provider: &PROVIDER,
            target: args.target,
            time: args.time,
            clause: args.clause,
            output: args.output,
            events: false,
            ring_bytes: 0,
            columns: (PROVIDER.default_columns)(args.latency),
            condition: None,
            run: args.command,
            sampling: None,
            naming: naming(&args.naming),
        },
        scope,
    )?;
    let used = Used::by(&plan.clause);
    if used.arguments.len() > ARGUMENTS || used.texts.len() > probes_common::clause::TEXTS {
        let what = format!("an expression can name {ARGUMENTS} arguments and {} texts", probes_common::clause::TEXTS);
        return Err(UsageError::new(&what, "fewer of them in --by, --where and --agg").into());
    }
    let returns = args.latency || PROVIDER.facts(&plan.clause) & probes_common::function::FACT_RETURN != 0;
    if returns && let Some(point) = resolved.points.iter().find(|point| !has_return(point)) {
        let what = format!("`{}` is passed and does not return: it has no `ret` and no `elapsed`", point.function);
        return Err(UsageError::new(&what, "leave out -L, `ret` and `elapsed`, or trace functions only").into());
    }
    let codes = codes(&resolved.points);
    if returns {
        plan.notes.extend(dangers(&resolved.points, &codes, anyway)?);
    }
    let (points, without) = having(numbered(&resolved.points, &names, &codes), &used, &names)?;
    plan.points = Some(Points { points, returns, may_be_slow });
    plan.notes.extend(resolved.notes);
    plan.notes.extend(without);
    plan.notes.extend(resolved.refused.iter().map(|(name, why)| format!("{name} is not traced: {why}")));
    Ok(plan)
}

/// What is to be known of each file that has points.
fn codes(points: &[Point]) -> HashMap<PathBuf, Code> {
    let mut codes = HashMap::new();
    for point in points {
        if let Place::User { file, .. } = &point.place {
            codes.entry(file.clone()).or_insert_with(|| Code::of(file));
        }
    }
    codes
}

/// What to say of the danger of waiting for returns.
///
/// Errors: it ends the process, or can and nobody wants it `anyway`.
fn dangers(points: &[Point], codes: &HashMap<PathBuf, Code>, anyway: bool) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    let advice = "leave out -L, `ret` and `elapsed`: calls are counted all the same";
    for point in points {
        let Place::User { file, .. } = &point.place else { continue };
        let function = &point.function;
        if is_way_out(function) {
            let what =
                format!("`{function}` changes where calls return to: to wait for its return would end the process");
            return Err(UsageError::new(&what, advice).into());
        }
        match codes.get(file).map(|code| code.returns) {
            Some(Returns::Moved) => {
                let module = &point.module;
                let what =
                    format!("`{module}` is a program of Go, which moves its stacks: to wait for returns would end it");
                return Err(UsageError::new(&what, advice).into());
            }
            Some(Returns::MayBeLeft(way)) if !anyway => {
                let module = &point.module;
                let what = format!(
                    "`{module}` uses {way}: an exception or a switch of stacks that leaves a call whose return is waited for ends the process"
                );
                return Err(
                    UsageError::new(&what, &format!("{advice}; --unsafe-returns where that does not happen")).into()
                );
            }
            Some(Returns::MayPanic) => {
                notes.push(format!("a panic that leaves one of these calls of {} ends the process", point.module));
            }
            _ => {}
        }
    }
    notes.sort_unstable();
    notes.dedup();
    Ok(notes)
}

/// The points that have all arguments which the clause names; what to say of the others.
///
/// Errors: none has them.
fn having(points: Vec<Numbered>, used: &Used, names: &ArgumentNames) -> Result<(Vec<Numbered>, Vec<String>)> {
    let lacks = |point: &Numbered| used.arguments.iter().copied().find(|number| !point.operands.contains_key(number));
    let (without, with): (Vec<_>, Vec<_>) = points.into_iter().partition(|point| lacks(point).is_some());
    let say = |point: &Numbered| {
        let name = lacks(point).map_or_else(String::new, |number| names.name(number));
        format!("{} is not traced: it has no `{name}`", point.point.function)
    };
    match (without.first(), with.is_empty()) {
        (Some(first), true) => {
            let have =
                first.point.arguments.iter().map(|argument| argument.name.as_str()).collect::<Vec<_>>().join(", ");
            let advice = if have.is_empty() { "leave it out".to_owned() } else { format!("one of {have}") };
            Err(UsageError::new(&say(first), &advice).into())
        }
        _ => Ok((with, without.iter().map(say).collect())),
    }
}

pub(super) fn usage(advice: Advice) -> UsageError {
    UsageError::new(&advice.to_string(), advice.advice())
}

/// Whose files the patterns are about.
pub(super) fn whom(target: &Target, run: &[std::ffi::OsString]) -> Result<Whom> {
    session::check_target(target)?;
    if let Some(name) = run.first() {
        // What is wrong with it is said when it is run.
        return Ok(command::find_command(name).map_or(Whom::Nobody, Whom::Command));
    }
    let owner = |tid: &u32| process::process_of_thread(*tid).unwrap_or(*tid);
    let mut pids: Vec<u32> = target.pids.iter().copied().chain(target.tids.iter().map(owner)).collect();
    pids.dedup();
    Ok(if pids.is_empty() { Whom::Nobody } else { Whom::Processes(pids) })
}

fn has_return(point: &Point) -> bool {
    match point.place {
        Place::User { is_entry, .. } => is_entry,
        Place::Kernel { .. } => true,
        Place::Tracepoint { .. } => false,
    }
}

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
fn own_fields(points: &[Point]) -> Vec<&'static Field> {
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
fn functions(points: &[Point]) -> Vec<(&str, &str)> {
    let mut functions: Vec<_> = points.iter().map(function).collect();
    functions.sort_unstable();
    functions.dedup();
    functions
}

fn function(point: &Point) -> (&str, &str) {
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

fn modules(points: &[Point]) -> Vec<String> {
    let mut modules: Vec<String> = points.iter().map(|point| point.module.clone()).collect();
    modules.sort_unstable();
    modules.dedup();
    modules
}

/// Names that points have for their arguments, each with a number: `arg0` to `arg5` have those, all others follow.
#[derive(Default)]
struct ArgumentNames {
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
    fn of(points: &[Point]) -> ArgumentNames {
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

    fn number(&self, name: &str) -> Option<u16> {
        plain_number(name).or_else(|| self.numbers.get(name).copied())
    }

    fn name(&self, number: u16) -> String {
        match number.checked_sub(NUMBERED) {
            None => format!("arg{number}"),
            Some(other) => self.others.get(usize::from(other)).map_or_else(String::new, |other| other.name.clone()),
        }
    }

    /// Fields by these names; one that would hide another is `args.NAME` only.
    fn fields(&self) -> Vec<&'static Field> {
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
fn plain_number(name: &str) -> Option<u16> {
    name.strip_prefix("arg")?.parse().ok().filter(|number| *number < NUMBERED)
}

fn numbered(points: &[Point], names: &ArgumentNames, codes: &HashMap<PathBuf, Code>) -> Vec<Numbered> {
    let (functions, modules) = (functions(points), modules(points));
    let symbols: Vec<&str> = points
        .iter()
        .filter_map(|point| match &point.place {
            Place::Kernel { symbol } => Some(symbol.as_str()),
            _ => None,
        })
        .collect();
    let signatures = if symbols.is_empty() {
        HashMap::new()
    } else {
        Btf::of_running_kernel().map(|btf| signatures(&btf, &symbols)).unwrap_or_default()
    };
    let number = |point: &Point| {
        let at = functions.binary_search(&function(point)).unwrap_or_default();
        let module = modules.binary_search(&point.module).unwrap_or_default() as u64;
        let kind = match point.place {
            Place::User { is_entry: true, .. } => IN_USER | AT_ENTRY,
            Place::User { is_entry: false, .. } => IN_USER,
            _ => 0,
        };
        let signature = match &point.place {
            Place::Kernel { symbol } => signatures.get(symbol.as_str()),
            _ => None,
        };
        let is_32_bit = match &point.place {
            Place::User { file, .. } => codes.get(file).is_some_and(|code| code.is_32_bit),
            _ => false,
        };
        let word = if is_32_bit { 4 } else { 8 };
        let (ty, bytes) = signature.and_then(|signature| signature.returns).unwrap_or((Type::Signed, word));
        Numbered {
            cookie: at as u64 | module << MODULE_SHIFT | kind,
            operands: operands(point, names, is_32_bit),
            leave: Leave { stack_above: RETURN_ABOVE.min(word as i32), bytes, ty },
            typed: signature
                .filter(|signature| signature.is_plain)
                .map(|signature| (signature.id, signature.parameters.len() as u8)),
            point: point.clone(),
        }
    };
    points.iter().map(number).collect()
}

fn operands(point: &Point, names: &ArgumentNames, is_32_bit: bool) -> BTreeMap<u16, Operand> {
    let mut operands = BTreeMap::new();
    // Those of a record and of a USDT probe are all named.
    let by_abi = match point.place {
        Place::User { usdt, .. } => usdt.is_none(),
        Place::Kernel { .. } => true,
        Place::Tracepoint { .. } => false,
    };
    if by_abi {
        let of_abi = if is_32_bit { parameter_on_stack } else { parameter };
        operands.extend((0..PARAMETERS).map(|at| (at.into(), of_abi(at))));
    }
    for (at, argument) in point.arguments.iter().enumerate() {
        let Argument { ty, bytes, value, .. } = *argument;
        let operand = Operand { value, bytes, ty };
        operands.extend(names.number(&argument.name).map(|number| (number, operand)));
        // By its place as well, unless a name says so: as wide as it is, and without a sign, as all that have no type.
        if at < usize::from(NUMBERED) && plain_number(&argument.name).is_none() {
            operands.insert(at as u16, Operand { ty: Type::Unsigned, ..operand });
        }
    }
    operands
}

/// Of 32-bit code, where it begins: above the return address.
fn parameter_on_stack(at: u8) -> Operand {
    const WORD: i64 = 4;
    let base = Register { offset: STACK as u16, shift: 0 };
    let value = Value::Memory { base, displacement: WORD + i64::from(at) * WORD, index: None };
    Operand { value, bytes: WORD as u32, ty: Type::Unsigned }
}

fn parameter(at: u8) -> Operand {
    Operand { value: Value::Parameter(at), bytes: 8, ty: Type::Unsigned }
}
