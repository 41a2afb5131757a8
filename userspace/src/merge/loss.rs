//! The ledger in words: counters in, lines for the report out.
use probes_common::loss::LossKind;

use super::plural::{agree, counted};
use crate::providers::TextFaults;
use crate::render::report::{Loss, LossLine};
use crate::snapshot::loss::Counters;

/// What the sentences are about.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// Rows that the table has room for.
    pub max_keys: u32,
    pub ring_bytes: u32,
    /// Firings that programs missed since BPF ran on the CPU already; None where the kernel does not tell.
    pub recursion_misses: Option<u64>,
    /// Firings are shown one by one.
    pub events: bool,
    pub in_flight: Vec<String>,
    /// Samples that were due on the CPUs and not given to a program.
    pub samples_missed: u64,
    pub out_of_order: u64,
    /// Texts of records that are not shown, or not in full.
    pub texts: TextFaults,
}

type Sentence = (LossKind, &'static str, bool, &'static str, &'static str);

/// Kind, name in JSON, whether something is lost, what happened, what to do. `{keys}` and `{ring}` are filled in.
const SENTENCES: [Sentence; 24] = [
    (
        LossKind::TableFull,
        "table_full",
        true,
        "firings counted under `<other>`: the table is full at {keys} keys",
        "--max-keys with a larger number (and --map-memory), or fewer keys in --by",
    ),
    (
        LossKind::UpdateFailed,
        "update_failed",
        true,
        "firings counted under `<other>`: the kernel refused to insert their key",
        "fewer keys in --by, or a larger --map-memory",
    ),
    (
        LossKind::Contended,
        "contended",
        true,
        "firings missing from min or max: other CPUs changed it four times in between",
        "a key that keeps CPUs apart, such as cpu or tid",
    ),
    (
        LossKind::DivideByZero,
        "divide_by_zero",
        true,
        "firings in no aggregation: the expression divided by zero",
        "exclude them: --where 'DIVISOR != 0'",
    ),
    (
        LossKind::RingFull,
        "ring_full",
        true,
        "events not shown: the ring buffer of {ring} bytes was full",
        "a narrower --where, an aggregation instead of --events, or a larger --ring",
    ),
    (LossKind::TextUnreadable, "path_unreadable", false, "paths of exec that could not be read", ""),
    (
        LossKind::StartFull,
        "start_full",
        true,
        "calls not counted: no room to note when they began",
        "fewer threads: a narrower target",
    ),
    (
        LossKind::BeganBefore,
        "began_before",
        false,
        "calls began before tracing did, or unseen: their duration is not known and they are in no row",
        "",
    ),
    (LossKind::StartOverwritten, "start_overwritten", true, "calls never seen to return", ""),
    (
        LossKind::NeverReturned,
        "never_returned",
        false,
        "calls ended with their thread inside a call that never returned",
        "",
    ),
    (
        LossKind::FollowFull,
        "follow_full",
        true,
        "children not followed: more than 16384 processes and threads are traced",
        "a narrower target, or --cgroup instead of --follow",
    ),
    (LossKind::PathFull, "path_full", false, "paths of exec that found no room", ""),
    (
        LossKind::StackFull,
        "stack_full",
        true,
        "firings counted without their stack or text: no room for another one, or no memory at that moment",
        "a larger --map-memory, or a narrower target",
    ),
    (
        LossKind::StackCollided,
        "stack_collided",
        true,
        "firings counted without their stack or text: two others have the same hash",
        "",
    ),
    (LossKind::StackFailed, "stack_failed", true, "firings counted without their stack: it could not be taken", ""),
    (
        LossKind::ThreadFull,
        "thread_full",
        true,
        "switches of threads not counted: more than 16384 threads are traced",
        "a narrower target",
    ),
    (LossKind::OffBefore, "off_before", false, "waits that had begun before tracing did, counted from there on", ""),
    (LossKind::OffAtEnd, "off_at_end", false, "waits not over at the end, counted up to there", ""),
    (
        LossKind::SwitchMissed,
        "switch_missed",
        true,
        "times that a thread got or left a CPU unseen: the wait is counted with its next one, as long as the kernel's account says",
        "",
    ),
    (
        LossKind::ArgumentUnreadable,
        "argument_unreadable",
        true,
        "arguments counted as 0: the memory that they lie in could not be read",
        "",
    ),
    (LossKind::TextFailed, "text_failed", true, "firings not counted: no room to look at a text", ""),
    (
        LossKind::TooDeep,
        "too_deep",
        true,
        "calls not counted: their thread was in the middle of 64 others",
        "a pattern of fewer functions; calls are counted without -L, ret and elapsed however deep they are",
    ),
    (
        LossKind::ExecUnseen,
        "exec_unseen",
        true,
        "execs by another thread than the first: what the process called since is not counted",
        "--follow, which puts probes into every process",
    ),
    (
        LossKind::LengthUnseen,
        "length_unseen",
        true,
        "reads that filled their buffer: whether the datagram was longer was not seen",
        "",
    ),
];

/// Lines for everything that is not zero.
pub fn ledger(counters: &Counters, context: &Context) -> Loss {
    let mut kinds: Vec<LossLine> = SENTENCES
        .iter()
        .filter(|(kind, ..)| counters.of(*kind) > 0)
        .map(|(kind, name, lost, what, advice)| LossLine {
            name,
            count: Some(counters.of(*kind)),
            lost: *lost,
            what: {
                let what = if context.events { of_events(*kind).unwrap_or(what) } else { what };
                agree(Some(counters.of(*kind)), &fill(what, context))
            },
            advice: (!advice.is_empty()).then(|| (*advice).to_owned()),
        })
        .collect();
    if context.recursion_misses != Some(0) {
        kinds.push(LossLine {
            name: "missed",
            count: context.recursion_misses,
            lost: true,
            what: agree(context.recursion_misses, "firings missed: another BPF program ran on the CPU"),
            advice: context.recursion_misses.is_none().then(|| "a kernel from 5.12 on counts them".to_owned()),
        });
    }
    if context.samples_missed > 0 {
        kinds.push(LossLine {
            name: "samples_missed",
            count: Some(context.samples_missed),
            lost: true,
            what: agree(
                Some(context.samples_missed),
                "samples not taken on any CPU: the kernel throttled them, or the timer came late",
            ),
            advice: Some("a lower -F, or kernel.perf_cpu_time_max_percent".to_owned()),
        });
    }
    if context.texts.cut > 0 {
        kinds.push(LossLine {
            name: "texts_cut",
            count: Some(context.texts.cut),
            lost: true,
            what: "paths and names shown in part: longer than 255 bytes".to_owned(),
            advice: None,
        });
    }
    if context.texts.unreadable > 0 {
        kinds.push(note(
            "texts_unreadable",
            context.texts.unreadable,
            "texts shown as addresses: the process's memory could not be read".to_owned(),
        ));
    }
    if context.out_of_order > 0 {
        kinds.push(note("out_of_order", context.out_of_order, "events shown later than their time".to_owned()));
    }
    if !context.in_flight.is_empty() {
        const SHOWN: usize = 5;
        let mut calls = context.in_flight[..context.in_flight.len().min(SHOWN)].join(", ");
        if context.in_flight.len() > SHOWN {
            calls.push_str(", ...");
        }
        kinds.push(note(
            "in_flight",
            context.in_flight.len() as u64,
            format!("calls still in flight at the end: {calls}"),
        ));
    }
    Loss { kinds }
}

/// Where a stream shows what an aggregation has to leave out.
fn of_events(kind: LossKind) -> Option<&'static str> {
    match kind {
        LossKind::StartFull => Some("calls shown without their duration: no room to note when they began"),
        LossKind::BeganBefore => Some("calls began before tracing did: they are shown without their duration"),
        _ => None,
    }
}

