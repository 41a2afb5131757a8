//! The values of an enum of the running kernel, by name.
use super::{Btf, KIND_ENUM, TYPE_BYTES};

impl Btf {
    /// Names and values of enum `name`; empty: this kernel has none.
    pub fn enumerators(&self, name: &str) -> Vec<(String, u32)> {
        const ENUMERATOR_BYTES: usize = 8;
        let is_it = |at: &&u32| self.kind_at(**at as usize) == KIND_ENUM && self.has_name(**at as usize, name);
        let Some(at) = self.types.iter().find(is_it).map(|at| *at as usize) else { return Vec::new() };
        let count = (self.word(at + 4) & 0xffff) as usize;
        let enumerator = |index| {
            let at = at + TYPE_BYTES + index * ENUMERATOR_BYTES;
            (String::from_utf8_lossy(self.string(self.word(at))).into_owned(), self.word(at + 4))
        };
        (0..count).map(enumerator).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_their_names() {
        let strings = b"\0reason\0NOT_YET\0NO_SOCKET\0";
        let name = |wanted: &str| strings.windows(wanted.len()).position(|w| w == wanted.as_bytes()).unwrap() as u32;
        let types = [0, 1 << 24, 4, 32, name("reason"), 6 << 24 | 2, 4, name("NOT_YET"), 0, name("NO_SOCKET"), 3];
        let header = [0x0001_eb9fu32, 24, 0, types.len() as u32 * 4, types.len() as u32 * 4, strings.len() as u32];
        let mut file: Vec<u8> = header.iter().chain(&types).flat_map(|word| word.to_ne_bytes()).collect();
        file.extend(strings);
        let btf = Btf::parse(file).unwrap();
        assert_eq!(btf.enumerators("reason"), [("NOT_YET".to_owned(), 0), ("NO_SOCKET".to_owned(), 3)]);
        assert_eq!(btf.enumerators("other"), []);
    }
}
