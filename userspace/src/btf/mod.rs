//! The running kernel's types: ids of tracepoint prototypes and offsets of struct members.
//! Input: /sys/kernel/btf/vmlinux. Not aya's parser: it needs 20 MB and 20 ms to keep what we never ask for.
mod enumeration;
pub mod signature;

use std::collections::HashMap;
use std::io;

/// Holds the depth of disabled preemption in its low byte. In BTF since 6.15; kernels before run tracing programs with
/// preemption off.
const PREEMPT_COUNT: &str = "__preempt_count";

/// The file as it is, and where each type begins.
pub struct Btf {
    bytes: Vec<u8>,
    /// Where the string section begins, and how long it is.
    strings: usize,
    string_bytes: u32,
    /// Byte offset of each type; ids begin at 1.
    types: Vec<u32>,
}

const KIND_INT: u32 = 1;
const KIND_PTR: u32 = 2;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_TYPEDEF: u32 = 8;
const KIND_VOLATILE: u32 = 9;
const KIND_CONST: u32 = 10;
const KIND_RESTRICT: u32 = 11;
const KIND_FUNC: u32 = 12;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;
const KIND_DECL_TAG: u32 = 17;
const KIND_TYPE_TAG: u32 = 18;
const KIND_ENUM64: u32 = 19;

const TYPE_BYTES: usize = 12;
const MEMBER_BYTES: usize = 12;

impl Btf {
    /// Errors: no such file where the kernel was built without CONFIG_DEBUG_INFO_BTF.
    pub fn of_running_kernel() -> io::Result<Btf> {
        Btf::parse(std::fs::read("/sys/kernel/btf/vmlinux")?)
    }

    /// What a module adds to the kernel's types: its ids and its names go on where the kernel's end, so only
    /// [`signature`] can read it.
    ///
    /// Kernel: 5.11.
    pub fn of_module(name: &str) -> io::Result<Btf> {
        Btf::parse(std::fs::read(std::path::Path::new("/sys/kernel/btf").join(name))?)
    }

    pub fn parse(bytes: Vec<u8>) -> io::Result<Btf> {
        let bad = |what| io::Error::new(io::ErrorKind::InvalidData, what);
        let word = |at: usize| read_u32(&bytes, at).ok_or_else(|| bad("BTF ends early"));
        if word(0)? & 0xffff != 0xeb9f {
            return Err(bad("not BTF"));
        }
        let header = word(4)? as usize;
        let begin = header + word(8)? as usize;
        let end = begin + word(12)? as usize;
        let strings = header + word(16)? as usize;
        let string_bytes = word(20)?;
        // Types of a kernel take about 20 bytes each, and reallocation would double the memory.
        let mut types = Vec::with_capacity((end - begin) / 18);
        let mut at = begin;
        while at < end {
            types.push(at as u32);
            let info = word(at + 4)?;
            at += TYPE_BYTES + trailing_bytes(info);
        }
        Ok(Btf { bytes, strings, string_bytes, types })
    }

    /// Byte offset of each type, from the first on.
    fn types(&self) -> &[u32] {
        &self.types
    }

    fn string_bytes(&self) -> u32 {
        self.string_bytes
    }

    /// The name at an offset of the string section.
    fn string(&self, offset: u32) -> &[u8] {
        let from = self.strings.saturating_add(offset as usize);
        let rest = self.bytes.get(from..).unwrap_or_default();
        &rest[..rest.iter().position(|byte| *byte == 0).unwrap_or(0)]
    }

    fn word(&self, at: usize) -> u32 {
        read_u32(&self.bytes, at).unwrap_or(0)
    }

    fn has_name(&self, at: usize, name: &str) -> bool {
        let from = self.strings + self.word(at) as usize;
        let Some(bytes) = self.bytes.get(from..from + name.len() + 1) else { return false };
        bytes[name.len()] == 0 && &bytes[..name.len()] == name.as_bytes()
    }

    fn kind_at(&self, at: usize) -> u32 {
        self.word(at + 4) >> 24 & 0x1f
    }

