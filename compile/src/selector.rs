//! Which pods a policy protects (Kubernetes' own rules for label selectors).

use std::collections::BTreeMap;

use crds::LabelSelector;

/// Whether a selector selects labels. An operator that is not known selects nothing.
#[must_use]
pub fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let exact = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    let expressions = selector.match_expressions.iter().flatten().all(|wanted| {
        let value = labels.get(&wanted.key);
        let listed = |value: &String| wanted.values.iter().flatten().any(|one| one == value);
        match wanted.operator.as_str() {
            "In" => value.is_some_and(listed),
            "NotIn" => !value.is_some_and(listed),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    });
    exact && expressions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selects_as_kubernetes_does() {
        let labels = BTreeMap::from([("app".to_owned(), "orders".to_owned()), ("tier".to_owned(), "web".to_owned())]);
        for (text, expected) in [
            (r#"{"matchLabels":{"app":"orders"}}"#, true),
            (r#"{"matchLabels":{"app":"orders","tier":"db"}}"#, false),
            (r#"{"matchExpressions":[{"key":"app","operator":"In","values":["a","orders"]}]}"#, true),
            (r#"{"matchExpressions":[{"key":"app","operator":"NotIn","values":["orders"]}]}"#, false),
            (r#"{"matchExpressions":[{"key":"zone","operator":"NotIn","values":["a"]}]}"#, true),
            (r#"{"matchExpressions":[{"key":"tier","operator":"Exists"}]}"#, true),
            (r#"{"matchExpressions":[{"key":"tier","operator":"DoesNotExist"}]}"#, false),
            (r#"{"matchLabels":{"app":"orders"},"matchExpressions":[{"key":"tier","operator":"Sounds"}]}"#, false),
        ] {
            let selector: LabelSelector = serde_json::from_str(text).unwrap();
            assert_eq!(selects(&selector, &labels), expected, "{text}");
        }
    }
}
