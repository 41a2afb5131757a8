//! Tokens in, an untyped tree with places out. Precedence is C's; names and types are [`super::check`]'s affair, but for
//! the names in casts: `(i32)-1` is a cast and `(tid)-1` a difference, and no field is called as a type is.
use super::error::{ProgramError, Span};
use super::integer::Integer;
use super::lex::{Token, lex};
use super::rules::is_comparison;
use super::scope::nearest;
use super::tree::BinaryOp;

/// Deepest nesting of parentheses, signs and calls.
const MAX_NESTING: usize = 64;

/// Highest tree: a chain `a || b || ...` is as high as it is long, and everything behind the parser recurses over it.
const MAX_HEIGHT: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ast {
    pub kind: AstKind,
    /// With the parentheses around it.
    pub span: Span,
    pub in_parens: bool,
    height: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AstKind {
    Number(u64),
    Decimal(String),
    /// A pattern, see [`Token::Text`].
    Text(Vec<u8>),
    Name(String),
    Prefix(Prefix, Box<Ast>),
    Cast(Integer, Box<Ast>),
    Binary(BinaryOp, Box<Ast>, Box<Ast>),
    Call(String, Vec<Ast>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefix {
    Neg,
    Not,
    BitNot,
    /// Makes a number signed: `+5`.
    Plus,
}

/// Every binary operator with its sign and its precedence; a higher one binds tighter.
const BINARY: [(&str, BinaryOp, u8); 18] = [
    ("||", BinaryOp::LogicalOr, 1),
    ("&&", BinaryOp::LogicalAnd, 2),
    ("|", BinaryOp::Or, 3),
    ("^", BinaryOp::Xor, 4),
    ("&", BinaryOp::And, 5),
    ("==", BinaryOp::Eq, 6),
    ("!=", BinaryOp::Ne, 6),
    ("<", BinaryOp::Lt, 7),
    ("<=", BinaryOp::Le, 7),
    (">", BinaryOp::Gt, 7),
    (">=", BinaryOp::Ge, 7),
    ("<<", BinaryOp::Shl, 8),
    (">>", BinaryOp::Shr, 8),
    ("+", BinaryOp::Add, 9),
    ("-", BinaryOp::Sub, 9),
    ("*", BinaryOp::Mul, 10),
    ("/", BinaryOp::Div, 10),
    ("%", BinaryOp::Rem, 10),
];

/// The operator's sign and precedence.
pub fn operator(op: BinaryOp) -> (&'static str, u8) {
    let (sign, _, precedence) = BINARY.into_iter().find(|row| row.1 == op).expect("the table has every operator");
    (sign, precedence)
}

/// One expression.
pub fn parse_expr(source: &str) -> Result<Ast, ProgramError> {
    let mut parser = Parser::new(source)?;
    let ast = parser.expr(0)?;
    parser.end()?;
    Ok(ast)
}

/// Expressions with commas between them.
pub fn parse_keys(source: &str) -> Result<Vec<Ast>, ProgramError> {
    let mut parser = Parser::new(source)?;
    let mut keys = vec![parser.expr(0)?];
    while parser.take(",") {
        keys.push(parser.expr(0)?);
    }
    parser.end()?;
    Ok(keys)
}

/// A call, or a name alone, which is a call without arguments: its name, arguments and place.
pub fn parse_function(source: &str) -> Result<(String, Vec<Ast>, Span), ProgramError> {
    let ast = parse_expr(source)?;
    match ast.kind {
        AstKind::Call(name, args) => Ok((name, args, ast.span)),
        AstKind::Name(name) => Ok((name, Vec::new(), ast.span)),
        _ => {
            let error = ProgramError::new(source, ast.span, "expected an aggregating function");
            Err(error.hint("`count()`, or `quantize(FIELD)`"))
        }
    }
}

struct Parser<'s> {
    source: &'s str,
    tokens: Vec<(Token, Span)>,
    at: usize,
    nesting: usize,
}

impl<'s> Parser<'s> {
    fn new(source: &'s str) -> Result<Self, ProgramError> {
        Ok(Parser { source, tokens: lex(source)?, at: 0, nesting: 0 })
    }

    fn peek(&self) -> &Token {
        &self.tokens[self.at].0
    }

    fn span(&self) -> Span {
        self.tokens[self.at].1
    }

    /// The next token; the end stays where it is.
    fn next(&mut self) -> (Token, Span) {
        let token = self.tokens[self.at].clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn take(&mut self, op: &str) -> bool {
        let found = matches!(self.peek(), Token::Op(found) if *found == op);
        if found {
            self.next();
        }
        found
    }

    fn error(&self, span: Span, message: impl AsRef<str>) -> ProgramError {
        ProgramError::new(self.source, span, message)
    }

    fn expected(&self, what: &str) -> ProgramError {
        let span = self.span();
        match self.peek() {
            Token::End => self.error(span, format!("expected {what}, found the end")),
            _ => self.error(span, format!("expected {what}, found `{}`", &self.source[span.start..span.end])),
        }
    }

    fn end(&self) -> Result<(), ProgramError> {
        match self.peek() {
            Token::End => Ok(()),
            Token::Op(")") => Err(self.error(self.span(), "`)` without `(`")),
            Token::Name(name) if name == "and" => Err(self.expected("an operator").hint("`&&`")),
            Token::Name(name) if name == "or" => Err(self.expected("an operator").hint("`||`")),
            _ => Err(self.expected("an operator")),
        }
    }

    /// An expression whose operators bind tighter than `above`.
    fn expr(&mut self, above: u8) -> Result<Ast, ProgramError> {
        let mut left = self.prefix()?;
        loop {
            let Token::Op(sign) = *self.peek() else { return Ok(left) };
            let Some((_, op, precedence)) = BINARY.into_iter().find(|row| row.0 == sign) else { return Ok(left) };
            if precedence <= above {
                return Ok(left);
            }
            let (_, span) = self.next();
            let right = self.expr(precedence)?;
            self.refuse_misreadings(op, span, &left, &right)?;
            let whole = left.span.to(right.span);
            let height = left.height.max(right.height) + 1;
            left = self.node(AstKind::Binary(op, Box::new(left), Box::new(right)), whole, height)?;
        }
    }

    fn node(&self, kind: AstKind, span: Span, height: usize) -> Result<Ast, ProgramError> {
        if height > MAX_HEIGHT {
            return Err(self.error(span, format!("more than {MAX_HEIGHT} operators in a row")));
        }
        Ok(Ast { kind, span, in_parens: false, height })
    }

    fn prefix(&mut self) -> Result<Ast, ProgramError> {
        let (token, span) = (self.peek().clone(), self.span());
        let kind = match token {
            Token::Number(value) => AstKind::Number(value),
            Token::Decimal(text) => AstKind::Decimal(text),
            Token::Text(pattern) => AstKind::Text(pattern),
            Token::Name(name) => return self.name(name, span),
            Token::Op("(") => {
                return match self.cast_to(span)? {
                    Some((to, words)) => self.cast(to, words, span),
                    None => self.parens(span),
                };
            }
            Token::Op("-") => return self.sign(Prefix::Neg, span),
            Token::Op("!") => return self.sign(Prefix::Not, span),
            Token::Op("~") => return self.sign(Prefix::BitNot, span),
            Token::Op("+") => return self.sign(Prefix::Plus, span),
            Token::Op(_) | Token::End => return Err(self.expected("a field or a number")),
        };
        self.next();
        self.node(kind, span, 1)
    }

    fn name(&mut self, name: String, span: Span) -> Result<Ast, ProgramError> {
        self.next();
        if !self.take("(") {
            if name == "not" && !matches!(self.peek(), Token::Op(_) | Token::End) {
                return Err(self.error(span, "expected a field or a number, found `not`").hint("`!`"));
            }
            return self.node(AstKind::Name(name), span, 1);
        }
        let opened = span;
        self.enter(opened)?;
        let mut args = Vec::new();
        if !self.take(")") {
            loop {
                args.push(self.expr(0)?);
                if !self.take(",") {
                    break;
                }
            }
            self.close(opened)?;
        }
        self.nesting -= 1;
        let height = args.iter().map(|arg| arg.height).max().unwrap_or(0) + 1;
        self.node(AstKind::Call(name, args), span.to(self.previous()), height)
    }

    fn parens(&mut self, opened: Span) -> Result<Ast, ProgramError> {
        self.next();
        self.enter(opened)?;
        let inner = self.expr(0)?;
        self.close(opened)?;
        self.nesting -= 1;
        Ok(Ast { span: opened.to(self.previous()), in_parens: true, ..inner })
    }

    /// The type in the parentheses that come next, and of how many words it is; None if they hold an expression.
    fn cast_to(&self, opened: Span) -> Result<Option<(Integer, usize)>, ProgramError> {
        let inside = &self.tokens[self.at + 1..];
        let words: Vec<&str> = inside.iter().map_while(|(token, _)| token.as_name()).collect();
        let behind = &inside[words.len()..];
        let stars = behind.iter().take_while(|(token, _)| *token == Token::Op("*")).count();
        let Some((Token::Op(")"), closed)) = behind.get(stars) else { return Ok(None) };
        let Some(first) = words.first() else { return Ok(None) };
        if stars > 0 {
            let error = self.error(opened.to(*closed), "a cast is to a number, not to a pointer");
            return Err(error.hint("`(u64)`"));
        }
        if let Some(to) = Integer::named(&words) {
            return Ok(Some((to, words.len())));
        }
        // `(tid) - 1` is none; `(i33)ret` can only be meant as one.
        let operand = matches!(behind[1].0, Token::Name(_) | Token::Number(_) | Token::Op("(" | "!" | "~"));
        let cast = if words.len() == 1 { operand } else { Integer::is_name(first) };
        if !cast {
            return Ok(None);
        }
        let name = words.join(" ");
        let error = self.error(inside[0].1.to(inside[words.len() - 1].1), format!("no such type `{name}`"));
        let near = nearest(&name, Integer::words()).map(|near| format!("`{near}`"));
        Err(error.hint(near.unwrap_or_else(|| {
            "one of i8, i16, i32, i64, u8, u16, u32, u64, or C's such as `unsigned int`; or an operator behind `)`"
                .into()
        })))
    }

    /// A type in parentheses and what it is put before.
    fn cast(&mut self, to: Integer, words: usize, opened: Span) -> Result<Ast, ProgramError> {
        self.enter(opened)?;
        // With both parentheses.
        self.at += words + 2;
        let operand = self.prefix()?;
        self.nesting -= 1;
        let (whole, height) = (opened.to(operand.span), operand.height + 1);
        self.node(AstKind::Cast(to, Box::new(operand)), whole, height)
    }

    fn sign(&mut self, prefix: Prefix, span: Span) -> Result<Ast, ProgramError> {
        self.next();
        self.enter(span)?;
        let operand = self.prefix()?;
        self.nesting -= 1;
        let (whole, height) = (span.to(operand.span), operand.height + 1);
        self.node(AstKind::Prefix(prefix, Box::new(operand)), whole, height)
    }

    fn enter(&mut self, span: Span) -> Result<(), ProgramError> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(self.error(span, format!("nested deeper than {MAX_NESTING}")));
        }
        Ok(())
    }

    fn close(&mut self, opened: Span) -> Result<(), ProgramError> {
        if self.take(")") {
            return Ok(());
        }
        match self.peek() {
            Token::End => Err(self.error(opened, "`(` without `)`")),
            _ => Err(self.expected("an operator or `)`")),
        }
    }

    fn previous(&self) -> Span {
        self.tokens[self.at - 1].1
    }

    /// C reads `a < b < c` as `(a < b) < c` and `a & 3 == 1` as `a & (3 == 1)`, which nobody means: ask for parentheses.
    fn refuse_misreadings(&self, op: BinaryOp, span: Span, left: &Ast, right: &Ast) -> Result<(), ProgramError> {
        let text = |ast: &Ast| &self.source[ast.span.start..ast.span.end];
        let sign = operator(op).0;
        if is_comparison(op)
            && let Some((inner, _, middle)) = bare_comparison(left)
            && operator(inner).1 == operator(op).1
        {
            let error = self.error(span, format!("comparisons do not chain: `{sign}` follows `{}`", operator(inner).0));
            return Err(error.hint(format!("`{} && {} {sign} {}`", text(left), text(middle), text(right))));
        }
        if !matches!(op, BinaryOp::And | BinaryOp::Or | BinaryOp::Xor) {
            return Ok(());
        }
        let hint = match (bare_comparison(left), bare_comparison(right)) {
            (None, Some((inner, near, far))) if !is_truth(left) => {
                format!("`({} {sign} {}) {} {}`", text(left), text(near), operator(inner).0, text(far))
            }
            (Some((inner, far, near)), None) if !is_truth(right) => {
                format!("`{} {} ({} {sign} {})`", text(far), operator(inner).0, text(near), text(right))
            }
            _ => return Ok(()),
        };
        Err(self.error(span, format!("`{sign}` beside a comparison needs parentheses")).hint(hint))
    }
}

/// A comparison that stands without parentheses: its operator and operands.
fn bare_comparison(ast: &Ast) -> Option<(BinaryOp, &Ast, &Ast)> {
    match &ast.kind {
        AstKind::Binary(op, left, right) if is_comparison(*op) && !ast.in_parens => Some((*op, left, right)),
        _ => None,
    }
}

/// Whether it reads as a truth value, beside which a comparison is no surprise.
fn is_truth(ast: &Ast) -> bool {
    use BinaryOp::{And, LogicalAnd, LogicalOr, Or, Xor};
    match &ast.kind {
        AstKind::Binary(And | Or | Xor, left, right) => is_truth(left) && is_truth(right),
        AstKind::Binary(op, ..) => is_comparison(*op) || matches!(op, LogicalAnd | LogicalOr),
        AstKind::Prefix(Prefix::Not, _) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The tree with every parenthesis written.
    fn grouped(ast: &Ast) -> String {
        match &ast.kind {
            AstKind::Number(value) => value.to_string(),
            AstKind::Decimal(text) | AstKind::Name(text) => text.clone(),
            AstKind::Text(pattern) => format!("'{}'", pattern.escape_ascii()),
            AstKind::Prefix(prefix, operand) => format!("{prefix:?}{}", grouped(operand)),
            AstKind::Cast(to, operand) => format!("{}:{}", to.name(), grouped(operand)),
            AstKind::Binary(op, left, right) => format!("({}{}{})", grouped(left), operator(*op).0, grouped(right)),
            AstKind::Call(name, args) => format!("{name}<{}>", args.iter().map(grouped).collect::<Vec<_>>().join(",")),
        }
    }

    fn tree(source: &str) -> String {
        grouped(&parse_expr(source).unwrap())
    }

    fn error(source: &str) -> String {
        parse_expr(source).unwrap_err().to_string()
    }

    #[test]
    fn operators_bind_as_in_c() {
        assert_eq!(tree("a || b && c | d ^ e & f"), "(a||(b&&(c|(d^(e&f)))))");
        assert_eq!(tree("a == b < c << d + e * f"), "(a==(b<(c<<(d+(e*f)))))");
        assert_eq!(tree("a - b - c"), "((a-b)-c)");
        assert_eq!(tree("a / b * c % d"), "(((a/b)*c)%d)");
        assert_eq!(tree("-a + !b * ~-c"), "(Nega+(Notb*BitNotNegc))");
        assert_eq!(tree("(a + b) * c"), "((a+b)*c)");
        assert_eq!(tree("(u8)a * (int)-b + !(i16)~c"), "((u8:a*i32:Negb)+Noti16:BitNotc)");
        assert_eq!(tree("f(a, (b), g()) && h"), "(f<a,b,g<>>&&h)");
    }

    #[test]
    fn chained_comparisons_are_refused_with_what_was_meant() {
        assert_eq!(
            error("0 < ret < 5"),
            "comparisons do not chain: `<` follows `<` at column 9\ntry: `0 < ret && ret < 5`"
        );
        assert_eq!(tree("(0 < a) < 5"), "((0<a)<5)");
        assert_eq!(tree("a < b == c < d"), "((a<b)==(c<d))");
    }

    #[test]
    fn mask_beside_a_comparison_asks_for_parentheses() {
        let wanted = "`&` beside a comparison needs parentheses at column 6\ntry: `(arg0 & 3) == 1`";
        assert_eq!(error("arg0 & 3 == 1"), wanted);
        assert_eq!(
            error("1 == arg0 & 3"),
            "`&` beside a comparison needs parentheses at column 11\ntry: `1 == (arg0 & 3)`"
        );
        assert_eq!(tree("a & (3 == 1)"), "(a&(3==1))");
        assert_eq!(tree("a < 1 | b < 2 | !c"), "(((a<1)|(b<2))|Notc)");
    }

    #[test]
    fn errors_point_at_what_was_not_expected() {
        assert_eq!(error(""), "expected a field or a number, found the end at column 1");
        assert_eq!(error("1 +"), "expected a field or a number, found the end at column 4");
        assert_eq!(error("1 + * 2"), "expected a field or a number, found `*` at column 5");
        assert_eq!(error("a b"), "expected an operator, found `b` at column 3");
        assert_eq!(error("a and b"), "expected an operator, found `and` at column 3\ntry: `&&`");
        assert_eq!(error("not a"), "expected a field or a number, found `not` at column 1\ntry: `!`");
        assert_eq!(error("(a"), "`(` without `)` at column 1");
        assert_eq!(error("a)"), "`)` without `(` at column 2");
        assert_eq!(error("f(a b)"), "expected an operator or `)`, found `b` at column 5");
        assert_eq!(error("a, b"), "expected an operator, found `,` at column 2");
    }

    #[test]
    fn hundred_thousand_parentheses_are_an_error_and_no_stack_overflow() {
        for source in [
            "(".repeat(100_000),
            "-".repeat(100_000),
            "f(".repeat(100_000),
            "!(".repeat(100_000),
            "(i8)".repeat(100_000),
        ] {
            assert!(error(&source).starts_with("nested deeper than 64 at column "));
        }
        assert!(parse_expr(&format!("{}a{}", "(".repeat(64), ")".repeat(64))).is_ok());
    }

    #[test]
    fn endless_chain_is_an_error_and_no_stack_overflow() {
        assert!(error(&"a+".repeat(100_000)).starts_with("more than 256 operators in a row"));
        assert!(parse_expr(&format!("{}a", "a||".repeat(200))).is_ok());
    }

    #[test]
    fn type_in_parentheses_is_a_cast_and_a_name_is_none() {
        assert_eq!(tree("( unsigned  long int )a"), "u64:a");
        assert_eq!(tree("(u8)(i16)(a >> 3)"), "u8:i16:(a>>3)");
        assert_eq!(tree("-(i32)-1"), "Negi32:Neg1");
        assert_eq!(tree("(u8)f(a)"), "u8:f<a>");
        assert_eq!(tree("(a) - 1"), "(a-1)");
        assert_eq!(tree("(i33) - 1"), "(i33-1)");
        assert_eq!(parse_expr(" (i32) ret").unwrap().span, Span::new(1, 10));
    }

    #[test]
    fn unknown_type_suggests_the_nearest() {
        assert_eq!(error("(i33)ret"), "no such type `i33` at column 2\ntry: `i32`");
        assert_eq!(error("1 + (unt8_t)(ret)"), "no such type `unt8_t` at column 6\ntry: `int8_t`");
        assert_eq!(error("(SIZE_T)ret"), "no such type `SIZE_T` at column 2\ntry: `size_t`");
        for (source, name) in [("(double)ret", "double"), ("(long char)1", "long char"), ("(ret) tid", "ret")] {
            let wanted = format!("no such type `{name}` at column 2\ntry: one of i8, i16, i32,");
            assert!(error(source).starts_with(&wanted), "{}", error(source));
        }
        assert_eq!(error("(a b)"), "expected an operator or `)`, found `b` at column 4");
        assert_eq!(error("(a and b)"), "expected an operator or `)`, found `and` at column 4");
    }

    #[test]
    fn cast_to_a_pointer_and_of_nothing_are_errors() {
        let wanted = "a cast is to a number, not to a pointer at column 1\ntry: `(u64)`";
        assert_eq!(error("(char *)arg0"), wanted);
        assert_eq!(error("(struct file **) arg0"), wanted);
        assert_eq!(error("(i32)"), "expected a field or a number, found the end at column 6");
        assert_eq!(error("(i32) * 2"), "expected a field or a number, found `*` at column 7");
    }

    #[test]
    fn commas_part_keys_but_not_inside_parentheses() {
        let source = "comm,syscall, arg0 & 3 ,(f(a, b))";
        let texts: Vec<_> =
            parse_keys(source).unwrap().iter().map(|key| &source[key.span.start..key.span.end]).collect();
        assert_eq!(texts, ["comm", "syscall", "arg0 & 3", "(f(a, b))"]);
        assert!(parse_keys("a,").is_err() && parse_keys("").is_err() && parse_keys("a,,b").is_err());
    }

    #[test]
    fn function_without_parentheses_is_a_call() {
        assert_eq!(parse_function("count").unwrap(), ("count".to_owned(), vec![], Span::new(0, 5)));
        assert_eq!(parse_function(" count ( ) ").unwrap(), ("count".to_owned(), vec![], Span::new(1, 10)));
        assert!(parse_function("1 + count()").unwrap_err().to_string().starts_with("expected an aggregating function"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Random strings of tokens: a tree or an error, and no panic.
        #[test]
        fn parser_survives_any_tokens(tokens in prop::collection::vec("[a-c(),!~<>=&|^+*/%-]|&&|==|'a'|[0-9]|\\(u8\\)|int|long", 0..20)) {
            let source = tokens.join(" ");
            for error in [parse_expr(&source).err(), parse_keys(&source).err(), parse_function(&source).err()] {
                error.map(|error| error.explain("--where"));
            }
        }
    }
}
