//! The signed assertion of the OAuth 2.0 JWT bearer flow.
//!
//! Claims and algorithm are those of Salesforce Help, "OAuth 2.0 JWT Bearer
//! Flow for Server-to-Server Integration": `iss`, `sub`, `aud`, `exp`, RS256.

use std::time::{Duration, SystemTime};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;

/// How long an assertion is good for. Salesforce takes at most three minutes;
/// ten seconds are left for clocks that disagree.
const LIFETIME: Duration = Duration::from_secs(170);

/// Makes assertions for one user of one app.
pub(super) struct Signer {
    key: KeyPair,
    issuer: String,
    subject: String,
    audience: String,
}

impl Signer {
    /// Takes an RSA key as PEM, PKCS#1 or PKCS#8. On failure says what is wrong
    /// with the key, without a byte of it.
    pub(super) fn new(
        pem: &str,
        issuer: &str,
        subject: &str,
        audience: &str,
    ) -> Result<Self, &'static str> {
        let key = match PrivateKeyDer::from_pem_slice(pem.as_bytes()) {
            Ok(PrivateKeyDer::Pkcs8(der)) => KeyPair::from_pkcs8(der.secret_pkcs8_der()),
            Ok(PrivateKeyDer::Pkcs1(der)) => KeyPair::from_der(der.secret_pkcs1_der()),
            Ok(_) => return Err("the key is not an RSA key"),
            Err(_) => return Err("there is no private key in PEM form in it"),
        };
        Ok(Self {
            key: key.map_err(|rejected| {
                tracing::debug!(reason = %rejected, "private key rejected");
                "the key is no RSA key of 2048 to 8192 bits"
            })?,
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            audience: audience.to_owned(),
        })
    }

    /// An assertion that is good from now on; `None` if the key does not sign.
    pub(super) fn assertion(&self, now: SystemTime) -> Option<String> {
        let expires = now.duration_since(SystemTime::UNIX_EPOCH).ok()? + LIFETIME;
        let claims = serde_json::json!({
            "iss": self.issuer,
            "sub": self.subject,
            "aud": self.audience,
            "exp": expires.as_secs(),
        });
        let mut jwt = BASE64_URL_SAFE_NO_PAD.encode(br#"{"alg":"RS256"}"#);
        jwt.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(claims.to_string(), &mut jwt);
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                jwt.as_bytes(),
                &mut signature,
            )
            .ok()?;
        jwt.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(signature, &mut jwt);
        Some(jwt)
    }
}
