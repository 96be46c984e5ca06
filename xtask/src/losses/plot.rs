//! Draws the lost connections of each strategy under each policy as SVG: a dot and its 95 % interval, on a logarithmic
//! axis.

use std::fmt::Write as _;

use super::{Cell, number};

const WIDTH: f64 = 760.0;
/// Where the axis begins and ends.
const LEFT: f64 = 190.0;
const RIGHT: f64 = 720.0;
const TOP: f64 = 40.0;
const ROW: f64 = 16.0;
const TITLE: f64 = 26.0;
/// The powers of ten at which the axis begins and ends. A rate of 0 is drawn where the axis begins.
const POWERS: (i32, i32) = (0, 8);
const STYLE: &str = r#"font-size="12" fill="none""#;
const LEGEND: &str = "dot: measured, hollow if nothing was lost; line: 95 % interval";
const COLOURS: [&str; 6] = ["#d1242f", "#9a6700", "#8250df", "#1f6feb", "#1a7f37", "#57606a"];

/// Returns the plot. Each group has a title and the cells of its rows.
pub(super) fn svg(groups: &[(&str, Vec<&Cell>)]) -> String {
    let rows: usize = groups.iter().map(|(_, cells)| cells.len()).sum();
    let floor = TOP + groups.len() as f64 * TITLE + rows as f64 * ROW + 8.0;
    let height = floor + 48.0;
    let mut svg = String::new();
    let mut add = |text: std::fmt::Arguments<'_>| {
        // Writing to a text can't fail.
        let _written = svg.write_fmt(text);
        svg.push('\n');
    };
    add(format_args!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" {STYLE}>"#
    ));
    add(format_args!(r##"<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>"##));
    add(format_args!(
        r##"<text x="16" y="22" font-size="14" fill="#1f2328">Lost connections in a million connection-years</text>"##
    ));
    for power in POWERS.0..=POWERS.1 {
        let value = 10_f64.powi(power);
        let x = x_at(value);
        add(format_args!(r##"<path d="M{x:.1} {TOP}V{floor}" stroke="#d0d7de"/>"##));
        let text = match power {
            ..=0 => "0 or 1".to_owned(),
            1..6 => number(value),
            _ => format!("{} million", number(value / 1e6)),
        };
        let y = floor + 18.0;
        add(format_args!(
            r##"<text x="{x:.1}" y="{y}" font-size="10" text-anchor="middle" fill="#57606a">{text}</text>"##
        ));
    }
    let (middle, y) = ((LEFT + RIGHT) / 2.0, floor + 38.0);
    add(format_args!(r##"<text x="{middle}" y="{y}" text-anchor="middle" fill="#1f2328">{LEGEND}</text>"##));
    let mut y = TOP;
    for (title, cells) in groups {
        y += TITLE;
        add(format_args!(
            r##"<text x="16" y="{:.1}" font-weight="bold" fill="#1f2328">A used token: {title}</text>"##,
            y - 8.0
        ));
        for (cell, colour) in cells.iter().zip(COLOURS) {
            y += ROW;
            let (middle, from, to) = (y - ROW / 2.0, x_at(cell.low), x_at(cell.high));
            let (text, dot) = (middle + 4.0, x_at(cell.in_a_million));
            add(format_args!(
                r##"<text x="{}" y="{text:.1}" text-anchor="end" fill="#1f2328">{}</text>"##,
                LEFT - 12.0,
                cell.strategy
            ));
            add(format_args!(r#"<path d="M{from:.1} {middle:.1}H{to:.1}" stroke="{colour}" stroke-width="2"/>"#));
            let fill = if cell.losses == 0 { "#ffffff" } else { colour };
            add(format_args!(
                r#"<circle cx="{dot:.1}" cy="{middle:.1}" r="4" stroke="{colour}" stroke-width="1.5" fill="{fill}"/>"#
            ));
        }
    }
    add(format_args!("</svg>"));
    svg
}

/// Returns where a rate lies on the axis.
fn x_at(rate: f64) -> f64 {
    let (low, high) = (f64::from(POWERS.0), f64::from(POWERS.1));
    let power = rate.max(f64::MIN_POSITIVE).log10().clamp(low, high);
    LEFT + (power - low) / (high - low) * (RIGHT - LEFT)
}

#[cfg(test)]
mod tests {
    use super::x_at;

    #[test]
    fn a_rate_of_zero_is_drawn_where_the_axis_begins() {
        assert!((x_at(0.0) - super::LEFT).abs() < 1e-9 && (x_at(1.0) - super::LEFT).abs() < 1e-9);
        assert!((x_at(1e8) - super::RIGHT).abs() < 1e-9);
        assert!(x_at(10.0) < x_at(100.0));
    }
}
