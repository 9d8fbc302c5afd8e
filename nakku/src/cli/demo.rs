//! What is replayed, and how fast.

use std::path::PathBuf;

use clap::Args;

use super::Output;

#[derive(Debug, Args)]
pub struct Demo {
    /// Baskets to replay; all of the file unless given. After its end it begins anew
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(Demo::ORDERS_MAX)))]
    pub orders: Option<u32>,
    /// Orders a second at most; unless given as many as come of the customers waiting at once
    #[arg(long, value_name = "R", value_parser = rate)]
    pub rate: Option<f64>,
    /// Baskets, NDJSON, also compressed by gzip; `-` for standard input
    ///
    /// A line is {"basket":"1","store":"367","household":"7","items":[{"sku":"1095275","quantity":1}]}; members that are
    /// not known are passed over. Lines that cannot be used are listed with number and reason; the rest is. Of more items
    /// than an order may have the first ones are ordered.
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Customers who wait for their order at once
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub concurrency: u16,
    /// No payment fails
    #[arg(long)]
    pub all_ok: bool,
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

impl Demo {
    /// Orders of one run: what was planned is held in memory.
    pub const ORDERS_MAX: u32 = 1_000_000;
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.001..=100_000.0).contains(&rate) => Ok(rate),
        Ok(_) | Err(_) => Err("allowed: 0.001 to 100000".to_owned()),
    }
}
