//! Where the CA comes from.

use super::authority::Material;
use super::pair::{Pair, validity};
use super::{CaError, State, pem};
use jiff::Timestamp;
use policy::certificate::check_anchor;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where the CA comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Made, kept and rotated by the operator in a Secret of its own.
    BuiltIn,
    /// A Secret that the user gives and renews: `tls.crt` with the certificate that signs first and what stands between it and
    /// its root after it, `tls.key`, and `ca.crt` with the roots where there are any. It is read and never written.
    Given,
}

const CERTIFICATES: &str = "tls.crt";
const KEY: &str = "tls.key";
const ROOTS: &str = "ca.crt";

/// What a Secret that the user gives holds.
///
/// # Errors
/// See [`CaError`]: everything in it is checked, validity included.
pub(super) fn given(data: &BTreeMap<String, Vec<u8>>, now: Timestamp) -> Result<Material, CaError> {
    let read = |name| {
        let text = data.get(name).ok_or(CaError::Missing(name))?;
        pem::certificates(text).ok_or(CaError::Unreadable(name))
    };
    let mut chain = read(CERTIFICATES)?.into_iter();
    let first = chain.next().ok_or(CaError::Unreadable(CERTIFICATES))?;
    let signer = Pair::read(CERTIFICATES, first, data.get(KEY).ok_or(CaError::Missing(KEY))?)?;
    signer.check_time(now)?;
    let between: Vec<_> = chain.collect();
    for certificate in &between {
        check_anchor(certificate).map_err(|fault| CaError::Anchor(CERTIFICATES, fault))?;
    }
    let (roots, intermediates) = if data.contains_key(ROOTS) {
        let intermediates = std::iter::once(signer.certificate().clone()).chain(between);
        let roots = read(ROOTS)?;
        for root in &roots {
            check_anchor(root).map_err(|fault| CaError::Anchor(ROOTS, fault))?;
        }
        // What is a root already need not be sent.
        let intermediates = intermediates.filter(|certificate| !roots.contains(certificate)).collect();
        (roots, intermediates)
    } else {
        (vec![signer.certificate().clone()], Vec::new())
    };
    // One that is over vouches for nobody; while one of several is in force the rest of the bundle is kept as it is given.
    let times = roots.iter().map(|root| validity(ROOTS, root)).collect::<Result<Vec<_>, _>>()?;
    if let Some((_, until)) = times.iter().max_by_key(|(_, until)| *until).filter(|(_, until)| *until <= now) {
        return Err(CaError::Expired(*until));
    }
    let bundle: String = roots.iter().map(pem::certificate).collect();
    Ok(Material { signer, intermediates, bundle: Arc::from(bundle) })
}

/// What the state of the built-in CA means for issuing.
pub(super) fn built_in(state: &State) -> Material {
    Material { signer: state.current.clone(), intermediates: Vec::new(), bundle: Arc::from(state.bundle()) }
}

#[cfg(test)]
mod tests;
