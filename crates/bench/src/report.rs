//! Figures as people and as machines read them.

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use crate::machine::Usage;

/// A figure of several rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The one in the middle, or the mean of the two there.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
}

impl Spread {
    /// Of all rounds; none where there was none.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut figures = figures.into_iter().collect::<Vec<_>>();
        figures.sort_by(f64::total_cmp);
        let (min, max) = (*figures.first()?, *figures.last()?);
        let middle = figures.len() / 2;
        let median =
            if figures.len() % 2 == 1 { figures[middle] } else { f64::midpoint(figures[middle - 1], figures[middle]) };
        Some(Self { median, min, max })
    }

    /// As `12,345 (11,000–13,000)`, or the one figure where all are the same.
    pub fn text(self, decimals: usize) -> String {
        let [median, min, max] = [self.median, self.min, self.max].map(|figure| number(figure, decimals));
        if min == max { median } else { format!("{median} ({min}–{max})") }
    }
}

/// A number with a comma between thousands.
pub fn number(figure: f64, decimals: usize) -> String {
    let plain = format!("{figure:.decimals$}");
    let (whole, rest) = plain.split_at(plain.find('.').unwrap_or(plain.len()));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut grouped = String::new();
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}{rest}")
}

/// A figure in JSON, with no more digits than mean something.
pub fn rounded(figure: f64) -> Value {
    json!((figure * 1_000.0).round() / 1_000.0)
}

/// A table that is also Markdown: the first column left, figures right.
pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(header.to_vec()).add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// What others took of the CPU, with a mark where that was too much.
pub fn foreign(usages: &[Usage]) -> String {
    let shares = usages.iter().filter_map(|usage| usage.foreign_share).map(|share| 100.0 * share);
    let Some(spread) = Spread::of(shares) else { return "unknown".to_owned() };
    let mark = if usages.iter().any(Usage::is_noisy) { " !" } else { "" };
    format!("{} %{mark}", spread.text(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_has_as_many_figures_below_as_above() {
        let spread = |figures: &[f64]| Spread::of(figures.iter().copied());
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]), Some(Spread { median: 2.5, min: 1.0, max: 4.0 }));
    }

    #[test]
    fn numbers_have_commas_between_thousands() {
        assert_eq!(number(1_234_567.891, 1), "1,234,567.9");
        assert_eq!(number(999.6, 0), "1,000");
        assert_eq!(number(-1_000.0, 0), "-1,000");
        assert_eq!(number(0.25, 2), "0.25");
    }
}
