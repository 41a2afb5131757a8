//! The kernel's own counters beside the rows: as lines for people, and as entries of a JSON document.
use std::collections::BTreeMap;
use std::fmt::{Display, Write};

use serde::ser::SerializeMap;
use serde_json::{Value, json};

use super::report::{Account, Accounts, AtSockets};
use crate::merge::plural::counted;

/// `Udp InErrors 94, Udp RcvbufErrors 94; explained 94, unexplained 0`.
pub fn lines(accounts: &Accounts) -> Vec<String> {
    let Accounts { namespaces, nowhere, elsewhere, unseen } = accounts;
    let mut all = Vec::new();
    for account in namespaces {
        let whose = if namespaces.len() > 1 { format!("{}: ", account.namespace) } else { String::new() };
        let sentences = [of_namespace(account), account.sockets.as_ref().map(of_sockets), of_all_protocols(account)];
        all.extend(sentences.into_iter().flatten().map(|sentence| format!("{whose}{sentence}")));
    }
    for (what, losses) in [("no counter records these", nowhere), ("not in these sums", elsewhere)] {
        all.extend((!losses.is_empty()).then(|| format!("{what}: {}", list(losses))));
    }
    if !unseen.is_empty() {
        let numbers: Vec<String> = unseen.iter().map(|inode| format!("net:[{inode}]")).collect();
        all.push(format!(
            "not looked into: {}, for no process, mount or thread was found that holds it",
            numbers.join(", ")
        ));
    }
    all
}

fn of_namespace(account: &Account) -> Option<String> {
    let Account { counters, explained, unexplained, bracket, .. } = account;
    if counters.is_empty() && *explained == 0 && *unexplained == 0 {
        return None;
    }
    let moved = if counters.is_empty() { "no counter moved".to_owned() } else { list(counters) };
    Some(format!("{moved}; {}", balance(*explained, *unexplained, *bracket)))
}

fn of_sockets(sockets: &AtSockets) -> String {
    let AtSockets { dropped, explained, unexplained, bracket, closed, missing } = *sockets;
    let balance = balance(explained, unexplained, bracket);
    let mut line = format!("sockets: {dropped} dropped by their own counters; {balance}");
    if closed > 0 {
        let _ = write!(line, "; {} closed meanwhile", counted(closed, "socket"));
    }
    if missing > 0 {
        let _ = write!(line, "; {missing} lost at sockets that were closed or not found");
    }
    line
}

fn of_all_protocols(account: &Account) -> Option<String> {
    let moved = &account.all_protocols;
    (!moved.is_empty()).then(|| format!("packets of all protocols: {}", list(moved)))
}

fn balance(explained: u64, unexplained: i64, bracket: u64) -> String {
    let while_read = if bracket > 0 { format!(", {bracket} while it was read") } else { String::new() };
    format!("explained {explained}, unexplained {unexplained}{while_read}")
}

fn list(counts: &[(impl Display, u64)]) -> String {
    counts.iter().map(|(what, count)| format!("{what} {count}")).collect::<Vec<_>>().join(", ")
}

/// `kernel`, an object a network namespace, and what is in none of them; nothing where there is nothing to say.
pub fn serialize_entries<M: SerializeMap>(accounts: &Accounts, map: &mut M) -> Result<(), M::Error> {
    let Accounts { namespaces, nowhere, elsewhere, unseen } = accounts;
    if !namespaces.is_empty() {
        map.serialize_entry("kernel", &namespaces.iter().map(account).collect::<Vec<_>>())?;
    }
    if !nowhere.is_empty() || !elsewhere.is_empty() {
        map.serialize_entry("not_counted", &json!({ "nowhere": object(nowhere), "elsewhere": object(elsewhere) }))?;
    }
    if !unseen.is_empty() {
        map.serialize_entry("netns_unseen", unseen)?;
    }
    Ok(())
}

fn account(account: &Account) -> Value {
    let sockets = account.sockets.map(|sockets| {
        json!({
            "dropped": sockets.dropped,
            "explained": sockets.explained,
            "unexplained": sockets.unexplained,
            "bracket": sockets.bracket,
            "closed": sockets.closed,
            "missing": sockets.missing,
        })
    });
    json!({
        "netns": account.namespace,
        "counters": object(&account.counters),
        "explained": account.explained,
        "unexplained": account.unexplained,
        "bracket": account.bracket,
        "sockets": sockets,
        "all_protocols": object(&account.all_protocols),
    })
}

fn object(counts: &[(impl ToString, u64)]) -> BTreeMap<String, u64> {
    counts.iter().map(|(what, count)| (what.to_string(), *count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> Accounts {
        Accounts {
            namespaces: vec![Account {
                namespace: "blue".into(),
                counters: vec![("Udp InErrors", 94), ("Udp RcvbufErrors", 94)],
                explained: 94,
                unexplained: 0,
                bracket: 0,
                sockets: Some(AtSockets {
                    dropped: 91,
                    explained: 90,
                    unexplained: 0,
                    bracket: 2,
                    closed: 1,
                    missing: 4,
                }),
                all_protocols: vec![("eth0 rx_dropped".into(), 12), ("softnet dropped".into(), 3)],
            }],
            nowhere: vec![("closed unread".into(), 12)],
            elsewhere: vec![("netfilter".into(), 5), ("fragments incomplete".into(), 16)],
            unseen: vec![4026532177],
        }
    }

    #[test]
    fn every_counter_has_its_place() {
        let wanted = [
            "Udp InErrors 94, Udp RcvbufErrors 94; explained 94, unexplained 0",
            "sockets: 91 dropped by their own counters; explained 90, unexplained 0, 2 while it was read; \
             1 socket closed meanwhile; 4 lost at sockets that were closed or not found",
            "packets of all protocols: eth0 rx_dropped 12, softnet dropped 3",
            "no counter records these: closed unread 12",
            "not in these sums: netfilter 5, fragments incomplete 16",
            "not looked into: net:[4026532177], for no process, mount or thread was found that holds it",
        ];
        assert_eq!(lines(&lost()), wanted);
    }

    #[test]
    fn several_namespaces_are_told_apart() {
        let mut accounts = lost();
        let quiet = Account { counters: Vec::new(), explained: 0, sockets: None, ..accounts.namespaces[0].clone() };
        accounts.namespaces = vec![quiet.clone(), Account { explained: 3, ..quiet }];
        assert_eq!(
            lines(&accounts)[..3],
            [
                "blue: packets of all protocols: eth0 rx_dropped 12, softnet dropped 3",
                "blue: no counter moved; explained 3, unexplained 0",
                "blue: packets of all protocols: eth0 rx_dropped 12, softnet dropped 3",
            ]
        );
    }

    #[test]
    fn nothing_lost_is_nothing_said() {
        assert_eq!(lines(&Accounts::default()), Vec::<String>::new());
    }
}
