//! Certificates for pods: the key is the pod's, the names are the API server's.

use super::Shared;
use super::answer::{Answer, Refusal, json};
use super::identity::Identity;
use crate::ca::IssueError;
use http::StatusCode;
use jiff::Timestamp;
use policy::wire::CertificateRequest;
use tokio::time::Instant;

/// Issues a certificate.
pub(super) fn issue(shared: &Shared, identity: &Identity, body: &[u8]) -> Result<Answer, Refusal> {
    let pod = &identity.pod;
    let names = shared.parts.hub.desired(pod).and_then(|desired| desired.names.clone());
    let names =
        names.ok_or_else(|| Refusal::unavailable("names_unknown", "this replica does not know the pod's names yet"))?;
    // After what a new pod asks in vain until its names are known: that must not use up what it may have.
    if !shared.certificates.take(pod, Instant::now()) {
        return Err(Refusal::too_many("too_many_certificates", "this pod asks for too many certificates"));
    }
    let request: CertificateRequest =
        serde_json::from_slice(body).map_err(|_| Refusal::bad("csr_malformed", "the body holds no `csr`"))?;
    // Both come from the API server; where they differ, one of them is not about this pod.
    let account = format!("/ns/{}/sa/{}", pod.namespace, identity.service_account);
    if !names.spiffe.ends_with(&account) {
        return Err(Refusal::forbidden("identity_mismatch", "the token's service account is not that of the pod"));
    }
    let issued = shared.parts.authority.issue(&request.csr, &names, Timestamp::now()).map_err(refusal)?;
    shared.parts.metrics.certificates.inc();
    tracing::info!(%pod, spiffe = names.spiffe, dns = ?names.dns, "a certificate is issued");
    Ok(json(StatusCode::OK, &issued))
}

fn refusal(error: IssueError) -> Refusal {
    let (code, message) = (error.code(), error.to_string());
    match error {
        IssueError::Malformed | IssueError::Proof | IssueError::WeakKey => Refusal::bad(code, message),
        IssueError::TooManyNames(_) | IssueError::Name => Refusal::forbidden(code, message),
        IssueError::Unavailable(_) | IssueError::NotLoaded => Refusal::unavailable(code, message),
    }
}
