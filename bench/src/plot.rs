//! Draws plots as SVG. Each plot is a small file of text that is the same for the same numbers.

use std::fmt::Write as _;

use crate::figure::number;

const WIDTH: f64 = 740.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 44.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 76.0;
const STYLE: &str = r#"font-size="12" fill="none""#;
const COLOURS: [&str; 6] = ["#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df", "#57606a"];

/// An axis and its label.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    label: &'static str,
    logarithmic: bool,
}

impl Axis {
    pub(crate) const fn linear(label: &'static str) -> Self {
        Self { label, logarithmic: false }
    }

    pub(crate) const fn logarithmic(label: &'static str) -> Self {
        Self { label, logarithmic: true }
    }

    /// Returns where a value lies between the ends of the axis: 0 to 1.
    fn place(self, value: f64, (low, high): (f64, f64)) -> f64 {
        let scale = |value: f64| if self.logarithmic { value.max(f64::MIN_POSITIVE).log10() } else { value };
        let length = scale(high) - scale(low);
        if length > 0.0 { (scale(value) - scale(low)) / length } else { 0.5 }
    }

    /// Returns the ends of the axis. A linear axis begins at 0.
    fn ends(self, values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
        let high = values.clone().fold(0.0, f64::max);
        let low = if self.logarithmic { values.fold(f64::INFINITY, f64::min) } else { 0.0 };
        (low, if self.logarithmic { high } else { round_up(high) })
    }

    /// Returns the values at which the axis has a mark.
    fn marks(self, (low, high): (f64, f64)) -> Vec<f64> {
        if !self.logarithmic {
            return (0..=5).map(|step| high * f64::from(step) / 5.0).collect();
        }
        let powers = low.log10().ceil() as i32..=high.log10().floor() as i32;
        powers.map(|power| 10_f64.powi(power)).collect()
    }
}

/// Returns the next number that five equal steps from 0 lead to, and that is easy to read.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 1.5, 2.0, 2.5, 4.0, 5.0, 7.5, 10.0];
    steps.into_iter().map(|step| step * power).find(|step| *step >= value).unwrap_or(value)
}

#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Plot {
    /// The name of the file, without its ending.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) lines: Vec<Line>,
}

impl Plot {
    /// Returns the plot as SVG. The names of plots, axes and lines contain no character that XML reserves.
    pub(crate) fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| line.points.iter().copied());
        let (x_ends, y_ends) = (self.x.ends(points().map(|(x, _)| x)), self.y.ends(points().map(|(_, y)| y)));
        let x_at = |value| LEFT + self.x.place(value, x_ends) * (WIDTH - LEFT - RIGHT);
        let y_at = |value| HEIGHT - BOTTOM - self.y.place(value, y_ends) * (HEIGHT - TOP - BOTTOM);
        let (floor, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        let mut svg = String::new();
        let mut add = |text: std::fmt::Arguments<'_>| {
            // Writing to a text can't fail.
            let _written = svg.write_fmt(text);
            svg.push('\n');
        };
        add(format_args!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" {STYLE}>"#
        ));
        add(format_args!(r##"<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>"##));
        add(format_args!(r##"<text x="{LEFT}" y="22" font-size="14" fill="#1f2328">{}</text>"##, self.title));
        for mark in self.y.marks(y_ends) {
            let y = y_at(mark);
            add(format_args!(r##"<path d="M{LEFT} {y:.1}H{right}" stroke="#d0d7de"/>"##));
            let (y, text) = (y + 4.0, number(mark));
            add(format_args!(
                r##"<text x="{}" y="{y:.1}" text-anchor="end" fill="#57606a">{text}</text>"##,
                LEFT - 8.0
            ));
        }
        for mark in self.x.marks(x_ends) {
            let (x, text) = (x_at(mark), number(mark));
            add(format_args!(r##"<path d="M{x:.1} {floor}v5" stroke="#57606a"/>"##));
            let y = floor + 18.0;
            add(format_args!(r##"<text x="{x:.1}" y="{y}" text-anchor="middle" fill="#57606a">{text}</text>"##));
        }
        let (middle, below) = ((LEFT + right) / 2.0, floor + 36.0);
        add(format_args!(
            r##"<text x="{middle}" y="{below}" text-anchor="middle" fill="#1f2328">{}</text>"##,
            self.x.label
        ));
        add(format_args!(
            r##"<text transform="translate(16 {}) rotate(-90)" text-anchor="middle" fill="#1f2328">{}</text>"##,
            (TOP + floor) / 2.0,
            self.y.label
        ));
        for (line, (number, colour)) in self.lines.iter().zip(COLOURS.into_iter().enumerate()) {
            let path: Vec<_> = line.points.iter().map(|(x, y)| format!("{:.1},{:.1}", x_at(*x), y_at(*y))).collect();
            add(format_args!(r#"<polyline points="{}" stroke="{colour}" stroke-width="2"/>"#, path.join(" ")));
            for (x, y) in &line.points {
                add(format_args!(r#"<circle cx="{:.1}" cy="{:.1}" r="3" fill="{colour}"/>"#, x_at(*x), y_at(*y)));
            }
            let (x, y) = (LEFT + number as f64 * 150.0, HEIGHT - 14.0);
            add(format_args!(r#"<path d="M{x} {}h18" stroke="{colour}" stroke-width="3"/>"#, y - 4.0));
            add(format_args!(r##"<text x="{}" y="{y}" fill="#1f2328">{}</text>"##, x + 24.0, line.name));
        }
        add(format_args!("</svg>"));
        svg
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_a_round_number_and_a_logarithmic_one_has_marks_at_powers_of_ten() {
        assert_eq!(Axis::linear("").ends([3.0, 61.0].into_iter()), (0.0, 75.0));
        let axis = Axis::logarithmic("");
        let ends = axis.ends([10.0, 1_000_000.0].into_iter());
        assert_eq!(axis.marks(ends), [10.0, 100.0, 1_000.0, 10_000.0, 100_000.0, 1_000_000.0]);
        assert_eq!((axis.place(10.0, ends), axis.place(1_000_000.0, ends)), (0.0, 1.0));
    }

    #[test]
    fn a_plot_shows_every_line_and_every_point() {
        let line = |name| Line { name, points: vec![(1.0, 2.0), (2.0, 4.0)] };
        let (x, y) = (Axis::linear("workers"), Axis::linear("calls"));
        let svg = Plot { name: "n", title: "t", x, y, lines: vec![line("one"), line("two")] }.svg();
        assert_eq!((svg.matches("<polyline").count(), svg.matches("<circle").count()), (2, 4));
        assert!(svg.contains(">one</text>") && svg.contains(">two</text>") && svg.ends_with("</svg>\n"), "{svg}");
    }
}
