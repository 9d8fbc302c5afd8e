//! What `psql` shows beside a table and its columns.

use sqlx::{Executor, PgConnection};

/// Says what a table of a generation and each of its columns hold, in one round trip.
pub(crate) async fn write(
    connection: &mut PgConnection,
    schema: &str,
    table: &str,
    comment: &str,
    columns: &[(&str, &str)],
) -> sqlx::Result<()> {
    let table = format!("{schema}.{table}");
    let mut statements = format!("comment on table {table} is {};", literal(comment));
    for (column, comment) in columns {
        let comment = literal(comment);
        statements.push_str(&format!("comment on column {table}.{column} is {comment};"));
    }
    connection.execute(statements.as_str()).await?;
    Ok(())
}

/// `comment on` takes no parameters.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
