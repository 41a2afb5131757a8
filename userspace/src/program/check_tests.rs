//! What the checker accepts, what it makes of it, and what it says to the rest.
use super::*;
use crate::program::field::{Names, Unit};
use crate::program::show::expr as show;
use crate::program::testing::scope;
use std::borrow::Cow;

fn ok(source: &str) -> Expr {
    predicate(source, &scope()).unwrap_or_else(|error| panic!("{}", error.explain("--where")))
}

fn error(source: &str) -> String {
    predicate(source, &scope()).unwrap_err().to_string()
}

fn shown(source: &str) -> String {
    show(&ok(source), &scope(), &[])
}

fn one_of(source: &str) -> Vec<u64> {
    match ok(source).node {
        Node::OneOf(_, values) => values,
        other => panic!("{other:?}"),
    }
}

#[test]
fn literal_beside_a_signed_operand_is_signed() {
    let Node::Binary(_, _, right) = ok("ret < 5").node else { panic!() };
    assert_eq!(*right, Expr::constant(5, Type::Signed));
    let Node::Binary(_, left, _) = ok("5 < arg0").node else { panic!() };
    assert_eq!(*left, Expr::constant(5, Type::Unsigned));
    assert_eq!(ok("-5"), Expr::constant(-5i64 as u64, Type::Signed));
    assert_eq!(ok("+5"), Expr::constant(5, Type::Signed));
    assert_eq!(ok("-9223372036854775808"), Expr::constant(1 << 63, Type::Signed));
}

#[test]
fn literal_too_large_for_its_sign_is_an_error_where_it_matters() {
    assert_eq!(
        error("ret / 18446744073709551615"),
        "`18446744073709551615` beside a signed number would be -1 at column 7\ntry: `-1`, if that is meant"
    );
    assert_eq!(error("-9223372036854775809"), "`-9223372036854775809` does not fit in 64 bits at column 1");
    assert!(error("+9223372036854775808").starts_with("`+9223372036854775808` does not fit"));
    assert_eq!(shown("ret & 0xffffffffffffff00"), "ret & 0xffffffffffffff00");
    assert_eq!(shown("ret < 18446744073709551615"), "ret < 0xffffffffffffffff");
}

#[test]
fn unsigned_field_against_a_negative_number_says_which_bits_to_write() {
    let wanted = "`arg0` is unsigned, so the answer is always the same at column 9\ntry: `0xffffffffffffff9c`, which has the bits of -100";
    assert_eq!(error("arg0 == -100"), wanted);
    assert!(error("-1 < arg0").contains("always the same at column 1"));
    ok("arg0 + -1 < 5");
}

#[test]
fn constants_are_folded_and_keep_their_type() {
    assert_eq!(ok("(1 << 20) + 5ms * 2 - ~0"), Expr::constant((1 << 20) + 10_000_001, Type::Unsigned));
    assert_eq!(ok("-7 / 2"), Expr::constant(-3i64 as u64, Type::Signed));
    assert_eq!(ok("!3 || -1 < 0xffffffffffffffff"), Expr::constant(1, Type::Unsigned));
}

#[test]
fn division_by_a_constant_zero_is_an_error_at_its_column() {
    assert_eq!(error("pid / 0"), "division by zero at column 7");
    assert_eq!(error("1 % (3 - 3)"), "division by zero at column 5");
    assert_eq!(error("0 && 1 / 0"), "division by zero at column 10");
    ok("pid / tid");
}

#[test]
fn text_field_takes_a_pattern() {
    assert!(matches!(ok("comm == 'ngin*'").node, Node::Matches(field, _) if field.name == "comm"));
    assert_eq!(ok("'x' != comm"), ok("!(comm == 'x')"));
    assert_eq!(error("comm == '[a'"), "pattern: `[` without `]` at column 9");
    assert_eq!(error("comm == nginx"), "`nginx` needs quotes: `comm` is text at column 9\ntry: `comm == \"nginx\"`");
    assert_eq!(
        error("comm == 'averyverylongname'"),
        "`comm` holds at most 15 bytes, and this needs 17 at column 9\ntry: `\"averyverylongna\"`, as the kernel cuts it"
    );
    ok("comm == 'averyverylongna*'");
}

