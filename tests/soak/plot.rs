//! What was alive, what was resident and what could have been, over time, as SVG.

use std::error::Error;

use plotters::prelude::*;

use crate::bound::Sample;
use crate::driver::{Outcome, Plan};

const SIZE: (u32, u32) = (1_000, 520);
const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
const FAINT: RGBColor = RGBColor(0x77, 0x77, 0x77);
const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);
const BOUND: RGBColor = RGBColor(0xc0, 0x39, 0x2b);
const RESIDENT: RGBColor = RGBColor(0x1f, 0x5f, 0xa8);
const LIVE: RGBColor = RGBColor(0x2a, 0x8f, 0x4f);
/// Points of a line.
const MOST_POINTS: usize = 2_000;

/// Its name, its color, and what it shows of a sample.
type Line = (&'static str, RGBColor, fn(&Sample) -> u64);

/// The chart.
pub(crate) fn svg(plan: &Plan, outcome: &Outcome) -> Result<String, Box<dyn Error>> {
    let mut svg = String::new();
    draw(&mut svg, plan, outcome)?;
    Ok(svg)
}

fn draw(svg: &mut String, plan: &Plan, outcome: &Outcome) -> Result<(), Box<dyn Error>> {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let title = format!(
        "Soak of {:.0} minutes, seed {:#x}: 2 to {} threads, {} million operations",
        outcome.seconds / 60.0,
        plan.seed,
        outcome.most_threads,
        outcome.operations / 1_000_000
    );
    let area = area.titled(&title, ("sans-serif", 20).into_font().color(&INK))?;
    let samples = &outcome.samples;
    let most = samples.iter().map(|s| s.bound.max(s.resident)).max().unwrap_or(1) as f64 / MIB;
    let mut chart = ChartBuilder::on(&area)
        .margin_top(8)
        .margin_right(24)
        .x_label_area_size(48)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..outcome.seconds / 60.0, 0.0..most * 1.05)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(FAINT)
        .label_style(("sans-serif", 14).into_font().color(&FAINT))
        .axis_desc_style(("sans-serif", 15).into_font().color(&INK))
        .x_desc("minutes")
        .y_desc("MiB")
        .draw()?;
    let at_work: Vec<&Sample> = samples.iter().filter(|s| !s.at_rest).collect();
    let step = at_work.len().div_ceil(MOST_POINTS).max(1);
    let lines: [Line; 3] = [
        ("what may be resident", BOUND, |s| s.bound),
        ("resident", RESIDENT, |s| s.resident),
        ("alive", LIVE, |s| s.live),
    ];
    for (name, color, value) in lines {
        // Of the samples that share a point the one that says most.
        let points: Vec<_> = at_work
            .chunks(step)
            .map(|some| {
                (some[0].seconds / 60.0, some.iter().map(|s| value(s)).max().unwrap_or(0) as f64 / MIB)
            })
            .collect();
        chart
            .draw_series([PathElement::new(points, color.stroke_width(2))])?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(4)));
    }
    let rests = samples.iter().filter(|s| s.at_rest);
    let (marks, bars): (Vec<_>, Vec<_>) = rests
        .map(|s| (s.seconds / 60.0, s.resident as f64 / MIB, s.bound as f64 / MIB))
        .map(|(x, resident, bound)| ((x, resident), (x, bound)))
        .unzip();
    chart
        .draw_series(marks.into_iter().map(|at| Circle::new(at, 3, RESIDENT.filled())))?
        .label("resident at rest")
        .legend(|(x, y)| Circle::new((x + 8, y), 3, RESIDENT.filled()));
    chart
        .draw_series(bars.into_iter().map(|at| Cross::new(at, 3, BOUND.stroke_width(1))))?
        .label("what may be then")
        .legend(|(x, y)| Cross::new((x + 8, y), 3, BOUND.stroke_width(1)));
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.8))
        .label_font(("sans-serif", 14).into_font().color(&INK))
        .draw()?;
    area.present()?;
    Ok(())
}

const MIB: f64 = (1 << 20) as f64;
