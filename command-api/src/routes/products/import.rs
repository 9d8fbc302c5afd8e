//! `POST products/import`: a catalogue as a stream.

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use futures::stream;
use http_server::edge::streaming::BrokenOff;
use http_server::headers::POSITION;
use http_server::position::{MAIN_LOG, PositionToken};
use http_server::problem::ProblemDocument;
use http_server::{Ctx, Problem, Staff, Streamed};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::CommandApi;
use crate::products::{Ended, Import, Observer, Origin, Rejected, Stopped, Summary};

/// What a catalogue is sent as.
const NDJSON: &str = "application/x-ndjson";
/// Lines that an answer tells of; `rejected_total` counts the others too. Whoever has more mends these first.
const REJECTED_MAX: usize = 1_000;

pub(super) fn router() -> OpenApiRouter<CommandApi> {
    OpenApiRouter::new().routes(routes!(import))
}

/// What became of a catalogue.
#[derive(Serialize, ToSchema)]
struct Imported {
    /// Lines that took effect, or needed none: the sum of the following three.
    accepted: u64,
    /// Products that there were not.
    created: u64,
    /// Products that were otherwise.
    updated: u64,
    /// Products that were so already.
    unchanged: u64,
    /// Lines that did not go in, in their order; at most 1,000.
    rejected: Vec<Rejected>,
    /// How many did not go in.
    rejected_total: u64,
    /// A read model at this position has all of it; `null` where nothing was accepted.
    position: Option<i64>,
}

/// What a catalogue is sent with.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "read by the document only")]
struct ImportHeaders {
    /// A UUID that every effect of the request carries; without it one is drawn.
    #[param(rename = "Nakku-Correlation-Id")]
    correlation_id: Option<uuid::Uuid>,
}

/// Import a catalogue.
///
/// A line is the body of `POST products`; members that it does not know become attributes, as text. A SKU that is
/// nobody's becomes a product, the product of any other SKU is brought to what its line says; nothing is appended where
/// nothing changes, so that a catalogue can be sent again as often as need be. Of several lines with one SKU the last
/// one counts. A product that is discontinued stays so: its line is rejected.
///
/// The body is read as fast as its products are stored, however long it is; it may be compressed by gzip. A line has at
/// most 256 KiB, a pause within the body lasts at most 30 s. Whatever happens, what was accepted stays. An
/// `Idempotency-Key` is ignored.
#[utoipa::path(
    post, path = "/products/import", operation_id = "importProducts", tag = "products", security(("bearer" = [])),
    params(ImportHeaders),
    request_body(content = String, content_type = "application/x-ndjson", description = "a product a line",
        example = json!("{\"sku\":\"A-1\",\"name\":\"Ale\",\"price\":{\"amount_minor\":299,\"currency\":\"EUR\"}}\n")),
    responses(
        (status = 200, description = "It was read to its end.", body = Imported, headers(
            ("Nakku-Position" = String, description = "for `Nakku-Min-Position` of queries that must see all of it"),
        )),
        (status = 408, description = "`request-timeout`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn import(
    State(api): State<CommandApi>,
    _: Staff,
    ctx: Ctx,
    request: Request,
) -> Result<Response, Problem> {
    let streamed = Streamed::of(request, NDJSON)?;
    let _running = api.imports.try_acquire().map_err(|_| {
        Problem::overloaded().detail("as many imports as may run at once are running")
    })?;
    let import = Import {
        store: api.store.clone(),
        origin: Origin {
            correlation_id: Some(ctx.correlation_id.to_string()),
            user_id: ctx.caller.as_ref().map(|caller| caller.user_id.clone()),
            traceparent: Some(ctx.traceparent()),
        },
    };
    let pieces = stream::try_unfold(streamed, async |mut streamed| {
        let piece = streamed.next().await?;
        Ok(piece.map(|piece| (piece, streamed)))
    });
    let mut rejected = FirstRejected::default();
    let Ended { summary, stopped } = import.run(pieces, &mut rejected).await;
    match stopped {
        None => Ok(imported(summary, rejected.0)),
        Some(stopped) => Err(broken_off(&stopped, &summary)),
    }
}

#[derive(Default)]
struct FirstRejected(Vec<Rejected>);

impl Observer for FirstRejected {
    fn rejected(&mut self, rejected: Rejected) {
        if self.0.len() < REJECTED_MAX {
            self.0.push(rejected);
        }
    }
}

fn imported(summary: Summary, mut rejected: Vec<Rejected>) -> Response {
    rejected.sort_by_key(|rejected| rejected.line);
    let body = Imported {
        accepted: summary.accepted(),
        created: summary.created,
        updated: summary.updated,
        unchanged: summary.unchanged,
        rejected,
        rejected_total: summary.rejected,
        position: summary.position,
    };
    let mut headers = HeaderMap::new();
    if let Some(position) = summary.position {
        let log = MAIN_LOG.to_owned();
        headers.insert(POSITION, PositionToken { log, position }.header_value());
    }
    (headers, axum::Json(body)).into_response()
}

fn broken_off(stopped: &Stopped<BrokenOff>, summary: &Summary) -> Problem {
    let so_far = format!(
        "{} lines are accepted; the catalogue can be sent again",
        summary.accepted()
    );
    match stopped {
        Stopped::Source(broken_off) => {
            Problem::from(broken_off.kind()).detail(format!("{broken_off}; {so_far}"))
        }
        Stopped::NotUnpacked(error) => Problem::bad_request(format!("{error}; {so_far}")),
        Stopped::Overloaded => {
            Problem::overloaded().detail(format!("the log takes no commands; {so_far}"))
        }
        Stopped::Closed => {
            Problem::overloaded().detail(format!("the server is shutting down; {so_far}"))
        }
    }
}
