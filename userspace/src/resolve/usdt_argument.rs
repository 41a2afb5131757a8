//! The text of a USDT note that tells where a probe's arguments are, such as `-4@%edi 8@-16(%rbp)`, in; values out.
//! Nothing of it is believed: the file may be anybody's.
use super::{Argument, Register, Value};
use crate::program::tree::Type;

/// What sys/sdt.h can make is 12.
const MOST_ARGUMENTS: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    X86_64,
    I386,
    Aarch64,
}

impl Machine {
    fn word_bytes(self) -> u32 {
        match self {
            Machine::I386 => 4,
            Machine::X86_64 | Machine::Aarch64 => 8,
        }
    }
}

/// `%rip`: when a probe fires, the address of its instruction.
const INSTRUCTION: Register = Register { offset: 128, shift: 0 };

/// An argument as its text has it: `value` may depend on where the linker put a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    pub name: String,
    pub ty: Type,
    pub bytes: u32,
    pub place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Value(Value),
    /// Memory at `symbol + addend + index * scale`.
    Static {
        symbol: String,
        addend: i64,
        index: Option<(Register, u8)>,
    },
}

/// Why an argument has no value.
pub type Reason = &'static str;

/// `Err`: the argument's name, and why it is left out.
pub fn parse(text: &str, machine: Machine) -> Vec<Result<Parsed, (String, Reason)>> {
    let parse = |(index, text): (usize, &str)| {
        let name = format!("arg{index}");
        match argument(text, machine) {
            Ok((ty, bytes, place)) => Ok(Parsed { name, ty, bytes, place }),
            Err(why) => Err((name, why)),
        }
    };
    split(text).into_iter().take(MOST_ARGUMENTS).enumerate().map(parse).collect()
}

impl Parsed {
    /// The variable that it is in, or beside.
    pub fn symbol(&self) -> Option<&str> {
        match &self.place {
            Place::Value(_) => None,
            Place::Static { symbol, .. } => Some(symbol),
        }
    }

    /// `way` leads from the probe's instruction to a symbol. `None`: the file does not tell.
    pub fn resolve(self, way: impl FnOnce(&str) -> Option<i64>) -> Result<Argument, (String, Reason)> {
        let Parsed { name, ty, bytes, place } = self;
        let value = match place {
            Place::Value(value) => value,
            Place::Static { symbol, addend, index } => {
                let Some(way) = way(&symbol) else { return Err((name, NO_SYMBOL)) };
                Value::Memory { base: INSTRUCTION, displacement: way.wrapping_add(addend), index }
            }
        };
        Ok(Argument { name, ty, bytes, value })
    }
}

/// At blanks that are in no bracket: `-4@[sp, 12]` is one argument.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0usize;
    let is_between = |c: char| {
        match c {
            '[' | '(' => depth += 1,
            ']' | ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c.is_ascii_whitespace() && depth == 0
    };
    text.split(is_between).filter(|part| !part.is_empty()).collect()
}

fn argument(text: &str, machine: Machine) -> Result<(Type, u32, Place), Reason> {
    let (declared, operand) = size(text)?;
    let (place, width) = match machine {
        Machine::Aarch64 => aarch64(operand)?,
        Machine::X86_64 | Machine::I386 => x86(operand)?,
    };
    let (ty, bytes) = declared.unwrap_or((Type::Unsigned, width.unwrap_or(machine.word_bytes())));
    // Of a register's low half there are no eight bytes.
    let bytes = bytes.min(width.unwrap_or(8));
    let place = match place {
        Place::Value(Value::Constant(number)) => Place::Value(Value::Constant(fit(number, ty, bytes))),
        place => place,
    };
    Ok((ty, bytes, place))
}

/// Sign and bytes.
type Size = (Type, u32);

