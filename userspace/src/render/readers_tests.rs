//! Files for readers that are too heavy for every run of the tests.
use std::fs::{self, File};
use std::path::PathBuf;

use super::*;

// SAMPLES=/tmp/samples cargo test -p spoor --lib samples_for_other_readers -- --ignored
// go tool pprof -top -sample_index=samples /tmp/samples/sample.pb.gz
// chromium --headless --screenshot=/tmp/samples/sample.png --window-size=1400,600 /tmp/samples/sample.svg
#[test]
#[ignore = "writes files for a person to look at"]
fn samples_for_other_readers() {
    let folder = PathBuf::from(std::env::var_os("SAMPLES").expect("SAMPLES=folder"));
    fs::create_dir_all(&folder).expect("a folder");
    for (name, report) in [("small", sample::report()), ("sample", sample::large(2_000))] {
        for (ending, format) in
            [("svg", Format::Svg), ("pb.gz", Format::Pprof), ("folded", Format::Folded), ("txt", Format::Text)]
        {
            let mut file = File::create(folder.join(format!("{name}.{ending}"))).expect("a file");
            render(&report, format, &mut file, &mut State::default()).expect("room on the disk");
        }
    }
}
