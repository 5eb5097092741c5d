//! Logging in: the token endpoint with its three flows, and what is asked
//! about a token afterwards.
//!
//! Access tokens are opaque and live until they are revoked or expired from
//! the control endpoint. Errors are objects here, not arrays.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::json;

use super::id::Id;
use super::keys::PublicKey;
use super::rest::Reply;

/// The farthest `exp` that is taken. Three minutes are documented, clients
/// that work with real orgs send five.
const MAX_LIFETIME: i64 = 300;

/// What may stand in `aud`, besides the sandbox's own address.
const AUDIENCES: [&str; 2] = [
    "https://login.salesforce.com",
    "https://test.salesforce.com",
];

/// Who may come in, and who is in.
pub(crate) struct Access {
    pub(crate) base_url: String,
    /// Where tokens are said to be good; by default at the base URL.
    pub(crate) instance_url: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
    pub(crate) refresh_token: String,
    pub(crate) public_key: PublicKey,
    /// User names by their place in the schema.
    pub(crate) users: Vec<String>,
    /// Who client credentials and the refresh token stand for.
    pub(crate) run_as: usize,
    /// Which org this is; a copy of an org has another number.
    pub(crate) org: u32,
    tokens: HashMap<String, usize>,
}

/// A refused login.
struct Denied(&'static str, &'static str);

impl From<Denied> for Reply {
    fn from(Denied(error, description): Denied) -> Self {
        let body = json!({"error": error, "error_description": description});
        Self {
            status: 400,
            body: body.to_string().into_bytes(),
            location: None,
        }
    }
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: f64,
}

/// RFC 7519 allows one audience or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// A form as it was posted, with the `Authorization` header beside it.
pub(crate) struct Form<'a> {
    pub(crate) fields: HashMap<String, String>,
    pub(crate) authorization: Option<&'a str>,
}

impl Form<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    /// Client id and secret: the body wins over the header.
    fn client(&self) -> (Option<String>, Option<String>) {
        if let Some(id) = self.get("client_id") {
            return (
                Some(id.to_owned()),
                self.get("client_secret").map(str::to_owned),
            );
        }
        let encoded = self
            .authorization
            .and_then(|header| header.strip_prefix("Basic "));
        let decoded = encoded.and_then(|text| STANDARD.decode(text.trim()).ok());
        let text = decoded
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .unwrap_or_default();
        match text.split_once(':') {
            Some((id, secret)) => (Some(id.to_owned()), Some(secret.to_owned())),
            None => (None, None),
        }
    }
}

impl Access {
    pub(crate) fn new(
        base_url: String,
        public_key: PublicKey,
        users: Vec<String>,
        run_as: usize,
    ) -> Self {
        Self {
            base_url,
            instance_url: None,
            client_id: format!("3MVG9{}", secret()),
            client_secret: secret(),
            refresh_token: format!("5Aep861{}", secret()),
            public_key,
            users,
            run_as,
            org: 0,
            tokens: HashMap::new(),
        }
    }

    /// The org's own id.
    pub(crate) fn org_id(&self) -> Id {
        Id::new("00D", self.org)
    }

    fn user_id(user: usize) -> Id {
        Id::new("005", u32::try_from(user).unwrap_or_default())
    }

    /// Whose token this is.
    pub(crate) fn user_of(&self, token: &str) -> Option<usize> {
        self.tokens.get(token).copied()
    }

    /// Ends every session.
    pub(crate) fn expire_all(&mut self) {
        self.tokens.clear();
    }

    /// Ends one session.
    pub(crate) fn expire(&mut self, token: &str) {
        self.tokens.remove(token);
    }

    /// `POST /services/oauth2/token`.
    pub(crate) fn token(&mut self, form: &Form<'_>, now: i64) -> Reply {
        let granted = match form.get("grant_type") {
            Some("urn:ietf:params:oauth:grant-type:jwt-bearer") => self
                .check_assertion(form.get("assertion").unwrap_or_default(), now)
                .map(|user| (user, false)),
            Some("client_credentials") => {
                self.check_client(form, true).map(|()| (self.run_as, true))
            }
            Some("refresh_token") => self.check_client(form, false).and_then(|()| {
                if form.get("refresh_token") == Some(&self.refresh_token) {
                    Ok((self.run_as, true))
                } else {
                    Err(Denied("invalid_grant", "expired access/refresh token"))
                }
            }),
            _ => Err(Denied("unsupported_grant_type", "grant type not supported")),
        };
        match granted {
            Ok((user, signed)) => self.grant(user, signed, now),
            Err(denied) => denied.into(),
        }
    }

    fn check_client(&self, form: &Form<'_>, secret_required: bool) -> Result<(), Denied> {
        let (id, secret) = form.client();
        if id.as_deref() != Some(&self.client_id) {
            return Err(Denied("invalid_client_id", "client identifier invalid"));
        }
        match secret {
            Some(secret) if secret == self.client_secret => Ok(()),
            None if !secret_required => Ok(()),
            _ => Err(Denied("invalid_client", "invalid client credentials")),
        }
    }

