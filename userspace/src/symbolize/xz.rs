//! An .xz file with one block in, as in `.gnu_debugdata`, its content out.
//! The decoder keeps all of its output in memory: the headers of the chunks are asked first how much that will be.

/// Some 50 times the symbol table of a large library.
const MOST_BYTES: usize = 64 << 20;
const STREAM_HEADER: usize = 12;

pub fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    let size = size(packed).filter(|size| *size <= MOST_BYTES)?;
    let mut unpacked = Vec::with_capacity(size);
    lzma_rs::xz_decompress(&mut &*packed, &mut unpacked).ok()?;
    Some(unpacked)
}

/// Bytes that the first block unpacks to; nothing where there are more blocks.
/// Source: the .xz file format 1.2.1, sections 2.1.1, 3 and 5.3.1; the LZMA2 chunks as in xz-embedded's xz_dec_lzma2.c.
fn size(packed: &[u8]) -> Option<usize> {
    let big = |at: usize| Some(usize::from(*packed.get(at)?) << 8 | usize::from(*packed.get(at + 1)?));
    let check_bytes = match packed.get(7)? & 0xf {
        0 => 0,
        1..=3 => 4,
        4..=6 => 8,
        _ => 32,
    };
    let block = STREAM_HEADER;
    let mut at = block + (usize::from(*packed.get(block)?) + 1) * 4;
    let mut size = 0usize;
    loop {
        let control = *packed.get(at)?;
        match control {
            0 => break,
            1 | 2 => {
                let bytes = big(at + 1)? + 1;
                size += bytes;
                at += 3 + bytes;
            }
            0x80.. => {
                size += (usize::from(control & 0x1f) << 16) + big(at + 1)? + 1;
                at += 5 + usize::from(control >= 0xc0) + big(at + 3)? + 1;
            }
            _ => return None,
        }
    }
    let index = (at + 1).next_multiple_of(4) + check_bytes;
    (*packed.get(index)? == 0).then_some(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut packed = Vec::new();
        lzma_rs::xz_compress(&mut &*bytes, &mut packed).unwrap();
        packed
    }

    #[test]
    fn what_was_packed_comes_out() {
        let bytes: Vec<u8> = (0..200_000u32).map(|at| (at.wrapping_mul(at) >> 7) as u8).collect();
        assert_eq!(unpack(&packed(&bytes)).unwrap(), bytes);
    }

    /// Made with `printf 'spoor %.0s' $(seq 500) | xz -9 --check=crc64`.
    #[test]
    fn what_xz_has_packed_comes_out() {
        assert_eq!(unpack(XZ).unwrap(), b"spoor ".repeat(500));
    }

    #[test]
    fn what_is_too_large_or_broken_does_not() {
        assert_eq!(unpack(&packed(&vec![0; MOST_BYTES + 1])), None);
        let good = packed(b"some bytes");
        for end in 0..good.len() {
            assert_eq!(unpack(&good[..end]), None);
        }
    }

    const XZ: &[u8] = &[
        0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x04, 0xe6, 0xd6, 0xb4, 0x46, 0x02, 0x00, 0x21, 0x01, 0x1c, 0x00,
        0x00, 0x00, 0x10, 0xcf, 0x58, 0xcc, 0xe0, 0x0b, 0xb7, 0x00, 0x1b, 0x5d, 0x00, 0x39, 0x9c, 0x0a, 0x34, 0xe9,
        0x0a, 0x08, 0x6d, 0xf2, 0xcf, 0x97, 0x46, 0x50, 0x90, 0x2e, 0xd6, 0x2f, 0xb3, 0x17, 0x9e, 0xdc, 0x94, 0x0f,
        0x98, 0x8b, 0xd2, 0x70, 0x00, 0x00, 0x13, 0xb9, 0x31, 0xef, 0x0f, 0xcc, 0xcf, 0x72, 0x00, 0x01, 0x37, 0xb8,
        0x17, 0x00, 0x00, 0x00, 0x3b, 0xcf, 0x53, 0x37, 0xb1, 0xc4, 0x67, 0xfb, 0x02, 0x00, 0x00, 0x00, 0x00, 0x04,
        0x59, 0x5a,
    ];
}
