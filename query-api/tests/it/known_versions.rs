//! `ETag`, `If-None-Match` and `HEAD` of single resources.

use axum::http::Method;
use http_server::Role;
use read_models::{orders, products, stock, users};

use crate::orders::rows;
use crate::seed::{Rows, go_live, pieces, product, user};
use crate::{Api, ask};

const POSITION: i64 = 10;

async fn shop() -> Api {
    let api = Api::start().await;
    let products = [product(1)];
    let stock = [pieces("store-1", "sku-1")];
    let users = [user("u-ada")];
    let orders = rows();
    for (model, rows) in [
        (products::NAME, Rows::Products(&products)),
        (stock::NAME, Rows::Stock(&stock)),
        (users::NAME, Rows::Users(&users)),
        (orders::NAME, Rows::Orders(&orders)),
    ] {
        go_live(api.pool(), model, rows, POSITION).await;
    }
    api
}

/// Resources whose version covers all that they show, with its tag.
fn single() -> [(String, &'static str); 5] {
    [
        (format!("products/{}", product(1).id), "\"3\""),
        ("products/by-sku/sku-1".to_owned(), "\"3\""),
        ("inventory/store-1/sku-1".to_owned(), "\"2\""),
        ("users/me".to_owned(), "\"1\""),
        ("users/u-ada".to_owned(), "\"1\""),
    ]
}

#[tokio::test]
async fn a_version_that_the_client_has_is_not_sent_again() {
    let api = shop().await;
    let ada = api.bearer("u-ada", Role::Customer);
    for (path, tag) in single() {
        let weak = format!("W/{tag}");
        let several = format!("\"99\", {weak}");
        for known in [tag, &weak, &several, "*"] {
            let headers = [("authorization", &*ada), ("if-none-match", known)];
            let answer = api.get_with(&path, &headers).await;
            assert_eq!(answer.status, 304, "{path} {known}");
            assert_eq!(answer.header("etag"), tag, "{path}");
            assert_eq!(answer.header("nakku-position"), "10", "{path}");
            assert!(answer.body.is_null(), "{path}");
        }
        for other in ["\"99\"", "99", "W/\"99\"", ""] {
            let headers = [("authorization", &*ada), ("if-none-match", other)];
            let answer = api.get_with(&path, &headers).await;
            assert_eq!(answer.header("etag"), tag, "{path} {other}");
            answer.ok(POSITION);
        }
    }
}

#[tokio::test]
async fn an_order_is_always_sent_because_its_delivery_moves_without_its_version() {
    let api = shop().await;
    let staff = api.bearer("u-staff", Role::Staff);
    let path = format!("orders/{}", rows()[0].id);
    let answer = api.get_with(&path, &[("authorization", &staff)]).await;
    let tag = answer.header("etag").to_owned();
    answer.ok(POSITION);
    let known = [("authorization", &*staff), ("if-none-match", &*tag)];
    let answer = api.get_with(&path, &known).await;
    assert_eq!(answer.ok(POSITION)["id"], rows()[0].id);
}

#[tokio::test]
async fn a_head_is_answered_as_a_get_without_its_body() {
    let api = shop().await;
    let ada = api.bearer("u-ada", Role::Customer);
    let lists = ["products", "inventory/store-1", "orders"].map(str::to_owned);
    let single = single().map(|(path, _)| path);
    for path in lists.iter().chain(&single) {
        let headers = [("authorization", &*ada)];
        let get = api.get_with(path, &headers).await;
        let router = api.router.clone();
        let head = ask(router, Method::HEAD, path, &headers).await;
        assert_eq!(
            (head.status, get.status.as_u16()),
            (get.status, 200),
            "{path}"
        );
        for name in ["content-type", "content-length", "nakku-position"] {
            assert_eq!(head.header(name), get.header(name), "{path}");
        }
        assert_eq!(head.headers.get("etag"), get.headers.get("etag"), "{path}");
        assert!(head.body.is_null(), "{path}");
        assert!(!get.body.is_null(), "{path}");
    }
    let unknown = ask(api.router.clone(), Method::HEAD, "products/unknown", &[]).await;
    assert_eq!(unknown.status, 404);
}
