//! `gort size-classes --from`: a table for the objects of one program, beside Go's.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use gort_size_classes::{Params, Table};

use super::fit::{Limits, MOST_CLASSES, NoFit, fit_or};
use super::histogram::{self, Row};
use super::waste::Demand;
use super::{Args, shown, svg};
use crate::failure::{Failure, bad_input, cause, failed};

/// Classes of Go's table, class 0 not counted.
pub(super) const GO_CLASSES: usize = 67;
/// No table of few classes can do better, and Go's does not either.
const LEAST_WORST: u32 = 16;
/// Pages and lookups of the tables: as Go's, but every size above 1 KiB that C's alignment has can be a class.
const PARAMS: Params = Params { large_size_div: 16, ..Params::GO };

/// Which objects count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(super) enum Count {
    /// Those that lived at the heap's peak: the table for the least memory
    Live,
    /// Every one that was ever allocated: the table for the least bytes per operation
    Allocated,
}

/// The number of classes, as an option.
pub(super) fn classes(s: &str) -> Result<usize, String> {
    let n = s.parse().ok().filter(|n| (1..=MOST_CLASSES).contains(n));
    n.ok_or_else(|| format!("not a whole number from 1 to {MOST_CLASSES}"))
}

/// The percents of waste, as an option.
pub(super) fn worst(s: &str) -> Result<u32, String> {
    let n = s.parse().ok().filter(|n| (LEAST_WORST..=100).contains(n));
    n.ok_or_else(|| format!("not a whole number from {LEAST_WORST} to 100"))
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    if let Some(option) = other_parameter(args) {
        return Err(bad_input(format!(
            "--from and --{option} exclude each other: a fitted table has Go's pages and lookups"
        )));
    }
    let rows = histogram::read(&args.from).map_err(bad_input)?;
    let demands = demands(&rows, args.count);
    if demands.iter().all(|d| d.objects == 0) {
        let name = histogram::names(&args.from);
        return Err(bad_input(format!(
            "{name}: no objects up to 32 KiB lived at the peak; --count allocated counts all"
        )));
    }
    let go = Table::generate(&Params::GO).map_err(|e| failed(e.to_string()))?;
    let limits = Limits { classes: args.classes, worst: args.worst };
    let table = fit_or(go.clone(), &PARAMS, &demands, limits).map_err(|e| no_fit(e, limits))?;

    let picture = shown::Picture::new(histogram::names(&args.from), &go, &table, &demands, args.count);
    if let Some(file) = &args.output {
        let mut source = String::new();
        table.write_rust(&mut source).map_err(io::Error::other)?;
        write(file, source.as_bytes())?;
    }
    if let Some(file) = &args.svg {
        write(file, svg::draw(&picture).map_err(failed)?.as_bytes())?;
    }
    let mut text = picture.text();
    if let Some(file) = &args.output {
        let absolute = std::path::absolute(file).unwrap_or_else(|_| file.clone());
        text += &format!(
            "\nGORT_SIZE_CLASSES={} cargo build --release   builds gort with the table\n",
            absolute.display()
        );
    }
    Ok(io::stdout().write_all(text.as_bytes())?)
}

/// An option that says how Go's generator is to work.
fn other_parameter(args: &Args) -> Option<&'static str> {
    let go = Params::GO;
    let changed = [
        ("page-size", args.page_size != go.page_size),
        ("max-small-size", args.max_small_size != go.max_small_size),
        ("tail-waste-divisor", args.tail_waste_divisor != go.tail_waste_divisor),
        ("small-size-div", args.small_size_div != go.small_size_div),
        ("small-size-max", args.small_size_max != go.small_size_max),
        ("large-size-div", args.large_size_div != go.large_size_div),
        ("step-divisor", args.step_divisor != go.step_divisor),
        ("max-step", args.max_step != go.max_step),
    ];
    changed.into_iter().find(|(_, changed)| *changed).map(|(name, _)| name)
}

/// The objects that count, each size and alignment once.
fn demands(rows: &[Row], count: Count) -> Vec<Demand> {
    let mut demands = std::collections::BTreeMap::new();
    for row in rows {
        let objects = if count == Count::Live { row.live } else { row.allocations };
        *demands.entry((row.size, row.align)).or_insert(0) += objects;
    }
    demands.into_iter().map(|((size, align), objects)| Demand { size, align, objects }).collect()
}

fn no_fit(why: NoFit, limits: Limits) -> Failure {
    let Limits { classes, worst } = limits;
    match why {
        NoFit::Needs(Some(n)) => bad_input(format!(
            "--classes {classes} are too few: with --worst {worst} and this program's alignments it takes {n}"
        )),
        NoFit::Needs(None) => bad_input(format!("no table keeps to --worst {worst}")),
        NoFit::Classes(e) => failed(e.to_string()),
    }
}

fn write(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    fs::write(file, bytes).map_err(|e| {
        bad_input(format!("cannot write {}: {}", file.display().to_string().escape_debug(), cause(&e)))
    })
}

/// Reads bytes as a file, and makes its table: one that keeps to the limits, wastes no more than Go's, and comes out the same from the
/// rows as they are written out again.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn fuzz(bytes: &[u8]) {
    use super::waste::cost;

    let (Some((&classes, bytes)), mut rows) = (bytes.split_first(), vec![]) else { return };
    if let Err((line, why)) = histogram::parse(bytes, &mut rows) {
        assert!(
            line >= 1 && line <= bytes.split(|&b| b == b'\n').count() && !why.contains('\n'),
            "{line}: {why}"
        );
        return;
    }
    let written: String = rows
        .iter()
        .map(|row| format!("{} {} {} {}\n", row.size, row.allocations, row.live, row.align))
        .collect();
    let mut again = vec![];
    assert_eq!(histogram::parse(written.as_bytes(), &mut again), Ok(()));
    assert_eq!(rows, again);
    let go = Table::generate(&Params::GO).expect("Go's parameters make a table");
    // A fit takes a tenth of a second.
    for count in [Count::Live, Count::Allocated] {
        let demands = demands(&rows, count);
        if demands.is_empty() || classes & 7 != count as u8 {
            continue;
        }
        let limits = Limits {
            classes: usize::from(classes % 80).max(1),
            worst: LEAST_WORST + u32::from(classes) % 85,
        };
        match fit_or(go.clone(), &PARAMS, &demands, limits) {
            Ok(table) => {
                assert!(table.len() - 1 <= limits.classes);
                assert!(cost(&table, &demands) <= cost(&go, &demands) || limits.classes < GO_CLASSES);
                let mut source = String::new();
                table.write_rust(&mut source).expect("a string takes everything");
                let picture = shown::Picture::new("fuzz".to_owned(), &go, &table, &demands, count);
                assert!(!picture.text().is_empty());
                assert!(svg::draw(&picture).expect("a string takes everything").ends_with("</svg>\n"));
            }
            Err(why) => assert!(!matches!(why, NoFit::Needs(Some(n)) if n <= limits.classes)),
        }
    }
}
