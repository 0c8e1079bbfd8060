//! `/metrics`: the numbers, in the format of `OpenMetrics` for whoever asks for it, else in the
//! older one of Prometheus, which everybody reads.

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE, VARY};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::web::actions::reading;
use crate::web::answer::Problem;
use crate::web::desk::Desk;

/// The route of the numbers.
pub fn routes() -> Router<Desk> {
    Router::new().route("/metrics", get(metrics))
}

async fn metrics(State(desk): State<Desk>, headers: HeaderMap) -> Result<Response, Problem> {
    let measured = reading(&desk, |book| book.measure()).await?;
    let text = desk.metrics.text(&measured);
    let mut accepted = headers.get_all(ACCEPT).iter().filter_map(|it| it.to_str().ok());
    let (kind, text) = if accepted.any(|it| it.contains("application/openmetrics-text")) {
        (OPEN_METRICS, text)
    } else {
        (PROMETHEUS, in_older_format(&text))
    };
    Ok(([(CONTENT_TYPE, kind), (VARY, "accept")], text).into_response())
}

/// `OpenMetrics` 1.0 in the text format 0.0.4: there the name of a counter has its `_total` in the
/// lines about it too, and there are no units and no end.
fn in_older_format(text: &str) -> String {
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

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_counters_are_named_otherwise_in_the_older_format() {
        let open = "# HELP a_polls Polls.\n# TYPE a_polls counter\na_polls_total{x=\"1\"} 1\n\
                    # HELP a_age_seconds Age.\n# TYPE a_age_seconds gauge\n\
                    # UNIT a_age_seconds seconds\na_age_seconds 2.0\n# EOF\n";
        let older = "# HELP a_polls_total Polls.\n# TYPE a_polls_total counter\n\
                     a_polls_total{x=\"1\"} 1\n# HELP a_age_seconds Age.\n\
                     # TYPE a_age_seconds gauge\na_age_seconds 2.0\n";
        assert_eq!(in_older_format(open), older);
    }
}
