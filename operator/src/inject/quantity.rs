//! Quantities as Kubernetes writes them (`apimachinery`, `resource.Quantity`).

/// A quantity in thousandths, rounded up; none where the text is no quantity, is negative, or is beyond 2^64.
pub(super) fn millis(text: &str) -> Option<u64> {
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let (number, suffix) = text.split_at_checked(text.find(|c| !is_number(c)).unwrap_or(text.len()))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    // Beyond nine decimals there is nothing (nano).
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let decimals = u32::try_from(fraction.len()).ok().filter(|decimals| *decimals <= 9)?;
    let (multiplied, divided) = scale(suffix)?;
    let thousandths = digits.checked_mul(multiplied)?.checked_mul(1000)?;
    u64::try_from(thousandths.div_ceil(divided.checked_mul(10_u128.checked_pow(decimals)?)?)).ok()
}

/// What a suffix multiplies with, and what it divides by.
fn scale(suffix: &str) -> Option<(u128, u128)> {
    Some(match suffix {
        "" => (1, 1),
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1000),
        "k" => (1000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "T" => (1_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000, 1),
        "E" => (1_000_000_000_000_000_000, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            let power = 10_u128.checked_pow(exponent.unsigned_abs())?;
            if exponent < 0 { (1, power) } else { (power, 1) }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_those_of_kubernetes() {
        for (text, expected) in [
            ("100m", 100),
            ("1", 1000),
            ("0.5", 500),
            (".5", 500),
            ("1.", 1000),
            ("1.5Gi", (3 << 29) * 1000),
            ("64Mi", (64 << 20) * 1000),
            ("2e3", 2_000_000),
            ("1e-3", 1),
            ("1n", 1),
            ("0", 0),
        ] {
            assert_eq!(millis(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_told() {
        for text in
            ["", ".", "1.2.3", "Mi", "-1", "+1", "1 Mi", "1mi", "1KB", "1e", "1e+", "0x10", "1e99", "1E", "ä", "1Mib"]
        {
            assert_eq!(millis(text), None, "{text}");
        }
        assert_eq!(millis(&"9".repeat(100)), None);
        assert_eq!(millis(&format!("1.{}", "0".repeat(20))), None);
    }
}
