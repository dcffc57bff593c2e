//! Draws the figures for documents.
//!
//! The pictures that are to be read at a glance show shmlock and the four peers that matter most to
//! users; the folder `appendix` has the same with all contenders, and a bar for each contender's
//! time.
//!
//! | file | contents |
//! |---|---|
//! | `throughput` | critical sections a second over the number of processes |
//! | `wake_ups` | wake-ups a second over the number of waiters |
//! | `deaths` | the time to notice a death over the time waited |
//! | `waits` | the distribution of the acquire times |
//! | `bars` | a bar for each contender's time |
//! | `chart` | lines on two axes, with names at their ends |
//! | `scale` | logarithmic axes, their grid lines, places of names |
//! | `style` | colours, text and legend |

mod bars;
mod chart;
mod deaths;
mod scale;
mod style;
mod throughput;
mod waits;
mod wake_ups;

use std::fs;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::{DrawingArea, IntoDrawingArea, SVGBackend, WHITE};
use shmlock_bench_support::Result;

use crate::contenders::Kind;
use crate::figures::{Figure, Results};

/// A whole picture.
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Selects the contenders of a picture.
type TakesPart = fn(Kind) -> bool;

/// Draws all figures of these results, in files whose names begin with `prefix`. `main` selects the
/// contenders of the pictures that are to be read at a glance.
pub(crate) fn draw(
    results: &Results,
    directory: &Path,
    prefix: &str,
    main: TakesPart,
) -> Result<()> {
    let appendix = directory.join("appendix");
    fs::create_dir_all(&appendix)?;
    let pictures = [
        ("throughput-empty", throughput::picture(results, false, main)),
        ("throughput-work", throughput::picture(results, true, main)),
        ("wake-ups", wake_ups::picture(results)),
        ("deaths", deaths::picture(results, main)),
        ("appendix/throughput-empty", throughput::picture(results, false, |_| true)),
        ("appendix/throughput-work", throughput::picture(results, true, |_| true)),
    ];
    for (name, picture) in pictures {
        let Some(picture) = picture else { continue };
        let (folder, name) = name.split_once('/').unwrap_or(("", name));
        let path = directory.join(folder).join(format!("{prefix}{name}.svg"));
        save(&path, picture.size(), |area| picture.draw(area))?;
    }
    for (figure, entries) in results {
        let name = format!("{prefix}{}.svg", figure.file_name());
        match figure {
            Figure::Contended { .. } => {
                let size = (u32::try_from(waits::SIZE.0)?, u32::try_from(waits::SIZE.1)?);
                let all: [(&Path, TakesPart); 2] = [(directory, main), (&appendix, |_| true)];
                for (folder, takes_part) in all {
                    let draw = |area: &Area<'_>| waits::draw(area, *figure, entries, takes_part);
                    save(&folder.join(&name), size, draw)?;
                }
            }
            Figure::Waiting(_) => {} // most are zero, and have no bar
            _ => {
                let size = bars::size(entries)?;
                save(&appendix.join(&name), size, |area| bars::draw(area, *figure, entries))?;
            }
        }
    }
    Ok(())
}

fn save(path: &Path, size: (u32, u32), draw: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<()> {
    let area = SVGBackend::new(path, size).into_drawing_area();
    area.fill(&WHITE)?;
    draw(&area)?;
    Ok(area.present()?)
}
