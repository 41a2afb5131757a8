//! The fields that an expression may name, and what to suggest for a name that is none of them.
use super::field::{COMMON, Field, Kind, Names};
use super::foreign;

/// A provider's fields, then those that every firing has; the provider's own of a name counts.
#[derive(Clone)]
pub struct Scope {
    fields: Vec<&'static Field>,
}

impl Scope {
    pub fn new(provider: impl IntoIterator<Item = &'static Field>) -> Scope {
        let mut fields: Vec<&'static Field> = provider.into_iter().collect();
        let common = COMMON.iter().filter(|common| !fields.iter().any(|field| field.name == common.name));
        let common: Vec<_> = common.collect();
        fields.extend(common);
        Scope { fields }
    }

    /// The provider's own alone.
    pub fn only(provider: impl IntoIterator<Item = &'static Field>) -> Scope {
        Scope { fields: provider.into_iter().collect() }
    }

    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields().find(|field| field.name == name)
    }

    pub fn fields(&self) -> impl Iterator<Item = &'static Field> {
        self.fields.iter().copied()
    }

    /// The fields whose values have names.
    pub fn enumerations(&self) -> impl Iterator<Item = (&'static Field, &'static dyn Names)> {
        self.fields().filter_map(|field| match field.kind {
            Kind::Enumeration(names) => Some((field, names)),
            _ => None,
        })
    }

    /// The field that another tool calls so, or that a slip of the keyboard made of it.
    pub fn near_field(&self, name: &str) -> Option<&'static str> {
        let foreign = foreign::ours(name).and_then(|ours| self.field(ours));
        foreign.or_else(|| self.field(&nearest(name, self.fields().map(|field| field.name))?)).map(|field| field.name)
    }

    /// What to write instead of a name that is no field: an enumeration that knows it, the nearest field, or all of them.
    pub fn suggest_field(&self, name: &str) -> String {
        let knows = |names: &dyn Names| names.all().iter().any(|(known, _)| known == name);
        if let Some((field, _)) = self.enumerations().find(|(_, names)| knows(*names)) {
            return format!("`{} == {name}`", field.name);
        }
        match self.near_field(name) {
            Some(near) => format!("`{near}`"),
            None => format!("one of {}", self.fields().map(|field| field.name).collect::<Vec<_>>().join(", ")),
        }
    }
}

/// The candidate that a slip of the keyboard made of `name`, if one is near enough.
pub fn nearest<S: AsRef<str>>(name: &str, candidates: impl IntoIterator<Item = S>) -> Option<String> {
    // One slip in a short name, two from five letters on: `raed` is `read`, and `foo` is no `fork`.
    let slips = if name.chars().count() < 5 { 1 } else { 2 };
    let lower = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&lower, &candidate.as_ref().to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= slips)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate.as_ref().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::testing::scope;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let names = ["read", "readv", "openat", "fork"];
        assert_eq!(nearest("raed", names).as_deref(), Some("read"));
        assert_eq!(nearest("READ", names).as_deref(), Some("read"));
        assert_eq!(nearest("opnat", names).as_deref(), Some("openat"));
        assert_eq!(nearest("foo", names), None);
    }

    #[test]
    fn providers_field_hides_a_common_one() {
        static OWN: [Field; 1] = [Field { doc: "own", ..*SCOPE_PID }];
        const SCOPE_PID: &Field = &Field {
            name: "pid",
            kind: Kind::Number(crate::program::tree::Type::Signed),
            unit: crate::program::field::Unit::None,
            source: crate::program::field::Source::Firing { offset: 0, size: 8 },
            domain: 0,
            facts: 0,
            doc: "",
        };
        assert_eq!(Scope::new(&OWN).field("pid").unwrap().doc, "own");
        assert_eq!(Scope::new(&OWN).field("comm").unwrap().name, "comm");
    }

    #[test]
    fn names_that_other_tools_have_are_known() {
        for (theirs, ours) in [
            ("execname", "`comm`"),
            ("probefunc", "`syscall`"),
            ("tgid", "`pid`"),
            ("nsecs", "`timestamp`"),
            ("retval", "`ret`"),
        ] {
            assert_eq!(scope().suggest_field(theirs), ours);
        }
        // No function is a field.
        assert!(scope().suggest_field("hist").starts_with("one of "));
    }

    #[test]
    fn unknown_field_suggests_the_enumeration_that_knows_the_name() {
        assert_eq!(scope().suggest_field("ENOENT"), "`errno == ENOENT`");
        assert_eq!(scope().suggest_field("elapsd"), "`elapsed`");
        assert!(scope().suggest_field("zzz").starts_with("one of ret, "));
    }
}
