//! Names and types: an untyped tree and the fields in scope in, a typed tree out. Computed fields are expanded and
//! constants folded here, so that the code generator sees neither.
use super::error::{ProgramError, Span, printable};
use super::field::{Field, Kind, Source};
use super::foreign;
use super::functions;
use super::integer::Integer;
use super::interp::{self, Fault};
use super::parse::{Ast, AstKind, Prefix, parse_expr, parse_function, parse_keys};
use super::rules::{adapts, is_comparison};
use super::scope::{Scope, nearest};
use super::tree::{BinaryOp, Expr, Function, Key, Node, Type, UnaryOp};

/// Widest key, in bytes, all parts together.
pub const MAX_KEY_BYTES: usize = 64;

/// The text of `--where`.
pub fn predicate(source: &str, scope: &Scope) -> Result<Expr, ProgramError> {
    Checker::new(source, scope).number(&parse_expr(source)?)
}

/// The text of `--by`.
pub fn keys(source: &str, scope: &Scope) -> Result<Vec<Key>, ProgramError> {
    keys_kept(source, scope, |keys, _| keys.to_vec())
}

/// The same, where the kernel side keeps other keys for those that are shown: these have to fit.
pub fn keys_kept(source: &str, scope: &Scope, kept: fn(&[Key], &Scope) -> Vec<Key>) -> Result<Vec<Key>, ProgramError> {
    let checker = Checker::new(source, scope);
    let (mut keys, mut words) = (Vec::<Key>::new(), 0);
    let asts = parse_keys(source)?;
    let last = asts[asts.len() - 1].span;
    let mut too_wide = None;
    for ast in &asts {
        let key = checker.key(ast)?;
        if keys.iter().any(|other| same_key(other, &key)) {
            return Err(checker
                .error(ast.span, format!("key `{}` stands twice", checker.text(ast.span)))
                .hint("name it once"));
        }
        keys.push(key);
        words = kept(&keys, scope).iter().map(Key::words).sum();
        if words * 8 > MAX_KEY_BYTES {
            too_wide.get_or_insert(ast.span.to(last));
        }
    }
    let Some(span) = too_wide else { return Ok(keys) };
    let error = checker.error(span, format!("keys are {} bytes together, at most {MAX_KEY_BYTES} fit", words * 8));
    Err(error.hint(format!("drop {} bytes: a number takes 8, a string such as `comm` 16", words * 8 - MAX_KEY_BYTES)))
}

/// The text of `--agg`.
pub fn function(source: &str, scope: &Scope) -> Result<Function, ProgramError> {
    let (name, args, span) = parse_function(source)?;
    functions::check(&Checker::new(source, scope), &name, &args, span)
}

/// A field as an expression; a computed one as what it stands for.
///
/// Errors: the expression of a computed field is wrong. That is the provider's mistake, and its tests should ask.
pub fn expand(field: &'static Field, scope: &Scope) -> Result<Expr, ProgramError> {
    Checker::new(field.name, scope).expand(field)
}

fn same_key(a: &Key, b: &Key) -> bool {
    match (a, b) {
        (Key::Number { expr: a, .. }, Key::Number { expr: b, .. }) => a == b,
        (Key::Text { field: a }, Key::Text { field: b }) => a == b,
        _ => false,
    }
}

/// As in `str(arg0)`: the text that a field points to. A provider offers each as a field of that whole name.
const TEXT_OF: &str = "str";

pub(super) struct Checker<'a> {
    source: &'a str,
    pub(super) scope: &'a Scope,
    /// Computed fields that are being expanded, to see cycles.
    expanding: Vec<&'static str>,
}

impl<'a> Checker<'a> {
    fn new(source: &'a str, scope: &'a Scope) -> Self {
        Checker { source, scope, expanding: Vec::new() }
    }

    pub(super) fn error(&self, span: Span, message: impl AsRef<str>) -> ProgramError {
        ProgramError::new(self.source, span, message)
    }

