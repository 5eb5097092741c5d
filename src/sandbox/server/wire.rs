//! Requests off the wire and answers onto it: sizes, compression, headers.

use std::io::{Read, Write};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use super::super::pretty::pretty;
use super::super::refusal::Refusal;
use super::{Answer, Incoming};

/// Largest request; more than anything that Salesforce takes (about 50 MB).
const MAX_BODY: usize = 64 << 20;
/// Longest URI, and longest URI with headers (REST guide, status codes 414 and 431).
const MAX_URI: usize = 16_384;

/// Recorded on answers of every kind.
pub(super) const NO_CACHE: &str = "no-cache,must-revalidate,max-age=0,no-store,private";

/// Reads a request to its end, within the bounds that Salesforce has.
pub(super) async fn unpack(request: Request) -> Result<Incoming, Refusal> {
    let (parts, body) = request.into_parts();
    let uri = parts
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    if uri.len() > MAX_URI {
        return Err(
            Refusal::new("URI_TOO_LONG", "The URI is longer than 16,384 bytes").status(414),
        );
    }
    let headers: usize = parts
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    if uri.len() + headers > MAX_URI {
        let message = "The URI and the headers together are longer than 16,384 bytes";
        return Err(Refusal::new("REQUEST_HEADER_FIELDS_TOO_LARGE", message).status(431));
    }
    let too_large =
        |_| Refusal::new("EXCEEDED_MAX_SIZE_REQUEST", "The request is too large").status(413);
    let body = to_bytes(body, MAX_BODY).await.map_err(too_large)?;
    let packed = parts
        .headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|value| value == "gzip");
    Ok(Incoming {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body: if packed { gunzip(&body)? } else { body },
    })
}

fn gunzip(body: &[u8]) -> Result<Bytes, Refusal> {
    let mut plain = Vec::new();
    let limit = u64::try_from(MAX_BODY).unwrap_or(u64::MAX);
    GzDecoder::new(body)
        .take(limit)
        .read_to_end(&mut plain)
        .map_err(|_corrupt| Refusal::bad_json("The request body is not gzip").fields([]))?;
    Ok(plain.into())
}

/// Puts an answer on the wire: headers as recorded, laid out and compressed
/// when the request wants it.
pub(super) fn pack(request: &HeaderMap, answer: Answer) -> Response {
    let Answer { reply, headers } = answer;
    let mut body = reply.body;
    if request
        .get("x-prettyprint")
        .is_some_and(|value| value == "1")
    {
        body = pretty(&body);
    }
    let mut response = Response::builder()
        .status(reply.status)
        .header("x-content-type-options", "nosniff");
    let own_cache = headers.iter().any(|(name, _)| *name == "cache-control");
    for (name, value) in headers {
        response = response.header(name, value);
    }
    if !own_cache {
        response = response.header(header::CACHE_CONTROL, NO_CACHE);
    }
    if let Some(location) = reply.location {
        response = response.header(header::LOCATION, location);
    }
    if !body.is_empty() {
        response = response
            .header(header::CONTENT_TYPE, "application/json;charset=UTF-8")
            .header(header::VARY, "Accept-Encoding");
        if wants_gzip(request) {
            response = response.header(header::CONTENT_ENCODING, "gzip");
            body = gzip(&body);
        }
    }
    response
        .body(Body::from(body))
        .unwrap_or_else(|_| Response::new(Body::empty()))
}

fn wants_gzip(request: &HeaderMap) -> bool {
    let accepts = |value: &HeaderValue| value.to_str().is_ok_and(|value| value.contains("gzip"));
    request.get_all(header::ACCEPT_ENCODING).iter().any(accepts)
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing into memory does not fail.
    encoder
        .write_all(body)
        .and_then(|()| encoder.finish())
        .unwrap_or_default()
}
