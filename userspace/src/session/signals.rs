//! What asks a run to end: Ctrl-C and SIGTERM.
use std::future::ready;

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::yield_now;

pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From here on neither ends the process.
    pub fn listen() -> Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt()).context("listen for SIGINT")?,
            terminate: signal(SignalKind::terminate()).context("listen for SIGTERM")?,
        })
    }

    pub async fn recv(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// True where one came since we listen.
    pub async fn came_already(&mut self) -> bool {
        // The runtime hands signals on when it looks for what is ready.
        yield_now().await;
        tokio::select! {
            biased;
            () = self.recv() => true,
            () = ready(()) => false,
        }
    }
}
