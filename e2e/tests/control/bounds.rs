//! Every bound of the schema, tried on the API server and offline: both must refuse what is beyond it, and take what is at it.
//!
//! The offline check is written by hand beside the schema; here it cannot go its own way unseen.

use compile::diagnostic::field_path;
use compile::shape;
use compile::source::Places;
use e2e::definition;
use e2e::namespace::within;
use serde_json::{Value, json};

use crate::full::{Place, places, spec};
use crate::scene::{Way, policy, refusal, write};

/// Who refuses a policy that was spoilt in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Nobody: it is at the bound.
    Accepted,
    /// Both.
    Refused,
    /// The API server keeps it, for us to refuse.
    OnlyOurs,
    /// We, and perhaps the API server; that must not drop it unseen.
    Kept,
}

/// One way to spoil a policy.
#[derive(Debug)]
struct Spoilt {
    what: &'static str,
    pointer: String,
    spec: Value,
    verdict: Verdict,
}

struct Spoiler<'a> {
    spec: &'a Value,
    place: &'a Place,
    found: Vec<Spoilt>,
}

impl Spoiler<'_> {
    fn add(&mut self, what: &'static str, verdict: Verdict, value: Value) {
        self.add_at(what, verdict, self.place.pointer.clone(), |here| *here = value);
    }

    fn add_at(&mut self, what: &'static str, verdict: Verdict, pointer: String, change: impl FnOnce(&mut Value)) {
        let mut spec = self.spec.clone();
        change(spec.pointer_mut(&self.place.pointer).unwrap());
        self.found.push(Spoilt { what, pointer, spec, verdict });
    }

    fn bound(&self, name: &str) -> Option<usize> {
        self.place.schema[name].as_f64().map(|bound| bound as usize)
    }

    fn everything(&mut self) {
        let here = self.spec.pointer(&self.place.pointer).unwrap().clone();
        let kind = self.place.schema["type"].as_str().unwrap_or("int-or-string");
        self.add("another type", Verdict::Refused, if kind == "object" { json!("x") } else { json!({}) });
        let null = if self.place.optional { Verdict::Kept } else { Verdict::Refused };
        if !self.place.pointer.is_empty() {
            self.add("null", null, Value::Null);
        }
        match kind {
            "object" => self.object(&here),
            "array" => self.list(&here),
            "string" => self.string(),
            "int-or-string" => self.number_or_string(),
            _ => self.add("a string", Verdict::Refused, json!("true")),
        }
    }

    fn object(&mut self, here: &Value) {
        if self.place.schema.get("properties").is_some() {
            let unknown = format!("{}/unheardOf", self.place.pointer);
            self.add_at("an unknown field", Verdict::OnlyOurs, unknown, |here| here["unheardOf"] = json!(1));
        }
        for name in self.place.schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let missing = format!("{}/{name}", self.place.pointer);
            self.add_at("a missing field", Verdict::Refused, missing, |here| {
                here.as_object_mut().unwrap().remove(name);
            });
        }
        if self.bound("minProperties").is_some() {
            self.add("nothing", Verdict::Refused, json!({}));
        }
        if let Some(most) = self.bound("maxProperties") {
            let value = here.as_object().and_then(|fields| fields.values().next()).unwrap();
            let with = |count: usize| (0..count).map(|index| (format!("n{index}"), value.clone())).collect();
            self.add("as many as may be", Verdict::Accepted, Value::Object(with(most)));
            self.add("too many", Verdict::Refused, Value::Object(with(most + 1)));
        }
    }

    fn list(&mut self, here: &Value) {
        if self.bound("minItems").is_some() {
            self.add("nothing", Verdict::Refused, json!([]));
        }
        let most = self.bound("maxItems").unwrap();
        let named = self.place.schema.get("x-kubernetes-list-map-keys").is_some();
        let entry = |index: usize| {
            let mut entry = here[0].clone();
            if named {
                entry["name"] = format!("n{index}").into();
            }
            entry
        };
        self.add("as many as may be", Verdict::Accepted, (0..most).map(entry).collect());
        self.add("too many", Verdict::Refused, (0..=most).map(entry).collect());
        if named {
            let second = format!("{}/1", self.place.pointer);
            self.add_at("one name twice", Verdict::Refused, second, |list| *list = json!([here[0], here[0]]));
        }
    }

    fn string(&mut self) {
        self.add("a number", Verdict::Refused, json!(7));
        if self.place.schema.get("enum").is_some() {
            return self.add("another value", Verdict::Refused, json!("Unheard"));
        }
        if self.bound("minLength").is_some() {
            self.add("nothing", Verdict::Refused, json!(""));
        }
        let most = self.bound("maxLength").unwrap();
        let of_length = |length: usize| match self.place.schema["pattern"].as_str() {
            Some(crds::DURATION_PATTERN) => format!("{}s", "1".repeat(length - 1)),
            _ => "a".repeat(length),
        };
        // Characters, not bytes.
        let wide = self.place.schema.get("pattern").is_none().then(|| "ü".repeat(most));
        let (longest, too_long) = (of_length(most), of_length(most + 1));
        self.add("as long as may be", Verdict::Accepted, json!(longest));
        self.add("too long", Verdict::Refused, json!(too_long));
        if let Some(wide) = wide {
            self.add("as long as may be, in characters", Verdict::Accepted, json!(wide));
        } else {
            self.add("another form", Verdict::Refused, json!("- -"));
        }
    }

    fn number_or_string(&mut self) {
        self.add("a fraction", Verdict::Refused, json!(1.5));
        self.add("a boolean", Verdict::Refused, json!(true));
        let (least, most) = (self.bound("minimum").unwrap(), self.bound("maximum"));
        self.add("the least", Verdict::Accepted, json!(least));
        self.add("less than may be", Verdict::Refused, json!(least as i64 - 1));
        if let Some(most) = most {
            self.add("the most", Verdict::Accepted, json!(most));
            self.add("more than may be", Verdict::Refused, json!(most + 1));
        }
        let longest = self.bound("maxLength").unwrap();
        self.add("as long as may be", Verdict::Accepted, json!("1".repeat(longest)));
        self.add("too long", Verdict::Refused, json!("1".repeat(longest + 1)));
        self.add("nothing", Verdict::Refused, json!(""));
    }
}