#[test]
fn text_is_no_number() {
    assert_eq!(error("comm == 3"), "`comm` is text and compares with no number at column 9");
    assert_eq!(error("comm < 'a'"), "names have no order at column 1\ntry: `==` or `!=`, with `*` for any characters");
    assert!(error("comm + 1").starts_with("`comm` is text: only `==` and `!=` take it at column 1"));
    assert!(error("comm").starts_with("`comm` is text"));
    assert!(error("'a' && 1").starts_with("text stands only beside `==` and `!=` at column 1"));
    assert_eq!(error("pid == 'a'"), "`pid` is a number and compares with no text at column 8");
    assert_eq!(error("'a' == 'a'"), "two texts do not compare: one side is a field at column 8");
    assert_eq!(error("comm == comm").lines().next(), Some("two fields with names do not compare at column 1"));
    assert_eq!(error("elapsd == 'a'"), "unknown field `elapsd` at column 1\ntry: `elapsed`");
}

#[test]
fn enumeration_takes_names_patterns_and_lists() {
    assert_eq!(one_of("syscall == 'read'"), [0]);
    assert_eq!(one_of("syscall == openat"), [257]);
    assert_eq!(one_of("'open*' == syscall"), [2, 257, 437]);
    assert_eq!(one_of("syscall == 'write, read,open*,read'"), [0, 1, 2, 257, 437]);
    assert_eq!(one_of("errno == ENOENT"), [2]);
    assert_eq!(ok("syscall != read"), ok("!(syscall == read)"));
}

#[test]
fn unknown_name_suggests_the_nearest() {
    assert_eq!(error("syscall == \"raed\""), "`raed` is no name of `syscall` at column 12\ntry: `read`");
    assert_eq!(error("syscall == opena"), "`opena` is no name of `syscall` at column 12\ntry: `open`");
    assert_eq!(error("syscall == 'get'"), "`get` is no name of `syscall` at column 12\ntry: `\"get*\"`");
    assert_eq!(error("syscall == 'foo*'"), "no name of `syscall` matches `foo*` at column 12");
    assert_eq!(error("ret == -ENOENT"), "unknown field `ENOENT` at column 9\ntry: `errno == ENOENT`");
}

#[test]
fn enumeration_against_a_number_suggests_its_name() {
    assert_eq!(error("syscall == 0"), "`syscall` compares with a name, not with a number at column 12\ntry: `read`");
    assert_eq!(
        error("syscall == ret"),
        "`syscall` compares with a name, not with a number at column 12\ntry: `syscall == read`"
    );
    assert_eq!(
        error("syscall == pid").lines().next(),
        Some("`syscall` compares with a name, not with a number at column 12")
    );
    assert!(error("syscall < 3").starts_with("names have no order at column 1"));
    assert!(
        error("syscall & 1").starts_with("`syscall` is a name, not a number: only `==` and `!=` take it at column 1")
    );
}

#[test]
fn number_without_a_name_stands_for_itself() {
    assert_eq!(one_of("errno == 0"), [0]);
    assert_eq!(one_of("syscall == '999'"), [999]);
    assert_eq!(one_of("syscall == 999"), [999]);
}

#[test]
fn computed_field_stands_for_its_expression() {
    assert_eq!(ok("failed"), ok("ret < 0"));
    let Node::OneOf(operand, _) = ok("errno == EPERM").node else { panic!() };
    assert_eq!(*operand, ok("(ret < 0) * -ret"));
}

static CYCLE: [Field; 4] = [computed("a", "b + 1"), computed("b", "!a"), computed("c", "nope"), computed("d", "-1")];

const fn computed(name: &'static str, source: &'static str) -> Field {
    Field {
        name,
        kind: Kind::Number(Type::Unsigned),
        unit: Unit::None,
        source: Source::Computed(source),
        domain: 0,
        facts: 0,
        doc: "",
    }
}

#[test]
fn computed_fields_with_mistakes_are_errors() {
    let scope = Scope::new(&CYCLE);
    let message = |name| expand(scope.field(name).unwrap(), &scope).unwrap_err().message;
    assert!(message("a").ends_with("field `a` is computed from itself"), "{}", message("a"));
    assert_eq!(message("c"), "in field `c`: unknown field `nope`");
    assert_eq!(message("d"), "in field `d`: it says Unsigned and the expression is Signed");
}

