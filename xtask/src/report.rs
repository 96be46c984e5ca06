//! Plain-text reports on standard output.

use std::io::{self, Write as _};

use anyhow::Result;

/// Writes a whole report to standard output.
pub(crate) fn print(report: &str) -> Result<()> {
    Ok(io::stdout().lock().write_all(report.as_bytes())?)
}

/// Formats rows as lines. Every column is as wide as its longest cell.
pub(crate) fn aligned<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let mut widths = [0; COLUMNS];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &[String; COLUMNS]| {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_longest_cell() {
        let rows = [["a", "bcd", "e"], ["fg", "", "h"]].map(|row| row.map(str::to_owned));
        assert_eq!(aligned(&rows), "a   bcd  e\nfg       h\n");
    }
}
