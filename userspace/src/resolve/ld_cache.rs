//! The dynamic linker's cache in, the files that it finds by a name out.
//! Source: glibc's sysdeps/generic/dl-cache.h: struct cache_file, struct cache_file_new.

const OLD_MAGIC: &[u8] = b"ld.so-1.7.0\0";
const OLD_ENTRY: usize = 12;
const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const HEADER: usize = 48;
const ENTRY: usize = 24;
/// For libraries of glibc in ELF, for this machine; others are of another ABI (i386, x32).
#[cfg(target_arch = "x86_64")]
const FLAGS: u32 = 0x0303;
#[cfg(target_arch = "aarch64")]
const FLAGS: u32 = 0x0a03;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const FLAGS: u32 = 0x0003;

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Cache {
    /// Names and paths, as they are sorted there: those for newer processors stand before those for all.
    entries: Vec<(String, String)>,
}

impl Cache {
    /// What is no cache has nothing.
    pub fn read(bytes: &[u8]) -> Cache {
        Cache { entries: entries(bytes).unwrap_or_default() }
    }

    pub fn find(&self, is_wanted: impl Fn(&str) -> bool) -> impl Iterator<Item = &str> {
        self.entries.iter().filter(move |(name, _)| is_wanted(name)).map(|(_, path)| path.as_str())
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| name.as_str())
    }
}

fn entries(bytes: &[u8]) -> Option<Vec<(String, String)>> {
    let word = |bytes: &[u8], at: usize| Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
    let mut cache = bytes;
    if bytes.starts_with(OLD_MAGIC) {
        let count = word(bytes, OLD_MAGIC.len())? as usize;
        let end = count.checked_mul(OLD_ENTRY)?.checked_add(OLD_MAGIC.len() + 4)?.next_multiple_of(8);
        cache = bytes.get(end..)?;
    }
    if !cache.starts_with(MAGIC) {
        return None;
    }
    let count = word(cache, MAGIC.len())? as usize;
    let text = |at: u32| {
        let rest = cache.get(at as usize..)?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        Some(String::from_utf8_lossy(&rest[..end]).into_owned())
    };
    let table = cache.get(HEADER..)?.chunks_exact(ENTRY).take(count);
    let ours = table.filter(|entry| word(entry, 0) == Some(FLAGS));
    Some(ours.filter_map(|entry| Some((text(word(entry, 4)?)?, text(word(entry, 8)?)?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cache of entries with flags, name, path.
    fn cache(entries: &[(u32, &str, &str)]) -> Vec<u8> {
        let mut head = MAGIC.to_vec();
        head.extend((entries.len() as u32).to_ne_bytes());
        head.resize(HEADER, 0);
        let strings_at = HEADER + ENTRY * entries.len();
        let mut strings = Vec::new();
        for (flags, name, path) in entries {
            head.extend(flags.to_ne_bytes());
            for text in [name, path] {
                head.extend(((strings_at + strings.len()) as u32).to_ne_bytes());
                strings.extend(text.as_bytes());
                strings.push(0);
            }
            head.extend([0; 12]);
        }
        head.extend(strings);
        head
    }

    #[test]
    fn files_of_other_machines_are_left_out() {
        let found = Cache::read(&cache(&[
            (FLAGS, "libc.so.6", "/lib/v3/libc.so.6"),
            (FLAGS, "libc.so.6", "/lib/libc.so.6"),
            (0x0803, "libc.so.6", "/libx32/libc.so.6"),
            (FLAGS, "libm.so.6", "/lib/libm.so.6"),
        ]));
        let paths: Vec<&str> = found.find(|name| name == "libc.so.6").collect();
        assert_eq!(paths, ["/lib/v3/libc.so.6", "/lib/libc.so.6"]);
        assert_eq!(found.names().count(), 3);
    }

    #[test]
    fn a_cache_of_the_old_format_may_stand_before() {
        let new = cache(&[(FLAGS, "libc.so.6", "/lib/libc.so.6")]);
        let mut both = OLD_MAGIC.to_vec();
        both.extend(1u32.to_ne_bytes());
        both.extend([0; OLD_ENTRY]);
        both.resize(both.len().next_multiple_of(8), 0);
        both.extend(&new);
        assert_eq!(Cache::read(&both), Cache::read(&new));
        assert_eq!(Cache::read(&new).entries.len(), 1);
    }

    #[test]
    fn a_broken_cache_has_what_is_whole() {
        let whole = cache(&[(FLAGS, "libc.so.6", "/lib/libc.so.6"), (FLAGS, "libm.so.6", "/lib/libm.so.6")]);
        for end in 0..whole.len() {
            assert!(Cache::read(&whole[..end]).entries.len() < 2);
        }
        let mut many = whole.clone();
        many[MAGIC.len()..][..4].fill(0xff);
        assert!(Cache::read(&many).entries.len() >= 2);
        assert_eq!(Cache::read(&[OLD_MAGIC, &[0xff; 4][..]].concat()), Cache::default());
    }
}
