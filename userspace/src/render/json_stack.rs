//! A stack as an object of JSON; what is not known is left out.
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::symbolize::frame::{Frame, Inlined, Place, Source, Stack, Unknown};

pub struct StackObject<'a>(pub &'a Stack);

impl Serialize for StackObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let stack = self.0;
        let mut map = serializer.serialize_map(Some(5))?;
        map.serialize_entry("kernel", &Frames(&stack.kernel))?;
        map.serialize_entry("user", &Frames(&stack.user))?;
        map.serialize_entry("cut", &(stack.kernel_cut || stack.user_cut))?;
        map.serialize_entry("broken", &stack.user_broken)?;
        map.serialize_entry("lost", &(stack.kernel_lost || stack.user_lost))?;
        map.end()
    }
}

struct Frames<'a>(&'a [Frame]);

impl Serialize for Frames<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(FrameObject))
    }
}

struct FrameObject<'a>(&'a Frame);

impl Serialize for FrameObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let frame = self.0;
        let mut map = serializer.serialize_map(None)?;
        // Not a number: readers with 53 bits for one would round it.
        map.serialize_entry("address", &format_args!("{:#x}", frame.address))?;
        match &frame.place {
            Place::Symbol { module, name, offset } => {
                map.serialize_entry("module", module)?;
                map.serialize_entry("symbol", name)?;
                map.serialize_entry("offset", offset)?;
            }
            Place::Offset { module, offset, why } => {
                map.serialize_entry("module", module)?;
                map.serialize_entry("offset", offset)?;
                map.serialize_entry("why", name(*why))?;
            }
            Place::Address { why } => map.serialize_entry("why", name(*why))?,
        }
        source(&mut map, frame.source.as_ref())?;
        if !frame.inlined.is_empty() {
            map.serialize_entry("inlined", &InlinedList(&frame.inlined))?;
        }
        map.end()
    }
}

struct InlinedList<'a>(&'a [Inlined]);

impl Serialize for InlinedList<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(InlinedObject))
    }
}

struct InlinedObject<'a>(&'a Inlined);

impl Serialize for InlinedObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("symbol", &self.0.name)?;
        source(&mut map, self.0.source.as_ref())?;
        map.end()
    }
}

fn source<M: SerializeMap>(map: &mut M, source: Option<&Source>) -> Result<(), M::Error> {
    let Some(Source { file, line }) = source else { return Ok(()) };
    map.serialize_entry("file", file)?;
    line.as_ref().map_or(Ok(()), |line| map.serialize_entry("line", line))
}

fn name(why: Unknown) -> &'static str {
    match why {
        Unknown::Stripped => "stripped",
        Unknown::NoFile => "no_file",
        Unknown::NoMapping => "no_mapping",
        Unknown::NotCode => "not_code",
        Unknown::NoPerfMap => "no_perf_map",
        Unknown::ProcessGone => "process_gone",
        Unknown::Denied => "denied",
        Unknown::KernelHidden => "kernel_hidden",
    }
}
