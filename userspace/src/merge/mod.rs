//! Per-CPU values in, aggregations out: functions and order. No I/O, no clock.
pub mod bounds;
pub mod functions;
pub mod loss;
pub mod number;
pub mod order;
pub mod plural;
pub mod rows;
pub mod threads;
pub mod value;
