//! `nakku verify`.

use projections::verify::{self, Report};

use super::{Ended, with_database};
use crate::cli::Output;
use crate::config::Config;
use crate::roles::holder;
use crate::{installation, output};

pub(super) async fn run(config: &Config, format: Output) -> anyhow::Result<Ended> {
    with_database(config, async |database, shutdown| {
        let pool = database.pool();
        let keys = installation::check(config, pool).await?;
        let store = installation::open_store(config, pool, &keys).await?;
        let report = verify::verify(&store, &config.data_dir, &holder(), &shutdown).await;
        store.close().await;
        let report = report?;
        print(&report, format)?;
        Ok(if report.findings.is_empty() {
            Ended::Well
        } else {
            Ended::Badly
        })
    })
    .await
}

fn print(report: &Report, format: Output) -> anyhow::Result<()> {
    if format == Output::Json {
        return Ok(output::json(report)?);
    }
    for line in &report.checked {
        output::line(&format!("checked  {line}"))?;
    }
    for line in &report.left_out {
        output::line(&format!("left out {line}"))?;
    }
    for line in &report.skipped {
        output::line(&format!("skipped  {line}"))?;
    }
    for finding in &report.findings {
        output::line(&format!("WRONG    {}", finding.problem))?;
        for place in &finding.places {
            output::line(&format!("           {place}"))?;
        }
        output::line(&format!("         to mend it: {}", finding.mend))?;
    }
    let verdict = match report.findings.len() {
        0 => "all is well".to_owned(),
        1 => "1 finding".to_owned(),
        count => format!("{count} findings"),
    };
    output::line(&verdict)?;
    Ok(())
}
