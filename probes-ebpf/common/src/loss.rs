//! The loss ledger: one counter a kind, per CPU, incremented in the kernel and read before the data.

/// Number of counters in the map `LOSS`.
pub const LOSS_KINDS: usize = 24;

/// Index into the map `LOSS`.
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LossKind {
    /// The key table was full: counted under `<other>`, its key is lost.
    TableFull = 0,
    /// The kernel refused to insert a key for another reason (-EBUSY, -ENOMEM): counted under `<other>`.
    UpdateFailed = 1,
    /// A minimum or maximum could not be stored in four tries under preemption.
    Contended = 2,
    /// The clause divided by zero: the firing is in no aggregation.
    DivideByZero = 3,
    /// The ring was full: the record is lost.
    RingFull = 4,
    /// A text of a record could not be read from the process: its address stands in its place.
    TextUnreadable = 5,
    /// No room to note the start: the call's duration is unknown and it is not in the table.
    StartFull = 6,
    /// A return without an entry: the call began before tracing did.
    BeganBefore = 7,
    /// A start was noted twice without an end between: the first call never returned.
    StartOverwritten = 8,
    /// The thread ended inside a call that is not an exit.
    NeverReturned = 9,
    /// A child could not be added to the traced processes.
    FollowFull = 10,
    /// The path of an exec could not be kept until its return.
    PathFull = 11,
    /// The map of stacks was full: the firing is counted without its stack.
    StackFull = 12,
    /// Two other stacks have the same hash: the firing is counted without its stack.
    StackCollided = 13,
    /// A stack could not be taken: the scratch was in use, or the kernel refused.
    StackFailed = 14,
    /// There was no room to keep a thread's state: what it does is not known.
    ThreadFull = 15,
    /// A thread was off its CPU already when tracing began: the time before is not in the row.
    OffBefore = 16,
    /// A thread was still off its CPU when the report was made: the time after is not in the row.
    OffAtEnd = 17,
    /// A thread got or left a CPU unseen: for how long it ran then comes from the kernel's account of it.
    SwitchMissed = 18,
    /// An argument could not be read where it lies: it counts as 0.
    ArgumentUnreadable = 19,
    /// There was no room to look at a text: the firing is in no aggregation.
    TextFailed = 20,
    /// A thread was in the middle of too many calls: this one's return is not waited for.
    TooDeep = 21,
    /// A target's thread that was not its first one called exec: no probe is in what it runs since.
    ExecUnseen = 22,
    /// A read filled its buffer, and it was not seen how long the datagram was.
    LengthUnseen = 23,
}
