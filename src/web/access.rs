//! Who may ask: the one token, and how often it may be used or guessed at.
//!
//! The token is kept as a digest, so it can neither be printed nor compared in a
//! time that tells how much of a guess was right.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{Digest, SHA256, digest},
};
use secrecy::{ExposeSecret as _, SecretString};

use super::rate::Limiter;

/// Guesses a second and at once, from one address. Sixteen characters by chance
/// would take longer than the sun lasts; sixteen that somebody chose would not.
const GUESSES: (u32, u32) = (10, 100);

/// How many seconds' worth of requests may come at once.
const BURST: u32 = 10;

/// The token, and who used how much.
pub(super) struct Access {
    token: Digest,
    requests: Limiter<()>,
    /// Of people at the ops page: a program that asks too much is a reason to look.
    looks: Limiter<()>,
    guesses: Limiter<IpAddr>,
}

/// Why somebody may not ask.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// No token, or another one.
    Stranger,
    /// Too often; not before this is over.
    TooOften(Duration),
}

impl Access {
    pub(super) fn new(token: &SecretString, rate: u32) -> Self {
        Self {
            token: digest(&SHA256, token.expose_secret().as_bytes()),
            requests: Limiter::new(rate, rate.saturating_mul(BURST)),
            looks: Limiter::new(rate, rate.saturating_mul(BURST)),
            guesses: Limiter::new(GUESSES.0, GUESSES.1),
        }
    }

    /// Lets whoever has the token in. While too many wrong ones came from this
    /// address, none is looked at.
    pub(super) fn enter(
        &self,
        given: Option<&[u8]>,
        from: IpAddr,
        now: Instant,
    ) -> Result<(), Denied> {
        if let Some(wait) = self.guesses.wait(&from, now) {
            return Err(Denied::TooOften(wait));
        }
        if given.is_some_and(|given| self.is_token(given)) {
            return self.requests.take((), now).map_err(Denied::TooOften);
        }
        self.guesses.take(from, now).map_err(Denied::TooOften)?;
        Err(Denied::Stranger)
    }

    /// Counts a request of somebody who is logged in.
    pub(super) fn look(&self, now: Instant) -> Result<(), Duration> {
        self.looks.take((), now)
    }

    fn is_token(&self, given: &[u8]) -> bool {
        let given = digest(&SHA256, given);
        verify_slices_are_equal(self.token.as_ref(), given.as_ref()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::BROADCAST);
    const TOKEN: &[u8] = b"0123456789abcdef";

    fn access() -> Access {
        Access::new(&SecretString::from("0123456789abcdef"), 2)
    }

    #[test]
    fn only_the_whole_token_is_the_token() {
        let (access, now) = (access(), Instant::now());

        assert_eq!(access.enter(Some(TOKEN), HERE, now), Ok(()));
        for given in [
            None,
            Some(&b""[..]),
            Some(b"0123456789abcde"),
            Some(b"0123456789abcdef0"),
            Some(b"0123456789ABCDEF"),
            Some(b"0123456789abcdeg"),
        ] {
            assert_eq!(access.enter(given, HERE, now), Err(Denied::Stranger));
        }
    }

    #[test]
    fn who_guesses_too_often_is_not_told_whether_it_was_right() {
        let (access, now) = (access(), Instant::now());
        for _ in 0..100 {
            assert_eq!(
                access.enter(Some(b"guess"), THERE, now),
                Err(Denied::Stranger)
            );
        }

        let denied = access.enter(Some(TOKEN), THERE, now);
        assert!(matches!(denied, Err(Denied::TooOften(_))), "{denied:?}");
        assert_eq!(access.enter(Some(TOKEN), HERE, now), Ok(()), "others are");
        let later = now + Duration::from_secs(1);
        assert_eq!(access.enter(Some(TOKEN), THERE, later), Ok(()));
    }

    #[test]
    fn the_token_itself_may_be_used_so_often() {
        let (access, now) = (access(), Instant::now());
        for _ in 0..20 {
            assert_eq!(access.enter(Some(TOKEN), HERE, now), Ok(()));
        }

        let denied = access.enter(Some(TOKEN), HERE, now);

        assert_eq!(denied, Err(Denied::TooOften(Duration::from_millis(500))));
        assert_eq!(access.look(now), Ok(()), "people are not shut out by it");
    }
}
