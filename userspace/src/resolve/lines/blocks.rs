//! Addresses in, what they belong to out: the function, or the place where one was inlined.
use gimli::{
    AttributeValue, DW_AT_high_pc, DW_AT_low_pc, DW_AT_ranges, DW_TAG_inlined_subroutine, DW_TAG_subprogram,
    DebuggingInformationEntry, Dwarf, Unit, UnitHeader,
};

use super::sections::Reader;

/// A file may say that each of its functions is everywhere.
const MOST_RANGES: usize = 1 << 22;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Block {
    /// By its unit, and where that describes it.
    Entry(usize, usize),
    /// By its start, where DWARF does not have it.
    Function(u64),
}

/// `addresses` ascend. Of each the innermost goes into `found`.
pub fn find(
    dwarf: &Dwarf<Reader>,
    header: &UnitHeader<Reader>,
    addresses: &[u64],
    found: &mut [Option<usize>],
) -> gimli::Result<()> {
    let unit = dwarf.unit(*header)?;
    let mut entries = unit.entries();
    let mut left = MOST_RANGES;
    // What is inside of another one comes after it.
    while let Some(entry) = entries.next_dfs()? {
        let tag = entry.tag();
        if tag != DW_TAG_subprogram && tag != DW_TAG_inlined_subroutine {
            continue;
        }
        let offset = entry.offset().0;
        ranges(dwarf, &unit, entry, &mut left, |start, end| {
            let first = addresses.partition_point(|address| *address < start);
            let after = addresses.partition_point(|address| *address < end);
            found.get_mut(first..after).unwrap_or_default().fill(Some(offset));
        })?;
    }
    Ok(())
}

fn ranges(
    dwarf: &Dwarf<Reader>,
    unit: &Unit<Reader>,
    entry: &DebuggingInformationEntry<Reader>,
    left: &mut usize,
    mut visit: impl FnMut(u64, u64),
) -> gimli::Result<()> {
    if let Some(value) = entry.attr_value(DW_AT_ranges)
        && let Some(mut ranges) = dwarf.attr_ranges(unit, value)?
    {
        while *left > 0
            && let Some(range) = ranges.next()?
        {
            *left -= 1;
            visit(range.begin, range.end);
        }
        return Ok(());
    }
    let Some(low) = entry.attr_value(DW_AT_low_pc) else { return Ok(()) };
    let Some(start) = dwarf.attr_address(unit, low)? else { return Ok(()) };
    match entry.attr_value(DW_AT_high_pc) {
        Some(AttributeValue::Udata(bytes)) => visit(start, start.saturating_add(bytes)),
        Some(end) => {
            if let Some(end) = dwarf.attr_address(unit, end)? {
                visit(start, end);
            }
        }
        None => {}
    }
    Ok(())
}
