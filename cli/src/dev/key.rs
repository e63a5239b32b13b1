//! Signing keys for development tokens.

use anyhow::{Context as _, bail};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Map, Value, json};

/// A private key that signs development tokens.
pub struct DevKey {
    id: String,
    pair: Pair,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl DevKey {
    /// A new P-256 key.
    ///
    /// # Errors
    /// Where no randomness is to be had.
    pub fn generate_ec(id: &str) -> anyhow::Result<Self> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).context("cannot make a key")?;
        Ok(Self { id: id.to_owned(), pair: Pair::P256(pair) })
    }

    /// A new RSA key of 2,048 bits.
    ///
    /// # Errors
    /// Where no randomness is to be had.
    pub fn generate_rsa(id: &str) -> anyhow::Result<Self> {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).context("cannot make a key")?;
        Ok(Self { id: id.to_owned(), pair: Pair::Rsa(Box::new(pair)) })
    }

    /// Reads a private key in PEM: PKCS #8, or the older forms of RSA and EC keys.
    ///
    /// # Errors
    /// Where it is none, or of a kind that tokens are not signed with.
    pub fn from_pem(id: &str, pem: &str) -> anyhow::Result<Self> {
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).ok().context("not a private key in PEM")?;
        let bytes = der.secret_der();
        let pair = if let Ok(pair) = RsaKeyPair::from_der(bytes).or_else(|_| RsaKeyPair::from_pkcs8(bytes)) {
            Pair::Rsa(Box::new(pair))
        } else if let Ok(pair) = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes) {
            Pair::P256(pair)
        } else if let Ok(pair) = EcdsaKeyPair::from_private_key_der(&ECDSA_P384_SHA384_FIXED_SIGNING, bytes) {
            Pair::P384(pair)
        } else if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes) {
            Pair::Ed25519(pair)
        } else {
            bail!("the key is no RSA, P-256, P-384 or Ed25519 key");
        };
        Ok(Self { id: id.to_owned(), pair })
    }

    /// The private key in PKCS #8, PEM; none for RSA keys that were read.
    ///
    /// # Errors
    /// Where the key cannot be written.
    pub fn to_pem(&self) -> anyhow::Result<String> {
        let der = match &self.pair {
            Pair::Rsa(pair) => AsDer::<aws_lc_rs::encoding::Pkcs8V1Der>::as_der(&**pair)?.as_ref().to_vec(),
            Pair::P256(pair) | Pair::P384(pair) => pair.to_pkcs8v1()?.as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.to_pkcs8()?.as_ref().to_vec(),
        };
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        let lines: Vec<String> =
            text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
        Ok(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n")))
    }

    /// The public half as a JSON Web Key (RFC 7517).
    #[must_use]
    pub fn jwk(&self) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let point = |pair: &EcdsaKeyPair, curve: &str| {
            let point = pair.public_key().as_ref();
            // An uncompressed point: 0x04, then both coordinates (SEC 1, section 2.3.3).
            let (x, y) = point.split_at(1).1.split_at(point.len() / 2);
            json!({"kty": "EC", "crv": curve, "x": encode(x), "y": encode(y)})
        };
        let mut jwk = match &self.pair {
            Pair::Rsa(pair) => {
                let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                json!({"kty": "RSA", "n": encode(&n), "e": encode(&e)})
            }
            Pair::P256(pair) => point(pair, "P-256"),
            Pair::P384(pair) => point(pair, "P-384"),
            Pair::Ed25519(pair) => json!({"kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref())}),
        };
        if let Some(members) = jwk.as_object_mut() {
            members.insert("kid".to_owned(), json!(self.id));
            members.insert("alg".to_owned(), json!(self.algorithm()));
            members.insert("use".to_owned(), json!("sig"));
        }
        jwk
    }

    /// The algorithm that it signs with.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        match &self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::P256(_) => "ES256",
            Pair::P384(_) => "ES384",
            Pair::Ed25519(_) => "EdDSA",
        }
    }

    /// A signed token; `header` is laid over `alg`, `kid` and `typ`.
    ///
    /// # Errors
    /// Where signing fails.
    pub fn sign(&self, header: &Map<String, Value>, claims: &Map<String, Value>) -> anyhow::Result<String> {
        let mut full = Map::from_iter([
            ("alg".to_owned(), json!(self.algorithm())),
            ("kid".to_owned(), json!(self.id)),
            ("typ".to_owned(), json!("at+jwt")),
        ]);
        full.extend(header.clone());
        let signed = format!("{}.{}", part(&full)?, part(claims)?);
        let signature = self.signature(signed.as_bytes())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn signature(&self, message: &[u8]) -> anyhow::Result<Vec<u8>> {
        let random = SystemRandom::new();
        Ok(match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &random, message, &mut signature)?;
                signature
            }
            Pair::P256(pair) | Pair::P384(pair) => pair.sign(&random, message)?.as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        })
    }
}

fn part(object: &Map<String, Value>) -> anyhow::Result<String> {
    Ok(URL_SAFE_NO_PAD.encode(serde_json::to_vec(object)?))
}

/// A token with `alg: none`: what every verifier must refuse.
///
/// # Errors
/// Where the claims cannot be written.
pub fn unsigned(claims: &Map<String, Value>) -> anyhow::Result<String> {
    let header = Map::from_iter([("alg".to_owned(), json!("none")), ("typ".to_owned(), json!("JWT"))]);
    Ok(format!("{}.{}.", part(&header)?, part(claims)?))
}
