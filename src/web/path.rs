//! What stands in a path or behind its question mark, decoded, or a no in our
//! words.

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// The one variable segment of a path. It may hold whatever the app's ids hold,
/// a slash as `%2F` among it.
pub(super) struct Key(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Key {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Ok(Path(key)) = path else {
            return Err(Problem::invalid("the path is not UTF-8, percent-encoded"));
        };
        // Postgres has no text with such a character, and Salesforce none either.
        if key.contains('\0') {
            return Err(Problem::invalid("an id holds no NUL"));
        }
        Ok(Self(key))
    }
}

/// The parameters behind the question mark.
pub(super) struct Parameters<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(rejection) => Err(Problem::invalid(rejection.body_text())),
        }
    }
}
