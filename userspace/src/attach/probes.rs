//! Which of a provider's probes this kernel has.
use super::features::{Refusal, Support};
use super::points::support;
use crate::btf::Found;
use crate::providers::{At, Probe};

/// The names of all that may be attached to: tracepoints, functions.
pub fn names(probes: &[Probe]) -> (Vec<&'static str>, Vec<&'static str>) {
    let mut names = (Vec::new(), Vec::new());
    for probe in probes {
        if probe.at == At::Tracepoint { &mut names.0 } else { &mut names.1 }.push(probe.name);
        let second = probe.classic.and_then(|classic| classic.elsewhere);
        names.0.extend(second.map(|second| second.tracepoint));
        let inner = self::names(probe.instead);
        names.0.extend(inner.0);
        names.1.extend(inner.1);
    }
    names.0.sort_unstable();
    names.0.dedup();
    names
}

/// In the kernel's BTF.
pub fn id(probe: &Probe, found: &Found) -> Option<u32> {
    let ids = if probe.at == At::Tracepoint { &found.tracepoints } else { &found.functions };
    ids.get(probe.name).copied()
}

/// Each probe, or what stands in for it.
///
/// Errors: [`Refusal`] where there is neither. What has nothing to stand in for it is left for the kernel to refuse.
pub fn choose(probes: Vec<Probe>, found: &Found) -> Result<Vec<Probe>, Refusal> {
    let mut chosen = Vec::new();
    for probe in probes {
        if probe.instead.is_empty() {
            chosen.push(probe);
            continue;
        }
        match had(&probe, found) {
            Some(probes) => chosen.extend(probes),
            None => return Err(Refusal::not_here(&missing(&probe, found))),
        }
    }
    Ok(chosen)
}

fn had(probe: &Probe, found: &Found) -> Option<Vec<Probe>> {
    let can = probe.at == At::Tracepoint || *support::fentry() == Support::Yes;
    if can && id(probe, found).is_some() {
        return Some(vec![*probe]);
    }
    if probe.instead.is_empty() {
        return None;
    }
    let instead: Option<Vec<_>> = probe.instead.iter().map(|probe| had(probe, found)).collect();
    Some(instead?.into_iter().flatten().collect())
}

/// Everything that was looked for, and why it will not do.
fn missing(probe: &Probe, found: &Found) -> String {
    let mut probes = vec![*probe];
    probes.extend(probe.instead);
    let words = probes.iter().map(|probe| match (probe.at, id(probe, found)) {
        (At::Tracepoint, None) => format!("no tracepoint `{}`", probe.name),
        (_, None) => format!("no function `{}`", probe.name),
        (_, Some(_)) => format!("no programs at functions (fentry) for `{}`", probe.name),
    });
    format!("this kernel has {}", words.collect::<Vec<_>>().join(", and "))
}
