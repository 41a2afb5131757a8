//! A stack in dtrace's layout: a frame a line, leaf first, the kernel's half above the user's; what cannot be named has
//! its reason under the stack.
//!
//! Source: libdtrace/dt_consume.c, dt_print_stack and dt_print_ustack. Source lines and inlined functions are ours.
use std::fmt::Write;

use super::escape::push_name;
use super::steps::{self, Step};
use super::text::{push_int, push_spaces};
use crate::symbolize::frame::{Frame, Inlined, Place, Source, Stack, Unknown};

/// dtrace's `stackindent`.
pub const INDENT: usize = 14;

pub fn push(out: &mut String, stack: &Stack) {
    push_half(out, &stack.kernel, stack.kernel_cut);
    if stack.kernel_lost {
        annotate(out, |out| out.push_str("kernel stack lost"));
    }
    push_half(out, &stack.user, stack.user_cut);
    if stack.user_lost {
        annotate(out, |out| out.push_str("user stack lost"));
    }
    if stack.user_broken {
        annotate(out, |out| out.push_str("user stack ends early: no frame pointers"));
    } else if stack.is_empty() {
        annotate(out, |out| out.push_str("no frames"));
    }
    push_reasons(out, stack);
}

/// Appends a stack on one line, root first, with all that tells it from others.
pub fn push_line(out: &mut String, stack: &Stack) {
    for (index, step) in steps::of_stack(stack).into_iter().enumerate() {
        if index > 0 {
            out.push(steps::SEPARATOR);
        }
        let start = out.len();
        match step {
            Step::Mark(mark) => out.push_str(mark),
            Step::Frame(frame, _) => push_place(out, frame),
            Step::Inlined(frame, inlined) => push_inlined(out, frame, inlined),
        }
        steps::replace_separators(out, start);
    }
}

/// Appends the unnamed frame's place: `` module`0xoffset `` or `0xaddress`.
pub fn push_unnamed(out: &mut String, frame: &Frame, separator: char) {
    match &frame.place {
        Place::Offset { module, offset, .. } => {
            push_name(out, module.as_bytes());
            out.push(separator);
            push_hex(out, *offset);
        }
        _ => push_hex(out, frame.address),
    }
}

fn push_hex(out: &mut String, n: u64) {
    write!(out, "{n:#x}").expect("a string takes any text");
}

fn push_half(out: &mut String, frames: &[Frame], is_cut: bool) {
    frames.iter().for_each(|frame| push_frame(out, frame));
    if is_cut {
        annotate(out, |out| {
            out.push_str("deeper: cut at ");
            push_int(out, frames.len() as i128);
            out.push_str(if frames.len() == 1 { " frame" } else { " frames" });
        });
    }
}

fn push_frame(out: &mut String, frame: &Frame) {
    for inlined in &frame.inlined {
        push_spaces(out, INDENT);
        push_inlined(out, frame, inlined);
        push_source(out, inlined.source.as_ref());
    }
    push_spaces(out, INDENT);
    push_place(out, frame);
    push_source(out, frame.source.as_ref());
}

fn push_place(out: &mut String, frame: &Frame) {
    let Place::Symbol { module, name, offset } = &frame.place else { return push_unnamed(out, frame, '`') };
    push_symbol(out, module, name);
    if *offset > 0 {
        out.push('+');
        push_hex(out, *offset);
    }
}

fn push_inlined(out: &mut String, frame: &Frame, inlined: &Inlined) {
    match &frame.place {
        Place::Symbol { module, .. } | Place::Offset { module, .. } => push_symbol(out, module, &inlined.name),
        Place::Address { .. } => push_name(out, inlined.name.as_bytes()),
    }
    out.push_str(" [inlined]");
}

fn push_symbol(out: &mut String, module: &str, name: &str) {
    push_name(out, module.as_bytes());
    out.push('`');
    push_name(out, name.as_bytes());
}

/// And the line's end.
fn push_source(out: &mut String, source: Option<&Source>) {
    if let Some(Source { file, line }) = source {
        out.push_str(" (");
        push_name(out, file.as_bytes());
        if let Some(line) = line {
            out.push(':');
            push_int(out, (*line).into());
        }
        out.push(')');
    }
    out.push('\n');
}

/// A reason once a stack, with the modules that it is true of.
fn push_reasons(out: &mut String, stack: &Stack) {
    let mut reasons: Vec<(Unknown, Vec<&str>)> = Vec::new();
    for frame in stack.kernel.iter().chain(&stack.user) {
        let (why, module) = match &frame.place {
            Place::Symbol { .. } => continue,
            Place::Offset { module, why, .. } => (*why, Some(module.as_str())),
            Place::Address { why } => (*why, None),
        };
        let index = reasons.iter().position(|(known, _)| *known == why).unwrap_or_else(|| {
            reasons.push((why, Vec::new()));
            reasons.len() - 1
        });
        let modules = &mut reasons[index].1;
        modules.extend(module.filter(|module| !modules.contains(module)));
    }
    for (why, modules) in reasons {
        annotate(out, |out| {
            for (index, module) in modules.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                push_name(out, module.as_bytes());
            }
            out.push_str(if modules.is_empty() { "" } else { ": " });
            out.push_str(reason(why));
        });
    }
}

pub fn reason(why: Unknown) -> &'static str {
    match why {
        Unknown::Stripped => "no symbols for these places (stripped)",
        Unknown::NoFile => "the file is gone or cannot be read",
        Unknown::NoMapping => "nothing was mapped at these addresses",
        Unknown::NotCode => "no code is at these addresses: the walk up the stack went astray",
        Unknown::NoPerfMap => "code that the process made, and no /tmp/perf-PID.map names",
        Unknown::Denied => "the process's memory map may not be read (CAP_SYS_PTRACE)",
        Unknown::ProcessGone => "the process ended before its memory map was read",
        Unknown::KernelHidden => "kernel names are hidden (kptr_restrict, or no CAP_SYSLOG)",
    }
}

fn annotate(out: &mut String, write: impl FnOnce(&mut String)) {
    push_spaces(out, INDENT);
    out.push_str("  [ ");
    write(out);
    out.push_str(" ]\n");
}
