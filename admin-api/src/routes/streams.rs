//! `admin/streams`: the events of one aggregate, and its state then.

#![expect(
    unused_qualifications,
    reason = "what utoipa writes for a handler that takes a `Query`"
)]

use axum::extract::State;
use chrono::{DateTime, Utc};
use cqrs_es::Aggregate;
use domain::{EmailClaim, Product, SkuClaim, Stock, User};
use http_server::page::PageQuery;
use http_server::{Admin, Json, List, Page, Path, Problem, Query};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::events::{self, Event};
use crate::problems::database;
use crate::{AdminApi, routes::rows_max};

pub(super) fn router() -> OpenApiRouter<AdminApi> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(state))
}

/// The events of a stream, in order.
#[utoipa::path(
    get, path = "/admin/streams/{type}/{id}", tag = "admin", operation_id = "list_stream_events",
    params(
        ("type" = String, Path, description = "aggregate type, as `product`"),
        ("id" = String, Path, description = "the stream's id, as `store-1:SKU` of a stock"),
        PageQuery
    ),
    responses((status = 200, body = List<Event>)),
    security(("bearer" = []))
)]
async fn list(
    State(api): State<AdminApi>,
    _: Admin,
    Path((stream_type, id)): Path<(String, String)>,
    page: Page,
) -> Result<Json<List<Event>>, Problem> {
    let after: Option<i64> = page.cursor()?;
    let recorded = api
        .store
        .stream_events(&stream_type, &id, after.unwrap_or(0), rows_max(&page))
        .await
        .map_err(database)?;
    if recorded.is_empty() && after.is_none() {
        return Err(no_stream(&stream_type, &id));
    }
    let events: Result<Vec<Event>, _> = recorded.into_iter().map(Event::try_from).collect();
    let events = events.map_err(Problem::internal)?;
    Ok(Json(page.list(events, |event| event.version)))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct When {
    /// The version to fold up to; the last one if neither is given.
    #[param(minimum = 1)]
    version: Option<i64>,
    /// The time to fold up to, inclusive.
    at: Option<DateTime<Utc>>,
}

/// The state of an aggregate at one of its versions.
#[derive(Serialize, ToSchema)]
struct StreamState {
    stream_type: String,
    stream_id: String,
    /// The version that the state is of.
    version: i64,
    /// What decisions saw then; personal fields sealed.
    #[schema(value_type = Object)]
    state: Value,
}

/// The state of an aggregate now, at a version or at a time, folded from its events.
#[utoipa::path(
    get, path = "/admin/streams/{type}/{id}/state", tag = "admin", operation_id = "get_stream_state",
    params(
        ("type" = String, Path, description = "aggregate type, as `product`"),
        ("id" = String, Path, description = "the stream's id, as `store-1:SKU` of a stock"),
        When
    ),
    responses((status = 200, body = StreamState)),
    security(("bearer" = []))
)]
async fn state(
    State(api): State<AdminApi>,
    _: Admin,
    Path((stream_type, id)): Path<(String, String)>,
    Query(when): Query<When>,
) -> Result<Json<StreamState>, Problem> {
    let wanted = match when {
        When {
            version: None,
            at: None,
        } => None,
        When {
            version: Some(version),
            at: None,
        } if version >= 1 => Some(version),
        When {
            version: Some(_),
            at: None,
        } => {
            return Err(Problem::bad_request("version: versions begin at 1"));
        }
        When {
            version: None,
            at: Some(at),
        } => {
            let version = events::version_at(api.pool(), &stream_type, &id, at).await;
            let missing =
                || Problem::not_found(format!("{stream_type} {id} had not begun by then"));
            Some(version.map_err(database)?.ok_or_else(missing)?)
        }
        When { .. } => return Err(Problem::bad_request("give either version or at")),
    };
    let folded = match stream_type.as_str() {
        User::TYPE => fold::<User>(&api, &id, wanted).await?,
        EmailClaim::TYPE => fold::<EmailClaim>(&api, &id, wanted).await?,
        Product::TYPE => fold::<Product>(&api, &id, wanted).await?,
        SkuClaim::TYPE => fold::<SkuClaim>(&api, &id, wanted).await?,
        Stock::TYPE => fold::<Stock>(&api, &id, wanted).await?,
        unknown => {
            return Err(Problem::not_found(format!(
                "there is no aggregate {unknown}"
            )));
        }
    };
    let (state, version) = folded.ok_or_else(|| no_stream(&stream_type, &id))?;
    match wanted {
        Some(wanted) if wanted > version => Err(Problem::not_found(format!(
            "{stream_type} {id} is at version {version}, {wanted} is yet to come"
        ))),
        _ => Ok(Json(StreamState {
            stream_type,
            stream_id: id,
            version,
            state,
        })),
    }
}

async fn fold<A: Aggregate + Serialize>(
    api: &AdminApi,
    id: &str,
    version: Option<i64>,
) -> Result<Option<(Value, i64)>, Problem> {
    let Some((state, version)) = api.store.state_at::<A>(id, version).await? else {
        return Ok(None);
    };
    let state = serde_json::to_value(state).map_err(Problem::internal)?;
    Ok(Some((state, version)))
}

fn no_stream(stream_type: &str, id: &str) -> Problem {
    Problem::not_found(format!("there is no stream {stream_type}/{id}"))
}
