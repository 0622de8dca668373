//! The waste of both tables as a drawing.

use std::error::Error;

use plotters::coord::Shift;
use plotters::prelude::{
    Color, DrawingArea, IntoDrawingArea, IntoFont, RGBColor, Rectangle, SVGBackend, Text, WHITE,
};

use super::shown::{Picture, bytes, name};

const WIDTH: u32 = 860;
/// Height of the two bars of a range, and of everything else.
const ROW: u32 = 44;
const FRAME: u32 = 96;
const BEFORE: RGBColor = RGBColor(0x9a, 0xa5, 0xb1);
const AFTER: RGBColor = RGBColor(0x00, 0x7d, 0x9c);
const INK: RGBColor = RGBColor(0x20, 0x24, 0x28);
/// Where the bars begin and how long they can be.
const LEFT: i32 = 140;
const LENGTH: i32 = 600;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws a pair of bars for each range of sizes; the error is one line.
pub(super) fn draw(picture: &Picture) -> Result<String, String> {
    let mut svg = String::new();
    let height = FRAME + ROW * picture.ranges().count() as u32;
    let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
    let drawn = bars(&root, picture).and_then(|()| Ok(root.present()?));
    drop(root);
    drawn.map_err(|e| format!("cannot draw: {e}"))?;
    Ok(svg)
}

fn bars(root: &Area<'_>, picture: &Picture) -> Result<(), Box<dyn Error>> {
    let style = |size: i32| ("sans-serif", size).into_font().color(&INK);
    root.fill(&WHITE)?;
    root.draw(&Text::new(format!("Waste by the size asked for: {}", picture.of), (16, 16), style(18)))?;
    for (x, color, name, all) in [
        (LEFT, BEFORE, "Go's table", &picture.all_before),
        (LEFT + 260, AFTER, "this table", &picture.all_after),
    ] {
        root.draw(&Rectangle::new([(x, 48), (x + 14, 62)], color.filled()))?;
        root.draw(&Text::new(format!("{name}: {}", bytes(all.sum())), (x + 22, 48), style(14)))?;
    }
    let sums = |i: usize| [(picture.before[i].sum(), BEFORE), (picture.after[i].sum(), AFTER)];
    let longest = picture.ranges().flat_map(|i| sums(i).map(|(n, _)| n)).max().unwrap_or(0).max(1);
    for (row, i) in picture.ranges().enumerate() {
        let top = (FRAME - 16 + ROW * row as u32).cast_signed();
        root.draw(&Text::new(name(i), (16, top + 9), style(14)))?;
        for (bar, (n, color)) in sums(i).into_iter().enumerate() {
            let y = top + 17 * bar as i32;
            let end = LEFT + (n * LENGTH as u128 / longest) as i32;
            root.draw(&Rectangle::new([(LEFT, y), (end, y + 14)], color.filled()))?;
            root.draw(&Text::new(bytes(n), (end + 6, y + 1), style(12)))?;
        }
    }
    Ok(())
}
