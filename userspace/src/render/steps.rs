//! The way up a row's stacks, from the root to the leaf: what a flame graph piles up.
use crate::merge::value::KeyValue;
use crate::symbolize::frame::{Frame, Inlined, Stack};

#[derive(Clone, Copy)]
pub enum Step<'a> {
    /// Not a function: where a stack is not whole, or ends.
    Mark(&'static str),
    Frame(&'a Frame, Half),
    /// Within the frame, called by the function before it.
    Inlined(&'a Frame, &'a Inlined),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    User,
    Kernel,
}

/// Between two stacks of a row, of which the second stands on its head, as offwaketime draws a waker: its leaf is where
/// it met the first.
const BETWEEN: &str = "--";

/// Between steps that stand on one line.
pub const SEPARATOR: char = ';';

/// Escaped names hold no line breaks; what they may hold is what parts them from each other.
pub fn replace_separators(out: &mut String, name_start: usize) {
    if out[name_start..].contains(SEPARATOR) {
        let name = out[name_start..].replace(SEPARATOR, ":");
        out.truncate(name_start);
        out.push_str(&name);
    }
}

/// Empty where no key is a stack.
pub fn of_row(keys: &[KeyValue]) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    for key in keys {
        let KeyValue::Stack(stack) = key else { continue };
        if steps.is_empty() {
            steps = of_stack(stack);
        } else {
            steps.push(Step::Mark(BETWEEN));
            steps.extend(of_stack(stack).into_iter().rev());
        }
    }
    steps
}

/// At least one: a stack without frames says so.
pub fn of_stack(stack: &Stack) -> Vec<Step<'_>> {
    let mut steps = Vec::with_capacity(stack.kernel.len() + stack.user.len() + 1);
    if stack.user_broken {
        steps.push(Step::Mark("[broken]"));
    }
    for (frames, is_cut, is_lost, half) in [
        (&stack.user, stack.user_cut, stack.user_lost, Half::User),
        (&stack.kernel, stack.kernel_cut, stack.kernel_lost, Half::Kernel),
    ] {
        if is_lost {
            steps.push(Step::Mark("[lost]"));
        }
        if is_cut {
            steps.push(Step::Mark("[cut]"));
        }
        for frame in frames.iter().rev() {
            steps.push(Step::Frame(frame, half));
            steps.extend(frame.inlined.iter().rev().map(|inlined| Step::Inlined(frame, inlined)));
        }
    }
    if steps.is_empty() {
        steps.push(Step::Mark("[no frames]"));
    }
    steps
}
