//! Memory over time: a line for each allocator.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::marks::{self, Drawn, FAINT, GRID, INK};
use crate::compare::over_time::{OverTime, Series};

const SIZE: (u32, u32) = (1000, 520);

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
    marks::bold(&area, "Memory that a process holds after a spike", (16, 22), 22, INK, HPos::Left)?;
    let subtitle = format!("resident MiB; {} {}", seen.workload, seen.set.join(" "));
    marks::text(&area, &subtitle, (16, 46), 15, FAINT, HPos::Left)?;
    let head = 70 + marks::key(&area, &names, &colors, 74, 12, SIZE.0 as i32 - 12)?;

    let points = || seen.series.iter().flat_map(|s| s.after_load());
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
        .x_desc("seconds since the load was over")
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .draw()?;
    chart.draw_series([PathElement::new([(0.0, 0.0), (0.0, most * 1.05)], FAINT)])?;
    // gort comes first and is drawn last, on top.
    for (series, color) in seen.series.iter().zip(&colors).rev() {
        let width = if series.allocator.ours { 4 } else { 2 };
        let line: Vec<(f64, f64)> = series.after_load().map(|(at, kib)| (at, kib / 1024.0)).collect();
        chart.draw_series([PathElement::new(line, color.stroke_width(width))])?;
    }
    area.present()?;
    Ok(())
}