#[test]
fn functions_are_not_expressions() {
    assert_eq!(
        error("sum(ret) > 3"),
        "`sum()` aggregates and has no value for one firing at column 1\ntry: --agg 'sum(ret)'"
    );
    assert!(error("strlen(comm)").starts_with("unknown function `strlen` at column 1"));
    assert!(error("pid > 1.5").starts_with("`1.5` is not a whole number at column 7"));
}

#[test]
fn keys_are_named_as_they_were_typed() {
    let keys = keys("comm,syscall, arg0 & 3 ,errno, comm == 'a\tb'", &scope()).unwrap();
    assert_eq!(
        keys.iter().map(Key::name).collect::<Vec<_>>(),
        ["comm", "syscall", "arg0 & 3", "errno", r"comm == 'a\tb'"]
    );
    assert!(matches!(keys[0], Key::Text { .. }));
    assert_eq!(keys[1].field().map(|field| field.name), Some("syscall"));
}

#[test]
fn keys_wider_than_64_bytes_say_how_many_there_are() {
    let error = |source| keys(source, &scope()).unwrap_err().to_string();
    let source = "comm,path,pid,tid,cpu,uid,gid,ppid";
    assert_eq!(
        error(source),
        "keys are 80 bytes together, at most 64 fit at column 27\ntry: drop 16 bytes: a number takes 8, a string such as `comm` 16"
    );
    assert!(keys("comm,path,pid,tid,cpu,uid", &scope()).is_ok());
}

#[test]
fn key_that_stands_twice_is_an_error() {
    let error = |source| keys(source, &scope()).unwrap_err().to_string();
    assert_eq!(error("pid,comm,comm"), "key `comm` stands twice at column 10\ntry: name it once");
    assert_eq!(error("pid + 1, (pid+1)"), "key `(pid+1)` stands twice at column 10\ntry: name it once");
}

#[test]
fn unit_survives_sums_and_not_products() {
    assert_eq!(ok("elapsed - 5us").unit(), Unit::Ns);
    assert_eq!(ok("-elapsed % 1ms").unit(), Unit::Ns);
    assert_eq!(ok("elapsed / 1ms").unit(), Unit::None);
    assert_eq!(ok("elapsed + pid").unit(), Unit::None);
}

/// The names of an enumeration need not be one to one.
#[test]
fn name_that_stands_for_two_values_means_both() {
    struct Twice;
    impl Names for Twice {
        fn name(&self, _: u64) -> Cow<'static, str> {
            "x".into()
        }
        fn all(&self) -> Vec<(Cow<'static, str>, u64)> {
            vec![("x".into(), 9), ("x".into(), 4)]
        }
    }
    static NAMES: Twice = Twice;
    static FIELDS: [Field; 1] =
        [Field { kind: Kind::Enumeration(&NAMES), source: Source::Firing { offset: 0, size: 8 }, ..computed("e", "") }];
    let Node::OneOf(_, values) = predicate("e == x", &Scope::new(&FIELDS)).unwrap().node else { panic!() };
    assert_eq!(values, [4, 9]);
}

/// The highest tree that the parser lets through, on the stack of a test's thread.
#[test]
fn longest_chain_is_checked_shown_and_evaluated() {
    let row = crate::program::testing::Row::default().number("pid", 1);
    for source in [format!("{}pid", "pid + ".repeat(255)), format!("{}pid{}", "-(pid + ".repeat(32), ")".repeat(32))] {
        let expr = ok(&source);
        assert_eq!(ok(&show(&expr, &scope(), &[])), expr);
        assert!(interp::eval(&expr, &row).is_ok());
    }
}

#[test]
fn cast_gives_its_own_type_and_folds_constants() {
    let Node::Cast(to, operand) = ok("(int32_t)arg0").node else { panic!() };
    assert_eq!((to.bytes, to.ty, *operand), (4, Type::Signed, ok("arg0")));
    assert_eq!(ok("(int)arg0"), ok("(i32)arg0"));
    assert_eq!(ok("(u8)300"), Expr::constant(44, Type::Unsigned));
    assert_eq!(ok("(i8)200"), Expr::constant(-56i64 as u64, Type::Signed));
    assert_eq!(ok("(u32)-1 + 1"), Expr::constant(1 << 32, Type::Unsigned));
    assert_eq!(ok("(i64)5"), Expr::constant(5, Type::Signed));
    assert_eq!(ok("(i64)arg0 == -1").ty, Type::Unsigned);
}

