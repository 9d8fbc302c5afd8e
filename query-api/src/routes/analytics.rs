//! `analytics`: figures for staff. Hours and days are those of UTC, of the moments at which events were recorded.

#![expect(
    unused_qualifications,
    reason = "what utoipa writes for a handler that takes a `Query`"
)]

mod period;

use axum::extract::State;
use chrono::{DateTime, Utc};
use http_server::{MinPosition, Problem, Query, Staff};
use read_models::analytics::customers::{self, Customers};
use read_models::analytics::funnel::{self, Funnel};
use read_models::analytics::low_stock::{self, LowStock};
use read_models::analytics::products::{self, TopProduct, TopProducts};
use read_models::analytics::sales::{self, Bucket, Granularity};
use read_models::analytics::times::{self, FulfilmentTimes};
use read_models::analytics::{self, Period};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::period::{Wanted, Whole, period};
use super::filled;
use crate::QueryApi;
use crate::answer::Answer;
use crate::reading::{ReadYourWrites, database};

/// Rows of one answer: forty days by the hour in five currencies. An answer is built in memory.
const SALES_ROWS_MAX: usize = 5_000;

/// Products of a list if the client does not say.
const TOP_DEFAULT: i64 = 10;
/// Stocks of a list if the client does not say.
const LOW_DEFAULT: i64 = 50;
/// Items of a list at most, as of any other.
const LIMIT_MAX: i64 = 200;

pub(super) fn router() -> OpenApiRouter<QueryApi> {
    OpenApiRouter::new()
        .routes(routes!(sales))
        .routes(routes!(top_products))
        .routes(routes!(order_funnel))
        .routes(routes!(fulfilment_times))
        .routes(routes!(low_stock))
        .routes(routes!(customers))
}

/// Which period is asked for, and where.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PeriodQuery {
    /// Where the period begins: a time of RFC 3339 or a date, which is midnight in UTC. Without it: 30 days before `to`.
    #[param(example = "2026-11-01")]
    from: Option<String>,
    /// Where the period has ended; what happens at this moment does not belong to it. Without it: the
    /// end of this day. At most 366 days after `from`.
    #[param(example = "2026-11-23T12:00:00Z")]
    to: Option<String>,
    /// Only what happened in this store.
    store_id: Option<String>,
}

impl PeriodQuery {
    fn period(&self, whole: Whole) -> Result<Period, Problem> {
        let (from, to) = (filled(self.from.as_deref()), filled(self.to.as_deref()));
        period(from, to, Wanted::days(whole))
    }

    fn store_id(&self) -> Option<&str> {
        filled(self.store_id.as_deref())
    }
}

