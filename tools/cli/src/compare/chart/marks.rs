//! What the charts have in common: colours, marks, text, the legend.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(super) type Drawn = Result<(), Box<dyn std::error::Error>>;

pub(super) const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
pub(super) const FAINT: RGBColor = RGBColor(0x77, 0x77, 0x77);
pub(super) const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);
pub(super) const BAND: RGBColor = RGBColor(0xf6, 0xf6, 0xf6);
const GORT: RGBColor = RGBColor(0xd0, 0x10, 0x10);
/// gort with something changed.
const GORT_TOO: RGBColor = RGBColor(0xf0, 0x8a, 0x8a);
/// Told apart by the colour-blind too, and by shape where there is no colour.
const PEERS: [(RGBColor, Shape); 8] = [
    (RGBColor(0x55, 0x55, 0x55), Shape::Circle),
    (RGBColor(0x9a, 0xcd, 0xf0), Shape::Square),
    (RGBColor(0x00, 0x72, 0xb2), Shape::Square),
    (RGBColor(0x00, 0x9e, 0x73), Shape::Triangle),
    (RGBColor(0xe6, 0x9f, 0x00), Shape::Circle),
    (RGBColor(0xcc, 0x79, 0xa7), Shape::Triangle),
    (RGBColor(0x7b, 0x4f, 0xb5), Shape::Cross),
    (RGBColor(0x8c, 0x60, 0x30), Shape::Cross),
];

#[derive(Clone, Copy)]
enum Shape {
    Circle,
    Square,
    Triangle,
    Cross,
    Diamond,
}

/// How an allocator is drawn.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    pub(super) color: RGBColor,
    shape: Shape,
    radius: i32,
}

/// One for each allocator, of which some are ours.
pub(super) fn marks(ours: impl Iterator<Item = bool>) -> Vec<Mark> {
    let mut peers = PEERS.iter().cycle();
    ours.map(|ours| {
        if ours {
            return Mark { color: GORT, shape: Shape::Diamond, radius: 7 };
        }
        let (color, shape) = peers.next().copied().unwrap_or(PEERS[0]);
        Mark { color, shape, radius: 4 }
    })
    .collect()
}

/// A line's colour for each allocator; the first of ours is gort as it comes.
pub(super) fn colors(ours: impl Iterator<Item = bool>) -> Vec<RGBColor> {
    let mut first = true;
    let ours: Vec<bool> = ours.collect();
    let with_color = marks(ours.iter().copied()).into_iter().zip(ours);
    with_color
        .map(|(mark, ours)| if ours && !std::mem::take(&mut first) { GORT_TOO } else { mark.color })
        .collect()
}

impl Mark {
    pub(super) fn draw(self, area: &Area, (x, y): (i32, i32)) -> Drawn {
        let r = self.radius;
        let fill = self.color.filled();
        match self.shape {
            Shape::Circle => area.draw(&Circle::new((x, y), r, fill))?,
            Shape::Square => area.draw(&Rectangle::new([(x - r, y - r), (x + r, y + r)], fill))?,
            Shape::Triangle => {
                area.draw(&Polygon::new([(x - r - 1, y + r), (x + r + 1, y + r), (x, y - r - 1)], fill))?;
            }
            Shape::Cross => {
                let thick = self.color.stroke_width(2);
                area.draw(&PathElement::new([(x - r, y - r), (x + r, y + r)], thick))?;
                area.draw(&PathElement::new([(x - r, y + r), (x + r, y - r)], thick))?;
            }
            // Lies over all others, so it has an edge.
            Shape::Diamond => {
                for (r, color) in [(r + 1, WHITE), (r, self.color)] {
                    area.draw(&Polygon::new(
                        [(x - r, y), (x, y - r), (x + r, y), (x, y + r)],
                        color.filled(),
                    ))?;
                }
            }
        }
        Ok(())
    }
}

pub(super) fn text(
    area: &Area,
    text: &str,
    at: (i32, i32),
    size: u32,
    color: RGBColor,
    anchor: HPos,
) -> Drawn {
    styled(area, text, at, size, color, anchor, FontStyle::Normal)
}

pub(super) fn bold(
    area: &Area,
    text: &str,
    at: (i32, i32),
    size: u32,
    color: RGBColor,
    anchor: HPos,
) -> Drawn {
    styled(area, text, at, size, color, anchor, FontStyle::Bold)
}

fn styled(
    area: &Area,
    text: &str,
    at: (i32, i32),
    size: u32,
    color: RGBColor,
    anchor: HPos,
    weight: FontStyle,
) -> Drawn {
    let font = FontDesc::new(FontFamily::SansSerif, f64::from(size), weight);
    let style = TextStyle::from(font).color(&color).pos(Pos::new(anchor, VPos::Center));
    Ok(area.draw(&Text::new(text.to_owned(), at, style))?)
}

/// The marks with their names; gives the height.
pub(super) fn legend(
    area: &Area,
    names: &[&str],
    marks: &[Mark],
    top: i32,
    left: i32,
    right: i32,
) -> Result<i32, Box<dyn std::error::Error>> {
    named(area, names, top, left, right, |number, (x, y)| marks[number].draw(area, (x + 8, y)))
}

/// The lines with their names; gives the height.
pub(super) fn key(
    area: &Area,
    names: &[&str],
    colors: &[RGBColor],
    top: i32,
    left: i32,
    right: i32,
) -> Result<i32, Box<dyn std::error::Error>> {
    named(area, names, top, left, right, |number, (x, y)| {
        let line = PathElement::new([(x, y), (x + 16, y)], colors[number].stroke_width(4));
        Ok(area.draw(&line)?)
    })
}

/// Names behind what `draw` puts in front of them, in one line, or more if it is not wide enough.
fn named(
    area: &Area,
    names: &[&str],
    top: i32,
    left: i32,
    right: i32,
    draw: impl Fn(usize, (i32, i32)) -> Drawn,
) -> Result<i32, Box<dyn std::error::Error>> {
    const LINE: i32 = 22;
    const LETTER: i32 = 8;
    let (mut x, mut y) = (left, top);
    for (number, name) in names.iter().enumerate() {
        let width = 34 + LETTER * name.chars().count() as i32;
        if x + width > right && x > left {
            (x, y) = (left, y + LINE);
        }
        draw(number, (x, y))?;
        text(area, name, (x + 22, y), 16, INK, HPos::Left)?;
        x += width;
    }
    Ok(y + LINE - top)
}
