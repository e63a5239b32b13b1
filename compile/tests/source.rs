//! Files become JSON, and every field keeps its place.

#![expect(clippy::unwrap_used, reason = "a helper of tests that cannot go on has failed its test")]

use compile::source::{self, Document, MAX_FILE, Place};
use serde_json::{Value, json};

fn one(text: &str) -> Document {
    let mut documents = source::read("policy.yaml", text).unwrap();
    assert_eq!(documents.len(), 1, "{text}");
    documents.remove(0)
}

fn faults(text: &str) -> Vec<String> {
    let faults = source::read("policy.yaml", text).unwrap_err();
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn yaml_and_json_become_json() {
    for (text, expected) in [
        ("a: 1", json!({"a": 1})),
        ("a: [x, 'y', \"z\"]", json!({"a": ["x", "y", "z"]})),
        ("a:\n- b: yes\n- c: 'no'\n", json!({"a": [{"b": "yes"}, {"c": "no"}]})),
        ("a: |\n  x\n  y\n", json!({"a": "x\ny\n"})),
        ("a: >-\n  x\n  y\n", json!({"a": "x y"})),
        ("a:\n", json!({"a": null})),
        ("1.2: x\ntrue: y", json!({"1.2": "x", "true": "y"})),
        ("a: \"1\"", json!({"a": "1"})),
        ("<<: {a: 1}", json!({"<<": {"a": 1}})),
        ("a: &anchor x", json!({"a": "x"})),
        ("\u{feff}a: 1", json!({"a": 1})),
        ("a: 1\r\nb: 2\r\n", json!({"a": 1, "b": 2})),
        ("# only this\na: {}", json!({"a": {}})),
        (
            "{\n\t\"a\": [true, null, 1.5],\n\t\"b\": \"x\\/\\u00e4\\n\"\n}",
            json!({"a": [true, null, 1.5], "b": "x/ä\n"}),
        ),
        ("{\"a\": \"\\ud83d\\ude00\"}", json!({"a": "😀"})),
    ] {
        assert_eq!(one(text).value, expected, "{text}");
    }
}

#[test]
fn documents_are_separated_and_empty_ones_skipped() {
    for (text, expected) in [
        ("", json!([])),
        ("---\n---\n# nothing\n", json!([])),
        ("---\na: 1\n---\n---\nb: 2\n...\n", json!([{"a": 1}, {"b": 2}])),
    ] {
        let values: Vec<Value> =
            source::read("policy.yaml", text).unwrap().into_iter().map(|document| document.value).collect();
        assert_eq!(Value::Array(values), expected, "{text}");
    }
}

#[test]
fn fields_keep_their_places() {
    let document = one("# a comment\nspec:\n  rules:\n  - path: /a\n    ä: {x/y: 1.20}\n  - 'quoted'\n");
    let place = |line, column| Some(Place { line, column });
    for (pointer, key, value) in [
        ("", place(2, 1), place(2, 1)),
        ("/spec", place(2, 1), place(3, 3)),
        ("/spec/rules", place(3, 3), place(4, 5)),
        ("/spec/rules/0", place(4, 5), place(4, 5)),
        ("/spec/rules/0/path", place(4, 5), place(4, 11)),
        ("/spec/rules/0/ä", place(5, 5), place(5, 8)),
        ("/spec/rules/0/ä/x~1y", place(5, 9), place(5, 14)),
        ("/spec/rules/1", place(6, 5), place(6, 5)),
        ("/spec/rules/2", None, None),
        ("/spec/rules/x", None, None),
        ("/nothing", None, None),
    ] {
        assert_eq!(document.places.key(pointer), key, "key of {pointer}");
        assert_eq!(document.places.value(pointer), value, "value of {pointer}");
    }
    assert_eq!(Some(document.places.nearest("/spec/rules/0/require/scopes")), place(4, 5));
    assert_eq!(document.places.unquoted("/spec/rules/0/ä/x~1y"), Some("1.20"));
    assert_eq!(document.places.unquoted("/spec/rules/1"), None);
}

#[test]
fn later_documents_keep_the_lines_of_the_file() {
    let documents = source::read("policy.yaml", "a: 1\n---\nb: 2\n").unwrap();
    assert_eq!(documents[1].places.key("/b"), Some(Place { line: 3, column: 1 }));
}

#[test]
fn faults_have_a_place() {
    for (text, expected) in [
        (
            "a: 1\nb: 2\na: 3\n",
            vec!["policy.yaml:3:1: error[duplicate_key]: a: `a` stands twice, first in line 1; leave one of them out"],
        ),
        (
            "a: {b: 1, \"b\": 2}\n",
            vec![
                "policy.yaml:1:11: error[duplicate_key]: a.b: `b` stands twice, first in line 1; leave one of them out",
            ],
        ),
        (
            "a: [x, {c: 1, c: 2}]\nd: 1\nd: 2\n",
            vec![
                "policy.yaml:1:15: error[duplicate_key]: a[1].c: `c` stands twice, first in line 1; leave one of them out",
                "policy.yaml:3:1: error[duplicate_key]: d: `d` stands twice, first in line 2; leave one of them out",
            ],
        ),
        ("a: &x 1\nb: *x\n", vec!["policy.yaml:2:4: error[yaml_syntax]: b: aliases are not read; write the value out"]),
    ] {
        assert_eq!(faults(text), expected, "{text}");
    }
}

#[test]
fn what_is_not_yaml_ends_the_reading() {
    for (text, start) in [
        ("a: [1, 2\n", "policy.yaml:"),
        ("a: 1\n b: 2\n", "policy.yaml:2:"),
        ("a: 'x\n", "policy.yaml:"),
        ("a: *missing\n", "policy.yaml:1:4: error[yaml_syntax]: "),
        ("a: !!str 1\n", "policy.yaml:1:"),
        ("a: !secret x\n", "policy.yaml:1:"),
        ("[a, b]: 1\n", "policy.yaml:1:1: error[yaml_syntax]: a key must be a string"),
        ("%YAML 1.1\n---\na: 1\n", "policy.yaml:1:1: error[yaml_syntax]: "),
        ("a:\n\t- b\n", "policy.yaml:2:"),
        ("a: 1\n---\nb: [\n", "policy.yaml:"),
    ] {
        let faults = faults(text);
        assert_eq!(faults.len(), 1, "{text}: {faults:?}");
        assert!(faults[0].starts_with(start) && faults[0].contains("error[yaml_syntax]"), "{text}: {faults:?}");
    }
}

#[test]
fn what_is_not_yaml_is_told_with_a_cure() {
    for (text, place, cure) in [
        ("a: {path: /users/{id}, b: c}\n", "1:18", "put a path with `{…}` in quotes"),
        ("a: [/users/{id}]\n", "1:12", "put a path with `{…}` in quotes"),
        ("a: {b: c\nd: e\n", "2:2", "end the `{` above with `}`"),
        ("a: {b: c\n", "1:4", "end it with `}`"),
        ("a: [b\n", "1:4", "end it with `]`"),
        ("a: \"b\n", "1:4", "end the text with the quote"),
        ("a:\n  b: c\n d: e\n", "3:2", "the same indentation"),
        ("a: {id}/x\nb: c\n", "1:8", "stands in quotes"),
        ("a:\n\tb: c\n", "2:2", "not with tabs"),
        ("a: b: c\n", "1:5", "put a text that holds `: ` in quotes"),
        ("a: @b\n", "1:4", "begins with a special character"),
    ] {
        let faults = faults(text);
        let start = format!("policy.yaml:{place}: error[yaml_syntax]: ");
        assert!(faults.len() == 1 && faults[0].starts_with(&start) && faults[0].contains(cure), "{text}: {faults:?}");
    }
}

#[test]
fn the_items_of_a_list_stand_alone_with_their_places() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- {kind: A, x: 1}\n- kind: B\n  x: 2\n---\nkind: C\nitems: [1]\n";
    let documents: Vec<_> = source::read("policy.yaml", text).unwrap().into_iter().flat_map(source::objects).collect();
    let kinds: Vec<_> = documents.iter().map(|document| document.value["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["A", "B", "C"]);
    assert_eq!(documents[1].places.value("/x").map(|place| (place.line, place.column)), Some((6, 6)));
}

#[test]
fn size_and_depth_are_bounded() {
    let deep = |levels: usize| format!("a: {}{}", "[".repeat(levels), "]".repeat(levels));
    let blocks: String = (0..100).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
    assert!(source::read("policy.yaml", &deep(60)).is_ok());
    for text in [
        deep(100),
        deep(1_000_000),
        blocks,
        "- ".repeat(1_000),
        format!("{}{}{}", "- ".repeat(40), "[".repeat(40), "]".repeat(40)),
        "a\n---\n".repeat(2_000),
        "- a\n".repeat(300_000),
        format!("a: {}", "x".repeat(MAX_FILE)),
    ] {
        let faults = source::read("policy.yaml", &text).unwrap_err();
        let code = faults[0].code.as_str();
        assert_eq!(code, "yaml_limit", "{:.20}: {}", text, faults[0]);
    }
}

#[test]
fn places_grow_with_the_file_and_not_with_its_pointers() {
    let key = "k".repeat(900);
    let text = format!("{key}: [{}]", "a,".repeat(100_000));
    assert_eq!(one(&text).value[&key].as_array().unwrap().len(), 100_000);
}

#[test]
fn objects_are_named() {
    let document = one("{kind: ConfigMap, metadata: {name: a, namespace: b}}");
    assert_eq!(document.object().unwrap().to_string(), "ConfigMap b/a");
    assert_eq!(one("{kind: ConfigMap}").object(), None);
}
