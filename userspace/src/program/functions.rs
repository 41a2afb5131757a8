//! Aggregating functions: a name and arguments in, a typed function within dtrace's limits out.
use super::check::Checker;
use super::error::{ProgramError, Span};
use super::foreign;
use super::interp;
use super::parse::{Ast, AstKind};
use super::scope::nearest;
use super::tree::{Expr, Function};

/// Most levels of lquantize, and of llquantize on each side of zero: 8 KiB a key and CPU, 16 KiB mirrored.
pub const MAX_LEVELS: u64 = 1024;

/// Names with their arguments, as a hint shows them.
const FUNCTIONS: [(&str, &str); 11] = [
    ("count", "count()"),
    ("sum", "sum(x)"),
    ("avg", "avg(x)"),
    ("min", "min(x)"),
    ("max", "max(x)"),
    ("stddev", "stddev(x)"),
    ("quantize", "quantize(x)"),
    ("lquantize", "lquantize(x, lower, upper[, step])"),
    ("llquantize", "llquantize(x, factor, lmag, hmag, steps)"),
    ("percentile", "percentile(x, 99.9)"),
    ("p99", "p50(x), p90(x), p99(x), p999(x)"),
];

pub fn is_name(name: &str) -> bool {
    percentile_name(name).is_some() || FUNCTIONS.iter().any(|(known, _)| *known == name)
}

/// `p50` is 500 per mille, `p999` is 999.
fn percentile_name(name: &str) -> Option<u16> {
    let digits = name.strip_prefix('p').filter(|digits| digits.bytes().all(|c| c.is_ascii_digit()))?;
    let per_mille = match digits.len() {
        2 => digits.parse::<u16>().ok()? * 10,
        3 => digits.parse().ok()?,
        _ => return None,
    };
    (per_mille > 0).then_some(per_mille)
}

pub(super) fn check(checker: &Checker, name: &str, args: &[Ast], span: Span) -> Result<Function, ProgramError> {
    let call = Call { checker, name, args, span };
    let simple = |make: fn(Expr) -> Function| call.take(1..=1).and_then(|()| call.argument()).map(make);
    match name {
        "count" => call.take(0..=0).map(|()| Function::Count),
        "sum" => simple(Function::Sum),
        "avg" => simple(Function::Avg),
        "min" => simple(Function::Min),
        "max" => simple(Function::Max),
        "stddev" => simple(Function::Stddev),
        "quantize" => simple(Function::Quantize),
        "lquantize" => call.lquantize(),
        "llquantize" => call.llquantize(),
        "percentile" => call.take(2..=2).and_then(|()| call.percentile(call.per_mille(&args[1])?)),
        _ => match percentile_name(name) {
            Some(per_mille) => call.take(1..=1).and_then(|()| call.percentile(per_mille)),
            None => Err(call.unknown()),
        },
    }
}

struct Call<'a> {
    checker: &'a Checker<'a>,
    name: &'a str,
    args: &'a [Ast],
    span: Span,
}