/// Takes off `N@`. Notes of old versions have none.
fn size(text: &str) -> Result<(Option<Size>, &str), Reason> {
    let Some((size, operand)) = text.split_once('@') else { return Ok((None, text)) };
    let (ty, digits) = match size.strip_prefix('-') {
        Some(digits) => (Type::Signed, digits),
        None => (Type::Unsigned, size),
    };
    if digits.ends_with('f') {
        return Err("a floating point number");
    }
    match digits {
        "1" | "2" | "4" | "8" => Ok((Some((ty, u32::from(digits.as_bytes()[0] - b'0'))), operand)),
        _ if !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit()) => {
            Err("neither 1, 2, 4 nor 8 bytes long")
        }
        _ => Ok((None, text)),
    }
}

/// What a variable of this size and sign holds of a number.
fn fit(number: i64, ty: Type, bytes: u32) -> i64 {
    let unused = 64 - 8 * bytes.clamp(1, 8);
    match ty {
        Type::Signed => number << unused >> unused,
        Type::Unsigned => ((number as u64) << unused >> unused) as i64,
    }
}

/// The value, and of a register how wide it is.
type Operand = Result<(Place, Option<u32>), Reason>;

const NO_SYMBOL: Reason = "a variable that the file has no symbol for";
const UNKNOWN: Reason = "written in a way that is not understood";
const ABSOLUTE: Reason = "at a fixed address";
const THREAD_LOCAL: Reason = "in thread-local memory";

fn constant(number: i64) -> Operand {
    Ok((Place::Value(Value::Constant(number)), None))
}

fn memory(base: Register, displacement: i64, index: Option<(Register, u8)>) -> Operand {
    Ok((Place::Value(Value::Memory { base, displacement, index }), None))
}

/// AT&T syntax: `$5`, `%eax`, `-8(%rbp)`, `4(%rdi,%rcx,8)`, `counter+4(%rip)`.
fn x86(operand: &str) -> Operand {
    if let Some(immediate) = operand.strip_prefix('$') {
        return number(immediate).map_or(Err("an address of the file"), constant);
    }
    let (before, inside) = match operand.split_once('(') {
        Some((before, inside)) => (before, Some(inside.strip_suffix(')').ok_or(UNKNOWN)?)),
        None => (operand, None),
    };
    if let Some(register) = before.strip_prefix('%') {
        if before.contains(':') {
            return Err(THREAD_LOCAL);
        }
        if inside.is_some() {
            return Err(UNKNOWN);
        }
        return match x86_register(register) {
            Some((register, bytes)) => Ok((Place::Value(Value::Register(register)), Some(bytes))),
            None => Err("in a register that holds no integer"),
        };
    }
    let (symbol, addend) = sum(before)?;
    let mut parts = inside.unwrap_or_default().split(',').map(str::trim);
    let mut address = || match parts.next().filter(|name| !name.is_empty()) {
        None => Ok(None),
        Some(name) => {
            let found = name.strip_prefix('%').and_then(x86_register);
            // An address is in a whole register; in half of one where it is a 32-bit program's.
            found.filter(|(_, bytes)| *bytes >= 4).map(|(register, _)| Some(register)).ok_or(UNKNOWN)
        }
    };
    let (base, index) = (address()?, address()?);
    let scale = match parts.next() {
        None => 1,
        Some(scale @ ("1" | "2" | "4" | "8")) => scale.as_bytes()[0] - b'0',
        Some(_) => return Err(UNKNOWN),
    };
    if parts.next().is_some() {
        return Err(UNKNOWN);
    }
    let index = index.map(|index| (index, scale));
    let base = base.filter(|base| symbol.is_none() || *base != INSTRUCTION);
    match (symbol, base) {
        (Some(_), Some(_)) if index.is_some() => Err(UNKNOWN),
        // Without %rip, the program lies where it was linked to, and the way from the instruction is the same.
        (Some(symbol), base) => {
            let index = base.map(|base| (base, 1)).or(index);
            Ok((Place::Static { symbol: symbol.to_owned(), addend, index }, None))
        }
        // Counted from the instruction behind, which the note does not tell.
        (None, Some(base)) if base == INSTRUCTION => Err(ABSOLUTE),
        (None, Some(base)) => memory(base, addend, index),
        (None, None) => Err(ABSOLUTE),
    }
}

