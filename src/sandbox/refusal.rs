//! What Salesforce says when it does not do what was asked: a status, a code,
//! a sentence, and sometimes the fields it is about.
//!
//! The same refusal is printed in two ways: with `errorCode` as the answer to
//! a call, with `statusCode` as the result of one record of a collection.

use std::borrow::Cow;

use serde_json::json;

/// One entry of an error array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: Cow<'static, str>,
    pub(crate) message: String,
    /// `None`: the answer to a single call has no such key.
    pub(crate) fields: Option<Vec<String>>,
}

impl Refusal {
    /// A refusal of a record's content: status 400.
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: 400,
            code: Cow::Borrowed(code),
            message: message.into(),
            fields: None,
        }
    }

    /// The same with another status.
    pub(crate) fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Names the fields that are at fault.
    pub(crate) fn fields<'a>(mut self, fields: impl IntoIterator<Item = &'a str>) -> Self {
        self.fields = Some(fields.into_iter().map(str::to_owned).collect());
        self
    }

    /// No such object, row or path, or none that the user may see.
    pub(crate) fn not_found() -> Self {
        Self::new("NOT_FOUND", "The requested resource does not exist").status(404)
    }

    /// The row lies in the recycle bin.
    pub(crate) fn deleted() -> Self {
        Self::new("ENTITY_IS_DELETED", "entity is deleted")
            .status(404)
            .fields([])
    }

    /// A well-formed id that leads to no row.
    pub(crate) fn no_such_id() -> Self {
        Self::new("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
            .status(404)
            .fields([])
    }

    /// The user's rights do not reach that far.
    pub(crate) fn no_right() -> Self {
        Self::new(
            "INSUFFICIENT_ACCESS_OR_READONLY",
            "insufficient access rights on object id",
        )
        .fields([])
    }

    /// A verb that the path does not take.
    pub(crate) fn method(method: &str, allowed: &str) -> Self {
        Self::new(
            "METHOD_NOT_ALLOWED",
            format!("HTTP Method '{method}' not allowed. Allowed are {allowed}"),
        )
        .status(405)
    }

    /// A body that is no JSON, or JSON of another shape.
    pub(crate) fn bad_json(message: impl Into<String>) -> Self {
        Self::new("JSON_PARSER_ERROR", message)
    }

    /// The array that answers a call. The keys stand in the order that was
    /// recorded: the code comes first only where a resource is missing.
    pub(crate) fn to_body(&self) -> Vec<u8> {
        let code = json!(self.code);
        let message = json!(self.message);
        let mut text = if self.code == "NOT_FOUND" && self.message.starts_with("The requested") {
            format!("[{{\"errorCode\":{code},\"message\":{message}")
        } else {
            format!("[{{\"message\":{message},\"errorCode\":{code}")
        };
        if let Some(fields) = &self.fields {
            text += ",\"fields\":";
            text += &json!(fields).to_string();
        }
        text += "}]";
        text.into_bytes()
    }

    /// One result of a collection: `statusCode`, and `fields` always there.
    pub(crate) fn write_result(&self, id: Option<&str>, out: &mut Vec<u8>) {
        out.push(b'{');
        if let Some(id) = id {
            out.extend_from_slice(b"\"id\":\"");
            out.extend_from_slice(id.as_bytes());
            out.extend_from_slice(b"\",");
        }
        let fields = self.fields.as_deref().unwrap_or_default();
        out.extend_from_slice(
            format!(
                "\"success\":false,\"errors\":[{{\"statusCode\":{},\"message\":{},\"fields\":{}}}]}}",
                json!(self.code),
                json!(self.message),
                json!(fields)
            )
            .as_bytes(),
        );
    }
}
