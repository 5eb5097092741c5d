//! Getting a token: one POST to the token endpoint in one of three OAuth 2.0
//! flows. When to ask for one is decided in `session.rs`.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use reqwest::Method;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;

use super::class::{Class, Pause};
use super::id;
use super::jwt::Signer;
use super::remedy;
use super::wire::{self, Wire, cut};
use crate::settings;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The token endpoint did not answer, or not as such.
    #[error("the token endpoint gave no token")]
    Wire(#[from] wire::Error),
    /// The token endpoint refused the login.
    #[error("{code}: {description}")]
    Refused {
        /// OAuth's word, such as `invalid_grant`.
        code: String,
        /// Salesforce's words, at most 512 bytes.
        description: String,
    },
    /// The answer sends us where a token must not go.
    #[error("the instance URL in the answer is neither https nor on this machine")]
    Insecure,
    /// The key does not sign.
    #[error("the private key does not sign")]
    Unsigned,
}

impl Error {
    /// What the failure means.
    pub fn class(&self) -> Class {
        match self {
            Self::Wire(error) => error.class(),
            Self::Refused { code, .. } => match code.as_str() {
                // Salesforce's trouble, not the login's. The first is its own
                // word, the others are those of RFC 6749, section 4.1.2.1.
                "rate_limit_exceeded" | "server_error" | "temporarily_unavailable" => {
                    Class::Outage {
                        pause: Pause::Short,
                    }
                }
                // invalid_grant alone has a dozen causes, all of them for a
                // person to mend; trying hard only locks the user out.
                _ => Class::Configuration,
            },
            Self::Insecure | Self::Unsigned => Class::Configuration,
        }
    }

    /// OAuth's word for the refusal.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            _ => None,
        }
    }

    /// What a person can do about it, if anything.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Refused { code, description } if self.class() == Class::Configuration => {
                Some(remedy::of_login(code, description))
            }
            Self::Wire(wire::Error::Unreachable { .. }) => Some(remedy::UNREACHABLE),
            _ => None,
        }
    }
}

/// Who we are to Salesforce, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The org's id, 18 characters.
    pub org_id: String,
    /// The integration user's id, 18 characters.
    pub user_id: String,
    /// Where the org's API is.
    pub instance_url: Url,
}

/// One token and what came with it.
#[derive(Debug)]
pub(super) struct Session {
    /// Marked sensitive, so it prints as such.
    pub(super) authorization: HeaderValue,
    pub(super) identity: Identity,
}

/// Asks for tokens.
pub(super) struct Login {
    endpoint: Url,
    client_id: String,
    flow: Flow,
    timeout: Duration,
}

enum Flow {
    JwtBearer(Box<Signer>),
    ClientCredentials(SecretString),
    RefreshToken {
        client_secret: Option<SecretString>,
        /// The newest one: with rotation each login replaces it, and to show an
        /// old one again ends the whole family (Salesforce Help, "Refresh Token
        /// Rotation").
        refresh_token: Mutex<SecretString>,
    },
}

/// The token endpoint's success. There is no `expires_in` in it.
#[derive(Deserialize)]
struct Grant {
    access_token: String,
    instance_url: String,
    /// The identity URL: `https://login.salesforce.com/id/<org>/<user>`.
    id: String,
    refresh_token: Option<SecretString>,
}

/// The token endpoint's failure: an object, not the array of the REST API.
#[derive(Deserialize)]
struct Refusal {
    error: String,
    #[serde(default)]
    error_description: String,
}

impl Login {
    /// Checks what can be checked without asking; the error names the variable
    /// and what is wrong with it.
    pub(super) fn new(
        settings: &settings::Salesforce,
    ) -> Result<Self, (&'static str, &'static str)> {
        const LOGIN_URL: &str = "SALESFORCE_LOGIN_URL";
        if !wire::is_safe(&settings.login_url) {
            return Err((
                LOGIN_URL,
                "it must be https unless the host is this machine",
            ));
        }
        let base = settings.login_url.as_str().trim_end_matches('/');
        let Ok(endpoint) = Url::parse(&format!("{base}/services/oauth2/token")) else {
            return Err((LOGIN_URL, "it is no address"));
        };
        let flow = match &settings.login {
            settings::Login::JwtBearer {
                username,
                private_key,
                audience,
            } => Signer::new(
                private_key.expose_secret(),
                &settings.client_id,
                username,
                audience,
            )
            .map(|signer| Flow::JwtBearer(Box::new(signer)))
            .map_err(|why| ("SALESFORCE_PRIVATE_KEY", why))?,
            settings::Login::ClientCredentials { client_secret } => {
                Flow::ClientCredentials(client_secret.clone())
            }
            settings::Login::RefreshToken {
                client_secret,
                refresh_token,
            } => Flow::RefreshToken {
                client_secret: client_secret.clone(),
                refresh_token: Mutex::new(refresh_token.clone()),
            },
        };
        Ok(Self {
            endpoint,
            client_id: settings.client_id.clone(),
            flow,
            timeout: settings.timeout,
        })
    }

