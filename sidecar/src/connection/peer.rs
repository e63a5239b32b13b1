//! Who is at the other end, as the CAs in force see it.

use crate::clock::Clock;
use crate::state::ClientCas;
use policy::peer::Peer;
use rustls_pki_types::CertificateDer;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// A peer with the CAs that it was judged by. When those in force are others, the chain is verified again: a connection
/// must not live on the word of a CA that is gone.
pub(crate) struct JudgedPeer {
    chain: Option<Vec<CertificateDer<'static>>>,
    judged: RefCell<(Arc<ClientCas>, Rc<Peer>)>,
}

impl JudgedPeer {
    pub(crate) fn new(peer: Peer, chain: Option<Vec<CertificateDer<'static>>>, cas: Arc<ClientCas>) -> Self {
        Self { chain, judged: RefCell::new((cas, Rc::new(peer))) }
    }

    /// The peer by these CAs.
    pub(crate) fn by(&self, cas: &Arc<ClientCas>, clock: Clock) -> Rc<Peer> {
        let mut judged = self.judged.borrow_mut();
        if !Arc::ptr_eq(&judged.0, cas) {
            let chain = self.chain.as_deref().and_then(<[_]>::split_first);
            let certificate = chain.and_then(|chain| cas.verify(chain, clock.unix_time()).ok());
            *judged = (Arc::clone(cas), Rc::new(Peer { address: judged.1.address, certificate, plaintext: judged.1.plaintext }));
        }
        Rc::clone(&judged.1)
    }

    /// Whether it showed a certificate that the CAs, as last asked, do not vouch for.
    pub(crate) fn lost_its_word(&self) -> bool {
        self.chain.is_some() && self.judged.borrow().1.certificate.is_none()
    }
}
