//! How the daemon logs in: exactly one of three flows, each complete.

use std::net::IpAddr;

use url::{Host, Url};

use super::reader::Reader;
use super::{Login, key};

const URL: &str = "salesforce.login_url";
const USERNAME: &str = "salesforce.username";
const PRIVATE_KEY: &str = "salesforce.private_key";
const CLIENT_SECRET: &str = "salesforce.client_secret";
const REFRESH_TOKEN: &str = "salesforce.refresh_token";

/// Where tokens are asked for. Secrets go there, so it must be https; a
/// loopback address is a sandbox on this machine.
pub(super) fn url(reader: &mut Reader<'_>) -> Option<Url> {
    const REMEDY: &str =
        "give https://login.salesforce.com or https://<My Domain>.my.salesforce.com";
    let url = reader.server(URL, &["https", "http"], REMEDY)?;
    if url.scheme() == "http" && !is_loopback(&url) {
        reader.fault(URL, "is not https", REMEDY);
    }
    let bare = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !bare {
        reader.fault(URL, "holds more than an address", REMEDY);
    }
    // That host serves the browser; tokens come from My Domain.
    if host(&url).ends_with(".lightning.force.com") {
        reader.fault(URL, "is the address for the browser", REMEDY);
    }
    Some(url)
}

pub(super) fn flow(reader: &mut Reader<'_>, login_url: Option<&Url>) -> Option<Login> {
    let username = reader.optional(USERNAME);
    let private_key = reader.optional(PRIVATE_KEY);
    let client_secret = reader.secret(CLIENT_SECRET);
    let refresh_token = reader.secret(REFRESH_TOKEN);
    if username.is_some() || private_key.is_some() {
        for (key, set) in [
            (CLIENT_SECRET, client_secret.is_some()),
            (REFRESH_TOKEN, refresh_token.is_some()),
        ] {
            if set {
                let what = "contradicts SALESFORCE_USERNAME and SALESFORCE_PRIVATE_KEY";
                reader.fault(
                    key,
                    what,
                    "unset one or the other: there is one way to log in",
                );
            }
        }
        return jwt_bearer(reader, login_url);
    }
    if let Some(refresh_token) = refresh_token {
        return Some(Login::RefreshToken {
            client_secret,
            refresh_token,
        });
    }
    if let Some(client_secret) = client_secret {
        needs_my_domain(reader, login_url);
        return Some(Login::ClientCredentials { client_secret });
    }
    let remedy = "set it together with SALESFORCE_USERNAME, or set SALESFORCE_CLIENT_SECRET, or \
                  SALESFORCE_REFRESH_TOKEN";
    reader.fault(
        PRIVATE_KEY,
        "is not set, nor is another way to log in",
        remedy,
    );
    None
}

fn jwt_bearer(reader: &mut Reader<'_>, login_url: Option<&Url>) -> Option<Login> {
    let username = reader.required(USERNAME, "give the integration user's name");
    let text = reader.required(
        PRIVATE_KEY,
        "give the RSA private key of that user's app as PEM",
    );
    let private_key = text.and_then(|text| match key::normalise(&text) {
        Ok(key) => Some(key),
        Err(error) => {
            let remedy = "give an RSA private key as PEM, as PEM with \\n, or as base64 of PEM";
            reader.fault(PRIVATE_KEY, error, remedy);
            None
        }
    });
    let audience = reader.optional("salesforce.audience").or_else(|| {
        // Compared letter by letter there, and written without the slash that
        // a URL ends in here.
        login_url.map(|url| url.as_str().trim_end_matches('/').to_owned())
    });
    Some(Login::JwtBearer {
        username: username?,
        private_key: private_key?,
        audience: audience?,
    })
}

/// The shared login hosts refuse the client credentials flow (Salesforce Help,
/// "OAuth 2.0 Client Credentials Flow for Server-to-Server Integration").
fn needs_my_domain(reader: &mut Reader<'_>, login_url: Option<&Url>) {
    let shared = ["login.salesforce.com", "test.salesforce.com"];
    if login_url.is_some_and(|url| shared.contains(&host(url))) {
        let what = "does not permit the client credentials flow";
        reader.fault(
            URL,
            what,
            "give the org's own https://<My Domain>.my.salesforce.com",
        );
    }
}

fn host(url: &Url) -> &str {
    url.host_str().unwrap_or_default()
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        None => false,
    }
}