/// Adds up `-8`, `counter`, `counter+4`, `4+counter`; at most one of the terms is a symbol.
fn sum(text: &str) -> Result<(Option<&str>, i64), Reason> {
    let (mut symbol, mut total, mut rest) = (None, 0i64, text);
    while !rest.is_empty() {
        let sign = rest.starts_with(['+', '-']);
        let end = rest[usize::from(sign)..].find(['+', '-']).map_or(rest.len(), |at| at + usize::from(sign));
        let term = &rest[..end];
        rest = &rest[end..];
        match (number(term), term.strip_prefix('+').unwrap_or(term)) {
            (Some(number), _) => total = total.wrapping_add(number),
            (None, name) if symbol.is_none() && is_symbol(name) => symbol = Some(name),
            (None, name) if name.contains('@') => return Err("reached by the linker's tables"),
            (None, _) => return Err(UNKNOWN),
        }
    }
    Ok((symbol, total))
}

fn is_symbol(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$');
    name.bytes().all(is_letter) && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

/// The offset in struct pt_regs, and how many bytes the name stands for.
fn x86_register(name: &str) -> Option<(Register, u32)> {
    const WORDS: [(&str, u16); 9] = [
        ("ax", 80),
        ("bx", 40),
        ("cx", 88),
        ("dx", 96),
        ("si", 104),
        ("di", 112),
        ("bp", 32),
        ("sp", 152),
        ("ip", 128),
    ];
    const NUMBERED: [u16; 8] = [72, 64, 56, 48, 24, 16, 8, 0];
    let at = |offset, shift, bytes| Some((Register { offset, shift }, bytes));
    let word = |name: &str| WORDS.iter().find(|(word, _)| *word == name).map(|(_, offset)| *offset);
    if let Some(numbered) = name.strip_prefix('r').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) {
        let (digits, bytes) = match numbered.split_at(numbered.trim_end_matches(['b', 'l', 'w', 'd']).len()) {
            (digits, "") => (digits, 8),
            (digits, "d") => (digits, 4),
            (digits, "w") => (digits, 2),
            (digits, "b" | "l") => (digits, 1),
            _ => return None,
        };
        let index = digits.parse::<usize>().ok()?.checked_sub(8)?;
        return at(*NUMBERED.get(index)?, 0, bytes);
    }
    if let Some(offset) = word(name) {
        return at(offset, 0, 2);
    }
    if let Some(offset) = name.strip_prefix('r').and_then(word) {
        return at(offset, 0, 8);
    }
    if let Some(offset) = name.strip_prefix('e').and_then(word) {
        return at(offset, 0, 4);
    }
    if let Some(offset) = name.strip_suffix('l').and_then(|half| word(half).or_else(|| word(&format!("{half}x")))) {
        // `%sil`, `%al`; there is no `%axl` and no `%ipl`.
        return if name.contains('x') || name == "ipl" { None } else { at(offset, 0, 1) };
    }
    let high = name.strip_suffix('h').filter(|half| half.len() == 1)?;
    at(word(&format!("{high}x"))?, 1, 1)
}

