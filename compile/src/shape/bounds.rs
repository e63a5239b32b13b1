//! How long, how many, how large, and of which form.

use serde_json::Value;

use super::Fault;
use crate::diagnostic::{Code, quoted};

/// What an int-or-string is called in messages; ports are the only ones.
pub(super) const PORT: &str = "number or a name";

pub(super) fn string(text: &str, schema: &Value) -> Option<Fault> {
    // The API server counts characters, not bytes.
    count(text.chars().count(), "character", "characters", "Length", schema).or_else(|| form(text, schema))
}

pub(super) fn count(count: usize, one: &str, many: &str, bound: &str, schema: &Value) -> Option<Fault> {
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    let limit = |end: &str| schema.get(format!("{end}{bound}")).and_then(Value::as_u64);
    let units = |number| format!("{number} {}", if number == 1 { one } else { many });
    let least = limit("min").filter(|least| count < *least);
    let most = limit("max").filter(|most| count > *most);
    if count == 0 && least.is_some() {
        let hint = (bound != "Length").then(|| "say what it lists: empty never means everything".to_owned());
        return Some(Fault { code: Code::OutOfBounds, message: "is empty".into(), hint });
    }
    let (word, limit) = least.map(|least| ("least", least)).or(most.map(|most| ("most", most)))?;
    let message = format!("has {}, at {word} {limit} {} allowed", units(count), if limit == 1 { "is" } else { "are" });
    Some(Fault { code: Code::OutOfBounds, message, hint: None })
}

pub(super) fn port(value: &Value, schema: &Value) -> Option<Fault> {
    let Value::Number(number) = value else {
        return value.as_str().and_then(|name| string(name, schema));
    };
    let limit = |name| schema.get(name).and_then(Value::as_f64);
    let (least, most) = (limit("minimum")?, limit("maximum"));
    let whole = number.as_f64().filter(|_| !number.is_f64());
    if whole.is_some_and(|number| number >= least && most.is_none_or(|most| number <= most)) {
        return None;
    }
    let upwards = most.map_or_else(|| " upwards".to_owned(), |most| format!(" to {most}"));
    let message = format!("`{number}` is not a whole number from {least}{upwards}");
    Some(Fault { code: Code::OutOfBounds, message, hint: None })
}

/// The patterns of our schema, known by heart: an engine for any other would be much to carry. A test holds them
/// against the schema. Quantities are parsed when they are lowered, which tells more.
fn form(text: &str, schema: &Value) -> Option<Fault> {
    let pattern = schema.get("pattern")?.as_str()?;
    let (fits, hint) = match pattern {
        crds::DURATION_PATTERN => (is_duration(text), "write a number and one of ms, s, m and h, such as `30s`"),
        crds::NAME_PATTERN => {
            (is_name(text), "write letters, digits, `.`, `_` and `-`, with a letter or a digit at both ends")
        }
        crds::OBJECT_NAME_PATTERN => (
            is_object_name(text),
            "write the name of an object: lower-case letters, digits, `.` and `-`, with a letter or a digit at both ends",
        ),
        _ => return None,
    };
    let message = format!("{} has not the form of {}", quoted(text), kind(pattern));
    (!fits).then(|| Fault { code: Code::BadFormat, message, hint: Some(hint.into()) })
}

fn kind(pattern: &str) -> &'static str {
    if pattern == crds::DURATION_PATTERN { "a duration" } else { "a name" }
}

/// Whether it can be the name of an object of Kubernetes (RFC 1123, section 2.1).
pub(crate) fn is_object_name(text: &str) -> bool {
    is_name(text) && text.len() <= 253 && text.bytes().all(|byte| !byte.is_ascii_uppercase() && byte != b'_')
}

fn is_duration(text: &str) -> bool {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.strip_prefix(digits).unwrap_or_default();
    ["ms", "s", "m", "h"].contains(&unit) && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_name(text: &str) -> bool {
    let end = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    end(text.bytes().next())
        && end(text.bytes().last())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for text in ["0s", "30s", "250ms", "5m", "24h"] {
            assert!(is_duration(text), "{text}");
        }
        for text in ["", "s", "30", "30 s", "-1s", "1.5h", "1h30m", "30S", "1d", "1s\n", "١s"] {
            assert!(!is_duration(text), "{text}");
        }
    }

    #[test]
    fn names_of_objects() {
        for text in ["a", "main-2", "my.idp"] {
            assert!(is_object_name(text), "{text}");
        }
        for text in ["", "A", "a_b", "a=b", "../a", "a/b", "-a", "a-", &"a".repeat(254)] {
            assert!(!is_object_name(text), "{text}");
        }
    }

    #[test]
    fn names() {
        for text in ["a", "A1", "main", "my-idp_2.x"] {
            assert!(is_name(text), "{text}");
        }
        for text in ["", "-a", "a-", ".", "a b", "ä", "a\n"] {
            assert!(!is_name(text), "{text}");
        }
    }
}
