//! How figures grow, as pictures: one SVG a series.

use std::path::Path;

use plotters::prelude::*;
use serde::Serialize;
use steward_events::BoxError;

use super::unit::{Unit, figure};

/// Of lines: told apart by all eyes, and readable on white.
const COLOURS: [RGBColor; 4] =
    [RGBColor(0, 114, 178), RGBColor(213, 94, 0), RGBColor(0, 158, 115), RGBColor(80, 80, 80)];

/// One picture.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Series {
    /// A word for its file.
    pub(super) name: String,
    /// What it shows.
    pub(super) title: String,
    /// What grows.
    pub(super) x: String,
    /// What is measured.
    pub(super) y: String,
    /// True if what grows does so by factors.
    pub(super) by_factors: bool,
    /// The lines: a name, and points in the order of what grows.
    pub(super) lines: Vec<(String, Vec<(f64, f64)>)>,
}

impl Series {
    /// What is to be seen: from (0 or the first) to the last, with some air above. None if there is nothing to see.
    fn bounds(&self) -> Option<((f64, f64), f64)> {
        let points = || self.lines.iter().flat_map(|(_, points)| points);
        let x_min = points().map(|(x, _)| *x).reduce(f64::min)?;
        let x_max = points().map(|(x, _)| *x).reduce(f64::max)?;
        let y_max = points().map(|(_, y)| *y).reduce(f64::max)?;
        let x_min = if self.by_factors { x_min.max(1e-9) } else { x_min.min(0.0) };
        Some(((x_min, x_max.max(x_min * 1.01 + 1e-9)), (y_max * 1.15).max(1e-9)))
    }

    /// Draws it into `path`.
    pub(super) fn draw(&self, path: &Path) -> Result<(), BoxError> {
        let Some(((x_min, x_max), y_max)) = self.bounds() else { return Err(format!("{} is empty", self.name).into()) };
        let area = SVGBackend::new(path, (720, 400)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area);
        chart.caption(&self.title, ("sans-serif", 18)).margin(14).x_label_area_size(42).y_label_area_size(74);
        let label = |value: &f64| figure(*value, Unit::Number);
        // The two kinds of axis are two types to the library.
        macro_rules! draw {
            ($x:expr) => {{
                let mut chart = chart.build_cartesian_2d($x, 0.0..y_max)?;
                let mut mesh = chart.configure_mesh();
                mesh.x_desc(&self.x).y_desc(&self.y).max_light_lines(0).x_labels(6).y_labels(6);
                mesh.x_label_formatter(&label).y_label_formatter(&label).draw()?;
                for (at, (name, points)) in self.lines.iter().enumerate() {
                    let colour = COLOURS[at % COLOURS.len()];
                    let line = LineSeries::new(points.iter().copied(), colour.stroke_width(2));
                    let legend = move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], colour.stroke_width(2));
                    chart.draw_series(line)?.label(name).legend(legend);
                    chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, colour.filled())))?;
                }
                if self.lines.len() > 1 {
                    let mut labels = chart.configure_series_labels();
                    labels.background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3)).draw()?;
                }
            }};
        }
        if self.by_factors {
            draw!((x_min..x_max).log_scale());
        } else {
            draw!(x_min..x_max);
        }
        area.present()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(lines: Vec<(String, Vec<(f64, f64)>)>) -> Series {
        let [name, title, x, y] = ["tenants", "Calls by tenants", "tenants", "calls/s"].map(str::to_owned);
        Series { name, title, x, y, by_factors: true, lines }
    }

    #[test]
    fn a_plots_bounds_hold_every_point() {
        let two =
            series(vec![("a".to_owned(), vec![(10.0, 5.0), (10_000.0, 4.0)]), ("b".to_owned(), vec![(100.0, 8.0)])]);
        let ((x_min, x_max), y_max) = two.bounds().unwrap();
        assert!((x_min, x_max) == (10.0, 10_000.0) && y_max > 8.0);
        let one = series(vec![("a".to_owned(), vec![(10.0, 0.0)])]).bounds().unwrap();
        assert!(one.0.0 < one.0.1 && one.1 > 0.0, "an axis has a length");
        assert_eq!(series(vec![]).bounds(), None);
    }

    #[test]
    fn a_picture_shows_its_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tenants.svg");
        let lines = vec![
            ("calls".to_owned(), vec![(10.0, 5_000.0), (100.0, 4_800.0)]),
            ("p50".to_owned(), vec![(10.0, 900.0), (100.0, 950.0)]),
        ];
        series(lines).draw(&path).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        assert!(svg.contains("Calls by tenants") && svg.matches("<polyline").count() >= 2, "{svg}");
        assert_eq!(svg.matches("<circle").count(), 4);
        assert!(series(vec![]).draw(&path).is_err());
    }
}
