//! A provider's object made ready: constants set, maps made, the clause put in its place, programs loaded.
//! Not aya's loader: it parses the kernel's whole BTF and cannot splice. Its parser and its relocations serve.
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result, anyhow};
use aya_obj::Object;
use aya_obj::generated::bpf_insn;

use super::path::Hook;
use crate::program::insn::{Insn, MapName};
use crate::program::splice::{self, Part};
use crate::sys::bpf::{self, LoadError, MapSpec, ProgramSpec};

/// Maps by name.
pub type Maps = HashMap<String, OwnedFd>;

/// A parsed object whose maps exist.
pub struct Linked {
    object: Object,
    pub maps: Maps,
}

/// The maps that only the clause refers to.
pub trait ClauseMaps {
    fn descriptor(&self, name: MapName) -> Option<BorrowedFd<'_>>;
}

impl Linked {
    /// `shared` and `own`: constants by symbol; one of its own that the object does not have is an error of ours.
    /// `entries`: sizes that differ from what the object says. `on_demand`: maps whose memory is taken as they fill.
    pub fn new<'a>(
        object: &[u8],
        shared: &'a [(&'a str, Vec<u8>)],
        own: &'a [(&'a str, Vec<u8>)],
        entries: &[(&str, u32)],
        on_demand: &[&str],
    ) -> Result<Linked> {
        let mut object = Object::parse(object).context("parse the built-in object")?;
        let given = |globals: &'a [(&'a str, Vec<u8>)], must_exist: bool| {
            globals.iter().map(move |(name, bytes)| (*name, (bytes.as_slice(), must_exist)))
        };
        let globals = given(shared, false).chain(given(own, true)).collect();
        object.patch_map_data(globals).context("set the object's constants")?;
        let mut maps = Maps::new();
        // In the order of names: the first that is refused is named in the error, and that should not be a matter of luck.
        for (name, map) in object.maps.iter().collect::<BTreeMap<_, _>>() {
            let max_entries =
                entries.iter().find(|(n, _)| n == name).map_or(map.max_entries(), |(_, entries)| *entries);
            let data = map.data();
            let fd = bpf::map_create(&MapSpec {
                name,
                map_type: map.map_type(),
                key_bytes: map.key_size(),
                value_bytes: map.value_size(),
                max_entries,
                flags: map.map_flags() | if on_demand.contains(&name.as_str()) { bpf::F_NO_PREALLOC } else { 0 },
                inner: None,
            })
            .with_context(|| format!("create map `{name}`"))?;
            // Only sections of constants have contents.
            if !data.is_empty() {
                bpf::map_update(fd.as_fd(), &0u32.to_ne_bytes(), data).with_context(|| format!("fill map `{name}`"))?;
                bpf::map_freeze(fd.as_fd()).with_context(|| format!("freeze map `{name}`"))?;
            }
            maps.insert(name.clone(), fd);
        }
        let text: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
        let definitions = object.maps.clone();
        object
            .relocate_maps(definitions.iter().map(|(name, map)| (name.as_str(), maps[name].as_raw_fd(), map)), &text)
            .map_err(|error| anyhow!("relocate maps: {error}"))?;
        object.relocate_calls(&text).map_err(|error| anyhow!("relocate calls: {error}"))?;
        Ok(Linked { object, maps })
    }

    pub fn map(&self, name: &str) -> Result<BorrowedFd<'_>> {
        self.maps.get(name).map(AsFd::as_fd).ok_or_else(|| anyhow!("the object has no map `{name}`"))
    }

    /// The finished instructions of one program, with these parts in the places of their markers.
    pub fn instructions(&self, program: &str, parts: &[Part], clause_maps: &impl ClauseMaps) -> Result<Vec<Insn>> {
        let definition =
            self.object.programs.get(program).ok_or_else(|| anyhow!("the object has no program `{program}`"))?;
        let function = self
            .object
            .functions
            .get(&definition.function_key())
            .ok_or_else(|| anyhow!("program `{program}` has no code"))?;
        let host: Vec<Insn> = function.instructions.iter().map(insn).collect();
        for (_, name) in parts.iter().flat_map(|part| &part.code.maps) {
            if clause_maps.descriptor(*name).is_none() {
                return Err(anyhow!("the clause refers to {name:?}, which does not exist"));
            }
        }
        splice::splice(&host, parts, |name| clause_maps.descriptor(name).map_or(-1, |fd| fd.as_raw_fd()))
            .with_context(|| format!("link the clause into `{program}`"))
    }

    pub fn license(&self) -> &CString {
        &self.object.license
    }
}

fn insn(insn: &bpf_insn) -> Insn {
    Insn { code: insn.code, dst: insn.dst_reg(), src: insn.src_reg(), off: insn.off, imm: insn.imm }
}

/// Loads a tracepoint program; `btf_id` is that of the tracepoint's prototype, for typed pointers.
pub fn load(
    name: &str,
    insns: &[Insn],
    license: &CString,
    hook: Hook,
    btf_id: Option<u32>,
    log: bool,
) -> std::result::Result<OwnedFd, LoadError> {
    let (program_type, attach_type, attach_btf_id) = match hook {
        Hook::Typed => (bpf::PROG_TYPE_TRACING, bpf::ATTACH_TRACE_RAW_TP, btf_id.unwrap_or(0)),
        Hook::Entry => (bpf::PROG_TYPE_TRACING, bpf::ATTACH_TRACE_FENTRY, btf_id.unwrap_or(0)),
        Hook::Return => (bpf::PROG_TYPE_TRACING, bpf::ATTACH_TRACE_FEXIT, btf_id.unwrap_or(0)),
        Hook::Raw => (bpf::PROG_TYPE_RAW_TRACEPOINT, 0, 0),
        Hook::Classic => (bpf::PROG_TYPE_TRACEPOINT, 0, 0),
    };
    bpf::prog_load(&ProgramSpec { name, program_type, attach_type, attach_btf_id, insns, license }, log)
}

/// Loads a program for samples of perf events.
pub fn load_sampler(
    name: &str,
    insns: &[Insn],
    license: &CString,
    log: bool,
) -> std::result::Result<OwnedFd, LoadError> {
    let program_type = bpf::PROG_TYPE_PERF_EVENT;
    bpf::prog_load(&ProgramSpec { name, program_type, attach_type: 0, attach_btf_id: 0, insns, license }, log)
}
