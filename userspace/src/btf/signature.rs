//! Names of kernel functions in, what they take and return out, from the kernel's and its modules' BTF.
use std::collections::HashMap;

use super::{
    Btf, KIND_CONST, KIND_ENUM, KIND_ENUM64, KIND_FUNC, KIND_FUNC_PROTO, KIND_INT, KIND_PTR, KIND_RESTRICT,
    KIND_TYPE_TAG, KIND_TYPEDEF, KIND_VOLATILE, TYPE_BYTES,
};
use crate::program::tree::Type;

/// Both architectures have at least six registers for arguments; the seventh is on the stack of x86_64.
const MOST_PARAMETERS: usize = 6;
/// Typedefs and qualifiers in a row; a hostile file could make a ring of them.
const MOST_NAMES: usize = 32;
const PARAMETER_BYTES: usize = 8;
const BOOL: u32 = 1 << 2;
const SIGNED: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Of the function, in the BTF where it was found.
    pub id: u32,
    /// Those that are one register each: all, if `is_plain`, else those before the first that is not.
    pub parameters: Vec<Parameter>,
    /// `None`: it returns nothing, or a struct.
    pub returns: Option<(Type, u32)>,
    /// All that it takes, and what it returns, are numbers and pointers, and it takes no more than six: `fexit` finds the
    /// returned value behind them, at byte `8 * parameters.len()`.
    pub is_plain: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Empty where the source has none.
    pub name: String,
    pub ty: Type,
    /// 1, 2, 4 or 8.
    pub bytes: u32,
    pub is_pointer: bool,
    /// A `char *`; whether into the kernel's memory or the process's is not told.
    pub is_text: bool,
}

/// The functions of the kernel itself with these names, in one pass. Where several have a name, the first.
pub fn signatures(kernel: &Btf, names: &[&str]) -> HashMap<String, Signature> {
    Types { kernel, module: None }.signatures(names)
}

/// The functions of a module, whose types go on where the kernel's end.
pub fn module_signatures(kernel: &Btf, module: &Btf, names: &[&str]) -> HashMap<String, Signature> {
    Types { kernel, module: Some(module) }.signatures(names)
}

struct Types<'a> {
    kernel: &'a Btf,
    module: Option<&'a Btf>,
}

/// A type: whose, and where in the file.
#[derive(Clone, Copy)]
struct At<'a> {
    btf: &'a Btf,
    at: usize,
}

impl At<'_> {
    fn kind(self) -> u32 {
        self.btf.kind_at(self.at)
    }

    fn name(self) -> u32 {
        self.btf.word(self.at)
    }

    fn info(self) -> u32 {
        self.btf.word(self.at + 4)
    }

    /// Bytes of a number, the id that a pointer or a typedef leads to.
    fn size_or_type(self) -> u32 {
        self.btf.word(self.at + 8)
    }
}

/// What fits a register.
#[derive(Clone, Copy)]
struct Scalar {
    ty: Type,
    bytes: u32,
    is_pointer: bool,
    is_text: bool,
}

impl<'a> Types<'a> {
    fn signatures(&self, names: &[&str]) -> HashMap<String, Signature> {
        let mut wanted: HashMap<&[u8], &str> = names.iter().map(|name| (name.as_bytes(), *name)).collect();
        let mut found = HashMap::with_capacity(names.len());
        let (btf, first) = match self.module {
            Some(module) => (module, self.kernel.types().len()),
            None => (self.kernel, 0),
        };
        for (index, at) in btf.types().iter().enumerate() {
            if wanted.is_empty() {
                break;
            }
            let function = At { btf, at: *at as usize };
            if function.kind() != KIND_FUNC {
                continue;
            }
            let Some(name) = wanted.remove(self.string(function.name())) else { continue };
            if let Some(signature) = self.signature((first + index + 1) as u32, function) {
                found.insert(name.to_owned(), signature);
            }
        }
        found
    }

    fn signature(&self, id: u32, function: At) -> Option<Signature> {
        let prototype = self.find(function.size_or_type())?;
        if prototype.kind() != KIND_FUNC_PROTO {
            return None;
        }
        let count = (prototype.info() & 0xffff) as usize;
        let parameter = |index: usize| {
            let at = prototype.at + TYPE_BYTES + index * PARAMETER_BYTES;
            let Scalar { ty, bytes, is_pointer, is_text } = self.scalar(prototype.btf.word(at + 4))?;
            let name = String::from_utf8_lossy(self.string(prototype.btf.word(at))).into_owned();
            Some(Parameter { name, ty, bytes, is_pointer, is_text })
        };
        // The parameter that stands for `...` has type 0, which is no scalar.
        let parameters: Vec<Parameter> = (0..count.min(MOST_PARAMETERS)).map_while(parameter).collect();
        let returned = prototype.size_or_type();
        let returns = self.scalar(returned).map(|scalar| (scalar.ty, scalar.bytes));
        let is_plain = parameters.len() == count && (returns.is_some() || returned == 0);
        Some(Signature { id, parameters, returns, is_plain })
    }

