//! Who is at the other end, as the CAs in force see it.

use crate::clock::Clock;
use crate::limits::CERTIFICATE_MARGIN;
use crate::state::ClientCas;
use policy::certificate;
use policy::peer::Peer;
use rustls_pki_types::CertificateDer;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// A peer with the CAs that it was judged by. When those in force are others, or when the chain, a CA or a revocation list has come
/// to its end, it is verified again: a connection must not live on the word of what is gone.
pub(crate) struct JudgedPeer {
    chain: Option<Vec<CertificateDer<'static>>>,
    /// When the chain ends, counted from 1970.
    end: Duration,
    judged: RefCell<Judged>,
}

struct Judged {
    cas: Arc<ClientCas>,
    peer: Rc<Peer>,
    /// How long that holds, counted from 1970.
    until: Duration,
}

impl JudgedPeer {
    /// A peer that these CAs judged at `now`, counted from 1970.
    pub(crate) fn new(
        peer: Peer,
        chain: Option<Vec<CertificateDer<'static>>>,
        cas: Arc<ClientCas>,
        now: Duration,
    ) -> Self {
        let end = chain.as_deref().map(|chain| certificate::end_of(chain).unwrap_or_default());
        let end = end.unwrap_or(Duration::MAX);
        let judged = Judged { until: until(&cas, end, now), cas, peer: Rc::new(peer) };
        Self { chain, end, judged: RefCell::new(judged) }
    }

    /// The peer by these CAs.
    pub(crate) fn by(&self, cas: &Arc<ClientCas>, clock: Clock) -> Rc<Peer> {
        let mut judged = self.judged.borrow_mut();
        let over = self.chain.is_some() && clock.unix_time() > judged.until;
        if over || !Arc::ptr_eq(&judged.cas, cas) {
            let now = clock.unix_time();
            let chain = self.chain.as_deref().and_then(<[_]>::split_first);
            let certificate = chain.and_then(|chain| cas.verify(chain, now).ok());
            let peer = Rc::new(Peer { certificate, ..(*judged.peer).clone() });
            *judged = Judged { until: until(cas, self.end, now), cas: Arc::clone(cas), peer };
        }
        Rc::clone(&judged.peer)
    }

    /// Whether these CAs judged it last.
    pub(crate) fn was_judged_by(&self, cas: &Arc<ClientCas>) -> bool {
        Arc::ptr_eq(&self.judged.borrow().cas, cas)
    }

    /// Whether it proved who it is, as last judged.
    pub(crate) fn is_known(&self) -> bool {
        self.judged.borrow().peer.certificate.is_some()
    }

    /// Whether the chain ends so soon that the connection should not be used again.
    pub(crate) fn ends_soon(&self, clock: Clock) -> bool {
        clock.unix_time().saturating_add(CERTIFICATE_MARGIN) >= self.end
    }

    /// Whether it showed a certificate that the CAs, as last asked, do not vouch for.
    pub(crate) fn lost_its_word(&self) -> bool {
        self.chain.is_some() && !self.is_known()
    }
}

/// How long a judgement of a chain that ends with `end` holds. In the second of an end it does not hold at all: verification counts
/// in whole seconds, and what it let pass half a second late would be believed for ever.
fn until(cas: &ClientCas, end: Duration, now: Duration) -> Duration {
    let change = cas.next_change(now).unwrap_or(Duration::MAX);
    // What is over changes no more.
    if end.as_secs() >= now.as_secs() { end.min(change) } else { change }
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::ruleset::{ClientCaSource, Tls};
    use policy::time::Timestamp;
    use policy::wire::{TlsMode, TlsVersion};

    /// A self-signed certificate that ends with 2030.
    fn chain() -> Vec<CertificateDer<'static>> {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        vec![params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().clone()]
    }

    #[test]
    fn nobody_is_believed_beyond_the_end_of_a_certificate() {
        let proven = Peer { certificate: Some(policy::peer::PeerCertificate::default()), ..Peer::default() };
        let cas = Arc::new(ClientCas::default());
        let peer = JudgedPeer::new(proven, Some(chain()), Arc::clone(&cas), Duration::ZERO);
        let end = 1_893_456_000_000;
        let at = |millis| Clock::Fixed(Timestamp::from_millis(millis));
        assert!(!peer.ends_soon(at(end - 61_000)) && peer.ends_soon(at(end - 60_000)));
        assert!(peer.by(&cas, at(end)).certificate.is_some() && !peer.lost_its_word());
        assert!(peer.by(&cas, at(end + 1)).certificate.is_none() && peer.lost_its_word());
    }

    /// What is judged late in the last second of a chain is judged again.
    #[test]
    fn nobody_is_believed_for_the_sake_of_half_a_second() {
        let proven = Peer { certificate: Some(policy::peer::PeerCertificate::default()), ..Peer::default() };
        let cas = Arc::new(ClientCas::default());
        let end = 1_893_456_000_000;
        let at = |millis| Clock::Fixed(Timestamp::from_millis(millis));
        let late = at(end + 500).unix_time();
        let peer = JudgedPeer::new(proven, Some(chain()), Arc::clone(&cas), late);
        assert!(peer.by(&cas, at(end + 1_000)).certificate.is_none());
    }

    #[test]
    fn without_a_certificate_nothing_ends() {
        let peer = JudgedPeer::new(Peer::default(), None, Arc::new(ClientCas::default()), Duration::ZERO);
        assert!(!peer.ends_soon(Clock::System) && !peer.lost_its_word());
    }

    /// A CA that ends with 2028, and a certificate of it that does not.
    #[test]
    fn nobody_is_believed_beyond_the_end_of_a_ca() {
        let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        (authority.not_before, authority.not_after) =
            (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2028, 1, 1));
        let ca = rcgen::CertifiedIssuer::self_signed(authority, rcgen::KeyPair::generate().unwrap()).unwrap();
        let mut leaf = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        leaf.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let leaf = leaf.signed_by(&rcgen::KeyPair::generate().unwrap(), &ca).unwrap();
        let tls = Tls {
            mode: TlsMode::Optional,
            min_version: TlsVersion::Tls12,
            trust_domain: "cluster.local".into(),
            client_cas: vec![ClientCaSource {
                name: "partner".into(),
                certificates: Some(vec![ca.der().to_vec()]),
                crls: Vec::new(),
            }],
        };
        let cas = Arc::new(ClientCas::new(&tls, &[]).unwrap());
        let chain = vec![leaf.der().clone()];
        let end = 1_830_297_600_000;
        let at = |millis| Clock::Fixed(Timestamp::from_millis(millis));
        let before = at(end - 1).unix_time();
        let proven = Peer { certificate: cas.verify((&chain[0], &[]), before).ok(), ..Peer::default() };
        let peer = JudgedPeer::new(proven, Some(chain), Arc::clone(&cas), before);
        assert!(peer.by(&cas, at(end)).certificate.is_some() && !peer.lost_its_word());
        assert!(peer.by(&cas, at(end + 1)).certificate.is_none() && peer.lost_its_word());
    }
}