    pub(super) fn text(&self, span: Span) -> &'a str {
        &self.source[span.start..span.end]
    }

    fn key(&self, ast: &Ast) -> Result<Key, ProgramError> {
        match self.bare_field(ast) {
            Some(field) if matches!(field.kind, Kind::Text | Kind::Address) => Ok(Key::Text { field }),
            Some(field) => Ok(Key::Number { name: field.name.to_owned(), expr: self.expand(field)? }),
            None => Ok(Key::Number { name: printable(self.text(ast.span)), expr: self.number(ast)? }),
        }
    }

    /// An expression that has a number as its value.
    pub(super) fn number(&self, ast: &Ast) -> Result<Expr, ProgramError> {
        match &ast.kind {
            AstKind::Number(value) => Ok(Expr::constant(*value, Type::Unsigned)),
            AstKind::Decimal(text) => Err(self.error(ast.span, format!("`{text}` is not a whole number"))),
            AstKind::Text(_) => {
                let error = self.error(ast.span, "text stands only beside `==` and `!=`");
                Err(error.hint("`comm == \"nginx\"`, with `*` for any characters"))
            }
            AstKind::Name(name) => self.field(name, ast),
            AstKind::Prefix(prefix, operand) => self.prefix(*prefix, operand, ast.span),
            AstKind::Binary(op, left, right) => self.binary_ast(*op, left, right, ast.span),
            AstKind::Cast(to, operand) => self.cast(*to, operand),
            AstKind::Call(name, args) => match self.bare_field(ast) {
                Some(field) => self.field(field.name, ast),
                None => Err(self.call(name, args, ast.span)),
            },
        }
    }

    /// The field that stands alone, as a name or as a text that a field points to: `str(arg0)` is the name of one.
    fn bare_field(&self, ast: &Ast) -> Option<&'static Field> {
        match &ast.kind {
            AstKind::Name(name) => self.scope.field(name),
            AstKind::Call(name, args) if name == TEXT_OF => match &args[..] {
                [Ast { kind: AstKind::Name(pointer), .. }] => self.scope.field(&format!("{TEXT_OF}({pointer})")),
                _ => None,
            },
            _ => None,
        }
    }

    /// A call that is no field, and no expression has others.
    fn call(&self, name: &str, args: &[Ast], span: Span) -> ProgramError {
        if name == TEXT_OF {
            return self.no_text_of(span);
        }
        let argument = args.first().map_or("x", |arg| self.text(arg.span));
        if let Some(to) = Integer::named(&[name]) {
            let error = self.error(span, format!("`{name}` is a type and no function"));
            return error.hint(format!("`({}){argument}`", to.name()));
        }
        if functions::is_name(name) {
            let error = self.error(span, format!("`{name}()` aggregates and has no value for one firing"));
            return error.hint(format!("--agg '{}'", self.text(span)));
        }
        let error = self.error(span, format!("unknown function `{name}`"));
        if foreign::ours(name) == Some(TEXT_OF) {
            return error.hint(format!("`{TEXT_OF}({argument})`"));
        }
        error.hint("operators: expressions call no functions")
    }

    fn no_text_of(&self, span: Span) -> ProgramError {
        let texts = self.scope.fields().map(|field| field.name).filter(|name| name.starts_with("str("));
        let texts: Vec<_> = texts.map(|name| format!("`{name}`")).collect();
        match texts.is_empty() {
            true => self.error(span, "`str()` takes a field that points to a text, and this provider has none"),
            false => self.error(span, "`str()` takes a field that points to a text").hint(texts.join(", ")),
        }
    }

    fn unknown_field(&self, name: &str, ast: &Ast) -> ProgramError {
        if let Some(to) = Integer::named(&[name]) {
            let error = self.error(ast.span, format!("`{name}` is a type and no field"));
            return error.hint(format!("`({})x`, a cast", to.name()));
        }
        let error = self.error(ast.span, format!("unknown field `{name}`"));
        // `(i33) - 1` was perhaps to be a cast.
        match nearest(name, Integer::words()).filter(|_| ast.in_parens && self.scope.near_field(name).is_none()) {
            Some(near) => error.hint(format!("`({near})`, if it is a cast")),
            None => error.hint(self.scope.suggest_field(name)),
        }
    }

    fn field(&self, name: &str, ast: &Ast) -> Result<Expr, ProgramError> {
        let span = ast.span;
        let Some(field) = self.scope.field(name) else { return Err(self.unknown_field(name, ast)) };
        match field.kind {
            Kind::Number(_) => self.expand(field),
            Kind::Text => {
                let error = self.error(span, format!("`{name}` is text: only `==` and `!=` take it"));
                Err(error.hint(format!("`{name} == \"...\"`, with `*` for any characters")))
            }
            Kind::Stack(_) | Kind::Address | Kind::Owner(_) => {
                let what = match field.kind {
                    Kind::Stack(_) => "a stack",
                    Kind::Address => "an address",
                    _ => "found out behind the firing",
                };
                let error = self.error(span, format!("`{name}` is {what}: it can only be a key"));
                Err(error.hint(format!("--by {name}")))
            }
            Kind::Enumeration(names) => {
                let error = self.error(span, format!("`{name}` is a name, not a number: only `==` and `!=` take it"));
                Err(error.maybe_hint(names.all().first().map(|(known, _)| format!("`{name} == {known}`"))))
            }
        }
    }

    pub(super) fn expand(&self, field: &'static Field) -> Result<Expr, ProgramError> {
        let Source::Computed(source) = field.source else { return Ok(Expr::field(field)) };
        let mut expanding = self.expanding.clone();
        let wrong = |error: ProgramError| ProgramError {
            message: format!("in field `{}`: {}", field.name, error.message),
            ..error
        };
        let whole = Span::new(0, source.len());
        if expanding.contains(&field.name) {
            return Err(ProgramError::new(source, whole, format!("field `{}` is computed from itself", field.name)));
        }
        expanding.push(field.name);
        let inner = Checker { source, scope: self.scope, expanding };
        let expr = inner.number(&parse_expr(source).map_err(wrong)?).map_err(wrong)?;
        match field.kind {
            Kind::Number(ty) if ty != expr.ty => Err(wrong(ProgramError::new(
                source,
                whole,
                format!("it says {ty:?} and the expression is {:?}", expr.ty),
            ))),
            Kind::Text => Err(wrong(ProgramError::new(source, whole, "text cannot be computed"))),
            _ => Ok(expr),
        }
    }

    fn cast(&self, to: Integer, operand: &Ast) -> Result<Expr, ProgramError> {
        let operand = self.number(operand)?;
        Ok(match operand.as_const() {
            Some(bits) => Expr::constant(to.of(bits), to.ty),
            None => Expr::cast(to, operand),
        })
    }

    fn prefix(&self, prefix: Prefix, operand: &Ast, span: Span) -> Result<Expr, ProgramError> {
        if let (Prefix::Neg, AstKind::Number(value), false) = (prefix, &operand.kind, operand.in_parens) {
            if *value > 1 << 63 {
                return Err(self.error(span, format!("`-{value}` does not fit in 64 bits")));
            }
            return Ok(Expr::constant(value.wrapping_neg(), Type::Signed));
        }
        let operand = self.number(operand)?;
        let op = match prefix {
            Prefix::Neg => UnaryOp::Neg,
            Prefix::Not => UnaryOp::Not,
            Prefix::BitNot => UnaryOp::BitNot,
            Prefix::Plus => return self.plus(operand, span),
        };
        let constant = operand.as_const();
        let expr = Expr::unary(op, operand);
        Ok(constant.map_or(expr.clone(), |bits| Expr::constant(interp::unary(op, bits), expr.ty)))
    }

    /// A sign makes a constant signed, and changes nothing else.
    fn plus(&self, operand: Expr, span: Span) -> Result<Expr, ProgramError> {
        match operand.as_const() {
            Some(bits) if operand.ty == Type::Unsigned && bits > i64::MAX as u64 => {
                Err(self.error(span, format!("`+{bits}` does not fit in a signed number of 64 bits")))
            }
            Some(bits) => Ok(Expr::constant(bits, Type::Signed)),
            None => Ok(operand),
        }
    }

    fn binary_ast(&self, op: BinaryOp, left: &Ast, right: &Ast, span: Span) -> Result<Expr, ProgramError> {
        if is_comparison(op)
            && let Some(expr) = self.names(op, left, right, span)?
        {
            return Ok(expr);
        }
        let (l, r) = (self.number(left)?, self.number(right)?);
        let l = self.adapt(op, l, &r, left.span)?;
        let r = self.adapt(op, r, &l, right.span)?;
        self.refuse_never(op, (&l, left.span), (&r, right.span))?;
        if matches!(op, BinaryOp::Div | BinaryOp::Rem) && r.as_const() == Some(0) {
            return Err(self.error(right.span, "division by zero"));
        }
        let constants = l.as_const().zip(r.as_const());
        let types = (l.ty, r.ty);
        let expr = Expr::binary(op, l, r);
        let Some((a, b)) = constants else { return Ok(expr) };
        match interp::binary(op, (a, types.0), (b, types.1)) {
            Ok(bits) => Ok(Expr::constant(bits, expr.ty)),
            Err(Fault::DivideByZero) => Err(self.error(right.span, "division by zero")),
        }
    }

    /// A constant beside a signed operand is signed, where it fits or where only its bits count.
    fn adapt(&self, op: BinaryOp, literal: Expr, other: &Expr, span: Span) -> Result<Expr, ProgramError> {
        let Some(bits) = literal.as_const() else { return Ok(literal) };
        if literal.ty == Type::Signed || other.ty == Type::Unsigned || !adapts(op) {
            return Ok(literal);
        }
        if bits <= i64::MAX as u64 {
            return Ok(Expr::constant(bits, Type::Signed));
        }
        if !matches!(op, BinaryOp::Div | BinaryOp::Rem) {
            return Ok(literal);
        }
        let error = self.error(span, format!("`{bits}` beside a signed number would be {}", bits as i64));
        Err(error.hint(format!("`{}`, if that is meant", bits as i64)))
    }

    /// `arg0 == -1` looks for the bits of -1 and, by value, never finds them.
    fn refuse_never(&self, op: BinaryOp, left: (&Expr, Span), right: (&Expr, Span)) -> Result<(), ProgramError> {
        for ((literal, at), (other, span)) in [(left, right), (right, left)] {
            let Some(bits) = literal.as_const() else { continue };
            let negative = literal.ty == Type::Signed && (bits as i64) < 0;
            if !is_comparison(op) || !negative || other.ty == Type::Signed || other.as_const().is_some() {
                continue;
            }
            let message = format!("`{}` is unsigned, so the answer is always the same", self.text(span));
            let error = self.error(at, message);
            let narrow = Integer { bytes: other.bytes(), ty: Type::Unsigned };
            let signed = Integer { ty: Type::Signed, ..narrow };
            return Err(match op {
                _ if signed.of(bits) != bits => error,
                BinaryOp::Eq | BinaryOp::Ne => {
                    error.hint(format!("`{:#x}`, which has the bits of {}", narrow.of(bits), bits as i64))
                }
                _ => {
                    let text = self.text(span);
                    let operand = if matches!(other.node, Node::Field(_)) { text.into() } else { format!("({text})") };
                    error.hint(format!("`({}){operand}`, if it has a sign", signed.name()))
                }
            });
        }
        Ok(())
    }

    /// A comparison with a name or a pattern, if one side is a field that takes it.
    fn names(&self, op: BinaryOp, left: &Ast, right: &Ast, span: Span) -> Result<Option<Expr>, ProgramError> {
        let (field, other) = match (self.named_field(left), self.named_field(right)) {
            (None, None) => return self.no_text_without_field(left, right),
            (Some(_), Some(_)) => {
                return Err(self.error(span, "two fields with names do not compare").hint("a name in quotes"));
            }
            (Some(field), None) => (field, right),
            (None, Some(field)) => (field, left),
        };
        if !matches!(op, BinaryOp::Eq | BinaryOp::Ne) {
            return Err(self.error(span, "names have no order").hint("`==` or `!=`, with `*` for any characters"));
        }
        let expr = match field.kind {
            Kind::Enumeration(names) => {
                let values = self.values(field, names, other)?;
                Expr { node: Node::OneOf(Box::new(self.expand(field)?), values), ty: Type::Unsigned }
            }
            _ => Expr { node: Node::Matches(field, self.pattern(field, other)?), ty: Type::Unsigned },
        };
        Ok(Some(if op == BinaryOp::Eq { expr } else { Expr::unary(UnaryOp::Not, expr) }))
    }

    fn named_field(&self, ast: &Ast) -> Option<&'static Field> {
        self.bare_field(ast).filter(|field| !matches!(field.kind, Kind::Number(_)))
    }

    fn no_text_without_field(&self, left: &Ast, right: &Ast) -> Result<Option<Expr>, ProgramError> {
        let is_text = |ast: &Ast| matches!(ast.kind, AstKind::Text(_));
        let (text, other) = match (is_text(left), is_text(right)) {
            (false, false) => return Ok(None),
            (true, true) => return Err(self.error(right.span, "two texts do not compare: one side is a field")),
            (true, false) => (left, right),
            (false, true) => (right, left),
        };
        // The other side may have a better error of its own, such as an unknown field.
        self.number(other)?;
        Err(self.error(text.span, format!("`{}` is a number and compares with no text", self.text(other.span))))
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