    /// Ids of the typedefs, structs, functions and variables with these names, in one pass.
    fn find<'a>(&self, wanted: &[(u32, &'a str)]) -> HashMap<&'a str, u32> {
        let mut found = HashMap::new();
        for (index, at) in self.types.iter().enumerate() {
            let at = *at as usize;
            let kind = self.kind_at(at);
            if !matches!(kind, KIND_STRUCT | KIND_TYPEDEF | KIND_VAR | KIND_FUNC) {
                continue;
            }
            for (wanted_kind, name) in wanted {
                if *wanted_kind == kind && self.has_name(at, name) {
                    found.entry(*name).or_insert(index as u32 + 1);
                }
            }
            if found.len() == wanted.len() {
                break;
            }
        }
        found
    }

    /// Looks up tracepoints and struct members together: each pass over the types costs about a millisecond.
    pub fn look_up(&self, tracepoints: &[&str], members: &[(&'static str, &'static str)], functions: &[&str]) -> Found {
        let typedefs: Vec<String> = tracepoints.iter().map(|name| format!("btf_trace_{name}")).collect();
        let mut wanted: Vec<(u32, &str)> = typedefs.iter().map(|name| (KIND_TYPEDEF, name.as_str())).collect();
        for (name, _) in members {
            if !wanted.contains(&(KIND_STRUCT, name)) {
                wanted.push((KIND_STRUCT, name));
            }
        }
        wanted.push((KIND_VAR, PREEMPT_COUNT));
        wanted.extend(functions.iter().map(|name| (KIND_FUNC, *name)));
        let ids = self.find(&wanted);
        let tracepoint = |typedef: &String| ids.get(typedef.as_str()).copied();
        Found {
            preempt_count: ids.get(PREEMPT_COUNT).copied(),
            functions: functions.iter().filter_map(|name| Some(((*name).to_owned(), *ids.get(name)?))).collect(),
            arguments: tracepoints
                .iter()
                .zip(&typedefs)
                .filter_map(|(name, typedef)| Some(((*name).to_owned(), self.arguments(tracepoint(typedef)?)?)))
                .collect(),
            tracepoints: tracepoints
                .iter()
                .zip(&typedefs)
                .filter_map(|(name, typedef)| Some(((*name).to_owned(), tracepoint(typedef)?)))
                .collect(),
            offsets: members
                .iter()
                .filter_map(|(name, path)| Some(((*name, *path), self.bits(*ids.get(name)?, path)?)))
                .collect(),
        }
    }

    /// How many arguments a tracepoint has: its typedef is of a pointer to a prototype, whose first parameter is not one
    /// of them.
    fn arguments(&self, typedef: u32) -> Option<u32> {
        let type_at = |id: u32| self.types.get(id.checked_sub(1)? as usize).map(|at| *at as usize);
        let pointer = type_at(self.word(type_at(typedef)? + 8))?;
        let prototype = type_at(self.word(pointer + 8))?;
        (self.kind_at(prototype) == KIND_FUNC_PROTO)
            .then(|| (self.word(prototype + 4) & 0xffff).checked_sub(1))
            .flatten()
    }

    /// Offset of `a.b` in a struct, in bits.
    fn bits(&self, id: u32, path: &str) -> Option<u32> {
        let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
        let (bits, member) = self.member(id, first)?;
        let inner = match rest {
            Some(rest) => self.bits(member, rest)?,
            None => 0,
        };
        bits.checked_add(inner)
    }

    /// Bit offset and type of a member, also of one in an anonymous struct or union.
    fn member(&self, id: u32, name: &str) -> Option<(u32, u32)> {
        let at = *self.types.get(id.checked_sub(1)? as usize)? as usize;
        let kind = self.kind_at(at);
        if kind == KIND_TYPEDEF {
            return self.member(self.word(at + 8), name);
        }
        if kind != KIND_STRUCT && kind != KIND_UNION {
            return None;
        }
        let info = self.word(at + 4);
        // With the flag, the upper byte of an offset is the width of a bit field.
        let mask = if info >> 31 == 1 { 0x00ff_ffff } else { u32::MAX };
        for index in 0..(info & 0xffff) as usize {
            let member = at + TYPE_BYTES + index * MEMBER_BYTES;
            let (ty, bits) = (self.word(member + 4), self.word(member + 8) & mask);
            if self.has_name(member, name) {
                return Some((bits, ty));
            }
            if self.has_name(member, "")
                && let Some((inner_bits, inner_ty)) = self.member(ty, name)
            {
                return Some((bits + inner_bits, inner_ty));
            }
        }
        None
    }
}

/// What was asked for and is there.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// BTF id of the variable [`PREEMPT_COUNT`].
    pub preempt_count: Option<u32>,
    /// BTF id by function.
    pub functions: HashMap<String, u32>,
    /// Number of arguments by tracepoint.
    pub arguments: HashMap<String, u32>,
    /// BTF id by tracepoint.
    pub tracepoints: HashMap<String, u32>,
    /// Offset by struct and path, in bits.
    offsets: HashMap<(&'static str, &'static str), u32>,
}

