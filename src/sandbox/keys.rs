//! The key pair of the sandbox's one connected app: the private half is for
//! the client, the public half verifies what it signs.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The key could not be made.
#[derive(Debug, thiserror::Error)]
#[error("an RSA key could not be generated")]
pub struct Error(#[source] aws_lc_rs::error::Unspecified);

/// The half that stays.
pub(crate) struct PublicKey(Vec<u8>);

impl PublicKey {
    /// Whether this text was signed by the other half, with RS256.
    pub(crate) fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.0)
            .verify(text, signature)
            .is_ok()
    }
}

/// A new pair; the private key as PEM.
pub(crate) fn generate() -> Result<(String, PublicKey), Error> {
    let pair = KeyPair::generate(KeySize::Rsa2048).map_err(Error)?;
    let private: Pkcs8V1Der<'_> = pair.as_der().map_err(Error)?;
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(Error)?;
    Ok((pem(private.as_ref()), PublicKey(public.as_ref().to_vec())))
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines = text
        .as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8_lossy(line) + "\n");
    format!(
        "-----BEGIN PRIVATE KEY-----\n{}-----END PRIVATE KEY-----\n",
        lines.collect::<String>()
    )
}
