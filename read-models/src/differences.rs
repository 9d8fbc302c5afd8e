//! What two generations of a read model disagree about.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::PgConnection;
use utoipa::ToSchema;

use crate::generations::schema_name;

/// Differences that a report shows in full; the rest is only counted.
pub const DIFFERENCES_SHOWN_MAX: usize = 20;

/// One key on which two generations disagree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Difference {
    pub key: String,
    /// The live generation's row; `null` if only the rebuilt one has the key.
    pub live: Option<Value>,
    /// The rebuilt generation's row; `null` if only the live one has the key.
    pub rebuilt: Option<Value>,
}

/// The key, and of two rows only the fields that differ: `SKU-1: amount_minor 299, rebuilt 199`.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { key, live, rebuilt } = self;
        match (live, rebuilt) {
            (Some(Value::Object(live)), Some(Value::Object(rebuilt))) => {
                let fields = differing(live, rebuilt);
                write!(f, "{key}: {}", fields.join("; "))
            }
            (Some(live), Some(rebuilt)) => write!(f, "{key}: {live}, rebuilt {rebuilt}"),
            (Some(live), None) => write!(f, "{key}: {live}, rebuilt not there"),
            (None, Some(rebuilt)) => write!(f, "{key}: not there, rebuilt {rebuilt}"),
            (None, None) => write!(f, "{key}"),
        }
    }
}

fn differing(live: &Map<String, Value>, rebuilt: &Map<String, Value>) -> Vec<String> {
    let added = rebuilt.keys().filter(|name| !live.contains_key(*name));
    let names = live.keys().chain(added);
    let of = |row: &Map<String, Value>, name: &str| row.get(name).cloned().unwrap_or_default();
    names
        .map(|name| (name, of(live, name), of(rebuilt, name)))
        .filter(|(_, live, rebuilt)| live != rebuilt)
        .map(|(name, live, rebuilt)| format!("{name} {live}, rebuilt {rebuilt}"))
        .collect()
}

/// A comparison of two generations at one position.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Differences {
    pub live_rows: i64,
    pub rebuilt_rows: i64,
    /// How many keys differ.
    pub count: i64,
    /// The first 20 of them, by table and key.
    pub first: Vec<Difference>,
}

impl Differences {
    /// Whether the generations are equal.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Takes those of another table in.
    pub(crate) fn add(&mut self, other: Differences) {
        self.live_rows += other.live_rows;
        self.rebuilt_rows += other.rebuilt_rows;
        self.count += other.count;
        self.first.extend(other.first);
        self.first.truncate(DIFFERENCES_SHOWN_MAX);
    }
}

/// A table of a model, as it is compared. All of it is ours, never a client's text.
pub(crate) struct Compared<'a> {
    pub(crate) model: &'a str,
    pub(crate) table: &'a str,
    /// An SQL expression over a row.
    pub(crate) key: &'a str,
    /// Columns whose values a report does not show: it is kept, and outlives the erasure of whom it is about.
    pub(crate) personal: &'a [&'a str],
}

impl Compared<'_> {
    /// Compares two generations.
    pub(crate) async fn between(
        &self,
        connection: &mut PgConnection,
        live: i32,
        rebuilt: i32,
    ) -> sqlx::Result<Differences> {
        let Compared { table, key, .. } = self;
        let live = schema_name(self.model, live);
        let rebuilt = schema_name(self.model, rebuilt);
        let count_of = |schema: &str| format!("select count(*) from {schema}.{table}");
        let live_rows = sqlx::query_scalar(&count_of(&live))
            .fetch_one(&mut *connection)
            .await?;
        let rebuilt_rows = sqlx::query_scalar(&count_of(&rebuilt))
            .fetch_one(&mut *connection)
            .await?;
        let rows: Vec<(String, Option<Value>, Option<Value>, i64)> = sqlx::query_as(&format!(
            "select key, l.row, r.row, count(*) over ()
               from (select {key} as key, to_jsonb(t) as row from {live}.{table} t) l
               full join (select {key} as key, to_jsonb(t) as row from {rebuilt}.{table} t) r
              using (key)
              where l.row is distinct from r.row
              order by key collate \"C\"
              limit {DIFFERENCES_SHOWN_MAX}"
        ))
        .fetch_all(connection)
        .await?;
        Ok(Differences {
            live_rows,
            rebuilt_rows,
            count: rows.first().map_or(0, |row| row.3),
            first: rows
                .into_iter()
                .map(|(key, live, rebuilt, _)| self.masked(Difference { key, live, rebuilt }))
                .collect(),
        })
    }

    /// Says that personal values are there, and whether they differ, but not what they are.
    fn masked(&self, mut difference: Difference) -> Difference {
        for column in self.personal {
            let live = value_mut(&mut difference.live, column);
            let rebuilt = value_mut(&mut difference.rebuilt, column);
            let differ = live != rebuilt;
            mask(live, "personal");
            mask(
                rebuilt,
                if differ {
                    "personal, another"
                } else {
                    "personal"
                },
            );
        }
        difference
    }
}

fn value_mut<'a>(row: &'a mut Option<Value>, column: &str) -> Option<&'a mut Value> {
    row.as_mut().and_then(|row| row.get_mut(column))
}

fn mask(value: Option<&mut Value>, mask: &str) {
    if let Some(value) = value.filter(|value| !value.is_null()) {
        *value = Value::from(mask);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_differs_is_told() {
        let difference = |live, rebuilt| Difference {
            key: "A-1".to_owned(),
            live,
            rebuilt,
        };
        let row = json!({"name": "Ale", "amount_minor": 199});
        let forged = json!({"name": "Ale", "amount_minor": 299});
        let told = difference(Some(forged), Some(row.clone())).to_string();
        assert_eq!(told, "A-1: amount_minor 299, rebuilt 199");
        let told = difference(None, Some(json!({"name": "Ale"}))).to_string();
        assert_eq!(told, r#"A-1: not there, rebuilt {"name":"Ale"}"#);
        let told = difference(Some(json!({"name": "Ale"})), None).to_string();
        assert_eq!(told, r#"A-1: {"name":"Ale"}, rebuilt not there"#);
    }

    #[test]
    fn personal_values_are_compared_but_not_shown() {
        let compared = Compared {
            model: "users",
            table: "users",
            key: "id",
            personal: &["name", "email", "phone"],
        };
        let masked = compared.masked(Difference {
            key: "1".to_owned(),
            live: Some(
                json!({"name": "Ada", "email": "ada@example.org", "phone": null, "role": "admin"}),
            ),
            rebuilt: Some(
                json!({"name": "Bob", "email": "ada@example.org", "phone": null, "role": "admin"}),
            ),
        });
        assert_eq!(
            masked.to_string(),
            r#"1: name "personal", rebuilt "personal, another""#
        );
        assert_eq!(masked.live.unwrap()["email"], "personal");
    }
}
