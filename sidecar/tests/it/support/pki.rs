//! Certificate authorities and certificates.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType,
    date_time_ymd,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) certificate: CertificateDer<'static>,
}

/// A certificate with its key.
pub(crate) struct Identity {
    pub(crate) certificate: CertificateDer<'static>,
    key: KeyPair,
    serial: u64,
}

#[derive(Clone, Copy)]
pub(crate) enum Usage {
    Client,
    Server,
    None,
}

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// A client of this service account in the trust domain `cluster.local`.
    pub(crate) fn client(&self, account: &str) -> Identity {
        let (namespace, name) = account.split_once('/').unwrap();
        let uri = format!("spiffe://cluster.local/ns/{namespace}/sa/{name}");
        self.issue(vec![SanType::URI(uri.try_into().unwrap())], Usage::Client)
    }

    pub(crate) fn server(&self) -> Identity {
        self.issue(vec![SanType::DnsName("localhost".try_into().unwrap())], Usage::Server)
    }

    /// Signs a request as the operator does: the names are its own affair.
    pub(crate) fn sign(&self, csr: &str, life: Duration) -> String {
        let mut request = CertificateSigningRequestParams::from_pem(csr).unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let names = ["localhost"].map(|name| SanType::DnsName(name.try_into().unwrap()));
        request.params = CertificateParams::default();
        request.params.subject_alt_names = names.into();
        request.params.not_before = date_time_ymd(1970, 1, 1) + now;
        request.params.not_after = date_time_ymd(1970, 1, 1) + now + life;
        request.params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        request.signed_by(&self.issuer).unwrap().pem()
    }

    pub(crate) fn pem(&self) -> String {
        super::pem("CERTIFICATE", &self.certificate)
    }

    pub(crate) fn issue(&self, names: Vec<SanType>, usage: Usage) -> Identity {
        self.issue_with(CertificateParams::default(), names, usage)
    }

    /// A client whose certificate begins and ends at these times, in seconds since 1970.
    pub(crate) fn client_between(&self, account: &str, begin: u64, end: u64) -> Identity {
        let (namespace, name) = account.split_once('/').unwrap();
        let uri = format!("spiffe://cluster.local/ns/{namespace}/sa/{name}");
        let mut params = CertificateParams::default();
        params.not_before = date_time_ymd(1970, 1, 1) + Duration::from_secs(begin);
        params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(end);
        self.issue_with(params, vec![SanType::URI(uri.try_into().unwrap())], Usage::Client)
    }

    fn issue_with(&self, mut params: CertificateParams, names: Vec<SanType>, usage: Usage) -> Identity {
        params.subject_alt_names = names;
        params.extended_key_usages = match usage {
            Usage::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
            Usage::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
            Usage::None => Vec::new(),
        };
        static SERIAL: AtomicU64 = AtomicU64::new(1);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        params.serial_number = Some(serial.into());
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        Identity { certificate, key, serial }
    }

    /// A revocation list in date that names these (DER).
    pub(crate) fn revocation_list(&self, revoked: &[&Identity]) -> Vec<u8> {
        let revoked = revoked.iter().map(|one| RevokedCertParams {
            serial_number: one.serial.into(),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(2999, 1, 1),
            crl_number: 1_u64.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().der().to_vec()
    }
}

impl Identity {
    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }
}