    /// RS256, our own key, the right issuer, audience, time and user.
    fn check_assertion(&self, assertion: &str, now: i64) -> Result<usize, Denied> {
        const INVALID: Denied = Denied("invalid_grant", "invalid assertion");
        let (signed, signature) = assertion.rsplit_once('.').ok_or(INVALID)?;
        let (header, claims) = signed.split_once('.').ok_or(INVALID)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok();
        let header: serde_json::Value = decode(header)
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .ok_or(INVALID)?;
        let claims: Claims = decode(claims)
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .ok_or(INVALID)?;
        if header["alg"] != "RS256" {
            return Err(INVALID);
        }
        if claims.iss != self.client_id {
            return Err(Denied("invalid_client_id", "client identifier invalid"));
        }
        let signature = decode(signature).ok_or(INVALID)?;
        if !self.public_key.verifies(signed.as_bytes(), &signature) {
            return Err(INVALID);
        }
        let audiences = match &claims.aud {
            Audience::One(one) => std::slice::from_ref(one),
            Audience::Several(several) => several,
        };
        let known = |audience: &String| {
            let audience = audience.trim_end_matches('/');
            AUDIENCES.contains(&audience) || audience == self.base_url
        };
        if !audiences.iter().any(known) {
            return Err(Denied("invalid_grant", "audience is invalid"));
        }
        check_expiry(claims.exp, now)?;
        let user = self
            .users
            .iter()
            .position(|user| user.eq_ignore_ascii_case(&claims.sub));
        user.ok_or(Denied(
            "invalid_grant",
            "user hasn't approved this consumer",
        ))
    }

    fn grant(&mut self, user: usize, signed: bool, now: i64) -> Reply {
        let org = self.org_id();
        let token = format!("{}!AQ{}{}", &org.as_str()[..15], secret(), secret());
        self.tokens.insert(token.clone(), user);
        // The JWT answer has neither a signature nor a time of issue.
        let (signature, issued_at) = if signed {
            (
                format!("\"signature\":\"{}=\",", secret()),
                format!(",\"issued_at\":\"{now}000\""),
            )
        } else {
            (String::new(), String::new())
        };
        let body = format!(
            "{{\"access_token\":\"{token}\",{signature}\"scope\":\"api refresh_token\",\"instance_url\":\"{}\",\
             \"id\":\"{}\",\"token_type\":\"Bearer\"{issued_at}}}",
            self.instance_url.as_deref().unwrap_or(&self.base_url),
            self.identity_url(user)
        );
        Reply::ok(body.into_bytes())
    }

    fn identity_url(&self, user: usize) -> String {
        format!(
            "{}/id/{}/{}",
            self.base_url,
            self.org_id(),
            Self::user_id(user)
        )
    }

    /// `GET /services/oauth2/userinfo`, and the address in `id`.
    pub(crate) fn identity(&self, user: usize) -> Reply {
        let name = &self.users[user];
        let body = json!({
            "sub": self.identity_url(user),
            "user_id": Self::user_id(user).as_str(),
            "organization_id": self.org_id().as_str(),
            "preferred_username": name,
            "username": name,
            "name": name,
            "active": true,
            "user_type": "STANDARD",
            "urls": {"rest": format!("{}/services/data/v{{version}}/", self.base_url)},
        });
        Reply::ok(body.to_string().into_bytes())
    }

    /// `POST /services/oauth2/revoke`.
    pub(crate) fn revoke(&mut self, form: &Form<'_>) -> Reply {
        match form
            .get("token")
            .and_then(|token| self.tokens.remove(token))
        {
            Some(_) => Reply::ok(Vec::new()),
            None => Denied("invalid_token", "invalid token").into(),
        }
    }

    /// `POST /services/oauth2/introspect`.
    pub(crate) fn introspect(&self, form: &Form<'_>) -> Reply {
        if self.check_client(form, true).is_err() {
            let body = json!({"error": "invalid_client", "error_description": "invalid client credentials"});
            return Reply {
                status: 401,
                body: body.to_string().into_bytes(),
                location: None,
            };
        }
        let user = form.get("token").and_then(|token| self.user_of(token));
        let body = match user {
            Some(user) => json!({
                "active": true,
                "scope": "api refresh_token",
                "client_id": self.client_id,
                "username": self.users[user],
                "sub": self.identity_url(user),
                "token_type": "access_token",
            }),
            None => json!({"active": false}),
        };
        Reply::ok(body.to_string().into_bytes())
    }
}

/// `exp` in seconds, or in milliseconds as some clients send it.
#[expect(
    clippy::cast_possible_truncation,
    reason = "times of this century fit, and what does not is far away"
)]
fn check_expiry(exp: f64, now: i64) -> Result<(), Denied> {
    let seconds = if exp > 1e11 { exp / 1000.0 } else { exp } as i64;
    if seconds <= now {
        return Err(Denied("invalid_grant", "expired authorization code"));
    }
    if seconds - now > MAX_LIFETIME {
        return Err(Denied("invalid_grant", "invalid assertion"));
    }
    Ok(())
}

/// 32 characters that nobody guesses.
fn secret() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_taken_for_five_minutes_in_seconds_or_milliseconds() {
        let now = 1_800_000_000;
        for (exp, taken) in [
            (1_800_000_001.0, true),
            (1_800_000_300.0, true),
            (1_800_000_300_000.0, true),
            (1_800_000_301.0, false),
            (1_800_000_000.0, false),
            (1_799_999_000_000.0, false),
        ] {
            assert_eq!(check_expiry(exp, now).is_ok(), taken, "{exp}");
        }
    }
}
