//! A number in, the names of its bits or of its value out, as strace writes them.
use super::write::hex;

/// Names of bits or of values. Wider names stand before those that they contain.
pub struct Flags {
    pub known: &'static [(u64, &'static str)],
    /// What strace calls one that it does not know: `O_???`.
    pub unknown: &'static str,
}

impl Flags {
    /// `A|B|0x80`; the name of 0 or `0` where no bit is set; `0x80 /* X_??? */` where none has a name.
    pub fn bits(&self, out: &mut Vec<u8>, value: u64) {
        if !self.some_bits(out, value) {
            self.stranger(out, value);
        }
    }

    /// The bits of `value` after others: `|A|B|0x80`, or nothing.
    pub fn more_bits(&self, out: &mut Vec<u8>, value: u64) {
        if value != 0 {
            out.push(b'|');
            if !self.some_bits(out, value) {
                hex(out, value);
            }
        }
    }

    /// The name of exactly this value.
    pub fn value(&self, out: &mut Vec<u8>, value: u64) {
        match self.name(value) {
            Some(name) => out.extend_from_slice(name.as_bytes()),
            None => self.stranger(out, value),
        }
    }

    pub fn name(&self, value: u64) -> Option<&'static str> {
        self.known.iter().find(|(known, _)| *known == value).map(|(_, name)| *name)
    }

    /// Says false, and writes nothing, where no bit has a name.
    fn some_bits(&self, out: &mut Vec<u8>, value: u64) -> bool {
        if value == 0 {
            out.extend_from_slice(self.name(0).unwrap_or("0").as_bytes());
            return true;
        }
        let (mut rest, mut first) = (value, true);
        for (bits, name) in self.known {
            if *bits != 0 && rest & bits == *bits {
                if !std::mem::take(&mut first) {
                    out.push(b'|');
                }
                out.extend_from_slice(name.as_bytes());
                rest &= !bits;
            }
        }
        if !first && rest != 0 {
            out.push(b'|');
            hex(out, rest);
        }
        !first
    }

    fn stranger(&self, out: &mut Vec<u8>, value: u64) {
        hex(out, value);
        out.extend_from_slice(b" /* ");
        out.extend_from_slice(self.unknown.as_bytes());
        out.extend_from_slice(b" */");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCESS: Flags = Flags { known: &[(0, "F_OK"), (4, "R_OK"), (2, "W_OK")], unknown: "?_OK" };

    fn bits(value: u64) -> String {
        let mut out = Vec::new();
        ACCESS.bits(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn bits_without_a_name_stay_visible() {
        assert_eq!(bits(0), "F_OK");
        assert_eq!(bits(6), "R_OK|W_OK");
        assert_eq!(bits(0x46), "R_OK|W_OK|0x40");
        assert_eq!(bits(0x40), "0x40 /* ?_OK */");
    }
}
