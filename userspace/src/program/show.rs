//! A clause as dtrace would have it written, for `--show-program`: tree in, text out. Where the names are spoor's own,
//! the text parses to the same tree.
use std::fmt::Write;

use super::check::expand;
use super::field::{Field, Names};
use super::glob;
use super::parse::operator;
use super::rules::{adapts, is_comparison};
use super::scope::Scope;
use super::tree::{Action, BinaryOp, Clause, Expr, Function, Key, Node, Type, UnaryOp};

/// Pairs of a field's name and the name that D has for it, such as `("comm", "execname")`.
pub type Translation<'a> = &'a [(&'a str, &'a str)];

/// Binds tighter than every binary operator.
const UNARY: u8 = 11;

/// `probe /predicate/ { @[keys] = function(); }`
pub fn clause(clause: &Clause, scope: &Scope, probe: &str, names: Translation) -> String {
    let show = Show { scope, names };
    let mut out = probe.to_owned();
    if let Some(predicate) = &clause.predicate {
        let _ = write!(out, " /{}/", show.expr(predicate, 0));
    }
    match &clause.action {
        Action::Stream => out.push_str(" { trace(firing); }"),
        Action::Aggregate { keys, columns } => {
            let keys = keys.iter().map(|key| show.key(key)).collect::<Vec<_>>().join(", ");
            let keys = if keys.is_empty() { keys } else { format!("[{keys}]") };
            let _ = write!(out, " {{");
            for column in columns {
                // One aggregation needs no name.
                let name = if columns.len() == 1 { String::new() } else { identifier(&column.name) };
                let _ = write!(out, " @{name}{keys} = {};", show.function(&column.function));
            }
            out.push_str(" }");
        }
    }
    out
}

pub fn expr(expr: &Expr, scope: &Scope, names: Translation) -> String {
    Show { scope, names }.expr(expr, 0)
}

pub fn function(function: &Function, scope: &Scope, names: Translation) -> String {
    Show { scope, names }.function(function)
}

fn identifier(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// A pattern between quotes, as the lexer reads it.
fn quoted(pattern: &[u8]) -> String {
    let mut out = String::from("\"");
    for &c in pattern {
        match c {
            b'"' => out.push_str("\\\""),
            b' '..=b'~' => out.push(char::from(c)),
            c => {
                let _ = write!(out, "\\x{c:02x}");
            }
        }
    }
    out.push('"');
    out
}

struct Show<'a> {
    scope: &'a Scope,
    names: Translation<'a>,
}

