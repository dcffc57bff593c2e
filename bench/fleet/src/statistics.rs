//! Sums up figures by their quartiles, and prints tables.

use std::fmt;

/// Figures of one kind, in the order of the rounds.
#[derive(Clone, Default)]
pub(crate) struct Sample(Vec<f64>);

impl Sample {
    pub(crate) fn add(&mut self, figure: f64) {
        self.0.push(figure);
    }

    /// Returns the figures divided by those of `other` in the same round.
    pub(crate) fn beside(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(own, other)| own / other).collect())
    }

    /// Returns the quartile: 1, 2 (the median) or 3.
    fn quantile(&self, quartile: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        match sorted.len() {
            0 => f64::NAN,
            count => sorted[(count - 1) * quartile / 4],
        }
    }
}

impl FromIterator<f64> for Sample {
    fn from_iter<I: IntoIterator<Item = f64>>(figures: I) -> Self {
        Self(figures.into_iter().collect())
    }
}

/// Writes "median (quartiles)" with as many digits as the formatter asks for.
impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        let [first, median, third] = [1, 2, 3].map(|quartile| self.quantile(quartile));
        write!(f, "{median:.digits$} ({first:.digits$} to {third:.digits$})")
    }
}

/// Prints the title and the head of a table.
pub(crate) fn head(title: &str, columns: &[&str]) {
    println!("\n**{title}**\n\n| | {} |", columns.join(" | "));
    println!("|---|{}", "---:|".repeat(columns.len()));
}

/// Prints a row.
pub(crate) fn row(label: &str, cells: &[String]) {
    println!("| {label} | {} |", cells.join(" | "));
}

#[cfg(test)]
mod tests {
    use super::Sample;

    #[test]
    fn quartiles_are_figures_of_the_sample() {
        let sample: Sample = [5.0, 1.0, 4.0, 2.0, 3.0].into_iter().collect();
        assert_eq!(format!("{sample:.0}"), "3 (2 to 4)");
        let doubled: Sample = [10.0, 2.0, 8.0, 4.0, 6.0].into_iter().collect();
        assert_eq!(format!("{:.1}", doubled.beside(&sample)), "2.0 (2.0 to 2.0)");
    }
}
