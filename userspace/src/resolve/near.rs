//! A name that nothing has in, the names that are most like it out.

const MOST: usize = 3;

pub struct Near {
    wanted: String,
    /// From the nearest on.
    best: Vec<(Distance, String)>,
}

/// Names that have the wanted one in them come first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Distance {
    Part(usize),
    Slips(usize),
}

impl Near {
    /// `pattern`: what is no sign of a glob counts.
    pub fn new(pattern: &str) -> Near {
        let wanted = pattern.chars().filter(|c| !matches!(c, '*' | '?' | '[' | ']' | '\\'));
        Near { wanted: wanted.collect::<String>().to_lowercase(), best: Vec::new() }
    }

    pub fn see(&mut self, name: &str) {
        let Some(distance) = self.distance(name) else { return };
        let place = self.best.partition_point(|(best, known)| (best, known.as_str()) < (&distance, name));
        let is_known = self.best.iter().any(|(_, known)| known == name);
        if place < MOST && !is_known {
            self.best.insert(place, (distance, name.to_owned()));
            self.best.truncate(MOST);
        }
    }

    fn distance(&self, name: &str) -> Option<Distance> {
        let wanted = self.wanted.len();
        if wanted == 0 {
            return None;
        }
        // One slip in three letters.
        let most = (wanted / 3).clamp(1, 8);
        let lower = name.to_lowercase();
        if wanted >= 3 && lower.contains(&self.wanted) {
            return Some(Distance::Part(lower.len() - wanted));
        }
        // `store::putt` for `ns::store::put`
        let scopes = self.wanted.matches("::").count();
        let start = lower.rmatch_indices("::").nth(scopes).map_or(0, |(at, sign)| at + sign.len());
        let slips = [lower.as_str(), &lower[start..]].into_iter().filter_map(|name| {
            let is_near = name.len().abs_diff(wanted) <= most;
            is_near.then(|| strsim::osa_distance(&self.wanted, name)).filter(|slips| *slips <= most)
        });
        slips.min().map(Distance::Slips)
    }

    pub fn names(&self) -> Vec<&str> {
        self.best.iter().map(|(_, name)| name.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(pattern: &str, names: &[&str]) -> Vec<String> {
        let mut near = Near::new(pattern);
        names.iter().for_each(|name| near.see(name));
        near.names().into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn names_with_the_text_in_them_come_before_slips() {
        let names = ["mallox", "free", "mallocx", "je_malloc_stats", "jemalloc", "MALLOC_2"];
        assert_eq!(near("malloc", &names), ["mallocx", "MALLOC_2", "jemalloc"]);
        assert_eq!(near("freee", &["fee", "free_all", "freeze", "free"]), ["free", "freeze"]);
        assert_eq!(near("store::putt", &["ns::store::put", "ns::put"]), ["ns::store::put"]);
        assert_eq!(near("SSL_raed*", &["SSL_read", "SSL_read_ex", "SSL_write"]), ["SSL_read"]);
        assert_eq!(near("*", &names), Vec::<String>::new());
    }

    #[test]
    fn a_name_that_is_seen_twice_is_named_once() {
        assert_eq!(near("free", &["freed", "freed"]), ["freed"]);
    }
}
