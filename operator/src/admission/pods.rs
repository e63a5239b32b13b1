//! Pods that are made: injected, refused, or left alone.

use super::review::{Answer, Cause, Review};
use crate::inject::{self, NamespaceFacts, Settings};

pub(super) fn answer(review: &Review, namespace: &NamespaceFacts, settings: &Settings) -> Answer {
    let pod = &review.object;
    match inject::inject(pod, namespace, settings) {
        Ok(injected) => Answer::patched(inject::patch(pod, &injected.pod)).with_warnings(injected.warnings),
        Err(refusals) => {
            let cause = |refusal: &inject::Refusal| Cause {
                field: refusal.path(),
                message: format!("{}; {} [{}]", refusal.message, refusal.cure, refusal.code),
            };
            let codes: Vec<&str> = refusals.iter().map(|refusal| refusal.code.as_str()).collect();
            tracing::info!(namespace = namespace.name, pod = review.name(), ?codes, "pod refused");
            Answer::invalid("Pod", review.name(), &refusals.iter().map(cause).collect::<Vec<_>>())
        }
    }
}
