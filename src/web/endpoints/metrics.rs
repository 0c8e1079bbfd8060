//! `/metrics`: the numbers, in the format of `OpenMetrics` for whoever asks for it, else in the
//! older one of Prometheus, which everybody reads.

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE, VARY};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};

use crate::web::actions::with_read_model;
use crate::web::list_header::{Element, elements, weight};
use crate::web::problem::ProblemDetails;
use crate::web::state::AppState;

/// The route of the numbers.
pub fn routes(
    guard: impl Fn(MethodRouter<AppState>) -> MethodRouter<AppState>,
) -> Router<AppState> {
    Router::new().route("/metrics", guard(get(metrics)))
}

async fn metrics(
    State(desk): State<AppState>,
    headers: HeaderMap,
) -> Result<Response, ProblemDetails> {
    let measured = with_read_model(&desk, |book| book.measure()).await?;
    let text = desk.metrics.text(&measured);
    let (kind, text) = if wants_open_metrics(&elements(&headers, ACCEPT)) {
        (OPEN_METRICS, text)
    } else {
        (PROMETHEUS, to_prometheus_text(&text))
    };
    Ok(([(CONTENT_TYPE, kind), (VARY, "accept")], text).into_response())
}

/// Whether `OpenMetrics` is wanted more than the older format; where both are wanted alike, whether
/// it was named.
fn wants_open_metrics(accepted: &[Element]) -> bool {
    let (open, older) =
        (weight(accepted, OPENMETRICS_TYPE, "1.0.0"), weight(accepted, PROMETHEUS_TYPE, "0.0.4"));
    let named = accepted.iter().any(|element| element.value.eq_ignore_ascii_case(OPENMETRICS_TYPE));
    open > older || (open == older && open > 0 && named)
}

/// `OpenMetrics` 1.0 in the text format 0.0.4: there the name of a counter has its `_total` in the
/// lines about it too, and there are no units and no end.
fn to_prometheus_text(text: &str) -> String {
    let counters: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut older = String::with_capacity(text.len());
    for line in text.lines() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        let about = line.strip_prefix("# ").and_then(|rest| {
            let (word, rest) = rest.split_once(' ')?;
            let (name, rest) = rest.split_once(' ')?;
            counters.contains(&name).then(|| format!("# {word} {name}_total {rest}"))
        });
        older.push_str(about.as_deref().unwrap_or(line));
        older.push('\n');
    }
    older
}

const OPENMETRICS_TYPE: &str = "application/openmetrics-text";
const PROMETHEUS_TYPE: &str = "text/plain";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_the_one_that_is_wanted_more() {
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
    fn only_counters_are_named_otherwise_in_the_older_format() {
        let open = "# HELP a_polls Polls.\n# TYPE a_polls counter\na_polls_total{x=\"1\"} 1\n\
                    # HELP a_age_seconds Age.\n# TYPE a_age_seconds gauge\n\
                    # UNIT a_age_seconds seconds\na_age_seconds 2.0\n# EOF\n";
        let older = "# HELP a_polls_total Polls.\n# TYPE a_polls_total counter\n\
                     a_polls_total{x=\"1\"} 1\n# HELP a_age_seconds Age.\n\
                     # TYPE a_age_seconds gauge\na_age_seconds 2.0\n";
        assert_eq!(to_prometheus_text(open), older);
    }
}
