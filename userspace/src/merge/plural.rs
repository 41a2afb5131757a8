//! Sentences that count: written for many, read for one.

/// What changes where one is meant. A sentence says these words only of what it counts.
const ONE: [(&str, &str); 3] = [(" they are ", " it is "), (" they ", " it "), (" their ", " its ")];

/// `what` begins with the noun that is counted: `calls not counted`, and for one `call not counted`.
pub fn agree(count: Option<u64>, what: &str) -> String {
    if count != Some(1) {
        return what.to_owned();
    }
    let (noun, rest) = what.split_at(what.find(' ').unwrap_or(what.len()));
    let noun = match noun {
        "children" => "child",
        "processes" => "process",
        noun => noun.strip_suffix('s').unwrap_or(noun),
    };
    ONE.iter().fold(format!("{noun}{rest}"), |sentence, (many, one)| sentence.replace(many, one))
}

/// `1 key`, `2 keys`.
pub fn counted(count: u64, noun: &str) -> String {
    format!("{count} {}", agree(Some(count), &format!("{noun}s")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_all_else_plural() {
        let what = "calls began before tracing did: their duration is not known and they are in no row";
        assert_eq!(
            agree(Some(1), what),
            "call began before tracing did: its duration is not known and it is in no row"
        );
        assert_eq!(
            (agree(Some(0), what), agree(Some(2), what), agree(None, what)),
            (what.into(), what.into(), what.into())
        );
        assert_eq!(agree(Some(1), "children not followed"), "child not followed");
        assert_eq!(
            agree(Some(1), "calls not counted: no room to note when they began"),
            "call not counted: no room to note when it began"
        );
        assert_eq!(
            (counted(1, "key"), counted(0, "key"), counted(10_240, "key")),
            ("1 key".into(), "0 keys".into(), "10240 keys".into())
        );
    }
}