impl Show<'_> {
    fn name(&self, field: &Field) -> String {
        let translated = self.names.iter().find(|(ours, _)| *ours == field.name);
        translated.map_or(field.name, |(_, theirs)| theirs).to_owned()
    }

    fn key(&self, key: &Key) -> String {
        match key {
            Key::Text { field } => self.name(field),
            Key::Number { name, expr } => match self.scope.field(name) {
                Some(field) => self.name(field),
                None => self.expr(expr, 0),
            },
        }
    }

    fn function(&self, function: &Function) -> String {
        let call = |name: &str, arg: &Expr| format!("{name}({})", self.expr(arg, 0));
        match function {
            Function::Count => "count()".to_owned(),
            Function::Sum(arg) => call("sum", arg),
            Function::Avg(arg) => call("avg", arg),
            Function::Min(arg) => call("min", arg),
            Function::Max(arg) => call("max", arg),
            Function::Stddev(arg) => call("stddev", arg),
            Function::Quantize(arg) => call("quantize", arg),
            Function::Lquantize { arg, lower, upper, step } => {
                format!("lquantize({}, {lower}, {upper}, {step})", self.expr(arg, 0))
            }
            Function::Llquantize { arg, factor, lmag, hmag, steps } => {
                format!("llquantize({}, {factor}, {lmag}, {hmag}, {steps})", self.expr(arg, 0))
            }
            Function::Percentile { arg, per_mille } if per_mille % 10 == 0 => {
                call(&format!("p{:02}", per_mille / 10), arg)
            }
            Function::Percentile { arg, per_mille } => call(&format!("p{per_mille:03}"), arg),
        }
    }

    /// The expression, in parentheses if it binds no tighter than `outer`.
    fn expr(&self, expr: &Expr, outer: u8) -> String {
        let (text, binding) = match &expr.node {
            Node::Const(bits) => constant(*bits, expr.ty),
            Node::Field(field) => (self.name(field), u8::MAX),
            Node::Unary(UnaryOp::Not, operand) if is_name_test(operand) => self.name_test(operand, "!="),
            Node::Unary(op, operand) => {
                let sign = match op {
                    UnaryOp::Neg => "-",
                    UnaryOp::Not => "!",
                    UnaryOp::BitNot => "~",
                };
                // `-5` is a literal and `-(5)` an operator on one; D has a `--` that decrements.
                let apart = matches!(operand.node, Node::Const(_) | Node::Unary(UnaryOp::Neg, _));
                let outer = if *op == UnaryOp::Neg && apart { u8::MAX } else { UNARY - 1 };
                (format!("{sign}{}", self.expr(operand, outer)), UNARY)
            }
            Node::Binary(op, left, right) => self.binary(*op, left, right),
            Node::Matches(..) | Node::OneOf(..) => self.name_test(expr, "=="),
        };
        if binding > outer { text } else { format!("({text})") }
    }

    fn binary(&self, op: BinaryOp, left: &Expr, right: &Expr) -> (String, u8) {
        let (sign, binding) = operator(op);
        // A comparison in an operator of bits, or in another comparison, reads better apart; the parser asks for it.
        let apart = matches!(op, BinaryOp::And | BinaryOp::Or | BinaryOp::Xor) || is_comparison(op);
        let side = |expr: &Expr, other: &Expr, outer: u8| match expr.node {
            Node::Const(bits) if adapts(op) => {
                let (text, binding) = adapted(op, bits, expr.ty, other);
                if binding > outer { text } else { format!("({text})") }
            }
            _ if apart && shows_as_comparison(expr) => format!("({})", self.expr(expr, 0)),
            _ => self.expr(expr, outer),
        };
        (format!("{} {sign} {}", side(left, right, binding - 1), side(right, left, binding)), binding)
    }

    /// `Matches` and `OneOf`, with `==` or `!=`.
    fn name_test(&self, expr: &Expr, sign: &str) -> (String, u8) {
        let binding = operator(BinaryOp::Eq).1;
        match &expr.node {
            Node::Matches(field, glob) => (format!("{} {sign} {}", self.name(field), quoted(&glob.pattern())), binding),
            Node::OneOf(operand, values) => match self.enumeration(operand) {
                Some((field, names)) => {
                    (format!("{} {sign} {}", self.name(field), quoted(&name_list(names, values))), binding)
                }
                None => self.chain(operand, values, sign),
            },
            _ => unreachable!("only name tests come here"),
        }
    }

    /// The enumeration that the operand is, also where it was computed and has been expanded.
    fn enumeration(&self, operand: &Expr) -> Option<(&'static Field, &'static dyn Names)> {
        self.scope.enumerations().find(|(field, _)| expand(field, self.scope).as_ref() == Ok(operand))
    }

    /// A set over an expression that has no names: `x == 1 || x == 2`.
    fn chain(&self, operand: &Expr, values: &[u64], sign: &str) -> (String, u8) {
        let join = if sign == "==" { BinaryOp::LogicalOr } else { BinaryOp::LogicalAnd };
        let operand = self.expr(operand, operator(BinaryOp::Eq).1);
        let tests: Vec<_> = values.iter().map(|value| format!("{operand} {sign} {value}")).collect();
        (tests.join(&format!(" {} ", operator(join).0)), operator(join).1)
    }
}

fn is_name_test(expr: &Expr) -> bool {
    matches!(expr.node, Node::Matches(..) | Node::OneOf(..))
}

fn shows_as_comparison(expr: &Expr) -> bool {
    match &expr.node {
        Node::Binary(op, ..) => is_comparison(*op),
        Node::Unary(UnaryOp::Not, operand) => is_name_test(operand),
        _ => is_name_test(expr),
    }
}

/// A constant that no other operand gives a type: a sign makes it signed.
fn constant(bits: u64, ty: Type) -> (String, u8) {
    match ty {
        Type::Unsigned if bits > i64::MAX as u64 => (format!("{bits:#x}"), u8::MAX),
        Type::Unsigned => (bits.to_string(), u8::MAX),
        Type::Signed => (format!("{:+}", bits as i64), UNARY),
    }
}

/// A constant as it is written beside `other`, whose sign it takes.
fn adapted(op: BinaryOp, bits: u64, ty: Type, other: &Expr) -> (String, u8) {
    let small = bits <= i64::MAX as u64;
    let bare = |expr: &Expr| matches!(expr.node, Node::Const(bits) if bits <= i64::MAX as u64);
    match (ty, other.ty) {
        (Type::Signed, Type::Signed) if small && !bare(other) => constant(bits, Type::Unsigned),
        (Type::Unsigned, Type::Signed) if !small && matches!(op, BinaryOp::Div | BinaryOp::Rem) => {
            constant(bits, Type::Signed)
        }
        _ => constant(bits, ty),
    }
}