#[test]
fn cast_takes_only_numbers() {
    assert!(error("(i32)comm").starts_with("`comm` is text: only `==` and `!=` take it at column 6"));
    assert!(error("(i32)syscall").starts_with("`syscall` is a name, not a number"));
    assert!(error("(i32)'a'").starts_with("text stands only beside `==` and `!=` at column 6"));
    assert_eq!(error("(i32)ret == 'a'"), "`(i32)ret` is a number and compares with no text at column 13");
    assert_eq!(error("(i32)retn"), "unknown field `retn` at column 6\ntry: `ret`");
}

#[test]
fn type_that_is_no_cast_says_how_to_write_one() {
    assert_eq!(error("i32 < 0"), "`i32` is a type and no field at column 1\ntry: `(i32)x`, a cast");
    assert_eq!(error("int(ret) < 0"), "`int` is a type and no function at column 1\ntry: `(i32)ret`");
    assert_eq!(error("(i33) - 1"), "unknown field `i33` at column 1\ntry: `(i32)`, if it is a cast");
    assert!(error("(retn) - 1").ends_with("try: `ret`"));
}

/// The types that a cast names win over fields, so a field of such a name could not be read.
#[test]
fn type_wins_over_a_field_of_its_name() {
    static FIELDS: [Field; 1] = [Field { source: Source::Firing { offset: 0, size: 8 }, ..computed("u8", "") }];
    let scope = Scope::new(&FIELDS);
    assert_eq!(predicate("(u8)-1", &scope), Ok(Expr::constant(255, Type::Unsigned)));
    assert!(predicate("u8 - 1", &scope).is_ok());
}

#[test]
fn negative_number_beside_a_narrow_one_has_its_bits() {
    assert!(error("(u16)ret == -1").ends_with("try: `0xffff`, which has the bits of -1"));
    assert!(error("small == -2").ends_with("try: `0xfe`, which has the bits of -2"));
    assert_eq!(error("small == -300"), "`small` is unsigned, so the answer is always the same at column 10");
    assert!(error("arg0 > -100").ends_with("try: `(i64)arg0`, if it has a sign"));
    assert!(error("(u32)ret > -100").ends_with("try: `(i32)((u32)ret)`, if it has a sign"));
    ok("(i32)((u32)ret) > -100");
}

#[test]
fn cast_is_a_key_with_its_text_as_name() {
    let keys = keys("(i32)arg0, (u8) ( arg0 >> 3 )", &scope()).unwrap();
    assert_eq!(keys.iter().map(Key::name).collect::<Vec<_>>(), ["(i32)arg0", "(u8) ( arg0 >> 3 )"]);
    assert!(keys.iter().all(|key| key.words() == 1 && key.field().is_none()));
    assert_eq!(ok("(i32)elapsed").unit(), Unit::Ns);
}

#[test]
fn text_that_a_field_points_to_is_the_field_of_that_name() {
    assert!(matches!(ok("str(arg0) == '/etc/*'").node, Node::Matches(field, _) if field.name == "str(arg0)"));
    assert_eq!(ok("'x' != str( arg0 )"), ok("!(str(arg0) == 'x')"));
    let keys = keys("str( arg0 ),pid", &scope()).unwrap();
    assert!(matches!(keys[0], Key::Text { field } if field.name == "str(arg0)"));
    assert_eq!(keys[0].name(), "str(arg0)");
    assert_eq!(
        error("str(arg0) == x"),
        "`x` needs quotes: `str(arg0)` is text at column 14\ntry: `str(arg0) == \"x\"`"
    );
    assert!(error("str(arg0) + 1").starts_with("`str(arg0)` is text: only `==` and `!=` take it at column 1"));
    assert!(error("str(arg0) < 'a'").starts_with("names have no order"));
    assert!(error("copyinstr(arg0) == 'a'").ends_with("try: `str(arg0)`"));
}

#[test]
fn text_that_no_field_points_to_lists_those_that_are_there() {
    for source in ["str(ret) == 'a'", "str(arg0 + 1) == 'a'", "str() == 'a'", "str(arg0, 3)", "str(nope)"] {
        assert_eq!(
            error(source),
            "`str()` takes a field that points to a text at column 1\ntry: `str(arg0)`",
            "{source}"
        );
    }
    let none = "`str()` takes a field that points to a text, and this provider has none at column 1";
    assert_eq!(keys("str(a)", &Scope::new(&CYCLE)).unwrap_err().to_string(), none);
}
