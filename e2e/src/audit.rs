//! The API server's audit log: who asked for what. The test cluster writes an entry before it answers.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use anyhow::Context;
use serde::Deserialize;
use serde_json::Value;

/// The part of the log that is written from now on.
#[derive(Clone, Debug)]
pub struct Audit {
    path: PathBuf,
    from: u64,
}

/// One request that the API server answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The user, such as `system:serviceaccount:NAMESPACE:NAME`.
    pub user: String,
    /// What the client calls itself.
    pub user_agent: String,
    /// The verb as RBAC has it: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`; for a path that
    /// is no resource the method in small letters.
    pub verb: String,
    /// The group; empty for the core.
    pub group: String,
    /// The resource as RBAC has it: the plural, `/` and the subresource where there is one; empty for other paths.
    pub resource: String,
    /// The namespace; empty where there is none.
    pub namespace: String,
    /// The name; empty for lists, and where the API server made it.
    pub name: String,
    /// The HTTP status of the answer; 0 where there was none.
    pub code: u16,
    /// Who the changed fields belong to, where the request said so.
    pub field_manager: Option<String>,
    /// When the request arrived (RFC 3339).
    pub time: String,
    /// The path and the query.
    pub uri: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: String,
    stage: String,
    user: User,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: Object,
    #[serde(default)]
    response_status: Option<Status>,
    request_received_timestamp: String,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Object {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    code: u16,
}

impl Audit {
    /// From now on.
    ///
    /// # Errors
    /// Where `DOORWARD_CLUSTER_AUDIT` names no log: a cluster of your own shows us none.
    pub fn from_now() -> anyhow::Result<Self> {
        let mut audit = Self::whole()?;
        let metadata = std::fs::metadata(&audit.path);
        audit.from = metadata.with_context(|| format!("cannot read `{}`", audit.path.display()))?.len();
        Ok(audit)
    }

    /// From the start of the cluster.
    ///
    /// # Errors
    /// As [`Audit::from_now`].
    pub fn whole() -> anyhow::Result<Self> {
        let path = std::env::var_os("DOORWARD_CLUSTER_AUDIT");
        let path =
            path.context("DOORWARD_CLUSTER_AUDIT names no audit log: run `make e2e-control` without KUBECONFIG")?;
        Ok(Self { path: path.into(), from: 0 })
    }

    /// What is written until now. A watch stands here twice: when it began and when it ended.
    ///
    /// # Errors
    /// Where the log cannot be read, or a whole line is no event.
    pub fn entries(&self) -> anyhow::Result<Vec<Entry>> {
        let mut text = Vec::new();
        let mut file = File::open(&self.path).with_context(|| format!("cannot read `{}`", self.path.display()))?;
        file.seek(SeekFrom::Start(self.from)).context("cannot read the audit log")?;
        file.read_to_end(&mut text).context("cannot read the audit log")?;
        // The last line may be half written.
        let whole = text.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
        let lines = text.split_at(whole).0.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| Entry::parse(line).context("an audit event of an unknown form")).collect()
    }
}

impl Entry {
    fn parse(line: &[u8]) -> anyhow::Result<Self> {
        let Line {
            request_uri,
            verb,
            stage,
            user,
            user_agent,
            object_ref,
            response_status,
            request_received_timestamp,
        } = serde_json::from_slice(line).with_context(|| {
            serde_json::from_slice::<Value>(line).map_or_else(|_| "no JSON".to_owned(), |value| value.to_string())
        })?;
        let Object { api_group, resource, subresource, namespace, name } = object_ref;
        let slash = if subresource.is_empty() { "" } else { "/" };
        let panicked = stage == "Panic";
        Ok(Self {
            user: user.username,
            user_agent,
            verb,
            group: api_group,
            resource: format!("{resource}{slash}{subresource}"),
            namespace,
            name,
            code: if panicked { 500 } else { response_status.map_or(0, |status| status.code) },
            field_manager: parameter(&request_uri, "fieldManager"),
            time: request_received_timestamp,
            uri: request_uri,
        })
    }
}

/// A parameter of a query. Names of field managers are plain letters, so nothing has to be decoded.
fn parameter(uri: &str, name: &str) -> Option<String> {
    let (_, query) = uri.split_once('?')?;
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"kind":"Event","level":"Metadata","stage":"ResponseComplete",
        "requestURI":"/apis/doorward.dev/v1alpha1/namespaces/shop/apiauthpolicies/orders/status?force=true&fieldManager=doorward-operator",
        "verb":"patch","user":{"username":"system:serviceaccount:doorward:operator","groups":[]},"userAgent":"doorward/0.1",
        "objectRef":{"resource":"apiauthpolicies","namespace":"shop","name":"orders","apiGroup":"doorward.dev","subresource":"status"},
        "responseStatus":{"metadata":{},"code":200},"requestReceivedTimestamp":"2026-11-26T00:04:27.670643Z"}"#;

    #[test]
    fn an_event_says_who_changed_what() {
        let entry = Entry::parse(LINE.as_bytes()).unwrap();
        let said = [&entry.user, &entry.verb, &entry.group, &entry.resource, &entry.namespace, &entry.name]
            .map(String::as_str);
        let account = "system:serviceaccount:doorward:operator";
        assert_eq!(said, [account, "patch", "doorward.dev", "apiauthpolicies/status", "shop", "orders"]);
        assert_eq!((entry.code, entry.field_manager.as_deref()), (200, Some("doorward-operator")));
    }

    #[test]
    fn a_path_that_is_no_resource_has_none() {
        let line = r#"{"requestURI":"/openapi/v3","verb":"get","stage":"ResponseComplete","user":{"username":"x"},
            "requestReceivedTimestamp":"2026-11-26T00:04:27Z"}"#;
        let entry = Entry::parse(line.as_bytes()).unwrap();
        assert_eq!((entry.resource.as_str(), entry.code, entry.field_manager), ("", 0, None));
    }

    #[test]
    fn what_is_no_event_is_told() {
        assert!(Entry::parse(b"{\"verb\": 1}").is_err() && Entry::parse(b"x").is_err());
    }
}
