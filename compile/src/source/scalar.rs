//! What a scalar without quotes means: the core schema of YAML 1.2, in which `yes` and `on` are strings.

use serde_json::{Number, Value};

/// The value of a scalar that was written without quotes.
pub(super) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number),
    }
}

fn number(text: &str) -> Option<Number> {
    if let Some(digits) = text.strip_prefix("0x") {
        return unsigned(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return unsigned(digits, 8);
    }
    // `parse` also takes `inf`, `nan` and `infinity`, which are words here.
    let numeric = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    if !numeric || !text.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let integer = text.parse::<i64>().map(Number::from).or_else(|_| text.parse::<u64>().map(Number::from));
    integer.ok().or_else(|| text.parse::<f64>().ok().and_then(Number::from_f64))
}

fn unsigned(digits: &str, radix: u32) -> Option<Number> {
    let numeric = digits.chars().all(|digit| digit.is_digit(radix));
    numeric.then(|| u64::from_str_radix(digits, radix).ok().map(Number::from)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        for (text, expected) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("NULL", json!(null)),
            ("nUll", json!("nUll")),
            ("true", json!(true)),
            ("False", json!(false)),
            ("yes", json!("yes")),
            ("No", json!("No")),
            ("on", json!("on")),
            ("y", json!("y")),
            ("0", json!(0)),
            ("-17", json!(-17)),
            ("+17", json!(17)),
            ("0x1F", json!(31)),
            ("0x-1", json!("0x-1")),
            ("0o17", json!(15)),
            ("0o8", json!("0o8")),
            ("18446744073709551615", json!(u64::MAX)),
            ("1.2", json!(1.2)),
            (".5", json!(0.5)),
            ("1e3", json!(1000.0)),
            ("1e999", json!("1e999")),
            (".inf", json!(".inf")),
            ("inf", json!("inf")),
            ("nan", json!("nan")),
            ("1_000", json!("1_000")),
            ("12:30", json!("12:30")),
            ("1.2.3", json!("1.2.3")),
            ("-", json!("-")),
            ("e", json!("e")),
            ("30s", json!("30s")),
            ("2001-01-01", json!("2001-01-01")),
        ] {
            assert_eq!(resolve(text), expected, "{text}");
        }
    }
}
