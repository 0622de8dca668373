//! Time and memory side by side: a line for each workload, a dot for each allocator, at its ratio to the best of the row.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::marks::{self, Area, BAND, Drawn, FAINT, GRID, INK, Mark};
use crate::compare::judged::{Judged, Measure};
use crate::compare::results::{Kind, Results};
use crate::compare::statistics::geometric_mean;

const WIDTH: i32 = 1000;
const ROW: i32 = 24;
/// Where the labels end and the panels begin and end.
const LABELS: i32 = 178;
const PANELS: [(i32, i32); 2] = [(194, 574), (604, 984)];
/// Who is farther behind stands in a strip behind the axis.
const FARTHEST: f64 = 8.0;
const STRIP: i32 = 76;
const TICKS: [f64; 9] = [1.0, 1.2, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0];

/// What one line shows.
enum Line<'a> {
    Group(&'a str),
    /// Ratios for each panel and allocator; the seeds' geometric mean.
    Row {
        name: &'a str,
        panels: [Vec<Dot>; 2],
    },
    Means([Vec<Dot>; 2]),
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Dot {
    At(f64),
    /// It was not run to the end.
    Crashed,
    Nothing,
}

/// The chart as SVG.
pub(in super::super) fn write(results: &Results) -> Result<String, String> {
    let judged = [Measure::Time, Measure::Peak].map(|measure| Judged::new(results, measure));
    let lines = lines(results, &judged);
    let mut svg = String::new();
    draw(&mut svg, results, &lines).map_err(|e| e.to_string())?;
    Ok(svg)
}

fn lines<'a>(results: &'a Results, judged: &[Judged<'a>; 2]) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    for group in distinct(results.rows.iter().map(|row| row.group.as_str())) {
        if !group.is_empty() {
            lines.push(Line::Group(group));
        }
        let members = results.rows.iter().filter(|row| row.group == group);
        for name in distinct(members.map(|row| row.name.as_str())) {
            let panels = [0, 1]
                .map(|panel| (0..results.allocators.len()).map(|a| dot(&judged[panel], name, a)).collect());
            lines.push(Line::Row { name, panels });
        }
    }
    let means = [0, 1].map(|panel: usize| {
        judged[panel].means.iter().map(|mean| mean.ratio.map_or(Dot::Nothing, Dot::At)).collect()
    });
    lines.push(Line::Means(means));
    lines
}

/// Each once, in the order of their first appearance.
fn distinct<'a>(all: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for one in all {
        if !seen.contains(&one) {
            seen.push(one);
        }
    }
    seen
}

/// All seeds of a workload.
fn dot(judged: &Judged, name: &str, allocator: usize) -> Dot {
    let rows = || judged.rows.iter().filter(|row| row.row.name == name);
    if rows().any(|row| row.row.cells[allocator].failure.is_some()) {
        return Dot::Crashed;
    }
    let ratios: Vec<f64> = rows().filter_map(|row| row.ratio(allocator)).collect();
    geometric_mean(&ratios).map_or(Dot::Nothing, Dot::At)
}

/// All that a panel shows.
fn ratios<'a>(lines: &'a [Line], panel: usize) -> impl Iterator<Item = &'a Dot> {
    lines.iter().flat_map(move |line| match line {
        Line::Row { panels, .. } | Line::Means(panels) => panels[panel].as_slice(),
        Line::Group(_) => &[],
    })
}

/// The end of a panel's axis.
fn farthest(lines: &[Line], panel: usize) -> f64 {
    let numbers = ratios(lines, panel).filter_map(|dot| if let Dot::At(r) = dot { Some(*r) } else { None });
    let most = numbers.fold(1.5, f64::max);
    TICKS.into_iter().find(|tick| *tick >= most).unwrap_or(FARTHEST)
}

fn draw(svg: &mut String, results: &Results, lines: &[Line]) -> Drawn {
    let names: Vec<&str> = results.allocators.iter().map(|a| a.name.as_str()).collect();
    let marks = marks::marks(results.allocators.iter().map(|a| a.ours));
    // The names of many allocators take a second line.
    let letters: usize = names.iter().map(|name| name.len() + 4).sum();
    let head = if letters * 8 < WIDTH as usize { 132 } else { 154 };
    let height = head + ROW * lines.len() as i32 + 44;
    let area = SVGBackend::with_string(svg, (WIDTH as u32, height as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    marks::bold(&area, title(results.kind), (16, 22), 22, INK, HPos::Left)?;
    marks::text(&area, &subtitle(results), (16, 46), 15, FAINT, HPos::Left)?;
    marks::legend(&area, &names, &marks, 74, 12, WIDTH - 12)?;
    if results.failures().next().is_some() {
        strike(&area, (WIDTH - 96, 22))?;
        marks::text(&area, "crashed", (WIDTH - 80, 22), 16, INK, HPos::Left)?;
    }
    let bottom = head + ROW * lines.len() as i32;
    for (panel, title) in
        ["time, ratio to the fastest", "peak memory, ratio to the leanest"].iter().enumerate()
    {
        let axis = Axis::new(lines, panel);
        marks::bold(&area, title, (axis.from, head - 30), 17, INK, HPos::Left)?;
        bands(&area, lines, &axis, head)?;
        grid(&area, &axis, head, bottom)?;
        for (number, line) in lines.iter().enumerate() {
            let y = head + ROW * number as i32 + ROW / 2;
            if let Line::Row { panels, .. } | Line::Means(panels) = line {
                dots(&area, &axis, &panels[panel], &marks, y)?;
            }
        }
    }
    for (number, line) in lines.iter().enumerate() {
        let y = head + ROW * number as i32 + ROW / 2;
        match line {
            Line::Group(name) => marks::bold(&area, name, (16, y + 3), 15, FAINT, HPos::Left)?,
            Line::Row { name, .. } => marks::text(&area, name, (LABELS, y), 16, INK, HPos::Right)?,
            Line::Means(_) => marks::bold(&area, "geometric mean", (LABELS, y), 16, INK, HPos::Right)?,
        }
    }
    area.present()?;
    Ok(())
}

fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::Workloads => "gort beside other allocators",
        Kind::Preload => "gort beside other allocators, preloaded",
        Kind::Programs => "Real programs on gort and on other allocators",
    }
}

