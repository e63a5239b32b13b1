//! The rules of the schema about fields that stand together.
//!
//! The API server evaluates them as CEL; here each is written a second time, and found by its text, so that a rule
//! without its twin fails a test.

use serde_json::{Map, Value};

type Fields = Map<String, Value>;

/// The text of a rule, and whether it holds.
type Twin = (&'static str, fn(&Fields) -> bool);

const TWINS: [Twin; 10] = [
    ("has(self.cidr) != has(self.caller)", |fields| has(fields, "cidr") != has(fields, "caller")),
    ("has(self.allow) != has(self.require)", |fields| has(fields, "allow") != has(fields, "require")),
    ("has(self.identity) != has(self.claim)", |fields| has(fields, "identity") != has(fields, "claim")),
    ("!(has(self.tenant) && has(self.tenantValue))", |fields| !(has(fields, "tenant") && has(fields, "tenantValue"))),
    ("has(self.serviceAccount) || has(self.dns) || has(self.spiffe)", |fields| {
        has(fields, "serviceAccount") || has(fields, "dns") || has(fields, "spiffe")
    }),
    ("has(self.audiences) != (has(self.anyAudience) && self.anyAudience)", |fields| {
        has(fields, "audiences") != is_true(fields, "anyAudience")
    }),
    ("has(self.configMapName) == has(self.key)", |fields| has(fields, "configMapName") == has(fields, "key")),
    (
        "!(has(self.inline) && has(self.configMapName)) && !(has(self.jwksURL) && (has(self.inline) || has(self.configMapName)))",
        |fields| ["inline", "configMapName", "jwksURL"].into_iter().filter(|name| has(fields, name)).count() <= 1,
    ),
    ("!(has(self.caBundle) && (has(self.inline) || has(self.configMapName)))", |fields| {
        !(has(fields, "caBundle") && (has(fields, "inline") || has(fields, "configMapName")))
    }),
    (
        "(has(self.builtIn) && self.builtIn) != has(self.configMapName) && has(self.configMapName) == has(self.key)",
        |fields| {
            is_true(fields, "builtIn") != has(fields, "configMapName")
                && has(fields, "configMapName") == has(fields, "key")
        },
    ),
];

/// The messages of the rules that do not hold.
pub(super) fn broken<'schema>(fields: &Fields, schema: &'schema Value) -> impl Iterator<Item = &'schema str> {
    let rules = schema.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten();
    rules.filter_map(|rule| {
        let (_, holds) = TWINS.iter().find(|(text, _)| rule.get("rule").is_some_and(|rule| rule == text))?;
        if holds(fields) { None } else { rule.get("message")?.as_str() }
    })
}

/// Null is a fault of its own; here, as in CEL, it is as if the field were not there.
fn has(fields: &Fields, name: &str) -> bool {
    fields.get(name).is_some_and(|value| !value.is_null())
}

/// A value of another type is a fault of its own, and taken here as what was probably meant.
fn is_true(fields: &Fields, name: &str) -> bool {
    has(fields, name) && fields.get(name) != Some(&Value::Bool(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_of_the_schema_has_its_twin() {
        let mut rules = Vec::new();
        collect(crds::spec_schema(), &mut rules);
        rules.sort();
        let mut twins: Vec<&str> = TWINS.iter().map(|(text, _)| *text).collect();
        twins.sort();
        // A type that stands in two places brings its rule twice.
        rules.sort();
        rules.dedup();
        assert_eq!(rules, twins);
    }

    fn collect<'schema>(node: &'schema Value, rules: &mut Vec<&'schema str>) {
        for rule in node.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten() {
            rules.push(rule["rule"].as_str().unwrap());
        }
        let properties = node.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::values);
        properties.chain(node.get("items")).for_each(|child| collect(child, rules));
    }
}
