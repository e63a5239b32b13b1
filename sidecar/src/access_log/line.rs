//! A line, written piece by piece as what it tells becomes known. By hand: through a serializer it would cost more than the
//! decision that it tells of.

use crate::events::Finished;
use crate::limits::{LOG_HOST, LOG_METHOD, LOG_PATH};
use http::Version;
use http::header::HOST;
use http::request::Parts;
use policy::time::Timestamp;
use policy::wire::PolicyName;
use std::cell::Cell;
use std::io::Write;
use std::net::IpAddr;

/// The line of one request.
pub(crate) struct Line {
    text: Vec<u8>,
    has_policy: bool,
    has_rule: bool,
}

impl Line {
    /// Begins in memory that is empty.
    pub(super) fn begin(mut text: Vec<u8>, time: (&Second, Timestamp), head: &Parts, id: &str, client: IpAddr) -> Self {
        text.extend_from_slice(b"{\"time\":\"");
        time.0.write(&mut text, time.1);
        text.push(b'"');
        string(&mut text, ",\"requestId\":", id.as_bytes(), id.len());
        string(&mut text, ",\"method\":", head.method.as_str().as_bytes(), LOG_METHOD);
        string(&mut text, ",\"path\":", head.uri.path().as_bytes(), LOG_PATH);
        string(&mut text, ",\"host\":", host(head), LOG_HOST);
        // Writing into memory cannot fail.
        let _ = write!(text, ",\"client\":\"{client}\"");
        word(&mut text, ",\"protocol\":", Some(protocol(head.version)));
        Self { text, has_policy: false, has_rule: false }
    }

    /// The port that it came to.
    pub(crate) fn port(&mut self, port: u16) {
        self.text.extend_from_slice(b",\"port\":");
        decimal(&mut self.text, port.into(), 1);
    }

    /// The policy that judges it.
    pub(crate) fn policy(&mut self, name: &PolicyName) {
        if !self.has_policy {
            self.text.extend_from_slice(b",\"policy\":\"");
            escaped(&mut self.text, name.namespace.as_bytes());
            self.text.push(b'/');
            escaped(&mut self.text, name.name.as_bytes());
            self.text.push(b'"');
            self.has_policy = true;
        }
    }

    /// The rule that decides, counted from 0.
    pub(crate) fn rule(&mut self, index: usize) {
        if !self.has_rule {
            self.text.extend_from_slice(b",\"rule\":");
            decimal(&mut self.text, index as u64, 1);
            self.has_rule = true;
        }
    }

    pub(super) fn end(mut self, finished: &Finished) -> Vec<u8> {
        let text = &mut self.text;
        for (has, null) in [(self.has_policy, ",\"policy\":null"), (self.has_rule, ",\"rule\":null")] {
            if !has {
                text.extend_from_slice(null.as_bytes());
            }
        }
        text.extend_from_slice(b",\"status\":");
        match finished.status {
            Some(status) => text.extend_from_slice(status.as_str().as_bytes()),
            None => text.extend_from_slice(b"null"),
        }
        word(text, ",\"effect\":", Some(finished.effect.name()));
        word(text, ",\"code\":", Some(finished.code()));
        word(text, ",\"detail\":", finished.reason.and_then(policy::reason::Reason::detail));
        let micros = u64::try_from(finished.duration.as_micros()).unwrap_or(u64::MAX);
        text.extend_from_slice(b",\"durationMs\":");
        decimal(text, micros / 1000, 1);
        text.push(b'.');
        decimal(text, micros % 1000, 3);
        text.extend_from_slice(b",\"bytes\":");
        decimal(text, finished.bytes, 1);
        text.extend_from_slice(b"}\n");
        self.text
    }
}

/// The host that was asked for, without what some put before it: a password.
fn host(head: &Parts) -> &[u8] {
    let field = || head.headers.get(HOST).map_or(&b""[..], |value| value.as_bytes());
    let authority = head.uri.authority().map_or_else(field, |authority| authority.as_str().as_bytes());
    authority.rsplit(|byte| *byte == b'@').next().unwrap_or_default()
}

