//! Draws the figures for documents: bars for most figures, lines for contention.
//!
//! | file | contents |
//! |---|---|
//! | `bars` | a bar for each contender's time |
//! | `throughput` | critical sections per second over the number of processes |
//! | `waits` | the distribution of the acquire times |
//! | `style` | colours, text and legend |

mod bars;
mod style;
mod throughput;
mod waits;

use std::fs;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::{DrawingArea, IntoDrawingArea, SVGBackend, WHITE};
use shmlock_bench_support::Result;

use crate::figures::Figure;
use crate::figures::Results;

/// A whole picture, or a part of it.
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Width and height of a picture with lines.
const LINES: (u32, u32) = (960, 540);

/// Draws all figures of these results, in files whose names begin with `prefix`.
pub(crate) fn draw(results: &Results, directory: &Path, prefix: &str) -> Result<()> {
    fs::create_dir_all(directory)?;
    let file = |name: &str| directory.join(format!("{prefix}{name}.svg"));
    for (figure, entries) in results {
        let path = file(&figure.file_name());
        if let Figure::Contended { .. } = figure {
            picture(&path, LINES, |area| waits::draw(area, *figure, entries))?;
        } else {
            let height = 90 + 24 * u32::try_from(entries.kinds().len())?;
            picture(&path, (960, height), |area| bars::draw(area, *figure, entries))?;
        }
    }
    for (with_work, name) in [(false, "throughput-empty"), (true, "throughput-work")] {
        let lines = throughput::Lines::of(results, with_work);
        if lines.points() > 1 {
            picture(&file(name), LINES, |area| lines.draw(area))?;
        }
    }
    Ok(())
}

fn picture(
    path: &Path,
    size: (u32, u32),
    draw: impl FnOnce(&Area<'_>) -> Result<()>,
) -> Result<()> {
    let area = SVGBackend::new(path, size).into_drawing_area();
    area.fill(&WHITE)?;
    draw(&area)?;
    Ok(area.present()?)
}
