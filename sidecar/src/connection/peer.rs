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

/// A peer with the CAs that it was judged by. When those in force are others, or the chain has come to its end, it is
/// verified again: a connection must not live on the word of a CA that is gone, nor on a certificate that is.
pub(crate) struct JudgedPeer {
    chain: Option<Vec<CertificateDer<'static>>>,
    /// When the chain ends, counted from 1970.
    end: Duration,
    judged: RefCell<(Arc<ClientCas>, Rc<Peer>)>,
}

impl JudgedPeer {
    pub(crate) fn new(peer: Peer, chain: Option<Vec<CertificateDer<'static>>>, cas: Arc<ClientCas>) -> Self {
        let end = chain.as_deref().map(|chain| certificate::end_of(chain).unwrap_or_default());
        Self { chain, end: end.unwrap_or(Duration::MAX), judged: RefCell::new((cas, Rc::new(peer))) }
    }

    /// The peer by these CAs.
    pub(crate) fn by(&self, cas: &Arc<ClientCas>, clock: Clock) -> Rc<Peer> {
        let mut judged = self.judged.borrow_mut();
        let ended = judged.1.certificate.is_some() && clock.unix_time() > self.end;
        if ended || !Arc::ptr_eq(&judged.0, cas) {
            let chain = self.chain.as_deref().and_then(<[_]>::split_first);
            let certificate = chain.and_then(|chain| cas.verify(chain, clock.unix_time()).ok());
            *judged = (Arc::clone(cas), Rc::new(Peer { certificate, ..(*judged.1).clone() }));
        }
        Rc::clone(&judged.1)
    }

    /// Whether these CAs judged it last.
    pub(crate) fn was_judged_by(&self, cas: &Arc<ClientCas>) -> bool {
        Arc::ptr_eq(&self.judged.borrow().0, cas)
    }

    /// Whether it proved who it is, as last judged.
    pub(crate) fn is_known(&self) -> bool {
        self.judged.borrow().1.certificate.is_some()
    }

    /// Whether the chain ends so soon that the connection should not be used again.
    pub(crate) fn ends_soon(&self, clock: Clock) -> bool {
        clock.unix_time().saturating_add(CERTIFICATE_MARGIN) >= self.end
    }

    /// Whether it showed a certificate that the CAs, as last asked, do not vouch for.
    pub(crate) fn lost_its_word(&self) -> bool {
        self.chain.is_some() && self.judged.borrow().1.certificate.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::time::Timestamp;

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
        let peer = JudgedPeer::new(proven, Some(chain()), Arc::clone(&cas));
        let end = 1_893_456_000_000;
        let at = |millis| Clock::Fixed(Timestamp::from_millis(millis));
        assert!(!peer.ends_soon(at(end - 61_000)) && peer.ends_soon(at(end - 60_000)));
        assert!(peer.by(&cas, at(end)).certificate.is_some() && !peer.lost_its_word());
        assert!(peer.by(&cas, at(end + 1)).certificate.is_none() && peer.lost_its_word());
    }

    #[test]
    fn without_a_certificate_nothing_ends() {
        let peer = JudgedPeer::new(Peer::default(), None, Arc::new(ClientCas::default()));
        assert!(!peer.ends_soon(Clock::System) && !peer.lost_its_word());
    }
}
