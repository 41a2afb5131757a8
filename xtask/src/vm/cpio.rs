//! The archive that the kernel unpacks as its first root: files in, cpio "newc" bytes out.
//! Source: v6.12 Documentation/driver-api/early-userspace/buffer-format.rst.

const TYPE_DIR: u32 = 0o040000;
const TYPE_CHAR: u32 = 0o020000;
const TYPE_FILE: u32 = 0o100000;

#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    /// Number of the last entry; the kernel takes equal ones for hard links.
    inode: u32,
}

impl Archive {
    /// Paths have no leading `/`, and their parents come first.
    pub fn dir(&mut self, path: &str) {
        self.entry(path, TYPE_DIR | 0o755, (0, 0), &[]);
    }

    pub fn program(&mut self, path: &str, bytes: &[u8]) {
        self.entry(path, TYPE_FILE | 0o755, (0, 0), bytes);
    }

    pub fn char_device(&mut self, path: &str, major: u32, minor: u32) {
        self.entry(path, TYPE_CHAR | 0o600, (major, minor), &[]);
    }

    /// The archive, not compressed: QEMU copies it at once, the emulated CPU would unpack slowly.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), bytes: &[u8]) {
        self.inode += 1;
        let size = u32::try_from(bytes.len()).expect("newc ends at 4 GiB");
        let name_size = path.len() as u32 + 1;
        let (uid, gid, links, mtime, check) = (0, 0, 1, 0, 0);
        let fields = [self.inode, mode, uid, gid, links, mtime, size, 0, 0, device.0, device.1, name_size, check];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(bytes);
        self.pad();
    }

    /// Names and contents end on a multiple of 4.
    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpio_of_one_file_is_the_bytes_of_the_format() {
        let mut archive = Archive::default();
        archive.program("init", b"hello");
        let bytes = archive.finish();
        let header = "070701\
            00000001000081ed00000000000000000000000100000000\
            0000000500000000000000000000000000000000\
            0000000500000000";
        assert_eq!(&bytes[..110], header.as_bytes());
        assert_eq!(&bytes[110..116], b"init\0\0"); // 110 + 5 is padded to 116
        assert_eq!(&bytes[116..124], b"hello\0\0\0");
        assert_eq!(&bytes[124..130], b"070701");
        assert!(bytes.ends_with(b"TRAILER!!!\0\0\0\0"));
        assert_eq!(bytes.len() % 4, 0);
    }

    #[test]
    fn cpio_entries_have_their_names_modes_and_own_inodes() {
        let mut archive = Archive::default();
        archive.dir("dev");
        archive.char_device("dev/console", 5, 1);
        let bytes = archive.finish();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.starts_with("07070100000001000041ed"));
        let device = &text[116..];
        assert!(device.starts_with("0707010000000200002180"), "{device}");
        assert_eq!(&device[78..94], "0000000500000001");
    }
}