fn subtitle(results: &Results) -> String {
    let (machine, settings) = (&results.machine, &results.settings);
    let seeds = match settings.seeds.as_slice() {
        [] => String::new(),
        [seed] => format!(", seed {seed}"),
        many => format!(", mean of {} seeds", many.len()),
    };
    let quick = if settings.quick { ", quick" } else { "" };
    format!(
        "median of {} rounds{seeds}{quick}; {}, {} cores, Linux {}; left is better",
        settings.rounds, machine.processor, machine.cores, machine.kernel
    )
}

/// A logarithmic axis that begins at 1.
struct Axis {
    from: i32,
    to: i32,
    most: f64,
    /// Where its panel ends: behind a strip, if anyone has no place on the axis.
    end: i32,
}

impl Axis {
    fn new(lines: &[Line], panel: usize) -> Self {
        let (from, end) = PANELS[panel];
        let most = farthest(lines, panel);
        let outside = ratios(lines, panel).any(|dot| match *dot {
            Dot::At(r) => r > most,
            Dot::Crashed => true,
            Dot::Nothing => false,
        });
        Self { from, to: if outside { end - STRIP } else { end }, most, end }
    }

    fn place(&self, ratio: f64) -> i32 {
        let part = ratio.max(1.0).ln() / self.most.ln();
        self.from + (f64::from(self.to - self.from) * part.min(1.0)).round() as i32
    }
}

/// Every second row on grey, so that the eye finds the way from a dot to its name.
fn bands(area: &Area, lines: &[Line], axis: &Axis, top: i32) -> Drawn {
    for (number, line) in lines.iter().enumerate() {
        let y = top + ROW * number as i32;
        let color = match line {
            Line::Row { .. } if number % 2 == 1 => BAND,
            Line::Means(_) => GRID,
            _ => continue,
        };
        area.draw(&Rectangle::new([(axis.from - 10, y), (axis.end + 10, y + ROW)], color.filled()))?;
    }
    Ok(())
}

fn grid(area: &Area, axis: &Axis, top: i32, bottom: i32) -> Drawn {
    if axis.end > axis.to {
        let edge = axis.to + 9;
        area.draw(&PathElement::new([(edge, top), (edge, bottom)], FAINT))?;
        marks::text(area, &format!("over {}", axis.most), (edge + 5, top - 9), 14, FAINT, HPos::Left)?;
    }
    let mut labelled = None;
    for tick in TICKS.into_iter().filter(|tick| *tick <= axis.most) {
        let x = axis.place(tick);
        let color = if tick == 1.0 { FAINT } else { GRID };
        area.draw(&PathElement::new([(x, top), (x, bottom)], color))?;
        if labelled.is_some_and(|last| x - last < 30) {
            continue;
        }
        labelled = Some(x);
        for y in [top - 9, bottom + 12] {
            marks::text(area, &format!("{tick}"), (x, y), 14, FAINT, HPos::Center)?;
        }
    }
    Ok(())
}

/// The allocators of one row; the first, gort, is drawn last and lies on top. Whoever has no place on the axis stands behind it,
/// in the order of the ratios and struck out if it crashed.
fn dots(area: &Area, axis: &Axis, dots: &[Dot], marks: &[Mark], y: i32) -> Drawn {
    let mut behind: Vec<(f64, Mark)> = Vec::new();
    for (dot, mark) in dots.iter().zip(marks).rev() {
        match *dot {
            Dot::At(r) if r <= axis.most => mark.draw(area, (axis.place(r), y))?,
            Dot::At(r) => behind.push((r, *mark)),
            Dot::Crashed => behind.push((f64::INFINITY, *mark)),
            Dot::Nothing => {}
        }
    }
    behind.sort_by(|a, b| a.0.total_cmp(&b.0));
    let step = (STRIP - 16) / (behind.len() as i32).max(5);
    for (number, (r, mark)) in behind.into_iter().enumerate() {
        let x = axis.to + 20 + step * number as i32;
        mark.draw(area, (x, y))?;
        if r.is_infinite() {
            strike(area, (x, y))?;
        }
    }
    Ok(())
}

fn strike(area: &Area, (x, y): (i32, i32)) -> Drawn {
    Ok(area.draw(&PathElement::new([(x - 7, y + 8), (x + 7, y - 8)], INK.stroke_width(2)))?)
}
