//! A client of the API, as the stories use it.

use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

/// Longer than the server takes for any request.
const REQUEST_MAX: Duration = Duration::from_secs(30);

/// A client of one server, with a token or without.
#[derive(Clone)]
pub struct Api {
    client: Client,
    url: String,
    token: Option<String>,
}

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Api {
    pub fn new(url: &str) -> Api {
        let client = Client::builder().timeout(REQUEST_MAX).build().unwrap();
        Api {
            client,
            url: url.to_owned(),
            token: None,
        }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whom it speaks for.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The same caller at another server.
    pub fn at(&self, url: &str) -> Api {
        Api {
            url: url.to_owned(),
            ..self.clone()
        }
    }

    /// Logs in here; the token is good at every role.
    pub async fn logged_in(&self, email: &str, password: &str) -> Api {
        let body = json!({"email": email, "password": password});
        let answer = self.post("/users/login", &[], &body).await.expect(200);
        let token = answer.body["access_token"].as_str().unwrap().to_owned();
        Api {
            token: Some(token),
            ..self.clone()
        }
    }

    /// GET under `/api/v1`.
    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(Method::GET, &format!("/api/v1{path}"), headers, None)
            .await
    }

    /// POST under `/api/v1`.
    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        self.send(Method::POST, &format!("/api/v1{path}"), headers, Some(body))
            .await
    }

    /// GET of a path from the root.
    pub async fn get_root(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], None).await
    }

    /// POST under `/api/v1` of what is called JSON, and may be none.
    pub async fn post_text(&self, path: &str, body: &str) -> Answer {
        let url = format!("{}/api/v1{path}", self.url);
        let request = self.client.post(url).body(body.to_owned());
        let request = request.header("content-type", "application/json");
        answer(request.send().await.unwrap()).await
    }

    /// Anything, of a path from the root. A query for a position waits as long as a query may, unless it says otherwise.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let has = |wanted: &str| {
            let mut names = headers.iter().map(|(name, _)| name);
            names.any(|name| name.eq_ignore_ascii_case(wanted))
        };
        if has("nakku-min-position") && !has("prefer") {
            request = request.header("prefer", "wait=10");
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request
            .send()
            .await
            .unwrap_or_else(|error| panic!("{path}: {error}"));
        answer(response).await
    }
}

async fn answer(response: reqwest::Response) -> Answer {
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Answer {
        status,
        headers,
        body,
    }
}

impl Answer {
    /// The answer, if it has this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status.as_u16(), status, "{:#}", self.body);
        self
    }

    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .unwrap_or_else(|| panic!("no header {name}"))
            .to_str()
            .unwrap()
    }

    /// The token for `Nakku-Min-Position`.
    #[track_caller]
    pub fn position(&self) -> &str {
        self.header("nakku-position")
    }

    /// The SKUs of a search's hits.
    pub fn skus(&self) -> Vec<&str> {
        let hits = self.body["hits"].as_array().unwrap();
        hits.iter()
            .map(|hit| hit["sku"].as_str().unwrap())
            .collect()
    }
}
