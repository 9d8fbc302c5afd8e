//! E-mail addresses.

use crate::Invalid;
use crate::text::{text_value, trimmed};

/// Longest address that SMTP can carry (RFC 5321: a path of 256 octets with its angle brackets).
const LENGTH_MAX: usize = 254;
/// Longest part before the `@` (RFC 5321).
const LOCAL_PART_MAX: usize = 64;
/// Longest label of a domain name (RFC 1035).
const LABEL_MAX: usize = 63;

text_value! {
    /// An address as browsers accept it in a form (WHATWG "valid e-mail address"): ASCII, trimmed, at most 254 bytes.
    /// Names outside ASCII come in their `xn--` form, so that one address has one spelling. Case is kept for writing to it.
    personal Email, parse
}

impl Email {
    /// The lower-cased address, by which accounts are told apart.
    #[must_use]
    pub fn normalized(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

fn parse(raw: String) -> Result<String, Invalid> {
    let text = trimmed(raw);
    let valid = text.len() <= LENGTH_MAX
        && text
            .split_once('@')
            .is_some_and(|(local, host)| is_local_part(local) && host.split('.').all(is_label));
    if !valid {
        return Err(Invalid::new(
            "e-mail",
            format!("must be an address like name@example.org of at most {LENGTH_MAX} characters"),
        ));
    }
    Ok(text)
}

fn is_local_part(local: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&b);
    (1..=LOCAL_PART_MAX).contains(&local.len()) && local.bytes().all(allowed)
}

fn is_label(label: &str) -> bool {
    (1..=LABEL_MAX).contains(&label.len())
        && label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_trimmed_and_keep_their_case() {
        let email: Email = " Ada.Lovelace+shop@Example.org ".parse().unwrap();
        assert_eq!(email.as_str(), "Ada.Lovelace+shop@Example.org");
        assert_eq!(email.normalized(), "ada.lovelace+shop@example.org");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}@example.org", "a".repeat(65));
        for raw in [
            "",
            "ada",
            "@example.org",
            "ada@",
            "a b@example.org",
            "ada@-x.org",
            "ada@x..org",
            "a@b@c",
            "ä@x.org",
            &long,
        ] {
            let refusal = raw.parse::<Email>().unwrap_err();
            assert_eq!(refusal.what(), "e-mail", "{raw}");
        }
    }

    #[test]
    fn debug_output_does_not_show_it() {
        let email: Email = "ada@example.org".parse().unwrap();
        assert_eq!(format!("{email:?}"), "Email(…)");
    }
}