fn note(name: &'static str, count: u64, what: String) -> LossLine {
    LossLine { name, count: Some(count), lost: false, what: agree(Some(count), &what), advice: None }
}

fn fill(what: &str, context: &Context) -> String {
    what.replace("{keys} keys", &counted(context.max_keys.into(), "key"))
        .replace("{ring}", &context.ring_bytes.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_sentence_once() {
        for (i, (kind, name, ..)) in SENTENCES.iter().enumerate() {
            assert_eq!(*kind as usize, i, "{name}");
        }
    }

    #[test]
    fn texts_cut_are_lost_and_texts_unreadable_are_not() {
        let texts = TextFaults { cut: 2, unreadable: 3 };
        let loss = ledger(&Counters::default(), &Context { texts, recursion_misses: Some(0), ..Context::default() });
        assert_eq!((loss.total(), loss.kinds.len(), loss.kinds[0].name), (2, 2, "texts_cut"));
    }

    #[test]
    fn what_the_kernel_does_not_tell_is_unknown_not_zero() {
        let loss = ledger(&Counters::default(), &Context { recursion_misses: None, ..Context::default() });
        assert_eq!((loss.kinds[0].name, loss.kinds[0].count), ("missed", None));
        let loss = ledger(&Counters::default(), &Context { recursion_misses: Some(0), ..Context::default() });
        assert!(loss.kinds.is_empty());
    }

    #[test]
    fn every_sentence_can_be_said_of_one() {
        for (_, name, _, what, _) in SENTENCES {
            let one = agree(Some(1), what);
            assert_ne!(one.split(' ').next(), what.split(' ').next(), "{name}: {one}");
        }
        let context = Context { max_keys: 1, ..Context::default() };
        assert!(fill(SENTENCES[0].3, &context).ends_with("full at 1 key"));
    }
}
