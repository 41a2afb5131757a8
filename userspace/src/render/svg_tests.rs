use quick_xml::Reader;
use quick_xml::events::Event;

use super::*;
use crate::render::sample;

fn render(report: &Report) -> String {
    let mut out = Vec::new();
    write(report, &mut out).expect("a vector takes all bytes");
    String::from_utf8(out).expect("SVG is UTF-8")
}

/// The text of the elements with this name. Panics on what is not well-formed.
fn texts(svg: &str, name: &str) -> Vec<String> {
    let mut reader = Reader::from_str(svg);
    let config = reader.config_mut();
    config.check_end_names = true;
    config.check_comments = true;
    let (mut texts, mut inside) = (Vec::new(), false);
    loop {
        match reader.read_event().expect("well-formed XML") {
            Event::Start(start) if start.name().as_ref() == name.as_bytes() => {
                inside = true;
                texts.push(String::new());
            }
            Event::End(_) => inside = false,
            Event::Text(text) if inside => texts.last_mut().unwrap().push_str(&text.decode().unwrap()),
            Event::GeneralRef(entity) if inside => {
                let entity = format!("&{};", entity.decode().unwrap());
                texts.last_mut().unwrap().push_str(&quick_xml::escape::unescape(&entity).unwrap());
            }
            Event::DocType(_) => panic!("a document type is looked for in the network"),
            Event::Eof => return texts,
            _ => {}
        }
    }
}

#[test]
fn a_flame_graph_is_xml_with_every_name_and_its_numbers() {
    let svg = render(&sample::report());
    let titles = texts(&svg, "title");
    for expected in [
        "all (427 samples, 100%)",
        "main (400 samples, 93.68%)",
        "tcp_sendmsg (300 samples, 70.26%)",
        "digit (100 samples, 23.42%)",
        "[libx.so+0x1234] (4 samples, 0.94%)",
        "<other> (3 samples, 0.70%)",
        "<script>alert(\"&\")</script>\\x1b[31m\u{fffd}_42 (20 samples, 4.68%)",
    ] {
        assert!(titles.iter().any(|title| title == expected), "{expected}: {titles:#?}");
    }
}

#[test]
fn a_flame_graph_says_what_it_shows_and_what_was_lost() {
    let texts = texts(&render(&sample::report()), "text");
    assert!(texts.iter().any(|text| text == "spoor profile: samples 427 in 5.00s"), "{texts:?}");
    let lost = "lost: 3 samples counted under `<other>`: the table is full at 4 keys";
    assert!(texts.iter().any(|text| text == lost), "{texts:?}");
}

// No attribute that loads something, and no script but the one that is there.
#[test]
fn a_flame_graph_needs_nothing_from_elsewhere() {
    let svg = render(&sample::report());
    for reference in ["href=", "src=", "url(http", "@import", "<!ENTITY", "<image", "<use"] {
        assert!(!svg.contains(reference), "{reference}");
    }
    assert_eq!(texts(&svg, "script").len(), 1);
}

#[test]
fn the_same_report_is_the_same_picture() {
    assert_eq!(render(&sample::report()), render(&sample::report()));
}

// inferno adds up in 64 bits.
#[test]
fn sums_beyond_64_bits_are_drawn_and_written_out() {
    let mut report = sample::report();
    report.aggregation.rows[0].values[0] = crate::merge::value::Value::Int(1 << 70);
    let titles = texts(&render(&report), "title");
    assert!(
        titles.iter().any(|title| *title == "tcp_sendmsg (4,611,686,018,427,387,904 x 256 samples, 100.00%)"),
        "{titles:?}"
    );
}

#[test]
fn a_report_without_rows_is_a_picture_that_says_so() {
    let mut report = sample::report();
    report.aggregation = crate::merge::value::Aggregation::default();
    let texts = texts(&render(&report), "text");
    assert!(texts[0].starts_with("no events matched in 5.00s; lost: 3 samples"), "{texts:?}");
}

// A leaf whose name ends in a number would be read as the number of another profile.
#[test]
fn a_number_at_the_end_of_a_name_is_not_a_second_profile() {
    let titles = texts(&render(&sample::report()), "title");
    let differences: Vec<_> = titles.iter().filter(|title| title.ends_with("%)") && title.contains("%; ")).collect();
    assert!(differences.is_empty(), "{differences:?}");
}
