//! Reads the body of a response, decoded and truncated.

use std::time::Duration;

use reqwest::Response;

use crate::notify::webhook::response::HttpResponse;

/// Reads the beginning of the body into `result`, within `limit`. Bytes that arrive later or lie
/// beyond the limit are ignored.
pub(in crate::notify) async fn read(
    response: &mut Response,
    result: &mut HttpResponse,
    limit: Duration,
) {
    let mut coded = Vec::new();
    // The bytes that arrived before the timeout are kept.
    let _ = tokio::time::timeout(limit, read_prefix(response, &mut coded)).await;
    result.set_body(&coded);
}

async fn read_prefix(response: &mut Response, coded: &mut Vec<u8>) {
    while coded.len() < CODED_BYTES_MAX
        && let Ok(Some(chunk)) = response.chunk().await
    {
        let free = CODED_BYTES_MAX - coded.len();
        coded.extend_from_slice(&chunk[..chunk.len().min(free)]);
    }
}

const CODED_BYTES_MAX: usize = 64 * 1024;