    fn scalar(&self, id: u32) -> Option<Scalar> {
        let found = self.bare(id)?;
        let number = |signed, bytes| {
            let ty = if signed { Type::Signed } else { Type::Unsigned };
            matches!(bytes, 1 | 2 | 4 | 8).then_some(Scalar { ty, bytes, is_pointer: false, is_text: false })
        };
        match found.kind() {
            KIND_INT => {
                let encoding = found.btf.word(found.at + TYPE_BYTES) >> 24;
                number(encoding & SIGNED != 0 && encoding & BOOL == 0, found.size_or_type())
            }
            // With the flag, one of the values is negative. Before 6.0 no kernel's BTF had it, and the bytes of a value
            // that is negative stay the same.
            KIND_ENUM | KIND_ENUM64 => number(found.info() >> 31 == 1, found.size_or_type()),
            KIND_PTR => {
                let target = self.bare(found.size_or_type());
                let is_text =
                    target.is_some_and(|target| target.kind() == KIND_INT && self.string(target.name()) == b"char");
                Some(Scalar { ty: Type::Unsigned, bytes: 8, is_pointer: true, is_text })
            }
            _ => None,
        }
    }

    /// What stands behind typedefs and qualifiers. `None`: void.
    fn bare(&self, mut id: u32) -> Option<At<'a>> {
        for _ in 0..MOST_NAMES {
            let found = self.find(id)?;
            match found.kind() {
                KIND_TYPEDEF | KIND_CONST | KIND_VOLATILE | KIND_RESTRICT | KIND_TYPE_TAG => id = found.size_or_type(),
                _ => return Some(found),
            }
        }
        None
    }

    fn find(&self, id: u32) -> Option<At<'a>> {
        let index = id.checked_sub(1)? as usize;
        let (btf, index) = match (index.checked_sub(self.kernel.types().len()), self.module) {
            (Some(index), Some(module)) => (module, index),
            _ => (self.kernel, index),
        };
        Some(At { btf, at: *btf.types().get(index)? as usize })
    }

    fn string(&self, offset: u32) -> &'a [u8] {
        match (offset.checked_sub(self.kernel.string_bytes()), self.module) {
            (Some(offset), Some(module)) => module.string(offset),
            _ => self.kernel.string(offset),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of BTF from its types and names.
    fn btf(types: &[u32], strings: &[u8]) -> Btf {
        let bytes = types.len() as u32 * 4;
        let header = [0x0001_eb9f, 24, 0, bytes, bytes, strings.len() as u32];
        let words = header.iter().chain(types).flat_map(|word| word.to_ne_bytes());
        Btf::parse(words.chain(strings.iter().copied()).collect()).unwrap()
    }

    fn name(strings: &[u8], wanted: &str) -> u32 {
        let wanted = [b"\0", wanted.as_bytes(), b"\0"].concat();
        strings.windows(wanted.len()).position(|window| window == wanted).unwrap() as u32 + 1
    }

    const STRINGS: &[u8] = b"\0int\0char\0bool\0size_t\0fd\0text\0flag\0mode\0at\0plain\0odd\0many\0prints\0nothing\0";

    fn kernel() -> Btf {
        let n = |wanted| name(STRINGS, wanted);
        let kind = |kind: u32, count: u32| kind << 24 | count;
        let mut types = vec![n("int"), kind(KIND_INT, 0), 4, 1 << 24 | 32]; // 1
        types.extend([n("char"), kind(KIND_INT, 0), 1, 1 << 24 | 8]); // 2
        types.extend([n("bool"), kind(KIND_INT, 0), 1, 4 << 24 | 8]); // 3
        types.extend([0, kind(KIND_CONST, 0), 2]); // 4: const char
        types.extend([0, kind(KIND_PTR, 0), 4]); // 5: const char *
        types.extend([n("size_t"), kind(KIND_TYPEDEF, 0), 7]); // 6
        types.extend([0, kind(KIND_INT, 0), 8, 64]); // 7: unsigned long
        types.extend([0, kind(KIND_ENUM, 1) | 1 << 31, 4, 0, u32::MAX]); // 8: enum { x = -1 }
        types.extend([0, kind(4, 0), 16]); // 9: a struct
        types.extend([0, kind(KIND_PTR, 0), 9]); // 10: a pointer to it
        types.extend([0, kind(KIND_FUNC_PROTO, 5), 6]); // 11
        types.extend([n("fd"), 1, n("text"), 5, n("flag"), 3, n("mode"), 8, n("at"), 10]);
        types.extend([0, kind(KIND_FUNC_PROTO, 3), 9, n("fd"), 1, n("at"), 9, n("mode"), 1]); // 12: struct (int, struct, int)
        types.extend([0, kind(KIND_FUNC_PROTO, 7), 1]); // 13: int (int x 7)
        types.extend([0, 1].repeat(7));
        types.extend([0, kind(KIND_FUNC_PROTO, 2), 1, n("text"), 5, 0, 0]); // 14: int (const char *, ...)
        types.extend([0, kind(KIND_FUNC_PROTO, 0), 0]); // 15: void (void)
        for (function, prototype) in [("plain", 11), ("odd", 12), ("many", 13), ("prints", 14), ("nothing", 15)] {
            types.extend([n(function), kind(KIND_FUNC, 0), prototype]); // 16 to 20
        }
        btf(&types, STRINGS)
    }

    fn parameter(name: &str, ty: Type, bytes: u32) -> Parameter {
        Parameter { name: name.into(), ty, bytes, is_pointer: false, is_text: false }
    }

    #[test]
    fn parameters_have_their_names_sizes_and_signs() {
        let found = signatures(&kernel(), &["plain", "nothing", "absent", "int"]);
        let pointer = |name, is_text| Parameter { is_pointer: true, is_text, ..parameter(name, Type::Unsigned, 8) };
        let parameters = vec![
            parameter("fd", Type::Signed, 4),
            pointer("text", true),
            parameter("flag", Type::Unsigned, 1),
            parameter("mode", Type::Signed, 4),
            pointer("at", false),
        ];
        let plain = Signature { id: 16, parameters, returns: Some((Type::Unsigned, 8)), is_plain: true };
        let nothing = Signature { id: 20, parameters: Vec::new(), returns: None, is_plain: true };
        assert_eq!(found, HashMap::from([("plain".into(), plain), ("nothing".into(), nothing)]));
    }

    #[test]
    fn only_registers_with_a_parameter_of_their_own_are_told() {
        let found = signatures(&kernel(), &["odd", "many", "prints"]);
        let told = |name: &str| {
            let Signature { parameters, returns, is_plain, .. } = &found[name];
            (parameters.len(), *returns, *is_plain)
        };
        let int = Some((Type::Signed, 4));
        assert_eq!(told("odd"), (1, None, false));
        assert_eq!(told("many"), (6, int, false));
        assert_eq!(told("prints"), (1, int, false));
    }

    #[test]
    fn types_of_a_module_go_on_where_the_kernels_end() {
        let kernel = kernel();
        let strings = b"\0nic\0xmit\0";
        let base = STRINGS.len() as u32;
        let mut words = vec![0, KIND_PTR << 24, 22]; // 21: a pointer to the next
        words.extend([base + 1, 4 << 24, 8]); // 22: struct nic
        words.extend([0, KIND_FUNC_PROTO << 24 | 2, 1, base + 1, 21, name(STRINGS, "fd"), 1]); // 23
        words.extend([base + 5, KIND_FUNC << 24, 23]); // 24
        let module = btf(&words, strings);
        let found = module_signatures(&kernel, &module, &["xmit", "plain"]);
        let nic = Parameter { is_pointer: true, ..parameter("nic", Type::Unsigned, 8) };
        let parameters = vec![nic, parameter("fd", Type::Signed, 4)];
        let xmit = Signature { id: 24, parameters, returns: Some((Type::Signed, 4)), is_plain: true };
        assert_eq!(found, HashMap::from([("xmit".into(), xmit)]));
    }

    #[test]
    fn a_ring_of_typedefs_is_no_scalar() {
        let strings = b"\0f\0";
        let types = [0, KIND_TYPEDEF << 24, 2, 0, KIND_TYPEDEF << 24, 1, 0, KIND_FUNC_PROTO << 24 | 1, 1, 0, 1];
        let mut types = types.to_vec();
        types.extend([1, KIND_FUNC << 24, 3]);
        let found = signatures(&btf(&types, strings), &["f"]);
        assert_eq!(found["f"], Signature { id: 4, parameters: Vec::new(), returns: None, is_plain: false });
    }

    /// Prototypes that system calls fix.
    #[test]
    fn functions_of_this_kernel_are_as_their_source_has_them() {
        let Ok(kernel) = Btf::of_running_kernel() else { return };
        let found = signatures(&kernel, &["vfs_read", "schedule"]);
        let read = &found["vfs_read"];
        let names: Vec<_> =
            read.parameters.iter().map(|parameter| (parameter.name.as_str(), parameter.is_text)).collect();
        assert_eq!(names, [("file", false), ("buf", true), ("count", false), ("pos", false)]);
        assert_eq!((read.returns, read.is_plain), (Some((Type::Signed, 8)), true));
        assert_eq!((found["schedule"].returns, found["schedule"].is_plain), (None, true));
    }
}
