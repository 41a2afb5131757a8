//! Names that choose: what the process itself says it has chosen is the truth.
use super::testing::{Folder, Waiting};
use super::{Pattern, Place, Resolved, Whom, resolve};

const CHOOSER: &str = "
    int slow(int a) { return a; }
    int fast(int a) { return a + 1; }
    static void *choose(void) { return fast; }
    int pick(int) __attribute__((ifunc(\"choose\")));
    int same(int) __attribute__((ifunc(\"choose\")));
    int local(int a) { return pick(a); }
    int never(int) __attribute__((ifunc(\"choose_never\"), visibility(\"hidden\")));
    static void *choose_never(void) { return slow; }
";

fn find(pattern: &str, whom: &Whom) -> Resolved {
    resolve(&[Pattern::parse(pattern).unwrap()], whom).unwrap_or_else(|error| panic!("{pattern}: {error:#}"))
}

fn places(found: &Resolved) -> Vec<(&str, u64)> {
    let offset = |place: &Place| match place {
        Place::User { offset, is_entry: true, .. } => *offset,
        other => panic!("{other:?}"),
    };
    found.points.iter().map(|point| (point.function.as_str(), offset(&point.place))).collect()
}

/// A library's name that the program calls; and a program without libraries, which has its own.
#[test]
fn the_function_that_a_process_has_chosen_has_the_name_that_chose_it() {
    let folder = Folder::new();
    let library = folder.compile("libpick.so", CHOOSER, &["-shared", "-fPIC"]);
    let main = "#include <stdio.h>\nint pick(int); int main(void) { printf(\"%d\\n\", pick(1)); fflush(stdout); return getchar(); }";
    let here = format!("-Wl,-rpath,{}", folder.0.display());
    let path = library.to_str().unwrap();
    for (name, options) in
        [("now", &["-Wl,-z,now"][..]), ("lazy", &["-Wl,-z,lazy"]), ("fixed", &["-no-pie", "-fno-pic", "-fno-plt"])]
    {
        let program = folder.compile(name, main, &[options, &[&here, path]].concat());
        let process = Waiting::start(&program);
        assert_eq!(process.said, "2");
        let whom = Whom::Processes(vec![process.pid()]);
        let fast = places(&find("libpick:fast", &whom))[0].1;
        assert_eq!(places(&find("libpick:pick", &whom)), [("pick", fast)], "{name}");
        assert_eq!(places(&find("pick", &whom)), [("pick", fast)], "{name}");
        let all = find("libpick:*", &whom);
        assert!(places(&all).contains(&("pick", fast)) && !places(&all).contains(&("fast", fast)));
    }
    let whole = format!("{CHOOSER}\n{}", main.replace("int pick(int); ", ""));
    for (name, options) in [("static", &["-static"][..]), ("static-pie", &["-static-pie", "-fPIE"])] {
        let program = folder.compile(name, &whole, options);
        let process = Waiting::start(&program);
        assert_eq!(process.said, "2");
        let whom = Whom::Processes(vec![process.pid()]);
        let fast = places(&find("fast", &whom))[0].1;
        assert_eq!(places(&find("pick", &whom)), [("pick", fast)], "{name}");
    }
}

#[test]
fn names_of_one_choice_tell_that_they_share_it() {
    let folder = Folder::new();
    let library = folder.compile("libpick.so", CHOOSER, &["-shared", "-fPIC"]);
    let main = "#include <stdio.h>\nint pick(int), same(int); int main(void) { printf(\"%d\\n\", pick(1) + same(1)); fflush(stdout); return getchar(); }";
    let here = format!("-Wl,-rpath,{}", folder.0.display());
    let program = folder.compile("program", main, &[&here, library.to_str().unwrap()]);
    let process = Waiting::start(&program);
    assert_eq!(process.said, "4");
    let found = find("libpick:pick", &Whom::Processes(vec![process.pid()]));
    assert_eq!(found.notes, ["pick: the same code of libpick.so is same as well"]);
}

#[test]
fn what_is_not_chosen_yet_is_refused_with_the_reason() {
    let folder = Folder::new();
    let library = folder.compile("libpick.so", CHOOSER, &["-shared", "-fPIC"]);
    let found = find(&format!("{}:pick", library.display()), &Whom::Nobody);
    let why = "libpick.so chooses its code when a process starts: -p PID, or name the code itself";
    assert_eq!(found.refused, [("pick".to_owned(), why.to_owned())]);
    assert_eq!(found.points, []);
}

/// The test's own process calls it: what its pointer says is what must be found.
#[test]
fn memcpy_of_this_process_is_what_its_pointer_says() {
    let whom = Whom::Processes(vec![std::process::id()]);
    let found = find("libc:memcpy", &whom);
    let pointer = libc::memcpy as *const () as u64;
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let offset = maps.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let hex = |text: &str| u64::from_str_radix(text, 16).unwrap();
        let offset = hex(words.nth(1)?);
        (hex(start)..hex(end)).contains(&pointer).then(|| pointer - hex(start) + offset)
    });
    assert!(places(&found).contains(&("memcpy", offset.unwrap())), "{found:?}");
}
