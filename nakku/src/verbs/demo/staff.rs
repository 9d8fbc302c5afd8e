//! A token that may fill shelves: of an account that is named, or signed with the installation's own key.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use axum::http::StatusCode;
use chrono::Utc;
use http_server::Signer;
use http_server::token::TOKEN_LIFETIME;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::system::{Call, System};
use crate::config::Config;
use crate::keys_file::KeysFile;

/// What is left of a token's time is enough for any request.
const RENEWED_AFTER: Duration = Duration::from_secs(TOKEN_LIFETIME.as_secs() / 2);

/// Who fills shelves. Nothing is asked of anybody until a token is needed.
pub(super) struct Staff {
    email: String,
    password: Option<SecretString>,
    keys_file: PathBuf,
    token: Mutex<Option<(String, Instant)>>,
}

#[derive(Deserialize)]
struct Session {
    access_token: String,
}

impl Staff {
    pub(super) fn new(config: &Config) -> Staff {
        Staff {
            email: config.admin_email.clone(),
            password: config.admin_password.clone(),
            keys_file: config.keys_file.clone(),
            token: Mutex::default(),
        }
    }

    /// A token that is good for some minutes.
    ///
    /// # Errors
    /// One line that says whose is missing, and how to name one.
    pub(super) async fn token(&self, system: &System) -> anyhow::Result<String> {
        let mut kept = self.token.lock().await;
        if let Some((token, since)) = &*kept
            && since.elapsed() < RENEWED_AFTER
        {
            return Ok(token.clone());
        }
        let token = match &self.password {
            Some(password) => self.log_in(system, password).await?,
            None => self.sign(system)?,
        };
        *kept = Some((token.clone(), Instant::now()));
        Ok(token)
    }

    /// Why a token was not taken, and what helps.
    pub(super) fn refused(&self, system: &System, status: StatusCode) -> String {
        let url = system.url();
        match (&self.password, status) {
            (Some(_), _) => format!("{url} does not let {} fill shelves", self.email),
            (None, StatusCode::UNAUTHORIZED) => format!(
                "the keys file {} is not that of {url}: name its data directory, or an account of staff in \
                 NAKKU_ADMIN_EMAIL and NAKKU_ADMIN_PASSWORD",
                self.keys_file.display()
            ),
            (None, _) => format!("{url} does not let this installation fill shelves"),
        }
    }

    async fn log_in(&self, system: &System, password: &SecretString) -> anyhow::Result<String> {
        let body = json!({"email": self.email, "password": password.expose_secret()});
        let answer = system.ask(&Call::post("/users/login", body)).await?;
        let session: Session = answer.read().with_context(|| {
            let (email, url) = (&self.email, system.url());
            format!(
                "cannot log in at {url} as {email}, who is named by NAKKU_ADMIN_EMAIL and NAKKU_ADMIN_PASSWORD"
            )
        })?;
        Ok(session.access_token)
    }

    /// Whoever has the keys file could sign anything: this is no more than that.
    fn sign(&self, system: &System) -> anyhow::Result<String> {
        if !self.keys_file.exists() {
            bail!(
                "filling the shelves of {} takes staff: there is no keys file {}, so name the data directory of that \
                 system, or an account in NAKKU_ADMIN_EMAIL and NAKKU_ADMIN_PASSWORD",
                system.url(),
                self.keys_file.display()
            );
        }
        let key = KeysFile::load(&self.keys_file)?.signing;
        let signer = Signer::new(key.kid, &key.pkcs8)?;
        let nobody = Uuid::now_v7().to_string();
        Ok(signer.sign(
            &nobody,
            http_server::Role::Staff,
            TOKEN_LIFETIME,
            Utc::now(),
        ))
    }
}
