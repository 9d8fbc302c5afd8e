//! A small request, built in one line.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use crate::answer::Answer;
use crate::body;
use crate::error::CallError;
use crate::options::CallOptions;
use crate::reason::causes;
use crate::upstream::Upstream;

/// A request with a small body. What is wrong with it is told when it is sent.
#[derive(Debug, Clone)]
pub struct Call {
    builder: Result<http::request::Parts, String>,
    body: Bytes,
}

impl Call {
    /// A `GET` of a path below the upstream's address; `/` is the address itself.
    #[must_use]
    pub fn get(path: &str) -> Self {
        Call::new(Method::GET, path)
    }

    /// A `POST` to it.
    #[must_use]
    pub fn post(path: &str) -> Self {
        Call::new(Method::POST, path)
    }

    /// A request of another method.
    #[must_use]
    pub fn new(method: Method, path: &str) -> Self {
        let request = Request::builder().method(method).uri(path).body(());
        let parts = request.map(|request| request.into_parts().0);
        Call {
            builder: parts.map_err(|error| error.to_string()),
            body: Bytes::new(),
        }
    }

    /// Adds a query; the path must have none.
    #[must_use]
    pub fn query(self, pairs: &[(&str, &str)]) -> Self {
        if pairs.is_empty() {
            return self;
        }
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(pairs)
            .finish();
        self.with(|head| {
            let uri = format!("{}?{query}", head.uri.path());
            head.uri = uri.parse().map_err(|error| format!("{error}"))?;
            Ok(())
        })
    }

    /// Sets a header.
    #[must_use]
    pub fn header(self, name: HeaderName, value: impl AsRef<str>) -> Self {
        self.with(|head| {
            let value = HeaderValue::from_str(value.as_ref())
                .map_err(|_| format!("header {name} must be visible ASCII characters"))?;
            head.headers.insert(name, value);
            Ok(())
        })
    }

    /// Sets a header that is made already.
    #[must_use]
    pub fn header_value(self, name: HeaderName, value: HeaderValue) -> Self {
        self.with(|head| {
            head.headers.insert(name, value);
            Ok(())
        })
    }

    /// Sends a bearer token, which is kept out of what is logged.
    #[must_use]
    pub fn bearer(self, token: &SecretString) -> Self {
        self.with(|head| {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
                .map_err(|_| "a bearer token must be visible ASCII characters".to_owned())?;
            value.set_sensitive(true);
            head.headers.insert(AUTHORIZATION, value);
            Ok(())
        })
    }

    /// Sets the body, as JSON.
    #[must_use]
    pub fn json(self, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(bytes) => self.body("application/json", bytes),
            Err(error) => self.with(|_| Err(error.to_string())),
        }
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, content_type: &'static str, bytes: impl Into<Bytes>) -> Self {
        self.body = bytes.into();
        self.with(|head| {
            let value = HeaderValue::from_static(content_type);
            head.headers.insert(CONTENT_TYPE, value);
            Ok(())
        })
    }

    fn with(
        mut self,
        change: impl FnOnce(&mut http::request::Parts) -> Result<(), String>,
    ) -> Self {
        self.builder = self.builder.and_then(|mut head| {
            change(&mut head)?;
            Ok(head)
        });
        self
    }
}

impl Upstream {
    /// Sends a request and reads its answer, up to `bytes_max` of it, both within the deadline.
    ///
    /// # Errors
    /// [`CallError::NotSent`] and [`CallError::Unknown`].
    pub async fn send(
        &self,
        call: Call,
        options: CallOptions,
        bytes_max: usize,
    ) -> Result<Answer, CallError> {
        let end = options
            .idle
            .is_none()
            .then(|| Instant::now() + options.deadline);
        let head = call.builder.map_err(CallError::not_sent)?;
        let request = Request::from_parts(head, body::full(call.body));
        let response = self.call(request, options).await?;
        let (head, body) = response.into_parts();
        let reading = body::read_up_to(body, bytes_max);
        let read = match end {
            Some(end) => timeout_at(end, reading).await,
            None => Ok(reading.await),
        };
        match read {
            Ok(Ok((body, is_whole))) => Ok(Answer::new(head, body, is_whole, bytes_max)),
            Ok(Err(error)) => Err(CallError::Unknown {
                why: format!("its answer broke off: {}", causes(&*error)),
                is_timeout: false,
            }),
            Err(_) => Err(CallError::Unknown {
                why: "its answer did not come to its end in time".to_owned(),
                is_timeout: true,
            }),
        }
    }
}