fn limit(asked: Option<i64>, default: i64) -> Result<i64, Problem> {
    let limit = asked.unwrap_or(default);
    if (1..=LIMIT_MAX).contains(&limit) {
        return Ok(limit);
    }
    let detail = format!("limit must be between 1 and {LIMIT_MAX}");
    Err(Problem::bad_request(detail))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct SalesQuery {
    /// What is counted together.
    #[serde(default)]
    #[param(inline, required = false)]
    granularity: Granularity,
    /// Where the period begins: a time of RFC 3339 or a date, which is midnight in UTC. Without it: 24 hours before `to`, or
    /// 30 days where days are asked for. The whole hour or day that it lies in counts.
    #[param(example = "2026-11-01")]
    from: Option<String>,
    /// Where the period has ended. Without it: the end of this hour, or of this day where days are asked
    /// for. The whole hour or day that it lies in counts. At most 1,000
    /// hours or days after `from`.
    #[param(example = "2026-11-23T12:00:00Z")]
    to: Option<String>,
    /// Only what happened in this store.
    store_id: Option<String>,
}

/// Orders and revenue by hour or day.
#[derive(Serialize, ToSchema)]
struct Sales {
    /// How far in the log this counts.
    position: i64,
    granularity: Granularity,
    /// Where the period begins.
    from: DateTime<Utc>,
    /// Where it has ended.
    to: DateTime<Utc>,
    /// By time, then by currency. Hours or days in which nothing happened are left out.
    items: Vec<Bucket>,
}

/// What happened to orders in each hour or day: each thing is counted when it happened, so an order that is completed in
/// one hour and whose money is given back in the next adds to the revenue of the first and takes from that of the second.
#[utoipa::path(
    get, path = "/analytics/sales", tag = "analytics", operation_id = "get_sales",
    params(SalesQuery, ReadYourWrites),
    responses((status = 200, body = Sales)),
    security(("bearer" = []))
)]
async fn sales(
    State(api): State<QueryApi>,
    _: Staff,
    Query(query): Query<SalesQuery>,
    wanted: MinPosition,
) -> Result<Answer<Sales>, Problem> {
    let granularity = query.granularity;
    let asked = match granularity {
        Granularity::Hour => Wanted::hours(),
        Granularity::Day => Wanted::many_days(),
    };
    let from = filled(query.from.as_deref());
    let to = filled(query.to.as_deref());
    let period = period(from, to, asked)?;
    let live = api.live(analytics::NAME, &wanted).await?;
    let (generation, position) = (live.generation, live.position);
    let store_id = filled(query.store_id.as_deref());
    let rows_max = i64::try_from(SALES_ROWS_MAX + 1).unwrap_or(i64::MAX);
    let mut sum = api.sums.begin().await?;
    let rows = sales::read(
        sum.connection(),
        generation,
        granularity,
        period,
        store_id,
        rows_max,
    )
    .await;
    let items = rows.map_err(database)?;
    if items.len() > SALES_ROWS_MAX {
        return Err(Problem::bad_request(format!(
            "there are more than {SALES_ROWS_MAX} rows: ask for a shorter period"
        )));
    }
    let body = Sales {
        position,
        granularity,
        from: period.from,
        to: period.to,
        items,
    };
    Ok(Answer::new(position, body))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct TopQuery {
    /// Products of each list at most.
    #[param(minimum = 1, maximum = 200, default = 10)]
    limit: Option<i64>,
}

/// The products that were bought most.
#[derive(Serialize, ToSchema)]
struct Top {
    /// How far in the log this counts.
    position: i64,
    /// Where the period begins.
    from: DateTime<Utc>,
    /// Where it has ended.
    to: DateTime<Utc>,
    /// Those with the most pieces first.
    by_items: Vec<TopProduct>,
    /// Those with the highest revenue first; a number in one currency is compared with a number in another.
    by_revenue: Vec<TopProduct>,
}

/// The products that were bought most: of orders that were completed on the days of the period and not returned since; money
/// that staff gave back takes nothing from them. Of `from` and `to` the whole days count that they lie in.
#[utoipa::path(
    get, path = "/analytics/top-products", tag = "analytics", operation_id = "get_top_products",
    params(TopQuery, PeriodQuery, ReadYourWrites),
    responses((status = 200, body = Top)),
    security(("bearer" = []))
)]
async fn top_products(
    State(api): State<QueryApi>,
    _: Staff,
    Query(top): Query<TopQuery>,
    Query(query): Query<PeriodQuery>,
    wanted: MinPosition,
) -> Result<Answer<Top>, Problem> {
    let limit = limit(top.limit, TOP_DEFAULT)?;
    let period = query.period(Whole::Days)?;
    let live = api.live(analytics::NAME, &wanted).await?;
    let (generation, position) = (live.generation, live.position);
    let mut sum = api.sums.begin().await?;
    let top = products::top(
        sum.connection(),
        generation,
        period,
        query.store_id(),
        limit,
    )
    .await;
    let TopProducts {
        by_items,
        by_revenue,
    } = top.map_err(database)?;
    let body = Top {
        position,
        from: period.from,
        to: period.to,
        by_items,
        by_revenue,
    };
    Ok(Answer::new(position, body))
}

/// How far orders have come.
#[derive(Serialize, ToSchema)]
struct OrderFunnel {
    /// How far in the log this counts.
    position: i64,
    /// Where the period begins.
    from: DateTime<Utc>,
    /// Where it has ended.
    to: DateTime<Utc>,
    #[serde(flatten)]
    funnel: Funnel,
}

/// How far the orders have come by now that were placed in the period.
#[utoipa::path(
    get, path = "/analytics/order-funnel", tag = "analytics", operation_id = "get_order_funnel",
    params(PeriodQuery, ReadYourWrites),
    responses((status = 200, body = OrderFunnel)),
    security(("bearer" = []))
)]
async fn order_funnel(
    State(api): State<QueryApi>,
    _: Staff,
    Query(query): Query<PeriodQuery>,
    wanted: MinPosition,
) -> Result<Answer<OrderFunnel>, Problem> {
    let period = query.period(Whole::Moments)?;
    let live = api.live(analytics::NAME, &wanted).await?;
    let (generation, position) = (live.generation, live.position);
    let mut sum = api.sums.begin().await?;
    let funnel = funnel::read(sum.connection(), generation, period, query.store_id()).await;
    let body = OrderFunnel {
        position,
        from: period.from,
        to: period.to,
        funnel: funnel.map_err(database)?,
    };
    Ok(Answer::new(position, body))
}