impl Found {
    pub fn offset(&self, structure: &'static str, path: &'static str) -> Option<u32> {
        self.offsets.get(&(structure, path)).map(|bits| bits / 8)
    }

    /// The byte in which a bit field begins, and with which of its bits, counted from the lowest.
    pub fn bit(&self, structure: &'static str, path: &'static str) -> Option<(u32, u32)> {
        self.offsets.get(&(structure, path)).map(|bits| (bits / 8, bits % 8))
    }
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// What follows the twelve bytes that every type has (v6.18 include/uapi/linux/btf.h).
fn trailing_bytes(info: u32) -> usize {
    let count = (info & 0xffff) as usize;
    match info >> 24 & 0x1f {
        KIND_INT | KIND_VAR | KIND_DECL_TAG => 4,
        KIND_ARRAY => 12,
        KIND_STRUCT | KIND_UNION | KIND_DATASEC | KIND_ENUM64 => count * 12,
        KIND_ENUM | KIND_FUNC_PROTO => count * 8,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of these types, as words, and strings.
    fn parsed(types: &[u32], strings: &[u8]) -> Btf {
        let body: Vec<u8> = types.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut file: Vec<u8> = [0x0001_eb9fu32, 24, 0, body.len() as u32, body.len() as u32, strings.len() as u32]
            .iter()
            .flat_map(|word| word.to_ne_bytes())
            .collect();
        file.extend(&body);
        file.extend(strings);
        Btf::parse(file).unwrap()
    }

    /// A struct { int a; struct { int b; } ; } and a typedef: anonymous members are looked through.
    #[test]
    fn member_of_an_anonymous_struct_is_found() {
        let strings = b"\0outer\0a\0b\0btf_trace_x\0walk\0";
        let name = |wanted: &str| strings.windows(wanted.len()).position(|w| w == wanted.as_bytes()).unwrap() as u32;
        let mut types: Vec<u32> = vec![0, KIND_INT << 24, 4, 32]; // 1: int
        types.extend([0, KIND_STRUCT << 24 | 1, 4, name("b\0"), 1, 0]); // 2: struct { int b; }
        types.extend([name("outer"), KIND_STRUCT << 24 | 2, 8, name("a\0b"), 1, 0, 0, 2, 32]); // 3
        types.extend([name("btf_trace_x"), KIND_TYPEDEF << 24, 5]); // 4
        types.extend([0, 2 << 24, 6]); // 5: a pointer
        types.extend([0, KIND_FUNC_PROTO << 24 | 3, 1, 0, 1, 0, 1, 0, 1]); // 6: int (int, int, int)
        types.extend([name("walk"), KIND_FUNC << 24, 6]); // 7
        let found =
            parsed(&types, strings).look_up(&["x", "y"], &[("outer", "a"), ("outer", "b"), ("outer", "c")], &["walk"]);
        assert_eq!((found.functions.get("walk"), found.arguments.get("x")), (Some(&7), Some(&2)));
        assert_eq!(found.tracepoints, HashMap::from([("x".to_owned(), 4)]));
        assert_eq!(
            (found.offset("outer", "a"), found.offset("outer", "b"), found.offset("outer", "c")),
            (Some(0), Some(4), None)
        );
    }

    /// A struct { int a : 3, b : 5, c : 2; }: the widths stand in the upper bytes of the offsets.
    #[test]
    fn bit_fields_are_found_in_their_bytes() {
        let strings = b"\0bits\0a\0b\0c\0";
        let mut types: Vec<u32> = vec![0, KIND_INT << 24, 4, 32];
        types.extend([1, 1 << 31 | KIND_STRUCT << 24 | 3, 4, 6, 1, 3 << 24, 8, 1, 5 << 24 | 3, 10, 1, 2 << 24 | 8]);
        let found = parsed(&types, strings).look_up(&[], &[("bits", "b"), ("bits", "c"), ("bits", "d")], &[]);
        assert_eq!(
            (found.bit("bits", "b"), found.bit("bits", "c"), found.bit("bits", "d")),
            (Some((0, 3)), Some((1, 0)), None)
        );
    }

    #[test]
    fn file_that_ends_early_is_an_error() {
        assert!(Btf::parse(vec![0x9f, 0xeb, 1, 0]).is_err());
        assert!(Btf::parse(Vec::new()).is_err());
    }
}
