//! Tables of given classes: the same as the generator's where the classes are, and each bad class is named.

use gort_size_classes::{ClassesError, MAX_OBJECTS, MAX_PAGES, Params, Table, objects_of_span};

const FINE: Params = Params { large_size_div: 16, ..Params::GO };

fn go_classes() -> Vec<(u32, u8)> {
    Table::generate(&Params::GO).unwrap().classes().map(|c| (c.size, c.pages)).collect()
}

#[test]
fn gos_classes_make_gos_table() {
    let given = Table::from_classes(&Params::GO, go_classes()).unwrap();
    let made = Table::generate(&Params::GO).unwrap();
    assert!(given.classes().eq(made.classes()));
    assert!(given.small_lookup().eq(made.small_lookup()) && given.large_lookup().eq(made.large_lookup()));
    let (mut a, mut b) = (String::new(), String::new());
    given.write_rust(&mut a).unwrap();
    made.write_rust(&mut b).unwrap();
    let values =
        |s: &str| s.lines().skip_while(|line| line.starts_with("//!")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(values(&a), values(&b), "only what is said of where it comes from differs");
}

#[test]
fn a_finer_lookup_finds_the_smallest_class_for_every_size() {
    let mut classes = go_classes();
    let at = classes.iter().position(|&(size, _)| size == 4864).unwrap();
    classes.insert(at, (4368, 8));
    let t = Table::from_classes(&FINE, classes).unwrap();
    let large: Vec<u8> = t.large_lookup().collect();
    assert_eq!(large.len(), 1985);
    for size in 1025..=32768 {
        let found = large[(size - 1024_u32).div_ceil(16) as usize];
        assert_eq!(Some(found), t.class_of_size(size).map(|c| c.index), "size {size}");
    }
    assert_eq!(t.class_of_size(4353).map(|c| (c.size, c.pages)), Some((4368, 8)));
}

#[test]
fn each_class_that_cannot_be_is_named_in_one_line() {
    let end = (32768, 4);
    let cases = [
        (vec![(16, 1), (16, 1), end], ClassesError::Order { size: 16 }),
        (vec![(12, 1), end], ClassesError::Step { size: 12, step: 8 }),
        (vec![(1032, 1), end], ClassesError::Step { size: 1032, step: 16 }),
        (vec![(8, 2), end], ClassesError::Span { size: 8, pages: 2 }),
        (vec![(8208, 1), end], ClassesError::Span { size: 8208, pages: 1 }),
        (vec![(8208, 16), end], ClassesError::Span { size: 8208, pages: 16 }),
        (vec![(8208, 0), end], ClassesError::Span { size: 8208, pages: 0 }),
        (vec![(16, 1)], ClassesError::Last { size: 16, max_small_size: 32768 }),
        (vec![], ClassesError::Last { size: 0, max_small_size: 32768 }),
        ((65..321).map(|i| (i * 16, 3)).collect(), ClassesError::TooMany),
    ];
    for (classes, error) in cases {
        let got = Table::from_classes(&FINE, classes).unwrap_err();
        assert_eq!(got, error);
        assert!(!got.to_string().contains('\n'));
    }
    let bad = Params { page_size: 5, ..FINE };
    assert!(matches!(Table::from_classes(&bad, go_classes()), Err(ClassesError::Params(_))));
}

#[test]
fn spans_have_as_many_objects_as_the_heap_can_have() {
    for size in (8..=32768).step_by(8) {
        for pages in 0..=20 {
            let objects = u32::from(pages) * 8192 / size;
            let fits = pages <= MAX_PAGES && (1..=MAX_OBJECTS).contains(&objects);
            assert_eq!(objects_of_span(size, pages, 8192), fits.then_some(objects), "{size} {pages}");
        }
    }
    assert_eq!(objects_of_span(0, 1, 8192), None);
    assert_eq!(objects_of_span(1, 1, 1024), None, "no 32-bit magic number divides by 1");
}
