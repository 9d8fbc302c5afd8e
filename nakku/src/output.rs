//! Results on standard output: a table for people, a JSON value a line for programs.

use std::io::{self, Write};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;

use crate::cli::Output;

/// Blanks between columns.
const COLUMN_GAP: u16 = 2;

/// What can be listed. As JSON it is what its `Serialize` says, all of it.
pub trait Listed: Serialize {
    /// The columns of the table, with whether they hold numbers.
    const COLUMNS: &'static [(&'static str, bool)];

    /// One text a column.
    fn cells(&self) -> Vec<String>;
}

/// Prints a list; an empty one is a table without rows, or nothing.
///
/// # Errors
/// When standard output cannot be written.
pub fn list<T: Listed>(output: Output, items: &[T]) -> io::Result<()> {
    match output {
        Output::Table => line(&table(items)),
        Output::Json => items.iter().try_for_each(json),
    }
}

/// Prints one JSON value on a line of its own.
///
/// # Errors
/// When standard output cannot be written.
pub fn json(value: &impl Serialize) -> io::Result<()> {
    line(&serde_json::to_string(value)?)
}

/// Prints a line and lets whoever reads have it at once.
///
/// # Errors
/// When standard output cannot be written.
pub fn line(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

/// Prints a line of a role. One that nobody reads any more is no reason to end.
pub fn announce(text: &str) {
    if let Err(error) = line(text) {
        tracing::debug!(%error, "nobody reads standard output");
    }
}

/// An absent value in a table.
pub fn or_dash(value: Option<&str>) -> String {
    value.unwrap_or("-").to_owned()
}

fn table<T: Listed>(items: &[T]) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(T::COLUMNS.iter().map(|(name, _)| *name))
        .add_rows(items.iter().map(Listed::cells));
    for (index, (_, is_number)) in T::COLUMNS.iter().enumerate() {
        let Some(column) = table.column_mut(index) else {
            continue;
        };
        column.set_padding((0, COLUMN_GAP));
        if *is_number {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Item {
        name: &'static str,
        count: i64,
    }

    impl Listed for Item {
        const COLUMNS: &'static [(&'static str, bool)] = &[("name", false), ("count", true)];

        fn cells(&self) -> Vec<String> {
            vec![self.name.to_owned(), self.count.to_string()]
        }
    }

    #[test]
    fn numbers_stand_to_the_right() {
        let items = [
            Item {
                name: "products",
                count: 7,
            },
            Item {
                name: "stock",
                count: 1_234,
            },
        ];
        let lines: Vec<String> = table(&items).lines().map(str::to_owned).collect();
        assert_eq!(
            lines,
            ["name      count", "products      7", "stock      1234"]
        );
    }
}
