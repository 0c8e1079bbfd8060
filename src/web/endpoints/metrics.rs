//! `/metrics`: in the `OpenMetrics` format if `Accept` asks for it, else in the Prometheus text
//! format.

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE, VARY};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};

use crate::web::blocking::with_read_model;
use crate::web::http::list_header::{Element, elements, weight};
use crate::web::http::problem::ProblemDetails;
use crate::web::state::AppState;

pub(in crate::web) fn routes(
    guard: impl Fn(MethodRouter<AppState>) -> MethodRouter<AppState>,
) -> Router<AppState> {
    Router::new().route("/metrics", guard(get(metrics)))
}

async fn metrics(
    State(state): State<AppState>,
    headers: HeaderMap,
) -> Result<Response, ProblemDetails> {
    let snapshot = with_read_model(&state, |model| model.metrics_snapshot()).await?;
    let text = state.metrics.encode(&snapshot);
    let (kind, text) = if wants_open_metrics(&elements(&headers, ACCEPT)) {
        (OPEN_METRICS, text)
    } else {
        (PROMETHEUS, to_prometheus_text(&text))
    };
    Ok(([(CONTENT_TYPE, kind), (VARY, "accept")], text).into_response())
}

/// Whether `Accept` prefers `OpenMetrics`; with equal weights, whether it is named explicitly.
fn wants_open_metrics(accepted: &[Element]) -> bool {
    let (open, older) =
        (weight(accepted, OPENMETRICS_TYPE, "1.0.0"), weight(accepted, PROMETHEUS_TYPE, "0.0.4"));
    let named = accepted.iter().any(|element| element.value.eq_ignore_ascii_case(OPENMETRICS_TYPE));
    open > older || (open == older && open > 0 && named)
}

/// Converts `OpenMetrics` 1.0 to the Prometheus text format 0.0.4: `_total` also in the `HELP` and
/// `TYPE` lines of counters, no `UNIT`, no `EOF`.
fn to_prometheus_text(text: &str) -> String {
    let counters: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut converted = String::with_capacity(text.len());
    for line in text.lines() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        let metadata = line.strip_prefix("# ").and_then(|rest| {
            let (keyword, rest) = rest.split_once(' ')?;
            let (name, rest) = rest.split_once(' ')?;
            counters.contains(&name).then(|| format!("# {keyword} {name}_total {rest}"))
        });
        converted.push_str(metadata.as_deref().unwrap_or(line));
        converted.push('\n');
    }
    converted
}

const OPENMETRICS_TYPE: &str = "application/openmetrics-text";
const PROMETHEUS_TYPE: &str = "text/plain";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_chooses_the_format() {
        let check = |accept: &str, expected: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            assert_eq!(wants_open_metrics(&elements(&headers, ACCEPT)), expected, "{accept}");
        };
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,\
            application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;q=0.3,\
            text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        check(prometheus, true);
        check("application/openmetrics-text", true);
        check("application/openmetrics-text; version=1.0.0, text/plain", true);
        check("application/openmetrics-text;q=0.5, text/plain;q=0.9", false);
        check("application/openmetrics-text;q=0", false);
        check("application/openmetrics-text;q=0, */*", false);
        check("text/plain;q=1, application/openmetrics-text;q=0.1", false);
        check("application/openmetrics-text;version=2.0.0, text/plain;q=0.1", false);
        check("application/json;x=\"application/openmetrics-text\"", false);
        check("application/openmetrics-textual", false);
        check("*/*", false);
        check("", false);
    }

    #[test]
    fn the_text_format_has_total_in_the_metadata_of_counters() {
        let open = "# HELP a_polls Polls.\n# TYPE a_polls counter\na_polls_total{x=\"1\"} 1\n\
                    # HELP a_age_seconds Age.\n# TYPE a_age_seconds gauge\n\
                    # UNIT a_age_seconds seconds\na_age_seconds 2.0\n# EOF\n";
        let older = "# HELP a_polls_total Polls.\n# TYPE a_polls_total counter\n\
                     a_polls_total{x=\"1\"} 1\n# HELP a_age_seconds Age.\n\
                     # TYPE a_age_seconds gauge\na_age_seconds 2.0\n";
        assert_eq!(to_prometheus_text(open), older);
    }
}
