//! The token that all requests share: asked for when the first request needs
//! it, used until Salesforce refuses it, then replaced once for everybody.
//!
//! A token tells no end of life (Salesforce Help, "Manage Session Policies":
//! the session ends after idling, and an admin can end it any time), so no
//! clock is looked at.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::login::{self, Login, Session};
use super::wire::Wire;

/// The current session.
pub(super) struct Sessions {
    login: Login,
    /// Held across a login: only one at a time.
    flight: tokio::sync::Mutex<()>,
    /// Never held across an await.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    current: Option<Arc<Session>>,
    /// How many logins have ended, well or not.
    logins: u64,
    /// How the last one failed, if it did.
    failure: Option<Arc<login::Error>>,
}

impl Sessions {
    pub(super) fn new(login: Login) -> Self {
        Self {
            login,
            flight: tokio::sync::Mutex::default(),
            state: Mutex::default(),
        }
    }

    pub(super) fn login(&self) -> &Login {
        &self.login
    }

    /// The session as it is, if there is one.
    pub(super) fn known(&self) -> Option<Arc<Session>> {
        self.state().current.clone()
    }

    /// A session other than the one that was `refused`. Whoever comes while a
    /// login is under way shares its outcome, also a failure: fifty requests
    /// with a wrong password are one login attempt.
    pub(super) async fn session(
        &self,
        wire: &Wire,
        refused: Option<&Arc<Session>>,
    ) -> Result<Arc<Session>, Arc<login::Error>> {
        let logins = {
            let state = self.state();
            if let Some(session) = state.other_than(refused) {
                return Ok(session);
            }
            state.logins
        };
        let _one_at_a_time = self.flight.lock().await;
        {
            let state = self.state();
            if let Some(session) = state.other_than(refused) {
                return Ok(session);
            }
            if let (true, Some(failure)) = (state.logins != logins, &state.failure) {
                return Err(Arc::clone(failure));
            }
        }
        let outcome = self.login.session(wire).await;
        self.state().record(outcome)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn other_than(&self, refused: Option<&Arc<Session>>) -> Option<Arc<Session>> {
        let current = self.current.as_ref()?;
        let usable = refused.is_none_or(|refused| !Arc::ptr_eq(refused, current));
        usable.then(|| Arc::clone(current))
    }

    fn record(
        &mut self,
        outcome: Result<Session, login::Error>,
    ) -> Result<Arc<Session>, Arc<login::Error>> {
        self.logins += 1;
        match outcome {
            Ok(session) => {
                let session = Arc::new(session);
                self.current = Some(Arc::clone(&session));
                self.failure = None;
                Ok(session)
            }
            Err(failure) => {
                // What led here was refused or never there.
                self.current = None;
                let failure = Arc::new(failure);
                self.failure = Some(Arc::clone(&failure));
                Err(failure)
            }
        }
    }
}
