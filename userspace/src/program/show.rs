//! A clause as dtrace would have it written, for `--show-program`: tree in, text out. Where the names are spoor's own,
//! the text parses to the same tree.
use std::fmt::Write;

use super::field::Field;
use super::parse::operator;
use super::rules::{adapts, is_comparison};
use super::scope::Scope;
use super::show_names::{is_name_test, shows_as_name_test};
use super::tree::{Action, BinaryOp, Clause, Expr, Function, Key, Node, Type, UnaryOp};

/// Pairs of a field's name and what D has for it, such as `("comm", "execname")`. Empty: spoor's own language.
/// Of operators only a `-` or a cast may be in it.
pub type Translation<'a> = &'a [(&'a str, &'a str)];

/// Where a clause stands.
pub struct Place<'a> {
    pub probe: &'a str,
    pub names: Translation<'a>,
    /// Whom it is about: alternatives in D, such as `pid == 42`. None: everybody.
    pub target: &'a [String],
}

/// Binds tighter than every binary operator.
const UNARY: u8 = 11;

/// `probe /predicate/ { @[keys] = function(); }`
pub fn clause(clause: &Clause, scope: &Scope, place: &Place) -> String {
    let show = Show { scope, names: place.names };
    let mut out = head(place, clause.predicate.as_ref(), &show);
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

/// `probe /target/ { statement }`
pub fn statement(statement: &str, scope: &Scope, place: &Place) -> String {
    format!("{} {{ {statement} }}", head(place, None, &Show { scope, names: place.names }))
}

/// `probe /target && predicate/`
fn head(place: &Place, predicate: Option<&Expr>, show: &Show) -> String {
    let target = place.target.join(" || ");
    let conditions = match (place.target.len(), predicate) {
        (0, None) => return place.probe.to_owned(),
        (0, Some(predicate)) => show.expr(predicate, 0),
        (_, None) => target,
        (many, Some(predicate)) => {
            let target = if many == 1 { target } else { format!("({target})") };
            format!("{target} && {}", show.expr(predicate, operator(BinaryOp::LogicalAnd).1 - 1))
        }
    };
    format!("{} /{conditions}/", place.probe)
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
pub(super) fn quoted(pattern: &[u8]) -> String {
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

pub(super) struct Show<'a> {
    pub(super) scope: &'a Scope,
    pub(super) names: Translation<'a>,
}

impl Show<'_> {
    /// Whether it is to be D, not spoor's own language.
    pub(super) fn is_d(&self) -> bool {
        !self.names.is_empty()
    }

    pub(super) fn translated(&self, field: &Field) -> Option<&str> {
        self.names.iter().find(|(ours, _)| *ours == field.name).map(|(_, theirs)| *theirs)
    }

    pub(super) fn name(&self, field: &Field) -> String {
        self.translated(field).unwrap_or(field.name).to_owned()
    }

    fn field(&self, field: &Field) -> (String, u8) {
        let binding = match self.translated(field) {
            Some(theirs) if theirs.contains(" - ") => operator(BinaryOp::Sub).1,
            Some(theirs) if theirs.starts_with('(') => UNARY,
            _ => u8::MAX,
        };
        (self.name(field), binding)
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
    pub(super) fn expr(&self, expr: &Expr, outer: u8) -> String {
        let (text, binding) = match &expr.node {
            Node::Const(bits) => constant(*bits, expr.ty),
            Node::Field(field) => self.field(field),
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
            Node::Cast(to, operand) => {
                let name = if self.is_d() { to.name_in_d() } else { to.name() };
                (format!("({name}){}", self.expr(operand, UNARY - 1)), UNARY)
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
}

fn shows_as_comparison(expr: &Expr) -> bool {
    match &expr.node {
        Node::Binary(op, ..) => is_comparison(*op),
        _ => shows_as_name_test(expr),
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
        let at = |probe| Place { probe, names: &names, target: &[] };
        let shown = clause(&it, &scope, &at("syscall:::return"));
        assert_eq!(shown, "syscall:::return /pid == 42 && ret < 0/ { @[execname, probefunc] = count(); }");
        let errors = check_function("sum(failed)", &scope).unwrap();
        let column = |name: &str, function| Column { name: name.into(), unit: Unit::None, function };
        it.predicate = None;
        it.action = Action::Aggregate {
            keys: keys("errno", &scope).unwrap(),
            columns: vec![column("calls", Function::Count), column("p 99", errors)],
        };
        assert_eq!(clause(&it, &scope, &at("p:::")), "p::: { @calls[errno] = count(); @p_99[errno] = sum(ret < 0); }");
        it.action = Action::Aggregate { keys: vec![], columns: vec![column("calls", Function::Count)] };
        assert_eq!(clause(&it, &scope, &at("p:::")), "p::: { @ = count(); }");
        it.action = Action::Stream;
        assert_eq!(clause(&it, &scope, &at("p:::")), "p::: { trace(firing); }");
    }

    #[test]
    fn target_stands_before_the_predicate_and_keeps_to_itself() {
        let scope = scope();
        let shown = |source: Option<&str>, target: &[&str]| {
            let predicate = source.map(|source| predicate(source, &scope).unwrap());
            let it = Clause { predicate, action: Action::Stream };
            let target: Vec<String> = target.iter().map(|test| (*test).to_owned()).collect();
            let place = Place { probe: "p", names: &[], target: &target };
            clause(&it, &scope, &place).strip_suffix(" { trace(firing); }").unwrap().to_owned()
        };
        assert_eq!(shown(None, &[]), "p");
        assert_eq!(shown(None, &["pid == 1", "tid == 2"]), "p /pid == 1 || tid == 2/");
        assert_eq!(shown(Some("ret && arg0"), &["pid == 1"]), "p /pid == 1 && ret && arg0/");
        assert_eq!(shown(Some("ret || arg0"), &["pid == 1"]), "p /pid == 1 && (ret || arg0)/");
        assert_eq!(shown(Some("ret"), &["pid == 1", "tid == 2"]), "p /(pid == 1 || tid == 2) && ret/");
        let place = Place { probe: "p", names: &[], target: &["pid == 1".to_owned()] };
        assert_eq!(statement("self->start = timestamp;", &scope, &place), "p /pid == 1/ { self->start = timestamp; }");
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
            "(i32)arg0",
            "-(u8)(arg0 >> 3)",
            "(i16)-ret * 2",
            "(u64)(i32)ret == arg0",
            "(u8)(comm == \"x\")",
            "str(arg0) == \"/etc/*\"",
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
    fn casts_have_ds_names_in_d() {
        let names =
            [("ret", "(int64_t)arg1"), ("elapsed", "timestamp - self->start"), ("str(arg0)", "copyinstr(arg0)")];
        let in_d = |source: &str| expr(&predicate(source, &scope()).unwrap(), &scope(), &names);
        assert_eq!(in_d("(unsigned)arg0 * 2"), "(uint32_t)arg0 * 2");
        assert_eq!(in_d("(int)ret < 0"), "(int32_t)(int64_t)arg1 < 0");
        assert_eq!(in_d("(i32)elapsed"), "(int32_t)(timestamp - self->start)");
        assert_eq!(in_d("(u8)(syscall != 'get*')"), r#"(uint8_t)(syscall != getpid && syscall != getuid)"#);
        assert_eq!(in_d("str(arg0) == 'x'"), r#"copyinstr(arg0) == "x""#);
    }

    #[test]
    fn functions_read_back() {
        for source in [
            "count()",
            "sum(ret)",
            "quantize((i32)arg0)",
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
