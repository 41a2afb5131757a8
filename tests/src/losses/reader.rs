//! Lost for what their reader does.
use anyhow::Result;

use super::{Loss, PORT, b, did, receiver, send};
use crate::ensure_eq;
use crate::net::{Family, Net};

const COUNT: u64 = 10;

/// Datagrams of 300 bytes, read into 100. None is lost, 200 bytes of each are.
pub fn truncated(net: &Net, family: Family) -> Result<Loss> {
    let mut receiver = receiver(net, family, &["--room", "100"])?;
    send(net, b(family, PORT), COUNT, 300)?;
    let read = receiver.run()?;
    let (received, bytes) = (did(&read, "received")?, did(&read, "bytes")?);
    ensure_eq!(bytes, received * 100, "bytes that were read");
    let loss = Loss::new(b(family, PORT), COUNT, received)?.at(receiver);
    Ok(Loss { truncated: received, bytes_cut: received * 200, ..loss })
}

/// The receiver ends with all of them in its buffer.
pub fn closed_unread(net: &Net, family: Family) -> Result<Loss> {
    let mut receiver = receiver(net, family, &["--read", "none"])?;
    send(net, b(family, PORT), COUNT, 100)?;
    receiver.run()?;
    receiver.release()?;
    receiver.end()?;
    Loss::new(b(family, PORT), COUNT, 0)
}

/// Each is read to where there is no memory.
pub fn bad_address(net: &Net, family: Family) -> Result<Loss> {
    let mut receiver = receiver(net, family, &["--bad-address"])?;
    send(net, b(family, PORT), COUNT, 100)?;
    let read = receiver.run()?;
    ensure_eq!(did(&read, "failed")?, COUNT, "EFAULTs");
    Ok(Loss::new(b(family, PORT), COUNT, did(&read, "received")?)?.at(receiver))
}
