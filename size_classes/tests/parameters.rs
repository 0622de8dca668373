//! Tables of other parameters: each that can be made is valid, and what cannot be made says why.

mod common;

use common::valid::assert_valid;
use gort_size_classes::{Params, ParamsError, Table};
use proptest::prelude::*;

prop_compose! {
    fn params()(
        page in 10_u32..=17,
        largest_steps in 1_u32..=256,
        tail in 2_u32..=40,
        small_div in 3_u32..=6,
        small_max in 6_u32..=13,
        large_div in 0_u32..=7,
        step_div in 0_u32..=4,
        max_step in 4_u32..=12,
    ) -> Params {
        Params {
            page_size: 1 << page,
            max_small_size: (1 << small_max) + largest_steps * 256,
            tail_waste_divisor: tail,
            small_size_div: 1 << small_div,
            small_size_max: 1 << small_max,
            large_size_div: 1 << (small_div + large_div),
            step_divisor: 1 << step_div,
            max_step: 1 << max_step.max(small_div),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_can_be_made_is_valid(p in params()) {
        match Table::generate(&p) {
            Ok(t) => assert_valid(&t),
            Err(e) => prop_assert!(!e.to_string().contains('\n')),
        }
    }

    #[test]
    fn any_numbers_at_all_give_a_table_or_an_error(n in any::<[u32; 8]>(), shift in any::<[bool; 8]>()) {
        let n: Vec<u32> = n.into_iter().zip(shift).map(|(n, s)| if s { 1 << (n % 32) } else { n }).collect();
        let p = Params {
            page_size: n[0], max_small_size: n[1], tail_waste_divisor: n[2], small_size_div: n[3],
            small_size_max: n[4], large_size_div: n[5], step_divisor: n[6], max_step: n[7],
        };
        let _ = Table::generate(&p);
    }
}

#[test]
fn the_tables_that_other_machines_want_can_be_made() {
    for page_size in [4096, 8192, 16384, 65536] {
        for max_small_size in [16384, 32768, 65536] {
            for tail_waste_divisor in [4, 8, 10, 16] {
                let p = Params { page_size, max_small_size, tail_waste_divisor, ..Params::GO };
                assert_valid(&Table::generate(&p).unwrap_or_else(|e| panic!("{e}: {p:?}")));
            }
        }
    }
    assert_valid(&Table::generate(&Params::default()).unwrap());
}

#[test]
fn sixteen_byte_granularity_has_no_class_below_it() {
    let p = Params { small_size_div: 16, ..Params::GO };
    let t = Table::generate(&p).unwrap();
    assert_valid(&t);
    assert!(t.classes().all(|c| c.align() >= 16));
    assert_eq!(t.len(), 66, "Go's table without 8 and 24");
}

#[test]
fn each_bad_parameter_is_named_in_one_line() {
    let go = Params::GO;
    let cases = [
        (Params { page_size: 0, ..go }, "page_size 0 is not a power of two from 1024 to 1048576"),
        (Params { page_size: 5000, ..go }, "page_size 5000 is not a power of two from 1024 to 1048576"),
        (Params { page_size: 1 << 21, ..go }, "page_size 2097152 is not a power of two from 1024 to 1048576"),
        (Params { small_size_div: 4, ..go }, "small_size_div 4 is not a power of two from 8 to 1024"),
        (
            Params { small_size_max: 1000, ..go },
            "small_size_max 1000 is not a power of two from 8 to 1048576",
        ),
        (Params { large_size_div: 256, ..go }, "large_size_div 256 is not a power of two from 8 to 128"),
        (Params { step_divisor: 0, ..go }, "step_divisor 0 is not a power of two from 1 to 64"),
        (Params { max_step: 8, ..go }, "max_step 8 is not a power of two from 16 to 1048576"),
        (Params { tail_waste_divisor: 1, ..go }, "tail_waste_divisor 1 is not from 2 to 64"),
        (Params { max_small_size: 512, ..go }, "max_small_size 512 is not from 1024 to 1048576"),
        (Params { max_small_size: u32::MAX, ..go }, "max_small_size 4294967295 is not from 1024 to 1048576"),
        (
            Params { max_small_size: 33000, ..go },
            "max_small_size 33000 is not a multiple of 256, the distance of classes there",
        ),
    ];
    for (p, message) in cases {
        assert_eq!(Table::generate(&p).unwrap_err().to_string(), message);
        assert!(p.validate().is_err());
    }
}

#[test]
fn a_table_that_grows_too_large_says_so() {
    let many =
        Params { page_size: 1 << 20, step_divisor: 64, max_step: 16, large_size_div: 16, ..Params::GO };
    assert!(matches!(Table::generate(&many), Err(ParamsError::TooManyClasses { .. })));
    let long = Params { page_size: 1024, max_small_size: 1 << 20, max_step: 1 << 16, ..Params::GO };
    assert!(matches!(Table::generate(&long), Err(ParamsError::SpanTooLong { .. })));
    for p in [many, long] {
        assert!(!Table::generate(&p).unwrap_err().to_string().contains('\n'));
    }
}
