//! Who is logged in to the ops page, and whether an order comes from it.
//!
//! Nothing is kept: the cookie says until when it holds, signed with a key that
//! only whoever knows `WEB_TOKEN` has. So a new token ends every session, and
//! logging out takes the cookie from the browser and from nowhere else. Every
//! form carries a mark that is bound to the session and that no other site can
//! read, so no other site can send one.

use std::time::Duration;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign, verify};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::types::time::OffsetDateTime;

/// A working day.
pub(super) const LASTS: Duration = Duration::from_hours(12);

/// Signs and verifies.
pub(in crate::web) struct Signer(Key);

/// Somebody who is logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Session(String);

impl Session {
    /// A session that begins now.
    pub(super) fn begin(now: OffsetDateTime) -> Self {
        let until = (now + LASTS).unix_timestamp();
        Self(format!("{until}.{}", uuid::Uuid::new_v4().simple()))
    }

    /// The session of somebody who sends the token itself with every request.
    pub(super) fn of_token() -> Self {
        Self(String::from("token"))
    }
}

impl Signer {
    pub(in crate::web) fn new(token: &SecretString) -> Self {
        Self(Key::new(HMAC_SHA256, token.expose_secret().as_bytes()))
    }

    /// The cookie's value.
    pub(super) fn cookie(&self, session: &Session) -> String {
        format!("{}.{}", session.0, self.mark("session", &session.0))
    }

    /// The session of a cookie, if it is one of ours and its time is not over.
    pub(super) fn read(&self, cookie: &str, now: OffsetDateTime) -> Option<Session> {
        let (session, mark) = cookie.rsplit_once('.')?;
        if !self.is_mark("session", session, mark) {
            return None;
        }
        let until: i64 = session.split('.').next()?.parse().ok()?;
        (now.unix_timestamp() < until).then(|| Session(session.to_owned()))
    }

    /// What a form of this session carries.
    pub(super) fn form_mark(&self, session: &Session) -> String {
        self.mark("form", &session.0)
    }

    /// Whether a form is one of this session's.
    pub(super) fn is_form_of(&self, session: &Session, mark: &str) -> bool {
        self.is_mark("form", &session.0, mark)
    }

    fn mark(&self, what: &str, text: &str) -> String {
        URL_SAFE_NO_PAD.encode(sign(&self.0, format!("{what}:{text}").as_bytes()))
    }

    fn is_mark(&self, what: &str, text: &str, mark: &str) -> bool {
        // In a time that does not tell how much of it is right.
        URL_SAFE_NO_PAD
            .decode(mark)
            .is_ok_and(|mark| verify(&self.0, format!("{what}:{text}").as_bytes(), &mark).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(token: &str) -> Signer {
        Signer::new(&SecretString::from(token))
    }

    #[test]
    fn a_cookie_holds_for_its_time_and_for_its_token() {
        let (signer, now) = (of("a"), OffsetDateTime::UNIX_EPOCH);
        let session = Session::begin(now);
        let cookie = signer.cookie(&session);

        assert_eq!(signer.read(&cookie, now), Some(session.clone()));
        let last = now + LASTS - Duration::from_secs(1);
        assert_eq!(signer.read(&cookie, last), Some(session));
        assert_eq!(signer.read(&cookie, now + LASTS), None);
        assert_eq!(of("b").read(&cookie, now), None);
    }

    #[test]
    fn nothing_else_is_a_cookie() {
        let (signer, now) = (of("a"), OffsetDateTime::UNIX_EPOCH);
        let session = Session::begin(now);
        let cookie = signer.cookie(&session);
        let longer = cookie.replacen('4', "9", 1);
        let marked = format!("{}.{}", session.0, signer.form_mark(&session));
        let token = Session::of_token();
        let forged = [
            String::new(),
            String::from("."),
            longer,
            marked,
            session.0.clone(),
            format!("{cookie}x"),
            cookie[..cookie.len() - 1].to_owned(),
            // Signed, but without an end.
            signer.cookie(&token),
        ];

        for cookie in forged {
            assert_eq!(signer.read(&cookie, now), None, "{cookie}");
        }
    }

    #[test]
    fn a_form_is_bound_to_its_session() {
        let (signer, now) = (of("a"), OffsetDateTime::UNIX_EPOCH);
        let (one, other) = (Session::begin(now), Session::begin(now));

        assert!(signer.is_form_of(&one, &signer.form_mark(&one)));
        assert!(!signer.is_form_of(&one, &signer.form_mark(&other)));
        assert!(!signer.is_form_of(&one, ""));
        assert!(!signer.is_form_of(&one, &signer.cookie(&one)));
    }
}
