//! Checks that each row of the failure model in `PROTOCOL.md`, and of `docs/foreign-code.md`, names
//! tests or says that it has none, and that each named test exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use shmlock_tests::skipped;

/// The last column of a row that no test proves.
const UNPROVEN: &str = "documented, not tested";

/// Reads a page of the sources. Returns `None`, and reports a skipped test, where they are absent:
/// the emulated machines of `cross-tests` have the programs only.
fn page(path: &str) -> Option<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").to_owned();
    let Ok(page) = fs::read_to_string(root.join(path)) else {
        skipped("the sources are not here");
        return None;
    };
    Some((root, page))
}

/// Returns the part of the page about failures.
fn failure_model() -> Option<(PathBuf, String)> {
    let (root, page) = page("PROTOCOL.md")?;
    let (_, part) = page.split_once("\n## III. ").expect("part III is the failure model");
    Some((root, part.split("\n## ").next().unwrap_or_default().to_owned()))
}

/// Returns each row of each table with its last column: its tests.
fn rows(part: &str) -> Vec<(&str, &str)> {
    let rows = part.lines().filter(|line| line.starts_with('|') && !line.starts_with("|---"));
    let rows = rows
        .map(|row| (row, row.trim_end_matches('|').rsplit('|').next().unwrap_or_default().trim()));
    rows.filter(|(_, tests)| *tests != "test").collect()
}

/// Yields each word in backticks that contains `::`, split there.
fn named(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split('`').skip(1).step_by(2).filter_map(|word| word.split_once("::"))
}

/// Returns the names of the tests in a file of one of the crates.
fn tests_in(root: &Path, file: &str) -> BTreeSet<String> {
    let at = [
        "tests/tests",
        "core/tests",
        "ffi/core/tests",
        "ffi/shell/tests",
        "std-shell/tests",
        "cli/tests",
    ]
    .map(|directory| root.join(directory).join(format!("{file}.rs")));
    let source = at.iter().find_map(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    let after_attribute =
        source.split("#[test]\n").skip(1).filter_map(|rest| rest.trim_start().strip_prefix("fn "));
    after_attribute.filter_map(|rest| Some(rest.split_once('(')?.0.to_owned())).collect()
}

#[test]
fn every_row_of_the_failure_model_names_its_tests_or_says_that_it_has_none() {
    let Some((_, part)) = failure_model() else { return };
    let rows = rows(&part);
    assert!(rows.len() > 50, "the tables were not found");
    let bare: Vec<_> = rows
        .iter()
        .filter(|(_, tests)| named(tests).next().is_none() && !tests.contains(UNPROVEN))
        .collect();
    assert!(bare.is_empty(), "no test proves: {bare:#?}");
}

#[test]
fn every_test_that_the_failure_model_names_exists() {
    let Some((root, part)) = failure_model() else { return };
    let named: Vec<_> = rows(&part).into_iter().flat_map(|(_, tests)| named(tests)).collect();
    let missing: Vec<_> =
        named.iter().filter(|(file, test)| !tests_in(&root, file).contains(*test)).collect();
    assert!(named.len() > 50 && missing.is_empty(), "there are no such tests: {missing:#?}");
}

#[test]
fn every_row_about_foreign_code_names_tests_that_exist_or_says_that_it_has_none() {
    let Some((root, page)) = page("docs/foreign-code.md") else { return };
    let rows = rows(&page);
    assert!(rows.len() > 20, "the tables were not found");
    let bare: Vec<_> = rows
        .iter()
        .filter(|(_, tests)| named(tests).next().is_none() && !tests.contains(UNPROVEN))
        .collect();
    assert!(bare.is_empty(), "no test proves: {bare:#?}");
    let named: Vec<_> = rows.into_iter().flat_map(|(_, tests)| named(tests)).collect();
    let missing: Vec<_> =
        named.iter().filter(|(file, test)| !tests_in(&root, file).contains(*test)).collect();
    assert!(named.len() > 20 && missing.is_empty(), "there are no such tests: {missing:#?}");
}
