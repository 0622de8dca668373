//! The fit against a slow twin that looks at every table there is, and random programs against Go's table.

use super::*;

/// Numbers from a fixed seed.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

fn go() -> Table {
    Table::generate(&Params::GO).expect("Go's parameters are valid")
}

const FINE: Params = Params { large_size_div: 16, ..Params::GO };
/// Twelve sizes that can be classes.
const TINY: Params =
    Params { max_small_size: 128, small_size_max: 64, large_size_div: 16, max_step: 16, ..Params::GO };
const TINY_SIZES: [u32; 12] = [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128];

/// Objects of random sizes; few sizes have most of them.
fn program(random: &mut Random, max: u64, sizes: u64, aligns: &[u32]) -> Vec<Demand> {
    let demand = |random: &mut Random| Demand {
        size: 1 + random.below(max) as u32,
        align: aligns[random.below(aligns.len() as u64) as usize],
        objects: match random.below(4) {
            0 => 0,
            1 => random.below(1_000_000),
            _ => random.below(100),
        },
    };
    (0..1 + random.below(sizes)).map(|_| demand(random)).filter(|d| u64::from(d.padded()) <= max).collect()
}

/// Whether every request gets a class that is aligned and wastes no more than it may, looking at each one.
fn keeps_to(classes: &[u32], p: &Params, demands: &[Demand], worst: u32) -> bool {
    let class_of =
        |size: u32| classes.iter().copied().find(|&c| c >= size).expect("the last class is the largest size");
    let alignments = || (3..=13).map(|n| 1_u32 << n);
    let aligned = alignments().all(|align| {
        (align..=p.max_small_size).step_by(align as usize).all(|size| {
            let free = size < p.small_size_max || align <= 64;
            !free || class_of(size).is_multiple_of(align)
        })
    });
    let served = demands.iter().all(|d| d.objects == 0 || class_of(d.padded()).is_multiple_of(d.align));
    let wastes = |size: u32| class_of(size.next_multiple_of(16)) - size;
    let bounded = (1..=p.max_small_size)
        .all(|size| wastes(size) <= 15 || wastes(size) * 100 <= class_of(size.next_multiple_of(16)) * worst);
    aligned && served && bounded
}

/// What a table of these classes costs with the best spans that each can have.
fn slow_cost(classes: &[u32], demands: &[Demand]) -> u128 {
    let mut below = 0;
    let mut sum = 0;
    for &class in classes {
        let of_class = || demands.iter().filter(|d| d.padded() > below && d.padded() <= class);
        let objects: u128 = of_class().map(|d| u128::from(d.objects)).sum();
        let asked: u128 = of_class().map(|d| u128::from(d.objects) * u128::from(d.size)).sum();
        let cost = |pages: u8| {
            let each = gort_size_classes::objects_of_span(class, pages, 8192)?;
            let span = u128::from(pages) * 8192 * 16;
            Some(objects * span.div_ceil(each.into()) + span / 2)
        };
        if objects > 0 {
            sum += (1..=MAX_PAGES).filter_map(cost).min().expect("a page has room for these") - asked * 16;
        }
        below = class;
    }
    sum
}

/// The least cost of all tables within the limits.
fn slow_fit(demands: &[Demand], limits: Limits) -> Option<u128> {
    let (last, others) = TINY_SIZES.split_last().unwrap();
    (0..1_u32 << others.len())
        .filter(|set| set.count_ones() < limits.classes as u32)
        .filter_map(|set| {
            let classes: Vec<u32> = others
                .iter()
                .enumerate()
                .filter(|(i, _)| set >> i & 1 == 1)
                .map(|(_, &s)| s)
                .chain([*last])
                .collect();
            keeps_to(&classes, &TINY, demands, limits.worst).then(|| slow_cost(&classes, demands))
        })
        .min()
}

