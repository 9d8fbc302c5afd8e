//! Values without their secrets, for people and logs.

use super::settings::{Secrecy, Setting};
use super::values::split_outside_quotes;

const MASK: &str = "***";

/// Parts of the names of librdkafka's settings that hold secrets.
const SECRET_OPTIONS: [&str; 5] = [
    "password",
    "secret",
    ".pem",
    "sasl.oauthbearer.config",
    "jaas",
];
/// Parameters of a PostgreSQL URL that hold secrets.
const SECRET_PARAMETERS: [&str; 2] = ["password", "sslpassword"];

/// The value as it may be shown.
pub(super) fn mask(setting: &Setting, text: &str) -> String {
    match setting.secrecy {
        Secrecy::Open => text.to_owned(),
        Secrecy::Secret => MASK.to_owned(),
        Secrecy::UrlPassword => mask_url(text),
        Secrecy::SecretOptions => mask_options(text),
    }
}

/// Masks everything that could be a password, also in text that is no proper URL: rather too much than too little.
fn mask_url(url: &str) -> String {
    let start = url.find("://").map_or(0, |scheme| scheme + "://".len());
    let mut masked = url.to_owned();
    // From the end: a password may hold '@' and '/'.
    if let Some(end) = url.rfind('@').filter(|end| *end > start)
        && let Some(colon) = url[start..end].find(':')
    {
        masked.replace_range(start + colon + 1..end, MASK);
    }
    let Some((address, parameters)) = masked.split_once('?') else {
        return masked;
    };
    let parameters: Vec<String> = parameters
        .split('&')
        .map(|parameter| match parameter.split_once('=') {
            Some((name, _)) if SECRET_PARAMETERS.contains(&name) => format!("{name}={MASK}"),
            Some(_) | None => parameter.to_owned(),
        })
        .collect();
    format!("{address}?{}", parameters.join("&"))
}

fn mask_options(text: &str) -> String {
    let options: Vec<String> = split_outside_quotes(text)
        .into_iter()
        .map(|option| match option.split_once('=') {
            Some((name, _)) if SECRET_OPTIONS.iter().any(|secret| name.contains(secret)) => {
                format!("{name}={MASK}")
            }
            Some(_) | None => option.to_owned(),
        })
        .collect();
    options.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_urls_do_not_show() {
        for (url, shown) in [
            (
                "postgres://nakku:s3cret@host:5432/nakku",
                "postgres://nakku:***@host:5432/nakku",
            ),
            ("postgres://nakku@host/nakku", "postgres://nakku@host/nakku"),
            ("postgres://host:5432/nakku", "postgres://host:5432/nakku"),
            (
                "postgres://u:s3c/r@e?t@host/db?sslmode=require",
                "postgres://u:***@host/db?sslmode=require",
            ),
            (
                "postgres://u@host/db?password=s3cret&sslmode=require",
                "postgres://u@host/db?password=***&sslmode=require",
            ),
            ("nakku:s3cret@host", "nakku:***@host"),
        ] {
            assert_eq!(mask_url(url), shown);
        }
    }

    #[test]
    fn secrets_of_options_do_not_show() {
        assert_eq!(
            mask_options("sasl.username=nakku,sasl.password=\"a,b\",ssl.key.pem=---,linger.ms=5"),
            "sasl.username=nakku,sasl.password=***,ssl.key.pem=***,linger.ms=5"
        );
    }
}
