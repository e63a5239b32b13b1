//! How many bytes a verified token holds, so that a cache can be bounded by what it really keeps.

use crate::principal::Identity;
use serde_json::Value;

/// An entry of a JSON object beside its name and value: hash, links and the string's own fields.
const OBJECT_ENTRY: usize = 64;

/// The heap that an identity keeps, estimated from above for everything that a sender can make large.
pub(super) fn of(identity: &Identity) -> usize {
    let lists = [&identity.scopes, &identity.roles, &identity.groups, &identity.clients];
    let lists: usize = lists.into_iter().flatten().map(|item| size_of::<String>() + item.len()).sum();
    let texts = [&identity.subject, &identity.tenant, &identity.email, &identity.name, &identity.client];
    let texts: usize = texts.into_iter().flatten().map(String::len).sum();
    let claims: usize =
        identity.claims.iter().map(|(name, value)| OBJECT_ENTRY + name.len() + value_bytes(value)).sum();
    size_of::<Identity>() + lists + texts + claims
}

fn value_bytes(value: &Value) -> usize {
    let inner = match value {
        Value::String(text) => text.len(),
        // A vector that grew has up to as much again in reserve.
        Value::Array(items) => 2 * items.iter().map(value_bytes).sum::<usize>(),
        Value::Object(map) => map.iter().map(|(name, value)| OBJECT_ENTRY + name.len() + value_bytes(value)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    size_of::<Value>() + inner
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn many_small_values_weigh_more_than_their_text() {
        let claims = |value: Value| Identity {
            claims: json!({ "x": value }).as_object().unwrap().clone(),
            ..Identity::default()
        };
        let zeros = of(&claims(json!(vec![0; 2850])));
        assert!(zeros > 2850 * size_of::<Value>(), "{zeros}");
        assert!(of(&claims(json!("a".repeat(6000)))) < 8000);
    }
}
