//! Types that a cast may name: the words in its parentheses in, a width and a sign out. Rust's names, C's, D's and the
//! kernel's, as on a 64-bit machine whose `char` has a sign.
use super::tree::Type;

/// What a cast makes of 64 bits: those of a narrower number, widened again as its sign says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Integer {
    /// 1, 2, 4 or 8.
    pub bytes: u8,
    pub ty: Type,
}

const fn signed(bytes: u8) -> Integer {
    Integer { bytes, ty: Type::Signed }
}

const fn unsigned(bytes: u8) -> Integer {
    Integer { bytes, ty: Type::Unsigned }
}

/// Every type, to try them all.
pub const INTEGERS: [Integer; 8] =
    [signed(1), signed(2), signed(4), signed(8), unsigned(1), unsigned(2), unsigned(4), unsigned(8)];

/// Names of one word, other than those that C spells with [`C_WORDS`]. Rust's come first, as they are suggested first.
const NAMES: [(&str, Integer); 53] = [
    ("i8", signed(1)),
    ("i16", signed(2)),
    ("i32", signed(4)),
    ("i64", signed(8)),
    ("u8", unsigned(1)),
    ("u16", unsigned(2)),
    ("u32", unsigned(4)),
    ("u64", unsigned(8)),
    ("int8_t", signed(1)),
    ("int16_t", signed(2)),
    ("int32_t", signed(4)),
    ("int64_t", signed(8)),
    ("uint8_t", unsigned(1)),
    ("uint16_t", unsigned(2)),
    ("uint32_t", unsigned(4)),
    ("uint64_t", unsigned(8)),
    ("int8", signed(1)),
    ("int16", signed(2)),
    ("int32", signed(4)),
    ("int64", signed(8)),
    ("uint8", unsigned(1)),
    ("uint16", unsigned(2)),
    ("uint32", unsigned(4)),
    ("uint64", unsigned(8)),
    ("s8", signed(1)),
    ("s16", signed(2)),
    ("s32", signed(4)),
    ("s64", signed(8)),
    ("__s8", signed(1)),
    ("__s16", signed(2)),
    ("__s32", signed(4)),
    ("__s64", signed(8)),
    ("__u8", unsigned(1)),
    ("__u16", unsigned(2)),
    ("__u32", unsigned(4)),
    ("__u64", unsigned(8)),
    ("uchar_t", unsigned(1)),
    ("ushort_t", unsigned(2)),
    ("uint_t", unsigned(4)),
    ("ulong_t", unsigned(8)),
    ("size_t", unsigned(8)),
    ("ssize_t", signed(8)),
    ("intptr_t", signed(8)),
    ("uintptr_t", unsigned(8)),
    ("ptrdiff_t", signed(8)),
    ("off_t", signed(8)),
    ("loff_t", signed(8)),
    ("time_t", signed(8)),
    ("pid_t", signed(4)),
    ("uid_t", unsigned(4)),
    ("gid_t", unsigned(4)),
    ("mode_t", unsigned(4)),
    ("socklen_t", unsigned(4)),
];

/// What C makes its own names of, in any order: `unsigned long int` is `long unsigned`.
const C_WORDS: [&str; 6] = ["char", "short", "int", "long", "signed", "unsigned"];

impl Integer {
    /// The type that the words of a cast name; None if they name none.
    pub fn named(words: &[impl AsRef<str>]) -> Option<Integer> {
        if let [word] = words
            && let Some((_, integer)) = NAMES.iter().find(|(name, _)| *name == word.as_ref())
        {
            return Some(*integer);
        }
        let counts = C_WORDS.map(|known| words.iter().filter(|word| word.as_ref() == known).count());
        if counts.iter().sum::<usize>() != words.len() {
            return None;
        }
        let [char, short, int, long, with_sign, without] = counts;
        let (bytes, int_most) = match (char, short, long) {
            (1, 0, 0) => (1, 0),
            (0, 1, 0) => (2, 1),
            (0, 0, 0) => (4, 1),
            (0, 0, 1 | 2) => (8, 1),
            _ => return None,
        };
        match (with_sign, without) {
            _ if int > int_most || words.is_empty() => None,
            (0 | 1, 0) => Some(signed(bytes)),
            (0, 1) => Some(unsigned(bytes)),
            _ => None,
        }
    }