/// `5`, `#5`, `x0`, `[sp, 12]`, `[x0, x1, lsl 3]`.
fn aarch64(operand: &str) -> Operand {
    if let Some(inside) = operand.strip_prefix('[') {
        let inside = inside.strip_suffix(']').ok_or(UNKNOWN)?;
        let parts: Vec<&str> = inside.split(',').map(str::trim).collect();
        let whole = |name: &str| aarch64_register(name).filter(|(_, bytes)| *bytes == 8).map(|(register, _)| register);
        let base = whole(parts[0]).ok_or(UNKNOWN)?;
        return match parts[1..] {
            [] => memory(base, 0, None),
            [offset] => match aarch64_number(offset) {
                Some(number) => memory(base, number, None),
                None => memory(base, 0, Some((whole(offset).ok_or(UNKNOWN)?, 1))),
            },
            [index, shift] => {
                let shift = shift.strip_prefix("lsl").map(str::trim).and_then(aarch64_number).ok_or(UNKNOWN)?;
                let shift = u8::try_from(shift).ok().filter(|shift| *shift <= 3).ok_or(UNKNOWN)?;
                memory(base, 0, Some((whole(index).ok_or(UNKNOWN)?, 1 << shift)))
            }
            _ => Err(UNKNOWN),
        };
    }
    if matches!(operand, "xzr" | "wzr") {
        return constant(0);
    }
    if let Some((register, bytes)) = aarch64_register(operand) {
        return Ok((Place::Value(Value::Register(register)), Some(bytes)));
    }
    aarch64_number(operand).map_or(Err(UNKNOWN), constant)
}

fn aarch64_number(text: &str) -> Option<i64> {
    number(text.strip_prefix('#').unwrap_or(text))
}

