//! The body of an answer: read as far as it comes, without its content codings.

use std::time::Duration;

use reqwest::Response;

use crate::content_coding;
use crate::notify::webhook::response::HttpResponse;

/// Reads the body into an answer whose head has come. What does not come in time is left out, and
/// so is all behind the beginning: what an answer says, it says early.
pub(in crate::notify) async fn read(
    response: &mut Response,
    answer: &mut HttpResponse,
    patience: Duration,
) {
    let mut coded = Vec::new();
    // What came until then is kept.
    let _ = tokio::time::timeout(patience, read_prefix(response, &mut coded)).await;
    let codings: Vec<String> = {
        let named = answer.headers.iter().filter(|(name, _)| name == CONTENT_ENCODING);
        named.map(|(_, value)| value.clone()).collect()
    };
    match content_coding::decode(codings.iter().map(String::as_str), &coded, DECODED_BYTES_MAX) {
        Ok(decoded) => answer.body_prefix = decoded.bytes,
        Err(error) => answer.decode_error = Some(error.to_string()),
    }
}

async fn read_prefix(response: &mut Response, coded: &mut Vec<u8>) {
    while coded.len() < CODED_BYTES_MAX
        && let Ok(Some(chunk)) = response.chunk().await
    {
        let room = CODED_BYTES_MAX - coded.len();
        coded.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
}

const CONTENT_ENCODING: &str = "content-encoding";
const CODED_BYTES_MAX: usize = 64 * 1024;
const DECODED_BYTES_MAX: usize = 64 * 1024;
