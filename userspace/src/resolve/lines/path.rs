//! Names of source files as compilers note them: folders and a name in, one path out, and whether somebody means it.

/// Each from the one before, unless it begins at the root; without `.` and `..` as far as that can be told.
pub fn joined(parts: &[&str]) -> String {
    let mut path: Vec<&str> = Vec::new();
    let mut is_absolute = false;
    for part in parts {
        if part.starts_with('/') {
            path.clear();
            is_absolute = true;
        }
        for word in part.split('/') {
            match word {
                "" | "." => {}
                ".." if path.last().is_some_and(|last| *last != "..") => drop(path.pop()),
                ".." if is_absolute => {}
                _ => path.push(word),
            }
        }
    }
    format!("{}{}", if is_absolute { "/" } else { "" }, path.join("/"))
}

/// Without folders.
pub fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// `wanted` is the path, or its end from one of its folders on.
pub fn is_meant(path: &str, wanted: &str) -> bool {
    let wanted = joined(&[wanted]);
    match path.strip_suffix(wanted.as_str()) {
        Some(before) => before.is_empty() || (before.ends_with('/') && !wanted.starts_with('/')),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_joined_up_to_the_last_that_begins_at_the_root() {
        assert_eq!(joined(&["/build", "src", "./a/../foo.c"]), "/build/src/foo.c");
        assert_eq!(joined(&["/build", "/usr/include", "stdio.h"]), "/usr/include/stdio.h");
        assert_eq!(joined(&["/", "../../x.c"]), "/x.c");
        assert_eq!(joined(&["", "../src", "../../x.c"]), "../../x.c");
        assert_eq!(joined(&["", "", ""]), "");
    }

    #[test]
    fn a_source_is_meant_by_its_end_from_a_folder_on() {
        for wanted in ["foo.c", "src/foo.c", "./src/foo.c", "/build/src/foo.c", "lib/../src/foo.c"] {
            assert!(is_meant("/build/src/foo.c", wanted), "{wanted}");
        }
        for wanted in ["oo.c", "c/foo.c", "/src/foo.c", "/foo.c", "foo.c.c", "other/foo.c"] {
            assert!(!is_meant("/build/src/foo.c", wanted), "{wanted}");
        }
        assert_eq!((name("src/foo.c"), name("foo.c")), ("foo.c", "foo.c"));
    }
}
