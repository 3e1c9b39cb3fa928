//! Tables as kubectl prints them.

use mailverity::mail::diagnosis::printable;

/// What is printed of a cell at most: a domain list of a receiver may be long.
const WIDEST: usize = 253;

/// Lines whose columns stand under one another, three spaces apart. What is not there is told as `-`.
pub fn lines(rows: &[Vec<String>]) -> Vec<String> {
    // What somebody wrote into a spec must not steer the terminal of somebody else.
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| tidy(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("   ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn tidy(cell: &str) -> String {
    let text = printable(cell, WIDEST);
    if text.is_empty() { "-".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_one_another_and_steer_no_terminal() {
        let rows = [["NAME", "REASON"], ["a\u{1b}[2Jlong", ""], ["b", "Succeeded"]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(lines(&rows), ["NAME        REASON", "a [2Jlong   -", "b           Succeeded"]);
    }
}