/// A word of ours, which needs no escapes.
fn word(text: &mut Vec<u8>, name: &str, word: Option<&str>) {
    text.extend_from_slice(name.as_bytes());
    match word {
        Some(word) => {
            text.push(b'"');
            text.extend_from_slice(word.as_bytes());
            text.push(b'"');
        }
        None => text.extend_from_slice(b"null"),
    }
}

/// A string that others chose: at most so many of its bytes, then `…`.
fn string(text: &mut Vec<u8>, name: &str, value: &[u8], most: usize) {
    text.extend_from_slice(name.as_bytes());
    text.push(b'"');
    let kept = value.get(..most).unwrap_or(value);
    escaped(text, kept);
    if kept.len() < value.len() {
        text.extend_from_slice("…".as_bytes());
    }
    text.push(b'"');
}

fn escaped(text: &mut Vec<u8>, value: &[u8]) {
    if value.iter().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')) {
        text.extend_from_slice(value);
    } else {
        let _ = write!(text, "{}", Safe(&String::from_utf8_lossy(value)));
    }
}

/// As it stands in a request line.
fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "other",
    }
}

/// Text as JSON wants it between quotes (RFC 8259, section 7), other control characters escaped too: logs are read in
/// terminals.
struct Safe<'a>(&'a str);

impl std::fmt::Display for Safe<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        use std::fmt::Write;
        self.0.chars().try_for_each(|character| match character {
            '"' | '\\' => write!(f, "\\{character}"),
            _ if character.is_control() => write!(f, "\\u{:04x}", u32::from(character)),
            _ => f.write_char(character),
        })
    }
}

/// A number with at least so many digits; every line has several, so not through the formatting machinery.
fn decimal(text: &mut Vec<u8>, number: u64, digits: usize) {
    let start = text.len();
    let mut rest = number;
    while rest > 0 || text.len() < start + digits {
        // Below ten, so it is one byte.
        text.push(b'0' + (rest % 10) as u8);
        rest /= 10;
    }
    if let Some(written) = text.get_mut(start..) {
        written.reverse();
    }
}

/// The second that was asked for last, as text: most requests share it.
#[derive(Default)]
pub(super) struct Second {
    last: Cell<Option<(i64, [u8; 19])>>,
}

impl Second {
    /// RFC 3339 with milliseconds, in UTC.
    fn write(&self, text: &mut Vec<u8>, moment: Timestamp) {
        let (second, millis) = (moment.as_millis().div_euclid(1000), moment.as_millis().rem_euclid(1000));
        let written = match self.last.get() {
            Some((last, written)) if last == second => written,
            _ => {
                let written = date_time(second);
                self.last.set(Some((second, written)));
                written
            }
        };
        text.extend_from_slice(&written);
        text.push(b'.');
        decimal(text, millis.unsigned_abs(), 3);
        text.push(b'Z');
    }
}

