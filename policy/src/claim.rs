//! Where a claim stands in a token, and its text.

use serde_json::{Map, Value};

/// The place of a claim: a top-level name as it is, or a JSON Pointer (RFC 6901) where it begins with `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath(Vec<Box<str>>);

/// What is wrong with the text of a claim path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimPathError {
    /// The text is empty.
    #[error("a claim path is empty")]
    Empty,
    /// A `~` that is neither `~0` nor `~1`.
    #[error("`~` stands only in `~0` (for `~`) and `~1` (for `/`)")]
    Escape,
}

impl ClaimPath {
    /// Parses a claim path.
    ///
    /// # Errors
    /// Where the text is empty or a JSON Pointer with a bad escape.
    pub fn parse(text: &str) -> Result<Self, ClaimPathError> {
        match text.strip_prefix('/') {
            None if text.is_empty() => Err(ClaimPathError::Empty),
            None => Ok(Self(vec![text.into()])),
            Some(pointer) => pointer.split('/').map(unescape).collect::<Result<_, _>>().map(Self),
        }
    }

    /// The top-level name that it begins with.
    pub(crate) fn root(&self) -> Option<&str> {
        self.0.first().map(AsRef::as_ref)
    }

    /// The value at this place; arrays are not walked, and `null` counts as absent.
    #[must_use]
    pub fn find<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a Value> {
        let (last, parents) = self.0.split_last()?;
        let mut map = claims;
        for name in parents {
            map = map.get(&**name)?.as_object()?;
        }
        map.get(&**last).filter(|value| !value.is_null())
    }
}

fn unescape(segment: &str) -> Result<Box<str>, ClaimPathError> {
    let mut out = String::with_capacity(segment.len());
    let mut chars = segment.chars();
    while let Some(c) = chars.next() {
        match c {
            '~' => match chars.next() {
                Some('0') => out.push('~'),
                Some('1') => out.push('/'),
                _ => return Err(ClaimPathError::Escape),
            },
            c => out.push(c),
        }
    }
    Ok(out.into())
}

/// The text of a scalar that a policy can compare with: a string as it is, `true` or `false`, a 64-bit integer in
/// shortest decimal form. Other numbers have none: two libraries would write them differently.
#[must_use]
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

/// Whether the value's text is `wanted`; in an array one element suffices.
#[must_use]
pub fn matches(value: &Value, wanted: &str) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| scalar_is(item, wanted)),
        scalar => scalar_is(scalar, wanted),
    }
}

fn scalar_is(value: &Value, wanted: &str) -> bool {
    match value {
        Value::String(text) => text == wanted,
        other => text(other).is_some_and(|text| text == wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn finds_names_and_pointers() {
        let claims = json!({"https://x/t": "b", "realm_access": {"roles": ["r"]}, "a/b": {"~": 1}, "n": null, "list": [{"x": 1}]});
        let claims = claims.as_object().unwrap();
        for (path, wanted) in [
            ("https://x/t", Some(json!("b"))),
            ("/realm_access/roles", Some(json!(["r"]))),
            ("/a~1b/~0", Some(json!(1))),
            ("realm_access/roles", None),
            ("/n", None),
            ("n", None),
            ("/list/0", None),
            ("/list/0/x", None),
        ] {
            assert_eq!(ClaimPath::parse(path).unwrap().find(claims), wanted.as_ref(), "{path}");
        }
        assert_eq!(ClaimPath::parse(""), Err(ClaimPathError::Empty));
        assert_eq!(ClaimPath::parse("/a~2"), Err(ClaimPathError::Escape));
    }

    #[test]
    fn compares_by_text() {
        for (value, wanted, result) in [
            (json!(true), "true", true),
            (json!("true"), "true", true),
            (json!(7), "7", true),
            (json!(7.0), "7", false),
            (json!(-7), "-7", true),
            (json!(18_446_744_073_709_551_615u64), "18446744073709551615", true),
            (json!(["a", 7]), "7", true),
            (json!([["a"]]), "a", false),
            (json!({"a": 1}), "a", false),
            (json!(null), "null", false),
        ] {
            assert_eq!(matches(&value, wanted), result, "{value} {wanted}");
        }
    }
}
