//! How an attribute is written into a header: one decode gives it back, and two attributes never give one value.

use crate::claim;
use crate::principal::{AttributeValue, Identity};
use crate::ruleset::{IdentityHeader, IdentitySource};
use serde_json::Value;
use std::fmt::Write;

/// The value of a header for an identity; none where the attribute is absent, empty, an object or null.
pub(super) fn of(header: &IdentityHeader, identity: &Identity) -> Option<String> {
    match &header.source {
        IdentitySource::Attribute(attribute) => match identity.get(*attribute)? {
            AttributeValue::Text(text) => one(text, header.json, false),
            AttributeValue::List(items) => many(items, header.json),
        },
        IdentitySource::Claim(path) => match path.find(&identity.claims)? {
            Value::Array(items) => many(&items.iter().map(claim::text).collect::<Option<Vec<_>>>()?, header.json),
            // A claim may be a list for one caller and a text for another: its commas never look like a list's.
            scalar => one(&claim::text(scalar)?, header.json, true),
        },
    }
}

fn one(text: &str, json: bool, element: bool) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    if json { ascii_json(&Value::from(text)) } else { Some(percent_encoded(text, element)) }
}

/// Empty elements are none: an attribute never holds one, and a claim's would look like a list that ends early.
fn many(items: &[String], json: bool) -> Option<String> {
    let items: Vec<&str> = items.iter().map(String::as_str).filter(|item| !item.is_empty()).collect();
    if items.is_empty() {
        return None;
    }
    if json {
        return ascii_json(&Value::from(items));
    }
    Some(items.iter().map(|item| percent_encoded(item, true)).collect::<Vec<_>>().join(","))
}

/// Printable ASCII as it is, but `%`; spaces at the ends and, in elements, commas are encoded too.
fn percent_encoded(text: &str, element: bool) -> String {
    let last = text.len().saturating_sub(1);
    let mut out = String::with_capacity(text.len());
    for (position, byte) in text.bytes().enumerate() {
        let at_end = byte == b' ' && (position == 0 || position == last);
        let plain = (0x20..=0x7e).contains(&byte) && byte != b'%' && !at_end && !(element && byte == b',');
        if plain {
            out.push(char::from(byte));
        } else {
            // Writing into a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn ascii_json(value: &Value) -> Option<String> {
    let text = serde_json::to_string(value).ok()?;
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii() && character != '\u{7f}' {
            out.push(character);
        } else {
            character.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                let _ = write!(out, "\\u{unit:04x}");
            });
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn encoding() {
        for (text, whole, element) in [
            ("alice", "alice", "alice"),
            ("a b", "a b", "a b"),
            (" a ", "%20a%20", "%20a%20"),
            ("a,b", "a,b", "a%2Cb"),
            ("100%", "100%25", "100%25"),
            ("z\u{fc}", "z%C3%BC", "z%C3%BC"),
            ("a\r\nb\t", "a%0D%0Ab%09", "a%0D%0Ab%09"),
            ("\u{7f}", "%7F", "%7F"),
            (" ", "%20", "%20"),
        ] {
            assert_eq!((percent_encoded(text, false).as_str(), percent_encoded(text, true).as_str()), (whole, element));
        }
        let list = |items: &[&str], json| many(&items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>(), json);
        assert_eq!(list(&["a,b", "c"], false).unwrap(), "a%2Cb,c");
        assert_eq!(list(&["a\"", "\u{1f600}\u{7f}"], true).unwrap(), r#"["a\"","\ud83d\ude00\u007f"]"#);
        assert_eq!(list(&[], true), None);
        assert_eq!(one("", false, false), None);
        assert_eq!(one("a,b", false, true).unwrap(), "a%2Cb", "never like the list of a and b");
    }

    /// Any reader's percent-decoding.
    fn decoded(text: &str) -> String {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((first, behind)) = rest.split_first() {
            let escape = (*first == b'%').then(|| std::str::from_utf8(&behind[..2]).unwrap());
            bytes.push(escape.map_or(*first, |digits| u8::from_str_radix(digits, 16).unwrap()));
            rest = if escape.is_some() { &behind[2..] } else { behind };
        }
        String::from_utf8(bytes).unwrap()
    }

    proptest! {
        #[test]
        fn one_decode_gives_the_attribute_back(items in proptest::collection::vec(any::<String>(), 1..4)) {
            let items: Vec<_> = items.into_iter().filter(|item| !item.is_empty()).collect();
            for item in &items {
                for element in [false, true] {
                    let value = one(item, false, element).unwrap();
                    prop_assert!(http::HeaderValue::from_str(&value).is_ok() && value.is_ascii() && value.trim() == value);
                    prop_assert_eq!(&decoded(&value), item);
                }
                let json = one(item, true, false).unwrap();
                prop_assert!(http::HeaderValue::from_str(&json).is_ok() && json.is_ascii());
                prop_assert_eq!(&serde_json::from_str::<String>(&json).unwrap(), item);
            }
            let list = many(&items, false);
            prop_assert_eq!(list.map(|list| list.split(',').map(decoded).collect()), (!items.is_empty()).then_some(items));
        }
    }
}
