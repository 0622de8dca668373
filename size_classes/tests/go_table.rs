//! The generator's table and the committed one against Go's.
#![cfg_attr(own_table, allow(unused_imports, reason = "there is another table to compare with"))]

use gort_size_classes::{Params, Table, table};

fn go() -> Table {
    Table::generate(&Params::GO).expect("Go's parameters are valid")
}

/// Rows of Go's table, as text.
fn golden() -> Vec<Vec<&'static str>> {
    let rows: Vec<Vec<&str>> = include_str!("go-size-classes.tsv")
        .lines()
        .filter(|l| l.starts_with(|c: char| c.is_ascii_digit()))
        .map(|l| l.split('\t').collect())
        .collect();
    assert_eq!(rows.len(), 67, "the golden table is complete");
    rows
}

#[test]
fn every_column_is_gos() {
    let ours: Vec<Vec<String>> = go()
        .classes()
        .map(|c| {
            vec![
                c.index.to_string(),
                c.size.to_string(),
                c.span_bytes().to_string(),
                c.objects().to_string(),
                c.tail_waste().to_string(),
                format!("{:.2}", c.max_waste_percent()),
                c.align().to_string(),
            ]
        })
        .collect();
    assert_eq!(ours, golden());
}

#[test]
fn the_printed_form_is_gos() {
    let mut text = String::new();
    go().write_go_comment(&mut text).unwrap();
    let mut lines = text.lines();
    let head = "// class  bytes/obj  bytes/span  objects  tail waste  max waste  min align";
    assert_eq!(lines.next(), Some(head));
    for row in golden() {
        let line = lines.next().expect("a line for each class");
        let columns: Vec<&str> = line.trim_start_matches("//").split_whitespace().collect();
        let expected = [row[0], row[1], row[2], row[3], row[4], &format!("{}%", row[5]), row[6]];
        assert_eq!(columns, expected);
        assert_eq!(line.len(), head.len(), "columns line up: {line}");
    }
    let rest: Vec<&str> = lines.collect();
    assert_eq!(
        rest,
        [
            "",
            "// alignment  bits  min obj size",
            "//         8     3             8",
            "//        16     4            32",
            "//        32     5           256",
            "//        64     6           512",
            "//       128     7           768",
            "//      4096    12         28672",
            "//      8192    13         32768",
        ]
    );
}

#[test]
fn the_committed_source_is_what_the_generator_writes() {
    let mut text = String::new();
    go().write_rust(&mut text).unwrap();
    assert!(
        text == include_str!("../src/table.rs"),
        "size_classes/src/table.rs is not what `gort size-classes --rust` writes: write it anew"
    );
}

#[cfg(not(own_table))]
#[test]
fn the_committed_values_are_the_generators() {
    assert_eq!(go().compare_with_committed(), Ok(()));
    let sizes: Vec<u32> = golden().iter().map(|row| row[1].parse().unwrap()).collect();
    assert_eq!(table::CLASS_TO_SIZE[1..], sizes);
}

#[cfg(not(own_table))]
#[test]
fn a_difference_names_its_place() {
    let p = Params { tail_waste_divisor: 16, ..Params::GO };
    let d = Table::generate(&p).unwrap().compare_with_committed().unwrap_err();
    assert!(
        d.to_string().starts_with("NUM_CLASSES is 68 in the compiled-in table, and the generator gives "),
        "{d}"
    );

    // Same classes, other lookup step.
    let p = Params { small_size_max: 512, large_size_div: 64, ..Params::GO };
    let d = Table::generate(&p).unwrap().compare_with_committed().unwrap_err();
    assert_eq!(d.name, "SMALL_SIZE_MAX");
}