/// How long orders take.
#[derive(Serialize, ToSchema)]
struct OrderTimes {
    /// How far in the log this counts.
    position: i64,
    /// Where the period begins.
    from: DateTime<Utc>,
    /// Where it has ended.
    to: DateTime<Utc>,
    #[serde(flatten)]
    times: FulfilmentTimes,
}

/// How long the orders that were placed in the period took from then to each of their steps; `completed` is all of it.
/// Exact, and the same whenever it is asked, but for orders that go on.
#[utoipa::path(
    get, path = "/analytics/fulfilment-times", tag = "analytics", operation_id = "get_fulfilment_times",
    params(PeriodQuery, ReadYourWrites),
    responses((status = 200, body = OrderTimes)),
    security(("bearer" = []))
)]
async fn fulfilment_times(
    State(api): State<QueryApi>,
    _: Staff,
    Query(query): Query<PeriodQuery>,
    wanted: MinPosition,
) -> Result<Answer<OrderTimes>, Problem> {
    let period = query.period(Whole::Moments)?;
    let live = api.live(analytics::NAME, &wanted).await?;
    let (generation, position) = (live.generation, live.position);
    let mut sum = api.sums.begin().await?;
    let times = times::read(sum.connection(), generation, period, query.store_id()).await;
    let body = OrderTimes {
        position,
        from: period.from,
        to: period.to,
        times: times.map_err(database)?,
    };
    Ok(Answer::new(position, body))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct LowStockQuery {
    /// Only what is low in this store.
    store_id: Option<String>,
    /// Stocks at most.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<i64>,
}

/// What has to be refilled.
#[derive(Serialize, ToSchema)]
struct LowStocks {
    /// How far in the log this counts.
    position: i64,
    /// How many are low, beyond those that are listed.
    total: i64,
    /// Those with the fewest pieces first.
    items: Vec<LowStock>,
}

/// Stocks of which no more is available than their threshold, as of now. One that is refilled is listed no more; what a
/// store never had is not listed.
#[utoipa::path(
    get, path = "/analytics/low-stock", tag = "analytics", operation_id = "list_low_stock",
    params(LowStockQuery, ReadYourWrites),
    responses((status = 200, body = LowStocks)),
    security(("bearer" = []))
)]
async fn low_stock(
    State(api): State<QueryApi>,
    _: Staff,
    Query(query): Query<LowStockQuery>,
    wanted: MinPosition,
) -> Result<Answer<LowStocks>, Problem> {
    let limit = limit(query.limit, LOW_DEFAULT)?;
    let store_id = filled(query.store_id.as_deref());
    let live = api.live(analytics::NAME, &wanted).await?;
    let (generation, position) = (live.generation, live.position);
    let mut sum = api.sums.begin().await?;
    let low = low_stock::list(sum.connection(), generation, store_id, limit).await;
    let (total, items) = low.map_err(database)?;
    let body = LowStocks {
        position,
        total,
        items,
    };
    Ok(Answer::new(position, body))
}

/// How many customers there are.
#[derive(Serialize, ToSchema)]
struct CustomerFigures {
    /// How far in the log this counts.
    position: i64,
    #[serde(flatten)]
    customers: Customers,
}

/// Customers as of now: users whose role that is. Who was made courier or staff is one no more.
#[utoipa::path(
    get, path = "/analytics/customers", tag = "analytics", operation_id = "get_customer_figures",
    params(ReadYourWrites),
    responses((status = 200, body = CustomerFigures)),
    security(("bearer" = []))
)]
async fn customers(
    State(api): State<QueryApi>,
    _: Staff,
    wanted: MinPosition,
) -> Result<Answer<CustomerFigures>, Problem> {
    let live = api.live(analytics::NAME, &wanted).await?;
    let (generation, position) = (live.generation, live.position);
    let mut sum = api.sums.begin().await?;
    let customers = customers::read(sum.connection(), generation).await;
    let body = CustomerFigures {
        position,
        customers: customers.map_err(database)?,
    };
    Ok(Answer::new(position, body))
}