/// The names that together stand for the values, as a list with commas; numbers where no name fits.
fn name_list(names: &dyn Names, values: &[u64]) -> Vec<u8> {
    let all = names.all();
    let mut left = values.to_vec();
    let mut parts: Vec<Vec<u8>> = Vec::new();
    for &value in values {
        if !left.contains(&value) {
            continue;
        }
        // A name may stand for more values than one: it fits if all of them are wanted.
        let meant =
            |name: &str| all.iter().filter(|(other, _)| other == name).map(|(_, value)| *value).collect::<Vec<_>>();
        let name = all
            .iter()
            .filter(|(_, other)| *other == value)
            .map(|(name, _)| name)
            .find(|name| meant(name).iter().all(|value| values.contains(value)));
        match name {
            Some(name) => {
                let meant = meant(name);
                left.retain(|value| !meant.contains(value));
                parts.push(glob::escape(name.as_bytes()));
            }
            None => parts.push(value.to_string().into_bytes()),
        }
    }
    parts.join(&b","[..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::check::{function as check_function, keys, predicate};
    use crate::program::field::Unit;
    use crate::program::interp::eval;
    use crate::program::testing::{arb_expr, arb_row, scope};
    use crate::program::tree::Column;
    use proptest::prelude::*;

    fn roundtrip(source: &str) -> String {
        expr(&predicate(source, &scope()).unwrap(), &scope(), &[])
    }

    #[test]
    fn clause_reads_as_dtrace_has_it() {
        let scope = scope();
        let names = [("comm", "execname"), ("syscall", "probefunc")];
        let mut it = Clause {
            predicate: Some(predicate("pid == 42 && ret < 0", &scope).unwrap()),
            action: Action::Aggregate {
                keys: keys("comm,syscall", &scope).unwrap(),
                columns: vec![Column { name: "count".into(), unit: Unit::None, function: Function::Count }],
            },
        };
        let shown = clause(&it, &scope, "syscall:::return", &names);
        assert_eq!(shown, "syscall:::return /pid == 42 && ret < 0/ { @[execname, probefunc] = count(); }");
        let errors = check_function("sum(failed)", &scope).unwrap();
        let column = |name: &str, function| Column { name: name.into(), unit: Unit::None, function };
        it.predicate = None;
        it.action = Action::Aggregate {
            keys: keys("errno", &scope).unwrap(),
            columns: vec![column("calls", Function::Count), column("p 99", errors)],
        };
        assert_eq!(
            clause(&it, &scope, "p:::", &names),
            "p::: { @calls[errno] = count(); @p_99[errno] = sum(ret < 0); }"
        );
        it.action = Action::Aggregate { keys: vec![], columns: vec![column("calls", Function::Count)] };
        assert_eq!(clause(&it, &scope, "p:::", &names), "p::: { @ = count(); }");
        it.action = Action::Stream;
        assert_eq!(clause(&it, &scope, "p:::", &names), "p::: { trace(firing); }");
    }

    #[test]
    fn parentheses_stand_only_where_precedence_needs_them() {
        for source in [
            "(pid + tid) * 2",
            "pid - (tid - 2)",
            "pid - tid - 2",
            "-(pid + 1)",
            "!(pid && tid)",
            "pid && (tid || cpu)",
            "(pid & 3) == 1",
            "-ret",
            "-(-ret)",
            "!!pid",
            "~-ret",
            "ret / -5",
            "pid << 2 + tid",
            "(pid == 1) == 2",
            "comm == \"a*[b-d]?\\*\"",
            "comm != \"x\" && syscall != \"read\"",
        ] {
            assert_eq!(roundtrip(source), source);
        }
        assert_eq!(roundtrip("((pid) + ((tid * 3)))"), "pid + tid * 3");
        assert_eq!(
            roundtrip("syscall == 'open*' || errno == EPERM"),
            "syscall == \"open,openat,openat2\" || errno == \"EPERM\""
        );
    }

    #[test]
    fn functions_read_back() {
        for source in [
            "count()",
            "sum(ret)",
            "lquantize(elapsed, -10, 10, 5)",
            "llquantize(elapsed, 10, 0, 6, 20)",
            "p50(elapsed)",
            "p999(elapsed)",
            "p005(elapsed)",
        ] {
            assert_eq!(function(&check_function(source, &scope()).unwrap(), &scope(), &[]), source);
        }
    }

    #[test]
    fn unprintable_patterns_are_escaped_and_read_back() {
        assert_eq!(roundtrip(r#"comm == "\x1b\"\x2a\xff\\[\x01-\x04]""#), r#"comm == "\x1b\"\*\xff\\[\x01-\x04]""#);
    }

    /// What the checker refuses although the tree has a meaning: see its `refuse_never` and `adapt`.
    fn refused(message: &str) -> bool {
        ["always the same", "division by zero", "beside a signed number"].iter().any(|part| message.contains(part))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn shown_expression_reads_back_as_the_same_tree(e in arb_expr(&scope()), row in arb_row(&scope())) {
            let scope = scope();
            let text = expr(&e, &scope, &[]);
            match predicate(&text, &scope) {
                Ok(read) => {
                    // Constants may have been folded and adapted; the meaning stays, and from then on the tree.
                    prop_assert_eq!(read.ty, e.ty, "{}", &text);
                    prop_assert_eq!(eval(&read, &row), eval(&e, &row), "{}", &text);
                    let again = expr(&read, &scope, &[]);
                    prop_assert_eq!(predicate(&again, &scope).unwrap(), read, "{} then {}", text, again);
                }
                Err(error) => prop_assert!(refused(&error.message), "{}", error.explain("--where")),
            }
        }
    }
}
