//! Read models in tables: what their generations are made of, and how two of them are compared.

use sqlx::{PgConnection, PgExecutor};

use crate::comments;
use crate::differences::{Compared, Differences};
use crate::generations::{drop_schema, has_table, schema_name};

/// A read model whose generations are PostgreSQL schemas, each with the same tables. All of it is ours, never a
/// client's text.
#[derive(Debug)]
pub struct Model {
    /// Its name, and the first part of the schemas' names.
    pub name: &'static str,
    /// Changed with every change of the tables or of what their rows mean; a generation of another shape is rebuilt.
    pub shape: &'static str,
    /// Makes tables and indexes where they are not; `{schema}` stands for the generation's schema.
    pub statements: &'static [&'static str],
    pub tables: &'static [Table],
}

/// A table of a generation.
#[derive(Debug)]
pub struct Table {
    pub name: &'static str,
    pub comment: &'static str,
    /// What each column holds, every one of them.
    pub columns: &'static [(&'static str, &'static str)],
    /// An SQL expression of type text over a row `t`, unique: names the row in a comparison.
    pub key: &'static str,
    /// Columns whose values a comparison does not show: its report outlives the erasure of whom it is about.
    pub personal: &'static [&'static str],
}

/// A column of rows, as a statement takes it.
pub(crate) fn column<'a, Row, T>(rows: &'a [Row], value: impl Fn(&'a Row) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

impl Model {
    /// Makes the tables of a new generation; does nothing where they are.
    pub async fn create_generation(
        &self,
        connection: &mut PgConnection,
        generation: i32,
    ) -> sqlx::Result<()> {
        let schema = schema_name(self.name, generation);
        let create = format!("create schema if not exists {schema}");
        sqlx::query(&create).execute(&mut *connection).await?;
        for statement in self.statements {
            let statement = statement.replace("{schema}", &schema);
            sqlx::query(&statement).execute(&mut *connection).await?;
        }
        for table in self.tables {
            comments::write(
                connection,
                &schema,
                table.name,
                table.comment,
                table.columns,
            )
            .await?;
        }
        Ok(())
    }

    /// Whether all tables of a generation are there: somebody may have dropped them by hand.
    pub async fn has_generation(
        &self,
        executor: impl PgExecutor<'_> + Copy,
        generation: i32,
    ) -> sqlx::Result<bool> {
        for table in self.tables {
            if !has_table(executor, self.name, generation, table.name).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Drops a generation; does nothing if there is none.
    pub async fn drop_generation(
        &self,
        executor: impl PgExecutor<'_>,
        generation: i32,
    ) -> sqlx::Result<()> {
        drop_schema(executor, self.name, generation).await
    }

    /// Compares two generations row by row. Where a model has several tables, keys begin with the table's name.
    pub async fn compare(
        &self,
        connection: &mut PgConnection,
        live: i32,
        rebuilt: i32,
    ) -> sqlx::Result<Differences> {
        let mut found = Differences::default();
        for table in self.tables {
            let compared = Compared {
                model: self.name,
                table: table.name,
                key: table.key,
                personal: table.personal,
            };
            let mut differences = compared.between(connection, live, rebuilt).await?;
            if self.tables.len() > 1 {
                for difference in &mut differences.first {
                    difference.key = format!("{} {}", table.name, difference.key);
                }
            }
            found.add(differences);
        }
        Ok(found)
    }
}
