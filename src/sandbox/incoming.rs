//! A request before anybody has looked at what it asks for.

use axum::body::Bytes;
use axum::http::HeaderMap;

use super::refusal::Refusal;

/// A request as it came, its body unpacked.
#[derive(Debug, Clone)]
pub(crate) struct Incoming {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Incoming {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(super) fn target(&self) -> String {
        if self.query.is_empty() {
            self.path.clone()
        } else {
            format!("{}?{}", self.path, self.query)
        }
    }

    /// `Bearer …` or `OAuth …`; both are taken.
    pub(super) fn token(&self) -> Result<Option<&str>, Refusal> {
        let Some(header) = self.header("authorization") else {
            return Ok(None);
        };
        match header.split_once(' ') {
            Some((scheme, token))
                if ["bearer", "oauth"].contains(&scheme.to_ascii_lowercase().as_str()) =>
            {
                Ok(Some(token.trim()))
            }
            _ => Err(Refusal::new("INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE").status(401)),
        }
    }
}