    /// Host of the token endpoint.
    pub(super) fn host(&self) -> String {
        wire::host(&self.endpoint)
    }

    /// The address that tells which API versions there are, where no instance
    /// is known yet.
    pub(super) fn versions(&self) -> Option<Url> {
        self.endpoint.join("/services/data").ok()
    }

    /// One login.
    pub(super) async fn session(&self, wire: &Wire) -> Result<Session, Error> {
        let form = self.form().ok_or(Error::Unsigned)?;
        let request = wire
            .request(Method::POST, self.endpoint.clone())
            .form(&form);
        let answer = wire.exchange(request, self.timeout).await?;
        if answer.is_success() {
            let grant: Grant = answer.json()?;
            let session = grant.session(&answer)?;
            self.keep(grant.refresh_token);
            return Ok(session);
        }
        // A gateway's 5xx may be JSON too; only OAuth's own shape is a refusal.
        match answer.json::<Refusal>() {
            Ok(refusal) if answer.status < 500 => Err(Error::Refused {
                code: cut(refusal.error),
                description: cut(refusal.error_description),
            }),
            _ => Err(answer.unreadable("no token").into()),
        }
    }

    fn form(&self) -> Option<Vec<(&'static str, String)>> {
        let client_id = ("client_id", self.client_id.clone());
        let secret = |secret: &SecretString| ("client_secret", secret.expose_secret().to_owned());
        Some(match &self.flow {
            Flow::JwtBearer(signer) => vec![
                (
                    "grant_type",
                    "urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned(),
                ),
                ("assertion", signer.assertion(SystemTime::now())?),
            ],
            Flow::ClientCredentials(client_secret) => vec![
                ("grant_type", "client_credentials".to_owned()),
                client_id,
                secret(client_secret),
            ],
            Flow::RefreshToken {
                client_secret,
                refresh_token,
            } => {
                let token = refresh_token.lock().unwrap_or_else(PoisonError::into_inner);
                let mut form = vec![
                    ("grant_type", "refresh_token".to_owned()),
                    client_id,
                    ("refresh_token", token.expose_secret().to_owned()),
                ];
                form.extend(client_secret.as_ref().map(secret));
                form
            }
        })
    }

    /// Keeps a rotated refresh token for the life of the process.
    fn keep(&self, rotated: Option<SecretString>) {
        let (Flow::RefreshToken { refresh_token, .. }, Some(rotated)) = (&self.flow, rotated)
        else {
            return;
        };
        let mut token = refresh_token.lock().unwrap_or_else(PoisonError::into_inner);
        if token.expose_secret() != rotated.expose_secret() {
            tracing::warn!(
                "refresh token rotated: the next start needs the new one, so switch rotation off in the app"
            );
            *token = rotated;
        }
    }
}

impl Grant {
    fn session(&self, answer: &wire::Answer) -> Result<Session, Error> {
        let malformed = |what| Error::from(answer.unreadable(what));
        let instance_url = Url::parse(&self.instance_url)
            .map_err(|_no_address| malformed("an instance URL that is none"))?;
        if !wire::is_safe(&instance_url) {
            return Err(Error::Insecure);
        }
        let mut ids = self.id.rsplit('/').map(id::to_18);
        let (Some(Some(user_id)), Some(Some(org_id))) = (ids.next(), ids.next()) else {
            return Err(malformed("an identity URL that is none"));
        };
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", self.access_token))
            .map_err(|_unprintable| malformed("a token that fits in no header"))?;
        authorization.set_sensitive(true);
        Ok(Session {
            authorization,
            identity: Identity {
                org_id,
                user_id,
                instance_url,
            },
        })
    }
}
