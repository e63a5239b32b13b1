//! What an answer of the API server says about a token, and when the token ends.

use super::Identity;
use crate::hub::PodId;
use crate::serve::answer::Refusal;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{TokenReviewStatus, UserInfo};
use policy::wire::AUDIENCE;
use serde::Deserialize;

/// What service accounts' user names begin with.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";
/// The claims of a token that is bound to a pod, as the API server tells them.
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

/// The pod of a token that the API server vouches for.
pub(super) fn judge(status: TokenReviewStatus, token: &str) -> Result<Identity, Refusal> {
    if status.authenticated != Some(true) {
        // A token of a deleted pod ends here too: the API server looks whether the pod is there.
        return Err(Refusal::unauthorized("token_refused", "the API server does not vouch for the token"));
    }
    // An authenticator that does not know audiences returns none, and the token may be meant for anybody.
    if !status.audiences.iter().flatten().any(|audience| audience == AUDIENCE) {
        return Err(Refusal::unauthorized("token_audience", "the token is not meant for the audience `doorward.dev`"));
    }
    let user = status.user.unwrap_or_default();
    let (namespace, service_account) = service_account(&user)
        .ok_or_else(|| Refusal::unauthorized("token_user", "the token is not that of a service account"))?;
    let unbound = || Refusal::unauthorized("token_without_pod", "the token is not bound to a pod");
    let name = only(&user, POD_NAME).ok_or_else(unbound)?;
    let uid = only(&user, POD_UID).ok_or_else(unbound)?;
    let expires = expiry(token)
        .ok_or_else(|| Refusal::unauthorized("token_without_expiry", "the token does not say when it expires"))?;
    let pod = PodId { namespace: namespace.to_owned(), name: name.to_owned(), uid: uid.to_owned() };
    Ok(Identity { pod, service_account: service_account.to_owned(), expires, token: super::hash(token)? })
}

fn service_account(user: &UserInfo) -> Option<(&str, &str)> {
    let (namespace, name) = user.username.as_deref()?.strip_prefix(SERVICE_ACCOUNT)?.split_once(':')?;
    (!namespace.is_empty() && !name.is_empty() && !name.contains(':')).then_some((namespace, name))
}

/// The one value of a claim.
fn only<'a>(user: &'a UserInfo, key: &str) -> Option<&'a str> {
    match user.extra.as_ref()?.get(key)?.as_slice() {
        [value] if !value.is_empty() => Some(value),
        _ => None,
    }
}

/// `exp` of a token whose signature the API server has verified already (RFC 7519, section 4.1.4).
fn expiry(token: &str) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Claims {
        exp: i64,
    }
    let payload = token.split('.').nth(1)?;
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    Timestamp::from_second(claims.exp).ok()
}
