//! pgbench, PostgreSQL's own: single-row inserts into a table of the log's form.

use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use anyhow::{Context, bail};
use sqlx::ConnectOptions;
use tokio::process::Command;
use uuid::Uuid;

use super::baskets::{Basket, line};
use super::engine::Scratch;
use super::figure::Rate;
use crate::private_postgres;

/// Inserts by pgbench into a scratch database with a log.
pub(super) struct Pgbench {
    program: PathBuf,
    script: PathBuf,
    /// How libpq reaches the database: the environment, where no other user sees a password.
    environment: Vec<(&'static str, String)>,
}

impl Pgbench {
    /// Makes the table, with the columns and indexes of the log, and the script in `directory`.
    pub(super) async fn prepare(scratch: &Scratch, directory: &Path) -> anyhow::Result<Self> {
        let program = private_postgres::client_program("pgbench").context(
            "there is no pgbench on this machine (apt-get install postgresql-contrib or postgresql)",
        )?;
        for statement in [
            "create table single_rows (like events including all)",
            "create sequence single_rows_position",
        ] {
            sqlx::query(statement).execute(&scratch.pool).await?;
        }
        let script = directory.join("insert.sql");
        let aggregate = <Basket as cqrs_es::Aggregate>::TYPE;
        let payload = serde_json::to_string(&line(&Uuid::now_v7().to_string()))?;
        let text = format!(
            "insert into single_rows values (nextval('single_rows_position'), gen_random_uuid(), '{aggregate}', \
             gen_random_uuid()::text, 1, 'basket.line-added', '1.0', '{payload}', '{{}}', gen_random_uuid(), 1, '\\x00', now());\n"
        );
        std::fs::write(&script, text).with_context(|| format!("write {}", script.display()))?;
        Ok(Self {
            program,
            script,
            environment: environment(scratch),
        })
    }

    /// Prepared statements, each a transaction; as many threads as there are cores.
    pub(super) async fn inserts_per_second(
        &self,
        clients: usize,
        seconds: f64,
    ) -> anyhow::Result<Rate> {
        let threads = available_parallelism().map_or(1, usize::from).min(clients);
        let mut command = Command::new(&self.program);
        command
            .args(["-n", "-M", "prepared"])
            .args(["-c", &clients.to_string(), "-j", &threads.to_string()])
            .args(["-T", &format!("{:.0}", seconds.ceil())])
            .arg("-f")
            .arg(&self.script)
            .envs(self.environment.iter().cloned())
            .kill_on_drop(true);
        let output = command
            .output()
            .await
            .with_context(|| format!("run {}", self.program.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        match transactions_per_second(&text) {
            Some(rate) if output.status.success() => Ok(rate),
            Some(_) | None => {
                let errors = String::from_utf8_lossy(&output.stderr);
                let lines: Vec<&str> = errors.lines().map(str::trim).collect();
                bail!("pgbench failed: {}", lines.join(" | "))
            }
        }
    }
}

/// `tps = 7473.123456 (without initial connection time)`.
fn transactions_per_second(text: &str) -> Option<Rate> {
    text.lines()
        .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok())
}

fn environment(scratch: &Scratch) -> Vec<(&'static str, String)> {
    let options = &scratch.options;
    let host = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => options.get_host().to_owned(),
    };
    let database = options.get_database().unwrap_or_default().to_owned();
    let mut environment = vec![
        ("PGHOST", host),
        ("PGPORT", options.get_port().to_string()),
        ("PGUSER", options.get_username().to_owned()),
        ("PGDATABASE", database),
    ];
    let url = options.to_url_lossy();
    if let Some(password) = url.password() {
        environment.push(("PGPASSWORD", percent_decoded(password)));
    }
    for (name, value) in url.query_pairs() {
        let variable = match &*name {
            "sslmode" => "PGSSLMODE",
            "sslrootcert" => "PGSSLROOTCERT",
            "sslcert" => "PGSSLCERT",
            "sslkey" => "PGSSLKEY",
            // Others are sqlx's own.
            _ => continue,
        };
        environment.push((variable, value.into_owned()));
    }
    environment
}

/// Of a password in an URL.
fn percent_decoded(text: &str) -> String {
    let mut decoded = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let code = after
            .split_at_checked(2)
            .filter(|_| *byte == b'%')
            .and_then(|(pair, after)| {
                let pair = std::str::from_utf8(pair).ok()?;
                Some((u8::from_str_radix(pair, 16).ok()?, after))
            });
        match code {
            Some((code, after)) => {
                decoded.push(code);
                rest = after;
            }
            None => decoded.push(*byte),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_found_in_what_pgbench_prints() {
        let text = "number of clients: 64\nlatency average = 8 ms\n\
                    tps = 7473.123456 (without initial connection time)\n";
        assert_eq!(transactions_per_second(text), Some(7473.123456));
        assert_eq!(transactions_per_second("pgbench: error"), None);
    }

    #[test]
    fn passwords_are_decoded() {
        assert_eq!(percent_decoded("a%40b%2Fc"), "a@b/c");
        assert_eq!(percent_decoded("100%"), "100%");
        assert_eq!(percent_decoded("%zz%C3%A4"), "%zzä");
    }
}