#[test]
fn no_table_of_few_sizes_is_better() {
    let mut random = Random(11);
    let (mut fitted, mut refused) = (0, 0);
    for _ in 0..150 {
        let aligns: &[u32] = if random.below(2) == 0 { &[16] } else { &[1, 8, 16, 32, 64, 128] };
        let demands = program(&mut random, 128, 12, aligns);
        let limits = Limits { classes: 1 + random.below(12) as usize, worst: 16 + random.below(85) as u32 };
        let slow = slow_fit(&demands, limits);
        match fit(&TINY, &demands, limits) {
            Ok(table) => {
                assert!(table.len() - 1 <= limits.classes);
                let sizes: Vec<u32> = table.classes().map(|c| c.size).collect();
                assert!(keeps_to(&sizes, &TINY, &demands, limits.worst), "{sizes:?} {limits:?} {demands:?}");
                assert_eq!(Some(cost(&table, &demands)), slow, "{sizes:?} {limits:?} {demands:?}");
                fitted += 1;
            }
            Err(NoFit::Needs(n)) => {
                assert_eq!(slow, None, "{limits:?} {demands:?}");
                let n = n.expect("all sizes as classes are a table");
                assert!(n > limits.classes && slow_fit(&demands, Limits { classes: n, ..limits }).is_some());
                assert!(slow_fit(&demands, Limits { classes: n - 1, ..limits }).is_none());
                refused += 1;
            }
            Err(e) => panic!("{e:?}"),
        }
    }
    assert!(fitted > 50 && refused > 10, "{fitted} {refused}");
}

#[test]
fn random_programs_waste_no_more_than_on_gos_table() {
    let mut random = Random(5);
    let go = go();
    for case in 0..24 {
        let aligns: &[u32] = [&[16][..], &[1, 2, 4, 8, 16], &[16, 16, 16, 64, 256, 4096, 8192]][case % 3];
        let max = [512, 4096, 32768][case / 3 % 3];
        let demands = program(&mut random, max, 400, aligns);
        let limits = Limits { classes: 67, worst: [16, 25, 100][random.below(3) as usize] };
        let table = fit_or(go.clone(), &FINE, &demands, limits).expect("67 classes are enough");
        assert!(table.len() <= go.len());
        let (ours, gos) = (cost(&table, &demands), cost(&go, &demands));
        assert!(ours <= gos, "{ours} {gos} {demands:?}");
        if aligns.len() < 7 {
            let fewer = fit(&FINE, &demands, Limits { classes: 50, ..limits });
            assert!(
                fewer.is_err() || fewer.is_ok_and(|t| cost(&t, &demands) >= ours),
                "more classes are no worse"
            );
            let sizes: Vec<u32> = table.classes().map(|c| c.size).collect();
            assert!(keeps_to(&sizes, &FINE, &demands, limits.worst), "{sizes:?}");
        }
    }
}

#[test]
fn gos_table_keeps_to_the_limits() {
    let sizes: Vec<u32> = go().classes().map(|c| c.size).collect();
    assert!(keeps_to(&sizes, &FINE, &[], 16), "so a fit is never worse");
}

#[test]
fn a_program_of_one_size_gets_a_class_of_that_size_and_a_span_without_a_tail() {
    let demands = [Demand { size: 4368, align: 16, objects: 100_000 }];
    let table = fit(&FINE, &demands, Limits { classes: 67, worst: 25 }).unwrap();
    let class = table.class_of_size(4368).unwrap();
    assert_eq!((class.size, class.tail_waste()), (4368, 16));
}

#[test]
fn objects_aligned_to_a_page_keep_a_class_that_is() {
    let demands =
        [Demand { size: 4096, align: 4096, objects: 10 }, Demand { size: 4112, align: 16, objects: 100_000 }];
    let limits = Limits { classes: 67, worst: 25 };
    let size = |demands: &[Demand]| fit(&FINE, demands, limits).unwrap().class_of_size(4096).unwrap().size;
    assert_eq!(size(&demands), 4096);
    let anyhow = demands.map(|d| Demand { align: 16, ..d });
    assert_ne!(size(&anyhow) % 4096, 0, "else it would not be worth a class");
}