    pub fn is_name(word: &str) -> bool {
        Integer::named(&[word]).is_some()
    }

    /// Every word that can begin a type; of two equally near ones a suggestion takes the first.
    pub fn words() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name).chain(C_WORDS)
    }

    pub fn bits(self) -> u32 {
        u32::from(self.bytes) * 8
    }

    /// The low bits of a value, widened to 64.
    pub fn of(self, value: u64) -> u64 {
        let above = 64 - self.bits();
        match self.ty {
            Type::Unsigned => value << above >> above,
            Type::Signed => ((value << above) as i64 >> above) as u64,
        }
    }

    /// `i32`
    pub fn name(self) -> String {
        format!("{}{}", if self.ty == Type::Signed { 'i' } else { 'u' }, self.bits())
    }

    /// `int32_t`, which D has and Rust has not.
    pub fn name_in_d(self) -> String {
        format!("{}int{}_t", if self.ty == Type::Signed { "" } else { "u" }, self.bits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(words: &str) -> Option<String> {
        Integer::named(&words.split(' ').collect::<Vec<_>>()).map(Integer::name)
    }

    #[test]
    fn names_of_c_are_its_sizes_on_64_bits() {
        for (words, wanted) in [
            ("char", "i8"),
            ("signed char", "i8"),
            ("unsigned char", "u8"),
            ("short", "i16"),
            ("short int", "i16"),
            ("unsigned short", "u16"),
            ("int", "i32"),
            ("signed", "i32"),
            ("unsigned", "u32"),
            ("unsigned int", "u32"),
            ("int unsigned", "u32"),
            ("long", "i64"),
            ("unsigned long", "u64"),
            ("long long", "i64"),
            ("long unsigned int long", "u64"),
            ("size_t", "u64"),
            ("ssize_t", "i64"),
            ("pid_t", "i32"),
        ] {
            assert_eq!(named(words).as_deref(), Some(wanted), "{words}");
        }
    }

    #[test]
    fn what_c_refuses_is_no_type() {
        for words in [
            "",
            "i33",
            "float",
            "unsigned i32",
            "i32 i32",
            "int int",
            "char int",
            "long char",
            "short long",
            "long long long",
            "signed unsigned",
            "unsigned unsigned",
            "short short",
        ] {
            assert_eq!(named(words), None, "{words}");
        }
        assert_eq!(Integer::named(&[""; 0]), None);
    }

    #[test]
    fn both_of_its_own_names_name_a_type() {
        for integer in INTEGERS {
            assert_eq!(Integer::named(&[integer.name()]), Some(integer));
            assert_eq!(Integer::named(&[integer.name_in_d()]), Some(integer));
        }
    }

    #[test]
    fn value_is_cut_to_the_width_and_widened_with_its_sign() {
        for (integer, value, wanted) in [
            (signed(1), 0x180, -128i64 as u64),
            (unsigned(1), 0x180, 0x80),
            (signed(2), 0xffff, u64::MAX),
            (unsigned(2), u64::MAX, 0xffff),
            (signed(4), 0xffff_ffea, -22i64 as u64),
            (signed(4), 0x1_7fff_ffff, 0x7fff_ffff),
            (unsigned(4), -22i64 as u64, 0xffff_ffea),
            (signed(8), 1 << 63, 1 << 63),
            (unsigned(8), u64::MAX, u64::MAX),
        ] {
            assert_eq!(integer.of(value), wanted, "{} of {value:#x}", integer.name());
        }
    }
}
