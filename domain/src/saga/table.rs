//! The transition tables on top of the sagas' files, read so that tests can hold the sagas to them.

use std::collections::BTreeMap;

/// What a table says: by what is waited for and what is heard, what it leads to.
pub(crate) type Table = BTreeMap<(String, String), String>;

/// The table in the documentation of a source file: three columns as wide as the dashes under their titles. An empty first
/// one repeats the one above.
pub(crate) fn read(source: &str) -> Table {
    let mut lines = source
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .skip_while(|line| *line != "```text")
        .skip(2);
    let dashes = lines.next().expect("the table has titles");
    let starts: Vec<usize> = dashes
        .char_indices()
        .filter(|(place, c)| *c == '-' && !dashes[..*place].ends_with('-'))
        .map(|(place, _)| place)
        .collect();
    let [_, input, leads_to] = starts[..] else {
        panic!("the table has three columns: {dashes}");
    };
    let mut table = Table::new();
    let mut waiting_for = String::new();
    for line in lines.take_while(|line| *line != "```") {
        let cell = |from: usize, to: usize| line[from..to.min(line.len())].trim().to_owned();
        let step = cell(0, input);
        if !step.is_empty() {
            waiting_for = step;
        }
        let key = (waiting_for.clone(), cell(input, leads_to));
        let before = table.insert(key, cell(leads_to, line.len()));
        assert_eq!(before, None, "two lines say what this leads to: {line}");
    }
    table
}

#[test]
fn a_table_is_read_by_its_columns() {
    let table = read(
        "//! Words.\n//!\n//! ```text\n//! for  input  leads to\n//! ---  -----  ---\n//! A    b      C (d)\n//!      e      F\n//! ```\n",
    );
    let key = |step: &str, input: &str| (step.to_owned(), input.to_owned());
    let expected = [
        (key("A", "b"), "C (d)".to_owned()),
        (key("A", "e"), "F".to_owned()),
    ];
    assert_eq!(table, BTreeMap::from(expected));
}