impl Call<'_> {
    fn error(&self, span: Span, message: impl AsRef<str>) -> ProgramError {
        self.checker.error(span, message)
    }

    fn unknown(&self) -> ProgramError {
        let error = self.error(self.span, format!("unknown aggregating function `{}`", self.name));
        let foreign = foreign::ours(self.name).filter(|ours| is_name(ours)).map(str::to_owned);
        match foreign.or_else(|| nearest(self.name, FUNCTIONS.iter().map(|(known, _)| known))) {
            Some(near) => error.hint(format!("`{near}`")),
            None => error.hint(FUNCTIONS.map(|(_, usage)| usage).join(", ")),
        }
    }

    fn take(&self, counts: std::ops::RangeInclusive<usize>) -> Result<(), ProgramError> {
        if counts.contains(&self.args.len()) {
            return Ok(());
        }
        let takes = match (*counts.start(), *counts.end()) {
            (0, 0) => "no argument".to_owned(),
            (1, 1) => "1 argument".to_owned(),
            (low, high) if low == high => format!("{low} arguments"),
            (low, high) => format!("{low} to {high} arguments"),
        };
        let error = self.error(self.span, format!("`{}` takes {takes}, found {}", self.name, self.args.len()));
        let usage = FUNCTIONS.iter().find(|(known, _)| *known == self.name).map(|(_, usage)| format!("`{usage}`"));
        Err(error.hint(usage.unwrap_or_else(|| format!("`{}(x)`", self.name))))
    }

    fn argument(&self) -> Result<Expr, ProgramError> {
        self.checker.number(&self.args[0])
    }

    /// A parameter that is known now, by its mathematical value.
    fn constant(&self, at: usize, what: &str, low: i128, high: i128) -> Result<i128, ProgramError> {
        let ast = &self.args[at];
        let expr = self.checker.number(ast)?;
        let Some(bits) = expr.as_const() else {
            return Err(self.error(ast.span, format!("{what} is not a constant: `{}`", self.checker.text(ast.span))));
        };
        let value = interp::value(bits, expr.ty);
        if value < low || value > high {
            return Err(self.error(ast.span, format!("{what} is {value}, and goes from {low} to {high}")));
        }
        Ok(value)
    }

    fn lquantize(&self) -> Result<Function, ProgramError> {
        self.take(3..=4)?;
        let arg = self.argument()?;
        let bound = |at, what| self.constant(at, what, i32::MIN.into(), i32::MAX.into());
        let wide =
            |error: ProgramError| error.hint("divide the argument and the bounds, as in `lquantize(x / 1ms, 0, 100)`");
        let (lower, upper) = (bound(1, "lower bound").map_err(wide)?, bound(2, "upper bound").map_err(wide)?);
        let step = match self.args.len() {
            4 => self.constant(3, "step", 1, u16::MAX.into()).map_err(wide)?,
            _ => 1,
        };
        if lower >= upper {
            return Err(self.error(
                self.args[1].span.to(self.args[2].span),
                format!("lower bound {lower} is not below upper bound {upper}"),
            ));
        }
        let levels = (upper - lower) / step;
        if levels == 0 {
            return Err(self.error(self.args[3].span, format!("step {step} is wider than {lower} to {upper}")));
        }
        if levels > i128::from(MAX_LEVELS) {
            let fits = (upper - lower).div_euclid(i128::from(MAX_LEVELS)) + 1;
            let error = self.error(self.span, format!("{levels} levels, at most {MAX_LEVELS} fit"));
            return Err(if fits > u16::MAX.into() { wide(error) } else { error.hint(format!("a step of {fits}")) });
        }
        Ok(Function::Lquantize { arg, lower: lower as i32, upper: upper as i32, step: step as u16 })
    }

    /// dtrace's rules: libdtrace/dt_cg.c (8a1264bf), dt_cg_agg_llquantize.
    fn llquantize(&self) -> Result<Function, ProgramError> {
        self.take(5..=5)?;
        let arg = self.argument()?;
        let parameter = |at, what, low| self.constant(at, what, low, u16::MAX.into()).map(|value| value as u64);
        let (factor, lmag) = (parameter(1, "factor", 2)?, parameter(2, "lmag", 0)?);
        let (hmag, steps) = (parameter(3, "hmag", 0)?, parameter(4, "steps", 1)?);
        if lmag > hmag {
            return Err(
                self.error(self.args[2].span.to(self.args[3].span), format!("lmag {lmag} is above hmag {hmag}"))
            );
        }
        let power = |exponent: u64| factor.checked_pow(exponent as u32).filter(|power| *power <= i64::MAX as u64);
        if power(hmag + 1).is_none() {
            let most = (0..).take_while(|exponent| power(exponent + 1).is_some()).count() - 1;
            let error = self.error(self.args[3].span, format!("{factor}^{} does not fit in 64 bits", hmag + 1));
            return Err(error.hint(format!("hmag {most}, the largest for factor {factor}")));
        }
        // Steps must end on whole numbers in every power but the lowest, where some stay empty.
        let whole = power(lmag.max(1) + u64::from(lmag > 0)).unwrap_or(factor);
        let whole = if lmag == 0 { factor * factor } else { whole };
        let fits = if steps <= factor {
            factor.is_multiple_of(steps)
        } else {
            steps.is_multiple_of(factor) && whole.is_multiple_of(steps)
        };
        if !fits {
            let error =
                self.error(self.args[4].span, format!("{steps} steps do not divide the powers of {factor} evenly"));
            return Err(error.hint(format!(
                "{factor} steps, one that divides {factor}, or a multiple of {factor} that divides {whole}"
            )));
        }
        let levels = (hmag - lmag + 1) * (steps - steps / factor);
        if levels > MAX_LEVELS {
            let error = self.error(self.span, format!("{levels} levels on each side of 0, at most {MAX_LEVELS} fit"));
            return Err(error.hint("fewer steps, or lmag and hmag nearer to each other"));
        }
        Ok(Function::Llquantize {
            arg,
            factor: factor as u16,
            lmag: lmag as u16,
            hmag: hmag as u16,
            steps: steps as u16,
        })
    }

    fn percentile(&self, per_mille: u16) -> Result<Function, ProgramError> {
        Ok(Function::Percentile { arg: self.argument()?, per_mille })
    }

    /// Tenths of a percent, between 0 and 100.
    fn per_mille(&self, ast: &Ast) -> Result<u16, ProgramError> {
        let text = match &ast.kind {
            AstKind::Decimal(text) => text.clone(),
            AstKind::Number(value) => value.to_string(),
            _ => return Err(self.error(ast.span, "the percentage is a number such as 99.9")),
        };
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let tenths = fraction.trim_end_matches('0');
        if tenths.len() > 1 {
            return Err(self
                .error(ast.span, format!("{text} has more than one decimal place"))
                .hint("`percentile(x, 99.9)`, the finest there is"));
        }
        let per_mille = whole
            .parse::<u16>()
            .ok()
            .filter(|whole| *whole < 100)
            .map(|whole| whole * 10 + tenths.parse().unwrap_or(0));
        match per_mille {
            Some(per_mille) if per_mille > 0 => Ok(per_mille),
            _ => Err(self
                .error(ast.span, format!("{text} is not between 0 and 100"))
                .hint("`min(x)` or `max(x)` for the ends")),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::program::check::function;
    use crate::program::testing::scope;
    use crate::program::tree::{Expr, Function, Type};

    fn ok(source: &str) -> Function {
        function(source, &scope()).unwrap_or_else(|error| panic!("{}", error.explain("--agg")))
    }

    fn error(source: &str) -> String {
        function(source, &scope()).unwrap_err().to_string()
    }

    fn elapsed() -> Expr {
        Expr::field(scope().field("elapsed").unwrap())
    }

    #[test]
    fn functions_have_dtraces_names_and_arguments() {
        assert_eq!(ok("count"), Function::Count);
        assert_eq!(ok("count()"), Function::Count);
        assert_eq!(ok("sum(elapsed)"), Function::Sum(elapsed()));
        assert_eq!(ok("quantize(elapsed)"), Function::Quantize(elapsed()));
        assert_eq!(
            ok("lquantize(elapsed, -10, 10)"),
            Function::Lquantize { arg: elapsed(), lower: -10, upper: 10, step: 1 }
        );
        assert_eq!(
            ok("lquantize(elapsed, 0, 1ms, 10us)"),
            Function::Lquantize { arg: elapsed(), lower: 0, upper: 1_000_000, step: 10_000 }
        );
        assert_eq!(
            ok("llquantize(elapsed, 10, 0, 6, 20)"),
            Function::Llquantize { arg: elapsed(), factor: 10, lmag: 0, hmag: 6, steps: 20 }
        );
        for name in ["avg", "min", "max", "stddev"] {
            ok(&format!("{name}(elapsed)"));
        }
    }

    #[test]
    fn percentiles_are_read_as_decimal_places() {
        let per_mille = |source: &str| match ok(source) {
            Function::Percentile { per_mille, .. } => per_mille,
            other => panic!("{other:?}"),
        };
        let cases = [("p50", 500), ("p90", 900), ("p95", 950), ("p99", 990), ("p999", 999)];
        for (name, wanted) in cases {
            assert_eq!(per_mille(&format!("{name}(elapsed)")), wanted);
        }
        assert_eq!(per_mille("percentile(elapsed, 99.9)"), 999);
        assert_eq!(per_mille("percentile(elapsed, 50)"), 500);
        assert_eq!(per_mille("percentile(elapsed, 0.50)"), 5);
    }

    #[test]
    fn percentiles_take_signed_arguments() {
        assert!(matches!(ok("p99(ret)"), Function::Percentile { per_mille: 990, .. }));
    }

    /// As dtrace does, whose casts decide the sign.
    #[test]
    fn argument_has_the_sign_of_its_cast() {
        for (source, ty) in [("quantize((i32)arg0)", Type::Signed), ("quantize((u32)ret)", Type::Unsigned)] {
            let Function::Quantize(arg) = ok(source) else { panic!() };
            assert_eq!(arg.ty, ty, "{source}");
        }
    }

    #[test]
    fn percentages_outside_say_so() {
        assert!(error("percentile(elapsed, 100)").starts_with("100 is not between 0 and 100 at column 21"));
        assert!(error("percentile(elapsed, 0)").starts_with("0 is not between"));
        assert!(error("percentile(elapsed, 99.99)").starts_with("99.99 has more than one decimal place"));
        assert!(error("percentile(elapsed, pid)").starts_with("the percentage is a number"));
        assert!(error("p00(elapsed)").starts_with("unknown aggregating function `p00`"));
    }

    #[test]
    fn wrong_calls_show_the_right_one() {
        assert_eq!(error("count(pid)"), "`count` takes no argument, found 1 at column 1\ntry: `count()`");
        assert_eq!(
            error("lquantize(elapsed)"),
            "`lquantize` takes 3 to 4 arguments, found 1 at column 1\ntry: `lquantize(x, lower, upper[, step])`"
        );
        assert_eq!(error("p99"), "`p99` takes 1 argument, found 0 at column 1\ntry: `p50(x), p90(x), p99(x), p999(x)`");
        assert_eq!(error("quantise(pid)"), "unknown aggregating function `quantise` at column 1\ntry: `quantize`");
        assert!(
            error("hist(elapsed)").ends_with("try: `quantize`") && error("lhist(ret)").ends_with("try: `lquantize`")
        );
        assert!(error("execname(ret)").contains("try: count()"));
        assert!(error("frobnicate(pid)").contains("try: count(), sum(x)"));
        assert_eq!(error("sum(comm)").lines().next(), Some("`comm` is text: only `==` and `!=` take it at column 5"));
    }

    #[test]
    fn lquantize_bounds_are_checked() {
        assert_eq!(error("lquantize(pid, 10, 10)"), "lower bound 10 is not below upper bound 10 at column 16");
        assert_eq!(error("lquantize(pid, 0, 10, 11)"), "step 11 is wider than 0 to 10 at column 23");
        assert!(error("lquantize(pid, 0, 10, 0)").starts_with("step is 0, and goes from 1 to 65535 at column 23"));
        assert_eq!(
            error("lquantize(pid, 0, 10000, 2)"),
            "5000 levels, at most 1024 fit at column 1\ntry: a step of 10"
        );
        assert!(error("lquantize(pid, 0, 5s)").starts_with(
            "upper bound is 5000000000, and goes from -2147483648 to 2147483647 at column 19\ntry: divide"
        ));
        assert_eq!(
            error("lquantize(pid, 0, tid)"),
            "upper bound is not a constant: `tid` at column 19\ntry: divide the argument and the bounds, as in `lquantize(x / 1ms, 0, 100)`"
        );
        assert!(error("lquantize(pid, -2147483648, 2147483647, 65535)").starts_with("65537 levels, at most 1024 fit"));
    }

    #[test]
    fn llquantize_follows_dtraces_rules() {
        for good in [
            "10, 0, 6, 20",
            "10, 0, 6, 10",
            "10, 0, 6, 5",
            "10, 3, 9, 100",
            "2, 0, 61, 1",
            "10, 0, 17, 10",
            "4, 0, 1, 16",
        ] {
            ok(&format!("llquantize(elapsed, {good})"));
        }
        let error = |parameters: &str| error(&format!("llquantize(elapsed, {parameters})"));
        assert!(error("1, 0, 6, 20").starts_with("factor is 1, and goes from 2 to 65535"));
        assert!(error("10, 7, 6, 10").starts_with("lmag 7 is above hmag 6"));
        assert_eq!(
            error("10, 0, 18, 10"),
            "10^19 does not fit in 64 bits at column 28\ntry: hmag 17, the largest for factor 10"
        );
        for steps in ["3", "15", "40", "1000"] {
            assert!(
                error(&format!("10, 0, 6, {steps}"))
                    .starts_with(&format!("{steps} steps do not divide the powers of 10 evenly")),
                "{steps}"
            );
        }
        assert!(error("10, 0, 6, 0").starts_with("steps is 0"));
        assert!(error("10, 3, 17, 100").starts_with("1350 levels on each side of 0, at most 1024 fit"));
    }
}
