//! The private key of the JWT bearer flow, in whatever form it survived the
//! way through a dashboard, a shell or an environment file.

use aws_lc_rs::signature::RsaKeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::SecretString;
use thiserror::Error;

/// Why a text is no key that can sign.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum Error {
    #[error("holds neither PEM nor base64 of PEM")]
    NoPem,
    #[error("breaks off before its END line")]
    CutOff,
    #[error("holds a {0} and not a private key")]
    WrongKind(String),
    #[error("holds a private key that is protected by a passphrase")]
    Encrypted,
    #[error("holds a private key that is not RSA of 2048 to 8192 bits")]
    NotRsa,
}

/// Brings a key into PEM as RFC 7468 writes it, and proves that it can sign.
pub(super) fn normalise(text: &str) -> Result<SecretString, Error> {
    let text = text.trim().trim_matches(['"', '\'']);
    let pem = if text.contains("-----BEGIN ") {
        text.to_owned()
    } else {
        decoded(text).ok_or(Error::NoPem)?
    };
    let pem = rewrap(&pem)?;
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_hides_key| Error::NotRsa)?;
    let pair = match &key {
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        _ => return Err(Error::NotRsa),
    };
    pair.map_err(|_says_no_more| Error::NotRsa)?;
    Ok(SecretString::from(pem))
}

fn decoded(text: &str) -> Option<String> {
    let compact: String = text.split_whitespace().collect();
    let bytes = STANDARD.decode(compact).ok()?;
    String::from_utf8(bytes)
        .ok()
        .filter(|pem| pem.contains("-----BEGIN "))
}

/// Takes the text between BEGIN and END apart and writes it anew, so that it
/// makes no difference whether lines ended in a newline, `\n` or a space.
fn rewrap(text: &str) -> Result<String, Error> {
    let text = text.replace("\\r", "").replace("\\n", "\n");
    let (_, rest) = text.split_once("-----BEGIN ").ok_or(Error::NoPem)?;
    let (label, rest) = rest.split_once("-----").ok_or(Error::CutOff)?;
    let end = format!("-----END {label}-----");
    let (body, _) = rest.split_once(&end).ok_or(Error::CutOff)?;
    // OpenSSL marks its older form of encryption by headers inside.
    if label.starts_with("ENCRYPTED") || body.contains("ENCRYPTED") {
        return Err(Error::Encrypted);
    }
    if !label.ends_with("PRIVATE KEY") {
        return Err(Error::WrongKind(label.to_lowercase()));
    }
    let body: Vec<char> = body.chars().filter(|c| !c.is_whitespace()).collect();
    let lines: Vec<String> = body.chunks(64).map(|line| line.iter().collect()).collect();
    Ok(format!(
        "-----BEGIN {label}-----\n{}\n{end}\n",
        lines.join("\n")
    ))
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::LazyLock;

    use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
    use aws_lc_rs::rsa::KeySize;
    use secrecy::ExposeSecret as _;

    use super::*;

    /// A key of its own for every run, as `openssl genpkey` writes it.
    pub(in crate::settings) static PEM: LazyLock<String> = LazyLock::new(|| {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let text = STANDARD.encode(der.as_ref());
        rewrap(&format!(
            "-----BEGIN PRIVATE KEY-----{text}-----END PRIVATE KEY-----"
        ))
        .unwrap()
    });

    #[test]
    fn every_form_becomes_the_same_pem() {
        let pem = PEM.as_str();
        let forms = [
            pem.to_owned(),
            pem.replace('\n', "\\n"),
            pem.replace('\n', "\\r\\n"),
            pem.replace('\n', "\r\n"),
            pem.replace('\n', " "),
            format!("\"{}\"", pem.replace('\n', "\\n")),
            format!("  '{pem}' "),
            STANDARD.encode(pem),
            format!("\"{}\"", STANDARD.encode(pem)),
            STANDARD.encode(pem.replace('\n', "\r\n")),
            // `base64` of the shell breaks its lines.
            STANDARD
                .encode(pem)
                .as_bytes()
                .chunks(76)
                .fold(String::new(), |text, line| {
                    text + std::str::from_utf8(line).unwrap() + "\n"
                }),
            format!("Bag Attributes\n{pem}trailing"),
        ];
        for form in forms {
            let normal = normalise(&form).unwrap();

            assert_eq!(normal.expose_secret(), pem);
        }
    }

    #[test]
    fn what_cannot_sign_is_told_apart() {
        let pem = PEM.as_str();
        let body_of = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----");
        let cases = [
            ("sesame".to_owned(), Error::NoPem),
            (STANDARD.encode("sesame"), Error::NoPem),
            (pem[..400].to_owned(), Error::CutOff),
            (
                body_of("CERTIFICATE"),
                Error::WrongKind("certificate".to_owned()),
            ),
            (
                body_of("PUBLIC KEY"),
                Error::WrongKind("public key".to_owned()),
            ),
            (body_of("ENCRYPTED PRIVATE KEY"), Error::Encrypted),
            (body_of("EC PRIVATE KEY"), Error::NotRsa),
            (body_of("PRIVATE KEY"), Error::NotRsa),
            (pem.replacen("\nMII", "\nMIJ", 1), Error::NotRsa),
            (pem.replace("PRIVATE KEY", "RSA PRIVATE KEY"), Error::NotRsa),
        ];
        for (text, error) in cases {
            assert_eq!(normalise(&text).err(), Some(error), "{text}");
        }
    }
}