/// Days are turned into a date as in Howard Hinnant's `civil_from_days`, whose years begin in March.
fn date_time(second: i64) -> [u8; 19] {
    // The years 0 to 9999: four digits are all that RFC 3339 has.
    let second = second.clamp(-62_167_219_200, 253_402_300_799);
    let (days, time) = (second.div_euclid(86_400) + 719_468, second.rem_euclid(86_400));
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let mut text = Vec::with_capacity(19);
    for (number, digits, after) in [
        (year, 4, "-"),
        (month, 2, "-"),
        (day, 2, "T"),
        (time / 3600, 2, ":"),
        (time / 60 % 60, 2, ":"),
        (time % 60, 2, ""),
    ] {
        decimal(&mut text, number.unsigned_abs(), digits);
        text.extend_from_slice(after.as_bytes());
    }
    text.try_into().unwrap_or([b'0'; 19])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Effect;
    use http::{Request, StatusCode};
    use policy::reason::{BadRequest, Reason};
    use std::time::Duration;

    #[test]
    fn moments_are_written_as_rfc_3339_wants_them() {
        for (millis, wanted) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_868_799_000, "2000-02-29T23:59:59.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_700_000_000_042, "2023-11-14T22:13:20.042Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (i64::MAX, "9999-12-31T23:59:59.807Z"),
        ] {
            let second = Second::default();
            for _ in 0..2 {
                let mut text = Vec::new();
                second.write(&mut text, Timestamp::from_millis(millis));
                assert_eq!(String::from_utf8(text).unwrap(), wanted);
            }
        }
    }

    #[test]
    fn numbers_are_decimal() {
        for (number, digits, wanted) in
            [(0, 1, "0"), (7, 3, "007"), (1234, 1, "1234"), (u64::MAX, 1, "18446744073709551615")]
        {
            let mut text = b"x".to_vec();
            decimal(&mut text, number, digits);
            assert_eq!(String::from_utf8(text).unwrap(), format!("x{wanted}"));
        }
    }

    fn written(head: &Parts, finished: &Finished, tell: impl Fn(&mut Line)) -> serde_json::Value {
        let mut line = Line::begin(
            Vec::new(),
            (&Second::default(), Timestamp::from_millis(0)),
            head,
            "7",
            IpAddr::from([127, 0, 0, 1]),
        );
        tell(&mut line);
        let text = String::from_utf8(line.end(finished)).unwrap();
        assert!(text.ends_with("}\n") && text.lines().count() == 1, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    fn allowed() -> Finished {
        Finished {
            effect: Effect::Allow,
            reason: None,
            status: Some(StatusCode::OK),
            duration: Duration::from_micros(12_045),
            bytes: 99,
        }
    }

    #[test]
    fn every_field_is_always_there() {
        let head =
            Request::get("/a?access_token=secret").header("host", "Orders.test").body(()).unwrap().into_parts().0;
        let name = PolicyName { namespace: "shop".into(), name: "orders".into(), uid: String::new() };
        let whole = written(&head, &allowed(), |line| {
            line.policy(&name);
            line.rule(12);
        });
        let wanted = serde_json::json!({
            "time": "1970-01-01T00:00:00.000Z", "requestId": "7", "method": "GET", "path": "/a", "host": "Orders.test", "client": "127.0.0.1",
            "protocol": "HTTP/1.1", "policy": "shop/orders", "rule": 12, "status": 200, "effect": "allow", "code": "ok", "detail": null,
            "durationMs": 12.045, "bytes": 99,
        });
        assert_eq!(whole, wanted);
        let refused = Finished {
            effect: Effect::Deny,
            reason: Some(Reason::BadRequest(BadRequest::Host)),
            status: None,
            ..allowed()
        };
        let least = written(&head, &refused, |_| {});
        assert_eq!(
            (&least["policy"], &least["rule"], &least["status"]),
            (&serde_json::Value::Null, &serde_json::Value::Null, &serde_json::Value::Null)
        );
        assert_eq!(
            (&least["effect"], &least["code"], &least["detail"]),
            (&"deny".into(), &"bad_request".into(), &"host".into())
        );
        assert_eq!(least.as_object().unwrap().len(), whole.as_object().unwrap().len());
    }

    #[test]
    fn what_callers_choose_is_escaped_and_bounded() {
        let method = "M".repeat(100);
        let path = format!("/\"{}", "a".repeat(1000));
        let uri = http::Uri::builder().path_and_query(&*path).build().unwrap();
        let host = http::HeaderValue::from_bytes(b"user:pass@a\"\\\t\xff.test").unwrap();
        let head = Request::builder().method(&*method).uri(uri).header("host", host).body(()).unwrap().into_parts().0;
        let line = written(&head, &allowed(), |_| {});
        assert_eq!(line["host"], "a\"\\\t\u{fffd}.test");
        assert_eq!(line["path"].as_str().unwrap().len(), LOG_PATH + "…".len());
        assert_eq!(line["method"].as_str().unwrap().len(), LOG_METHOD + "…".len());
        let head = Request::get("http://user:pass@host.test/").header("host", "x").body(()).unwrap().into_parts().0;
        assert_eq!(written(&head, &allowed(), |_| {})["host"], "host.test");
    }
}