/// What the offline check finds wrong, as field paths.
fn offline(policy: &Value) -> Vec<String> {
    shape::check(policy, &Places::default(), crds::spec_schema()).into_iter().map(|fault| fault.path).collect()
}

#[tokio::test]
async fn every_bound_bites_on_the_api_server_and_offline() -> anyhow::Result<()> {
    within("bounds", async |namespace| {
        definition::applied(&namespace.client()).await?;
        let spec = spec();
        let whole = policy(&namespace.name, "full", &spec);
        assert_eq!(refusal(write(namespace, Way::Strict, &whole, true).await)?, None, "full.yaml is refused");
        assert_eq!(offline(&whole), Vec::<String>::new());

        let (mut tried, mut wrong) = (0, Vec::new());
        for place in places(&spec) {
            let mut spoiler = Spoiler { spec: &spec, place: &place, found: Vec::new() };
            spoiler.everything();
            for spoilt in spoiler.found {
                tried += 1;
                let path = field_path(&format!("/spec{}", spoilt.pointer));
                let sent = policy(&namespace.name, "spoilt", &spoilt.spec);
                let server = refusal(write(namespace, Way::Ignore, &sent, true).await)?;
                let ours = offline(&sent);
                // To the rules about several fields null is no field, and they name what it stands in.
                let kept = spoilt.verdict == Verdict::Kept;
                let named = kept || server.as_ref().is_none_or(|said| said.contains(&path));
                let same = match spoilt.verdict {
                    Verdict::Accepted => server.is_none() && ours.is_empty(),
                    Verdict::Refused => server.is_some() && !ours.is_empty(),
                    Verdict::OnlyOurs => server.is_none() && !ours.is_empty(),
                    Verdict::Kept => ours.contains(&path),
                };
                let ours_named = ours.is_empty() || ours.iter().any(|one| one.starts_with(&path));
                if !same || !named || !ours_named {
                    wrong.push(format!(
                        "{path}: {}: {:?}, but {server:?}, offline {ours:?}",
                        spoilt.what, spoilt.verdict
                    ));
                }
            }
        }
        assert!(wrong.is_empty(), "{} of {tried}: {wrong:#?}", wrong.len());
        assert!(tried > 500, "only {tried} were tried");
        Ok(())
    })
    .await
}
