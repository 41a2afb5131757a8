//! Files of code that processes have mapped: kept open, so that they have names after the process, and its files, are
//! gone. A file that was not needed for the longest time makes room for a new one.
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use super::elf::Bytes;
use super::image::Image;

/// A file, open or not. Another content has another id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileId(u32);

/// The number of an inode is given away again when nobody has it open: the rest tells a new file from an old one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Identity {
    device: u64,
    inode: u64,
    bytes: u64,
    written_ns: (i64, i64),
}

impl Identity {
    fn of(file: &File) -> Option<Identity> {
        let found = file.metadata().ok()?;
        Some(Identity {
            device: found.dev(),
            inode: found.ino(),
            bytes: found.size(),
            written_ns: (found.mtime(), found.mtime_nsec()),
        })
    }
}

pub struct Files {
    ids: HashMap<Identity, FileId>,
    slots: Vec<Slot>,
    /// Of the slots that have a file.
    open: Vec<FileId>,
    /// Files open in all.
    count: usize,
    most: usize,
    now: u64,
}

#[derive(Default)]
struct Slot {
    file: Option<Arc<File>>,
    /// Of the file.
    identity: Option<Identity>,
    image: Option<Image>,
    used: u64,
}

impl Slot {
    fn count(&self) -> usize {
        usize::from(self.file.is_some()) + self.image.as_ref().map_or(0, Image::open_files)
    }
}

impl Files {
    pub fn new(most: usize) -> Files {
        Files { ids: HashMap::new(), slots: Vec::new(), open: Vec::new(), count: 0, most, now: 0 }
    }

    /// Keeps a file, or the one that it has of the same content.
    pub fn keep(&mut self, file: File) -> Option<FileId> {
        let identity = Identity::of(&file)?;
        let id = *self.ids.entry(identity.clone()).or_insert_with(|| {
            self.slots.push(Slot::default());
            FileId(self.slots.len() as u32 - 1)
        });
        self.now += 1;
        let slot = &mut self.slots[id.0 as usize];
        slot.used = self.now;
        if slot.file.is_none() {
            slot.file = Some(Arc::new(file));
            slot.identity = Some(identity);
            self.open.push(id);
            self.count += 1;
            self.make_room(id);
        }
        Some(id)
    }

    /// The file of these numbers, if it is open already and nobody has written to it: an open file's are nobody else's.
    pub fn find(&mut self, device: (u32, u32), inode: u64) -> Option<FileId> {
        let id = *self.open.iter().find(|id| {
            let identity = self.slots[id.0 as usize].identity.as_ref();
            identity.is_some_and(|known| {
                known.inode == inode && (libc::major(known.device), libc::minor(known.device)) == device
            })
        })?;
        self.now += 1;
        let slot = &mut self.slots[id.0 as usize];
        slot.used = self.now;
        (Identity::of(slot.file.as_ref()?) == slot.identity).then_some(id)
    }

    /// The file's symbols. `reopen`: where it may still be, if it had to make room; `read`: how to read it.
    pub fn image(
        &mut self,
        id: FileId,
        reopen: impl FnOnce() -> Option<File>,
        read: impl FnOnce(&Bytes) -> Image,
    ) -> Option<&Image> {
        // Another file of that name is kept under its own id, and is not this one.
        if self.slots[id.0 as usize].file.is_none() && self.keep(reopen()?)? != id {
            return None;
        }
        self.now += 1;
        let slot = &mut self.slots[id.0 as usize];
        slot.used = self.now;
        let file = slot.file.as_ref()?;
        if slot.image.is_none() {
            let before = slot.count();
            slot.image = Some(read(&Bytes::File(Arc::clone(file))));
            self.count += slot.count() - before;
            self.make_room(id);
        }
        self.slots[id.0 as usize].image.as_ref()
    }

    fn make_room(&mut self, needed: FileId) {
        while self.count > self.most {
            let others = self.open.iter().enumerate().filter(|(_, id)| **id != needed);
            let Some((at, _)) = others.min_by_key(|(_, id)| self.slots[id.0 as usize].used) else { return };
            let slot = &mut self.slots[self.open.swap_remove(at).0 as usize];
            self.count -= slot.count();
            *slot = Slot::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> (std::path::PathBuf, File) {
        let path = std::env::temp_dir().join(format!("spoor-files-{}-{name}", std::process::id()));
        std::fs::write(&path, name).unwrap();
        let file = File::open(&path).unwrap();
        (path, file)
    }

    /// Keeps three files where there is room for two; the first can be opened again only as long as it is there.
    #[test]
    fn the_file_not_needed_for_longest_makes_room() {
        let mut files = Files::new(2);
        let (path, first) = file("first");
        let first = files.keep(first).unwrap();
        let (second_path, second) = file("second");
        let second = files.keep(second).unwrap();
        let (third_path, third) = file("third");
        files.keep(third).unwrap();
        assert_eq!((files.count, files.open.len()), (2, 2));
        let again = |path: std::path::PathBuf| move || File::open(path).ok();
        assert!(files.image(first, again(path.clone()), |_| Image::default()).is_some());
        assert_eq!(files.count, 2);
        std::fs::write(&second_path, "another content").unwrap();
        assert!(files.image(second, again(second_path.clone()), |_| Image::default()).is_none());
        for path in [path, second_path, third_path] {
            std::fs::remove_file(path).unwrap();
        }
    }

    #[test]
    fn an_open_file_is_found_by_its_numbers_as_long_as_it_is_the_same() {
        let mut files = Files::new(8);
        let (path, one) = file("numbers");
        let found = one.metadata().unwrap();
        let device = (libc::major(found.dev()), libc::minor(found.dev()));
        let id = files.keep(one).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(files.find(device, found.ino()), Some(id));
        assert_eq!(files.find((device.0, device.1 + 1), found.ino()), None);
        assert_eq!(files.find(device, found.ino() + 1), None);
        let (path, two) = file("numbers");
        let number = two.metadata().unwrap().ino();
        files.keep(two).unwrap();
        std::fs::write(&path, "another content").unwrap();
        assert_eq!(files.find(device, number), None);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn the_same_file_is_kept_once() {
        let mut files = Files::new(8);
        let (path, one) = file("same");
        let id = files.keep(one).unwrap();
        assert_eq!(files.keep(File::open(&path).unwrap()), Some(id));
        assert_eq!(files.count, 1);
        std::fs::remove_file(path).unwrap();
    }
}
