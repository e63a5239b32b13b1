//! A certificate authority for development.

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls_pki_types::CertificateDer;

/// A certificate authority whose key lives as long as this value.
pub struct DevCa {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// The names of a certificate.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// DNS names.
    pub dns: Vec<String>,
    /// URIs, such as SPIFFE IDs.
    pub uris: Vec<String>,
    /// IP addresses.
    pub ips: Vec<std::net::IpAddr>,
}

/// A certificate and its private key, both in PEM.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// The private key, PKCS #8.
    pub key: String,
}

impl DevCa {
    /// A new authority.
    ///
    /// # Errors
    /// Where no key can be made.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        let mut params = params(name)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? })
    }

    /// Its certificate in PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Its certificate in DER.
    #[must_use]
    pub fn der(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// A certificate for a server.
    ///
    /// # Errors
    /// Where a name cannot stand in a certificate.
    pub fn server(&self, names: &Names) -> anyhow::Result<Issued> {
        self.issue(names, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A certificate for a client.
    ///
    /// # Errors
    /// Where a name cannot stand in a certificate.
    pub fn client(&self, names: &Names) -> anyhow::Result<Issued> {
        self.issue(names, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(&self, names: &Names, usage: ExtendedKeyUsagePurpose) -> anyhow::Result<Issued> {
        let mut params = params("development")?;
        let dns = names.dns.iter().map(|name| Ok(SanType::DnsName(name.as_str().try_into()?)));
        let uris = names.uris.iter().map(|uri| Ok(SanType::URI(uri.as_str().try_into()?)));
        let named =
            dns.chain(uris).collect::<Result<Vec<_>, rcgen::Error>>().context("a name that no certificate can hold")?;
        params.subject_alt_names =
            named.into_iter().chain(names.ips.iter().map(|ip| SanType::IpAddress(*ip))).collect();
        params.extended_key_usages = vec![usage];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Issued { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

/// Valid for any time that a test or a demo may pretend.
fn params(name: &str) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, format!("Doorward {name}"));
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2100, 1, 1);
    Ok(params)
}
