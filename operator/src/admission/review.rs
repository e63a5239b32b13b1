//! `AdmissionReview` of `admission.k8s.io/v1`, as much of it as is needed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::warnings;

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

/// What the API server asks.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Review {
    uid: String,
    /// `CREATE`, `UPDATE`, `DELETE` or `CONNECT`.
    pub(super) operation: String,
    /// The object's own may be missing: this one counts.
    pub(super) namespace: String,
    /// The object as it is to be; null when it is deleted.
    #[serde(default)]
    pub(super) object: Value,
    /// The object as it is; null when it is created.
    #[serde(default)]
    pub(super) old_object: Value,
}

/// Why a body is no review.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoReview {
    #[error("it is no review: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it is no `{KIND}` of `{API_VERSION}`")]
    OtherKind,
}

impl Review {
    pub(super) fn read(body: &[u8]) -> Result<Self, NoReview> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Envelope {
            api_version: String,
            kind: String,
            request: Value,
        }
        let envelope: Envelope = serde_json::from_slice(body)?;
        if envelope.api_version != API_VERSION || envelope.kind != KIND {
            return Err(NoReview::OtherKind);
        }
        Ok(serde_json::from_value(envelope.request)?)
    }

    /// The name, or what the API server will make one from.
    pub(super) fn name(&self) -> &str {
        let text = |pointer| self.object.pointer(pointer).and_then(Value::as_str);
        text("/metadata/name").or_else(|| text("/metadata/generateName")).unwrap_or_default()
    }
}

/// One reason for which an object is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cause {
    /// The field as kubectl prints it.
    pub(super) field: String,
    /// What is wrong, and what to write instead.
    pub(super) message: String,
}

/// What the API server is answered.
#[derive(Debug)]
pub(super) struct Answer {
    status: Option<Value>,
    patch: Option<json_patch::Patch>,
    warnings: Vec<String>,
}

impl Answer {
    pub(super) fn allowed() -> Self {
        Self { status: None, patch: None, warnings: Vec::new() }
    }

    pub(super) fn patched(patch: json_patch::Patch) -> Self {
        Self { patch: Some(patch).filter(|patch| !patch.0.is_empty()), ..Self::allowed() }
    }

    /// Refused for what the object says. kubectl lists the causes; others show the message, so that says it all as well.
    pub(super) fn invalid(kind: &str, name: &str, causes: &[Cause]) -> Self {
        let lines: Vec<String> = causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
        let cause =
            |cause: &Cause| json!({"reason": "FieldValueInvalid", "field": cause.field, "message": cause.message});
        let status = json!({
            "status": "Failure",
            "code": 422,
            "reason": "Invalid",
            "message": lines.join("\n"),
            "details": {"kind": kind, "name": name, "causes": causes.iter().map(cause).collect::<Vec<_>>()},
        });
        Self { status: Some(status), ..Self::allowed() }
    }

    /// Refused for now.
    pub(super) fn unavailable(message: &str) -> Self {
        let status = json!({"status": "Failure", "code": 503, "reason": "ServiceUnavailable", "message": message});
        Self { status: Some(status), ..Self::allowed() }
    }

    pub(super) fn with_warnings(self, warnings: Vec<String>) -> Self {
        Self { warnings, ..self }
    }

    pub(super) fn to_review(&self, review: &Review) -> Value {
        let mut response = json!({"uid": review.uid, "allowed": self.status.is_none()});
        let mut set = |name: &str, value: Value| {
            if let Some(fields) = response.as_object_mut() {
                fields.insert(name.to_owned(), value);
            }
        };
        if let Some(status) = &self.status {
            set("status", status.clone());
        }
        if let Some(patch) = &self.patch {
            set("patchType", "JSONPatch".into());
            set("patch", STANDARD.encode(json!(patch).to_string()).into());
        }
        let warnings = warnings::bounded(&self.warnings);
        if !warnings.is_empty() {
            set("warnings", warnings.into());
        }
        json!({"apiVersion": API_VERSION, "kind": KIND, "response": response})
    }
}
