//! Routing: which channel gets the events and conditions of which avatar, at the time of the event.

use std::sync::Arc;

use avatar_watch::daemon::config::runtime_config::WatchedAvatar;
use avatar_watch::domain::delivery::channel_name::ChannelName;
use avatar_watch::domain::routing::filter::ChannelFilter;
use avatar_watch::domain::routing::pattern::Pattern;
use avatar_watch::domain::routing::tag::Tag;

use crate::harness::argil::Answer;
use crate::harness::plans::{id, operator, seconds, with_channel};

use super::{Bench, Plan};

fn tag(text: &str) -> Tag {
    Tag::parse(text).unwrap()
}

fn tagged(mut plan: Plan, avatar: &str, text: &str) -> Plan {
    let registration = WatchedAvatar { tags: [tag(text)].into(), ..WatchedAvatar::default() };
    plan.avatars.insert(id(avatar), Arc::new(registration));
    plan
}

fn only(mut plan: Plan, channel: &str, only: ChannelFilter) -> Plan {
    plan.channels.get_mut(&ChannelName::parse(channel).unwrap()).unwrap().only = only;
    plan
}

fn spanish() -> ChannelFilter {
    ChannelFilter { tags: vec![tag("spanish")], ..ChannelFilter::default() }
}

fn patterns(text: &str) -> Vec<Pattern> {
    vec![Pattern::parse(text).unwrap()]
}

impl Bench {
    /// The channels of each delivery, as `avatar: channel`.
    pub(super) fn routes(&self) -> Vec<String> {
        let rows = self.world.reader().deliveries(&Default::default()).unwrap();
        let mut routes: Vec<String> =
            rows.iter().map(|row| format!("{}: {}", row.ordering_key, row.channel)).collect();
        routes.sort();
        routes
    }

    /// Two tagged avatars in training, the channel `ops` for all of them and `team` for some.
    async fn with_team(filter: ChannelFilter) -> Self {
        let mut bench = Self::new();
        bench.api.set_all(&["jane", "joe"], "TRAINING");
        let plan = bench.team_plan(filter);
        bench.run(plan).await;
        bench
    }

    fn team_plan(&self, filter: ChannelFilter) -> Plan {
        let plan = tagged(tagged(self.plan(&[]), "jane", "spanish"), "joe", "french");
        only(with_channel(plan, "team", &self.ops), "team", filter)
    }
}

#[tokio::test]
async fn a_channel_gets_only_the_avatars_that_it_is_for() {
    let bench = Bench::with_team(spanish()).await;
    bench.api.set_all(&["jane", "joe"], "IDLE");
    bench.world.live(seconds(61)).await;
    assert_eq!(bench.routes(), ["jane: ops", "jane: team", "joe: ops"]);
}

#[tokio::test]
async fn the_model_and_the_name_of_the_last_poll_decide() {
    let filter = ChannelFilter {
        models: patterns("*_IMAGE"),
        names: patterns("studio *"),
        ..ChannelFilter::default()
    };
    let bench = Bench::with_team(filter).await;
    bench.api.answer_with(|request| {
        let model = if request.avatar == "jane" { "ARGIL_IMAGE" } else { "ARGIL_V1" };
        let body = serde_json::json!({
            "id": request.avatar, "name": "Studio 1", "status": "IDLE", "model": model,
        });
        Some(Answer::status(200, body.to_string()))
    });
    bench.world.live(seconds(61)).await;
    assert_eq!(bench.routes(), ["jane: ops", "jane: team", "joe: ops"]);
}

#[tokio::test]
async fn a_condition_of_an_avatar_goes_to_the_operator_channels_that_are_for_it() {
    let mut bench = Bench::new();
    let plan = operator(operator(bench.team_plan(spanish()), "team"), "ops");
    bench.api.set_status("jane", "TRAINING");
    bench.run(plan).await;
    bench.world.live(seconds(3600)).await;
    assert_eq!(bench.conditions(), ["avatar.missing joe"]);
    assert_eq!(bench.routes(), ["account argil: ops"]);
    // One event about both goes to either.
    bench.api.remove("jane");
    bench.api.set_status("joe", "TRAINING");
    bench.world.live(seconds(3600)).await;
    assert_eq!(bench.routes().iter().filter(|it| it.ends_with("team")).count(), 1);
}

#[tokio::test]
async fn a_reload_reroutes_later_events_only() {
    let bench = Bench::with_team(spanish()).await;
    bench.api.set_all(&["jane", "joe"], "IDLE");
    bench.world.live(seconds(61)).await;
    let french = ChannelFilter { tags: vec![tag("french")], ..ChannelFilter::default() };
    bench.change(bench.team_plan(french)).await;
    assert_eq!(bench.routes(), ["jane: ops", "jane: team", "joe: ops"]);
    bench.api.set_all(&["jane", "joe"], "TRAINING_FAILED");
    bench.world.live(seconds(7200)).await;
    let later = ["jane: ops", "jane: ops", "jane: team", "joe: ops", "joe: ops", "joe: team"];
    assert_eq!(bench.routes(), later);
}