/// The offset in struct user_pt_regs, and how many bytes the name stands for.
fn aarch64_register(name: &str) -> Option<(Register, u32)> {
    let at = |index: u16, bytes| Some((Register { offset: 8 * index, shift: 0 }, bytes));
    match name {
        "fp" => return at(29, 8),
        "lr" => return at(30, 8),
        "sp" => return at(31, 8),
        "wsp" => return at(31, 4),
        _ => {}
    }
    let (bytes, digits) = match name.split_at_checked(1)? {
        ("x", digits) => (8, digits),
        ("w", digits) => (4, digits),
        _ => return None,
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    let index = digits.parse().ok().filter(|index| is_number && *index <= 30)?;
    at(index, bytes)
}

/// Decimal or hexadecimal, from the least signed to the greatest unsigned number of 64 bits.
fn number(text: &str) -> Option<i64> {
    let (is_negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let magnitude = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) if hex.starts_with('+') => return None,
        Some(hex) => u64::from_str_radix(hex, 16).ok()?,
        None => digits.parse::<u64>().ok()?,
    };
    if is_negative && magnitude > 1 << 63 {
        return None;
    }
    Some(if is_negative { (magnitude as i64).wrapping_neg() } else { magnitude as i64 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use Type::{Signed, Unsigned};
    use proptest::prelude::*;

    fn register(offset: u16) -> Value {
        Value::Register(Register { offset, shift: 0 })
    }

    fn at(base: u16, displacement: i64, index: Option<(u16, u8)>) -> Value {
        let whole = |offset| Register { offset, shift: 0 };
        Value::Memory { base: whole(base), displacement, index: index.map(|(index, scale)| (whole(index), scale)) }
    }

    fn one(text: &str, machine: Machine) -> Result<(Type, u32, Place), Reason> {
        let mut parsed = parse(text, machine);
        assert_eq!(parsed.len(), 1, "{text}");
        parsed.remove(0).map(|parsed| (parsed.ty, parsed.bytes, parsed.place)).map_err(|(_, why)| why)
    }

    #[test]
    fn operands_of_x86_are_values() {
        let cases = [
            ("-4@%edi", Signed, 4, register(112)),
            ("8@%rax", Unsigned, 8, register(80)),
            ("8@%rbx", Unsigned, 8, register(40)),
            ("8@%rcx", Unsigned, 8, register(88)),
            ("8@%rdx", Unsigned, 8, register(96)),
            ("8@%rsi", Unsigned, 8, register(104)),
            ("8@%rbp", Unsigned, 8, register(32)),
            ("8@%rsp", Unsigned, 8, register(152)),
            ("8@%rip", Unsigned, 8, register(128)),
            ("8@%r8", Unsigned, 8, register(72)),
            ("4@%r9d", Unsigned, 4, register(64)),
            ("-2@%r10w", Signed, 2, register(56)),
            ("1@%r11b", Unsigned, 1, register(48)),
            ("-8@%r12", Signed, 8, register(24)),
            ("8@%r13", Unsigned, 8, register(16)),
            ("8@%r14", Unsigned, 8, register(8)),
            ("8@%r15", Unsigned, 8, register(0)),
            ("1@%al", Unsigned, 1, register(80)),
            ("1@%sil", Unsigned, 1, register(104)),
            ("-1@%dh", Signed, 1, Value::Register(Register { offset: 96, shift: 1 })),
            ("2@%bx", Unsigned, 2, register(40)),
            // The register's name is narrower than what was declared, or all there is.
            ("8@%eax", Unsigned, 4, register(80)),
            ("%eax", Unsigned, 4, register(80)),
            ("(%rsi)", Unsigned, 8, at(104, 0, None)),
            ("8@-16(%rbp)", Unsigned, 8, at(32, -16, None)),
            ("-4@0x10(%rsp)", Signed, 4, at(152, 16, None)),
            ("4@8+4(%rsp)", Unsigned, 4, at(152, 12, None)),
            ("8@(%rdi,%rcx,8)", Unsigned, 8, at(112, 0, Some((88, 8)))),
            ("8@24(%rdi,%r8)", Unsigned, 8, at(112, 24, Some((72, 1)))),
            ("-4@$-1", Signed, 4, Value::Constant(-1)),
            ("4@$-1", Unsigned, 4, Value::Constant(0xffff_ffff)),
            ("-1@$255", Signed, 1, Value::Constant(-1)),
            ("8@$0x7fffffffffffffff", Unsigned, 8, Value::Constant(i64::MAX)),
            ("8@$18446744073709551615", Unsigned, 8, Value::Constant(-1)),
            ("-8@$-9223372036854775808", Signed, 8, Value::Constant(i64::MIN)),
            ("$5", Unsigned, 8, Value::Constant(5)),
        ];
        for (text, ty, bytes, value) in cases {
            assert_eq!(one(text, Machine::X86_64), Ok((ty, bytes, Place::Value(value))), "{text}");
        }
        assert_eq!(one("-4(%ebp)", Machine::I386), Ok((Unsigned, 4, Place::Value(at(32, -4, None)))));
    }

    #[test]
    fn operands_of_aarch64_are_values() {
        let cases = [
            ("8@x0", Unsigned, 8, register(0)),
            ("-4@w19", Signed, 4, register(152)),
            ("8@x30", Unsigned, 8, register(240)),
            ("8@sp", Unsigned, 8, register(248)),
            ("4@xzr", Unsigned, 4, Value::Constant(0)),
            ("-4@[sp, 12]", Signed, 4, at(248, 12, None)),
            ("8@[x29, #-8]", Unsigned, 8, at(232, -8, None)),
            ("8@[x1]", Unsigned, 8, at(8, 0, None)),
            ("8@[x1, x2]", Unsigned, 8, at(8, 0, Some((16, 1)))),
            ("8@[x1, x2, lsl 3]", Unsigned, 8, at(8, 0, Some((16, 8)))),
            ("-4@-5", Signed, 4, Value::Constant(-5)),
            ("4@#0x10", Unsigned, 4, Value::Constant(16)),
        ];
        for (text, ty, bytes, value) in cases {
            assert_eq!(one(text, Machine::Aarch64), Ok((ty, bytes, Place::Value(value))), "{text}");
        }
    }

    #[test]
    fn variables_are_found_from_the_instruction_on() {
        let cases = [
            ("-4@counter(%rip)", "counter", 0, None),
            ("8@table+16(%rip)", "table", 16, None),
            ("8@-8+table.3(%rip)", "table.3", -8, None),
            ("4@counter", "counter", 0, None),
            ("4@table(,%rax,4)", "table", 0, Some((80, 4))),
            ("4@table-4(%rdi)", "table", -4, Some((112, 1))),
        ];
        for (text, symbol, addend, index) in cases {
            let parsed = parse(text, Machine::X86_64).remove(0).unwrap();
            let index = index.map(|(offset, scale)| (Register { offset, shift: 0 }, scale));
            assert_eq!(parsed.place, Place::Static { symbol: symbol.to_owned(), addend, index }, "{text}");
            let resolved = parsed.clone().resolve(|_| Some(0x1000)).unwrap().value;
            let base = Register { offset: 128, shift: 0 };
            assert_eq!(resolved, Value::Memory { base, displacement: 0x1000 + addend, index });
            let unknown = ("arg0".to_owned(), "a variable that the file has no symbol for");
            assert_eq!(parsed.resolve(|_| None), Err(unknown));
        }
    }

    #[test]
    fn what_has_no_value_says_why() {
        let cases = [
            ("8f@%xmm0", "a floating point number"),
            ("-4f@%xmm0", "a floating point number"),
            ("16@(%rax)", "neither 1, 2, 4 nor 8 bytes long"),
            ("8@%xmm0", "in a register that holds no integer"),
            ("8@%r16", "in a register that holds no integer"),
            ("8@%axl", "in a register that holds no integer"),
            ("8@%fs:-8", "in thread-local memory"),
            ("8@%fs:-8(%rax)", "in thread-local memory"),
            ("8@$main", "an address of the file"),
            ("8@$", "an address of the file"),
            ("8@4096", "at a fixed address"),
            ("8@16(%rip)", "at a fixed address"),
            ("8@(,%rax,8)", "at a fixed address"),
            ("8@x@GOTPCREL(%rip)", "reached by the linker's tables"),
            ("8@table(%rax,%rbx,2)", UNKNOWN),
            ("8@(%rax,%rbx,3)", UNKNOWN),
            ("8@(%rax", UNKNOWN),
            ("8@(%al)", UNKNOWN),
            ("8@%rax(%rbx)", UNKNOWN),
            ("8@(%rax,%rbx,2,1)", UNKNOWN),
            ("8@a+b(%rip)", UNKNOWN),
            ("8@--1(%rax)", UNKNOWN),
            ("8@0x(%rax)", UNKNOWN),
        ];
        for (text, why) in cases {
            assert_eq!(one(text, Machine::X86_64), Err(why), "{text}");
        }
        for text in ["8@x31", "8@x+1", "8@d0", "8@[w0]", "8@[x0, w1, sxtw 3]", "8@[x0", "8@[]", "8@", "8@[x0, :lo12:x]"]
        {
            assert_eq!(one(text, Machine::Aarch64), Err(UNKNOWN), "{text}");
        }
    }

    #[test]
    fn arguments_keep_their_numbers() {
        let parsed = parse("  -4@%edi 8f@%xmm0\t8@( %rax ) ", Machine::X86_64);
        let names: Vec<_> = parsed.iter().map(|one| one.as_ref().map(|one| &one.name[..])).collect();
        assert_eq!(names, [Ok("arg0"), Err(&("arg1".to_owned(), "a floating point number")), Ok("arg2")]);
        assert_eq!(parse("", Machine::X86_64), []);
        assert_eq!(parse(&"$1 ".repeat(1000), Machine::X86_64).len(), MOST_ARGUMENTS);
    }

    proptest! {
        #[test]
        fn no_text_is_a_disaster(text in "[-+@$%()\\[\\], #a-z0-9ä]{0,40}", raw in any::<String>()) {
            for machine in [Machine::X86_64, Machine::I386, Machine::Aarch64] {
                parse(&text, machine);
                parse(&raw, machine);
            }
        }
    }
}
