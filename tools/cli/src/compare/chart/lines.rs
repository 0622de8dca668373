//! Memory over time: a line for each allocator.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::marks::{self, Drawn, FAINT, GRID, INK};
use crate::compare::over_time::{OverTime, Series};

const SIZE: (u32, u32) = (1000, 520);
const LIVE: RGBColor = RGBColor(0xe4, 0xe4, 0xe4);

/// The chart as SVG.
pub(in super::super) fn write(seen: &OverTime) -> Result<String, String> {
    let mut svg = String::new();
    draw(&mut svg, seen).map_err(|e| e.to_string())?;
    Ok(svg)
}

fn draw(svg: &mut String, seen: &OverTime) -> Drawn {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let name = |s: &Series| match s.failure {
        Some(_) => format!("{} (crashed)", s.allocator.name),
        None => s.allocator.name.clone(),
    };
    let names: Vec<String> = seen.series.iter().map(name).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let colors = marks::colors(seen.series.iter().map(|s| s.allocator.ours));
    let of_phases = seen.is_phases();
    let (title, below) = if of_phases {
        ("Memory that a process holds while its load changes", "seconds; grey: live objects")
    } else {
        ("Memory that a process holds after a spike", "seconds since the load was over")
    };
    marks::bold(&area, title, (16, 22), 22, INK, HPos::Left)?;
    let subtitle = format!("resident MiB; {} {}, seed {}", seen.workload, seen.set.join(" "), seen.seed);
    marks::text(&area, &subtitle, (16, 46), 15, FAINT, HPos::Left)?;
    let head = 70 + marks::key(&area, &names, &colors, 74, 12, SIZE.0 as i32 - 12)?;

    let points = || seen.series.iter().flat_map(|s| s.line(of_phases));
    let from = points().map(|p| p.0).fold(0.0, f64::min);
    let to = points().map(|p| p.0).fold(0.1, f64::max);
    let most = points().map(|p| p.1).fold(1.0, f64::max) / 1024.0;
    let mut chart = ChartBuilder::on(&area)
        .margin_top(head)
        .margin_right(24)
        .x_label_area_size(48)
        .y_label_area_size(64)
        .build_cartesian_2d(from..to, 0.0..most * 1.05)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(FAINT)
        .label_style(("sans-serif", 15).into_font().color(&FAINT))
        .axis_desc_style(("sans-serif", 16).into_font().color(&INK))
        .x_desc(below)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .draw()?;
    if of_phases {
        let first = seen.series.iter().find(|s| !s.marks.is_empty());
        chart.draw_series([Polygon::new(live(first), LIVE.filled())])?;
    } else {
        chart.draw_series([PathElement::new([(0.0, 0.0), (0.0, most * 1.05)], FAINT)])?;
    }
    // gort comes first and is drawn last, on top.
    for (series, color) in seen.series.iter().zip(&colors).rev() {
        let width = if series.allocator.ours { 4 } else { 2 };
        let line: Vec<(f64, f64)> = series.line(of_phases).map(|(at, kib)| (at, kib / 1024.0)).collect();
        chart.draw_series([PathElement::new(line, color.stroke_width(width))])?;
    }
    area.present()?;
    Ok(())
}

/// The outline of what is alive: it rises to each phase's amount, and falls when the phase is over.
fn live(series: Option<&Series>) -> Vec<(f64, f64)> {
    let marks = series.map_or(&[][..], |s| s.marks.as_slice());
    let mib = |live: u64| live as f64 / f64::from(1 << 20);
    let points = marks.iter().map(|mark| (mark.seconds, mib(mark.live)));
    let end = marks.last().map_or(0.0, |mark| mark.seconds);
    std::iter::once((0.0, 0.0)).chain(points).chain([(end, 0.0)]).collect()
}
