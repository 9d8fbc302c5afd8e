//! A member of a body, parsed into its value type.

use std::fmt::Display;
use std::marker::PhantomData;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A `T` read from a `Raw` of JSON. One that breaks its type's rule is still read, so that a body's refusal names every
/// wrong member at once; [`garde::Validate`] then refuses it, with the member's pointer and the rule.
#[derive(Debug, Clone)]
pub(crate) struct Member<T, Raw = String> {
    parsed: Result<T, String>,
    raw: PhantomData<fn() -> Raw>,
}

impl<T, Raw> Member<T, Raw> {
    /// As one read from a body.
    pub(crate) fn of(raw: Raw) -> Self
    where
        T: TryFrom<Raw>,
        T::Error: Display,
    {
        Self {
            parsed: T::try_from(raw).map_err(|refusal| refusal.to_string()),
            raw: PhantomData,
        }
    }

    /// The value. To be called on validated bodies only, which is what handlers are given.
    pub(crate) fn into_inner(self) -> T {
        self.parsed
            .expect("handlers are given validated bodies only")
    }
}

impl<'de, T, Raw> Deserialize<'de> for Member<T, Raw>
where
    Raw: Deserialize<'de>,
    T: TryFrom<Raw>,
    T::Error: Display,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Raw::deserialize(deserializer).map(Self::of)
    }
}

impl<T: Serialize, Raw> Serialize for Member<T, Raw> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.parsed {
            Ok(value) => value.serialize(serializer),
            Err(refusal) => Err(serde::ser::Error::custom(refusal)),
        }
    }
}

impl<T, Raw> garde::Validate for Member<T, Raw> {
    type Context = ();

    fn validate_into(
        &self,
        (): &(),
        parent: &mut dyn FnMut() -> garde::Path,
        report: &mut garde::Report,
    ) {
        if let Err(refusal) = &self.parsed {
            report.append(parent(), garde::Error::new(refusal));
        }
    }
}

/// For members that may be absent: what is there must be of its type, `null` only where that type takes it. With
/// `Option<Option<T>>` absent, `null` and a value are three things.
pub(crate) fn present<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// The body of a request that needs none: absent or `{}`.
#[derive(Debug, Deserialize, garde::Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

#[cfg(test)]
mod tests {
    use domain::{Email, Quantity};
    use garde::Validate;

    use super::*;

    #[derive(Debug, Deserialize, Serialize, Validate)]
    struct Body {
        #[garde(dive)]
        email: Member<Email>,
        #[serde(
            default,
            deserialize_with = "present",
            skip_serializing_if = "Option::is_none"
        )]
        #[garde(dive)]
        quantity: Option<Option<Member<Quantity, i64>>>,
    }

    fn pointers(body: &str) -> Vec<String> {
        let problem = http_server::json::parse::<Body>(body.as_bytes()).unwrap_err();
        problem
            .document(None)
            .errors
            .into_iter()
            .map(|error| error.pointer)
            .collect()
    }

    #[test]
    fn every_wrong_member_is_named() {
        assert_eq!(
            pointers(r#"{"email":"x","quantity":0}"#),
            ["/email", "/quantity"]
        );
        assert_eq!(pointers(r#"{"email":7,"quantity":0}"#), ["/email"]);
    }

    #[test]
    fn absent_null_and_a_value_are_three_things() {
        for body in [
            r#"{"email":"a@b.c"}"#,
            r#"{"email":"a@b.c","quantity":null}"#,
            r#"{"email":"a@b.c","quantity":7}"#,
        ] {
            let read: Body = http_server::json::parse(body.as_bytes()).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), body);
        }
    }
}
