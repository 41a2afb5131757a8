//! Comparisons with names as text: `Matches` and `OneOf` in, `syscall == "open,openat"` out. D knows no lists: there each
//! name is compared, those that D has as text in quotes and those that it has as constants (`errno == ENOENT`) without.
use super::check::expand;
use super::field::{Field, Names};
use super::glob;
use super::parse::operator;
use super::show::{Show, quoted};
use super::tree::{BinaryOp, Expr, Node, UnaryOp};

impl Show<'_> {
    /// A test of names, with `==` or `!=`.
    pub(super) fn name_test(&self, expr: &Expr, sign: &str) -> (String, u8) {
        let test =
            |field: &Field, name: &str| (format!("{} {sign} {name}", self.name(field)), operator(BinaryOp::Eq).1);
        match &expr.node {
            Node::Matches(field, glob) => match glob.is_literal().filter(|_| self.is_d()) {
                Some(text) => test(field, &quoted_in_d(&text)),
                None => test(field, &quoted(&glob.pattern())),
            },
            Node::OneOf(operand, values) => match self.enumeration(operand) {
                Some((field, names)) if self.is_d() => {
                    let is_text = self.translated(field).is_some();
                    let names = name_parts(names, values).into_iter();
                    let names = names.map(|name| if is_text { quoted_in_d(name.as_bytes()) } else { name });
                    chain(&self.name(field), sign, names)
                }
                Some((field, names)) => test(field, &quoted(&name_list(names, values))),
                // A set over an expression that has no names: `x == 1 || x == 2`.
                None => chain(&self.expr(operand, operator(BinaryOp::Eq).1), sign, values.iter().map(u64::to_string)),
            },
            _ => unreachable!("only name tests come here"),
        }
    }

    /// The enumeration that the operand is, also where it was computed and has been expanded.
    fn enumeration(&self, operand: &Expr) -> Option<(&'static Field, &'static dyn Names)> {
        self.scope.enumerations().find(|(field, _)| expand(field, self.scope).as_ref() == Ok(operand))
    }
}

pub(super) fn is_name_test(expr: &Expr) -> bool {
    matches!(expr.node, Node::Matches(..) | Node::OneOf(..))
}

/// Whether it is a name test or the opposite of one, which show as comparisons.
pub(super) fn shows_as_name_test(expr: &Expr) -> bool {
    match &expr.node {
        Node::Unary(UnaryOp::Not, operand) => is_name_test(operand),
        _ => is_name_test(expr),
    }
}

/// `operand == a || operand == b`, or the opposite: `operand != a && operand != b`.
fn chain(operand: &str, sign: &str, names: impl Iterator<Item = String>) -> (String, u8) {
    let tests: Vec<_> = names.map(|name| format!("{operand} {sign} {name}")).collect();
    let (join, binding) = operator(if sign == "==" { BinaryOp::LogicalOr } else { BinaryOp::LogicalAnd });
    let binding = if tests.len() == 1 { operator(BinaryOp::Eq).1 } else { binding };
    (tests.join(&format!(" {join} ")), binding)
}

/// The text itself, as C writes it.
fn quoted_in_d(text: &[u8]) -> String {
    let doubled: Vec<u8> = text.iter().flat_map(|c| if *c == b'\\' { vec![*c, *c] } else { vec![*c] }).collect();
    quoted(&doubled)
}

/// The names that together stand for the values; numbers where no name fits.
fn name_parts(names: &dyn Names, values: &[u64]) -> Vec<String> {
    let all = names.all();
    let mut left = values.to_vec();
    let mut parts = Vec::new();
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
                parts.push(name.to_string());
            }
            None => parts.push(value.to_string()),
        }
    }
    parts
}

/// As a list with commas, which spoor's own language has.
fn name_list(names: &dyn Names, values: &[u64]) -> Vec<u8> {
    let parts: Vec<Vec<u8>> = name_parts(names, values).into_iter().map(|name| glob::escape(name.as_bytes())).collect();
    parts.join(&b","[..])
}

#[cfg(test)]
mod tests {
    use crate::program::check::predicate;
    use crate::program::show::expr;
    use crate::program::testing::scope;

    fn in_d(source: &str) -> String {
        let names = [("comm", "execname"), ("syscall", "probefunc"), ("elapsed", "timestamp - self->start")];
        expr(&predicate(source, &scope()).unwrap(), &scope(), &names)
    }

    #[test]
    fn each_name_is_compared_in_d() {
        let open = r#"probefunc == "open" || probefunc == "openat" || probefunc == "openat2""#;
        for (source, shown) in [
            ("syscall == 'open*'", open.to_owned()),
            ("syscall == 'open*' && ret", format!("({open}) && ret")),
            ("syscall == 'open*' || ret", format!("{open} || ret")),
            ("(syscall == 'open*') + 1", format!("({open}) + 1")),
            ("syscall != 'get*'", r#"probefunc != "getpid" && probefunc != "getuid""#.to_owned()),
            ("ret || syscall != 'get*'", r#"ret || probefunc != "getpid" && probefunc != "getuid""#.to_owned()),
            ("!(syscall != 'get*')", r#"!(probefunc != "getpid" && probefunc != "getuid")"#.to_owned()),
            ("(syscall != 'get*') == 0", r#"(probefunc != "getpid" && probefunc != "getuid") == 0"#.to_owned()),
            ("syscall == read && ret", r#"probefunc == "read" && ret"#.to_owned()),
        ] {
            assert_eq!(in_d(source), shown, "{source}");
        }
    }

    #[test]
    fn constants_of_d_stand_without_quotes() {
        assert_eq!(in_d("errno == 'E[NA]*'"), "errno == ENOENT || errno == EAGAIN");
        assert_eq!(in_d("errno != EPERM"), "errno != EPERM");
    }

    #[test]
    fn text_that_only_matches_itself_is_no_pattern_in_d() {
        assert_eq!(in_d(r#"comm == "-x\*\"\\""#), r#"execname == "-x*\"\\""#);
        assert_eq!(in_d("comm == 'x*'"), r#"execname == "x*""#);
    }

    #[test]
    fn differences_that_d_has_for_a_field_keep_together() {
        assert_eq!(in_d("elapsed > 5"), "timestamp - self->start > 5");
        assert_eq!(in_d("elapsed / 1000 > 5"), "(timestamp - self->start) / 1000 > 5");
        assert_eq!(in_d("arg0 - elapsed > 5"), "arg0 - (timestamp - self->start) > 5");
    }
}
