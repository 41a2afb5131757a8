//! Returns that cannot be waited for without danger to the process.
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;

use crate::cli::UsageError;
use crate::resolve::code::{Code, Returns, is_way_out};
use crate::resolve::{Place, Point};

/// What to say of the danger of waiting for returns.
///
/// Errors: it ends the process, or can and nobody wants it `anyway`.
pub fn dangers(points: &[Point], codes: &HashMap<Arc<Path>, Code>, anyway: bool) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    let advice = "leave out -L, `ret` and `elapsed`: calls are counted all the same";
    for point in points {
        let Place::User { file, .. } = &point.place else { continue };
        let function = &point.function;
        if is_way_out(function) {
            let what =
                format!("`{function}` changes where calls return to: to wait for its return would end the process");
            return Err(UsageError::new(&what, advice).into());
        }
        match codes.get(file).map(|code| code.returns) {
            Some(Returns::Moved) => {
                let module = &point.module;
                let what =
                    format!("`{module}` is a program of Go, which moves its stacks: to wait for returns would end it");
                return Err(UsageError::new(&what, advice).into());
            }
            Some(Returns::MayBeLeft(way)) if !anyway => {
                let module = &point.module;
                let what = format!(
                    "`{module}` uses {way}: an exception or a switch of stacks that leaves a call whose return is waited for ends the process"
                );
                return Err(
                    UsageError::new(&what, &format!("{advice}; --unsafe-returns where that does not happen")).into()
                );
            }
            Some(Returns::MayPanic) => {
                notes.push(format!("a panic that leaves one of these calls of {} ends the process", point.module));
            }
            _ => {}
        }
    }
    notes.sort_unstable();
    notes.dedup();
    Ok(notes)
}
