//! An ELF file in, the sections of its DWARF that tell lines out, unpacked.
//! Reads and never maps, as `symbolize::elf` does.
use std::io::Read;

use flate2::read::ZlibDecoder;
use gimli::{Dwarf, DwarfSections, EndianSlice, RunTimeEndian, SectionId};
use object::{CompressionFormat, Object, ObjectSection, ReadCache, ReadRef};

use crate::symbolize::elf::Bytes;

pub type Reader<'a> = EndianSlice<'a, RunTimeEndian>;

/// Of all sections together: a file that says more wants our memory.
const MOST_BYTES: u64 = 4 << 30;

const WANTED: [SectionId; 9] = [
    SectionId::DebugAbbrev,
    SectionId::DebugAddr,
    SectionId::DebugInfo,
    SectionId::DebugLine,
    SectionId::DebugLineStr,
    SectionId::DebugRanges,
    SectionId::DebugRngLists,
    SectionId::DebugStr,
    SectionId::DebugStrOffsets,
];

pub struct Sections {
    loaded: DwarfSections<Vec<u8>>,
    endian: RunTimeEndian,
}

impl Sections {
    /// Errors: why it cannot be read, in words.
    pub fn read(bytes: &Bytes) -> Result<Sections, String> {
        match bytes {
            Bytes::File(file) => {
                let length = file.metadata().map_err(|error| error.to_string())?.len();
                Sections::of(&ReadCache::new(&**file), bytes, length)
            }
            Bytes::Memory(memory) => Sections::of(&**memory, bytes, memory.len() as u64),
        }
    }

    fn of<'data>(data: impl ReadRef<'data>, bytes: &Bytes, length: u64) -> Result<Sections, String> {
        let file = object::File::parse(data).map_err(|error| error.to_string())?;
        let mut left = MOST_BYTES;
        let load = |id: SectionId| -> Result<Vec<u8>, String> {
            let Some(section) = WANTED.contains(&id).then(|| file.section_by_name(id.name())).flatten() else {
                return Ok(Vec::new());
            };
            let at = section.compressed_file_range().map_err(|error| error.to_string())?;
            let end = at.offset.checked_add(at.compressed_size).filter(|end| *end <= length);
            let (Some(end), Some(rest)) = (end, left.checked_sub(at.uncompressed_size)) else {
                return Err(format!("{} is {} bytes", id.name(), at.uncompressed_size));
            };
            left = rest;
            let stored = bytes.read(&(at.offset..end));
            match at.format {
                CompressionFormat::None => Ok(stored),
                CompressionFormat::Zlib => {
                    unpacked(&stored, at.uncompressed_size).map_err(|error| format!("unpack {}: {error}", id.name()))
                }
                _ => Err(format!("{} is packed in another way than zlib", id.name())),
            }
        };
        let loaded = DwarfSections::load(load)?;
        let endian = if file.is_little_endian() { RunTimeEndian::Little } else { RunTimeEndian::Big };
        Ok(Sections { loaded, endian })
    }

    pub fn dwarf(&self) -> Dwarf<Reader<'_>> {
        self.loaded.borrow(|section| EndianSlice::new(section, self.endian))
    }
}

/// At most as much as is said.
fn unpacked(stored: &[u8], size: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    ZlibDecoder::new(stored).take(size).read_to_end(&mut bytes)?;
    Ok(bytes)
}
