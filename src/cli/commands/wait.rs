//! `avatar-watch wait`: blocks until each avatar has a result, or one with `--any`.
//!
//! Results go to standard output, one line per result; progress and failures to standard error.

use std::collections::HashMap;
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tokio::select;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::cli::args::WaitArgs;
use crate::cli::commands::wait_plan::{WaitPlan, wait_plan};
use crate::cli::exit::Exit;
use crate::cli::output::{failed, line, print_error};
use crate::cli::progress_bar::ProgressBars;
use crate::cli::runtime::block_on;
use crate::daemon::clock::SystemClock;
use crate::daemon::ports::{Clock as _, sleep_until};
use crate::daemon::rng::Rng;
use crate::daemon::supervision::signals::{StopSignal, Stops};
use crate::daemon::wait_command::{WaitLoop, WaitUpdate};
use crate::domain::avatar::AvatarId;
use crate::domain::avatar::status::Status;
use crate::domain::avatar::training::{TrainingSample, UsualDuration};
use crate::domain::polling::wait::WaitOutcome;
use crate::domain::status_report::NAME_CHARS_MAX;
use crate::domain::time::humanize::humanize;
use crate::domain::time::monotonic::Monotonic;
use crate::telemetry::init::{Outputs, queue_output};
use crate::text::fold::is_same_name;
use crate::text::sanitize::{is_blank, sanitize, sanitize_line};
use crate::web::http::problem::json_line;

pub(crate) fn wait(config: Option<&Path>, args: &WaitArgs) -> Exit {
    let plan = match wait_plan(config, args) {
        Ok(plan) => plan,
        Err(exit) => return exit,
    };
    let waited = queue_output().and_then(|outputs| block_on(run_wait(plan, args, outputs))?);
    waited.unwrap_or_else(|error| failed(&error, Exit::Disk))
}

async fn run_wait(plan: WaitPlan, args: &WaitArgs, outputs: Outputs) -> io::Result<Exit> {
    let clock = SystemClock;
    let mut stops = Stops::take()?;
    let rng = Rng::from_entropy()?;
    let (sender, mut updates) = mpsc::channel(UPDATES_MAX);
    let WaitPlan { requests, ids, labels, samples } = plan;
    let known = requests.iter().flat_map(|request| &request.watches);
    let known = known.map(|watch| (watch.id.clone(), WaitUpdate::begin(watch))).collect();
    let mut loops = JoinSet::new();
    for request in requests {
        let wait_loop = WaitLoop::new(request, clock, rng.clone(), sender.clone());
        loops.spawn(wait_loop.run());
    }
    drop(sender);
    let started_at = clock.monotonic();
    let deadline = args.timeout.map(|timeout| started_at.plus(timeout));
    let mut board = WaitBoard {
        args,
        ids,
        labels,
        samples,
        known,
        started_at,
        outcomes: HashMap::new(),
        progress: (!args.quiet && io::stderr().is_terminal()).then(|| ProgressBars::new(outputs)),
    };
    let mut refresh_at = started_at;
    let exit = loop {
        if let Some(exit) = board.end() {
            break exit;
        }
        select! {
            biased;
            signal = stops.next() => break stopped(signal),
            update = updates.recv() => match update {
                Some(update) => board.apply(update),
                None => return Err(io::Error::other("polling stopped: this is a bug")),
            },
            () = sleep_until(&clock, deadline) => board.time_out(),
            () = clock.sleep_until(refresh_at), if board.progress.is_some() => {
                refresh_at = clock.monotonic().plus(REFRESH);
                board.refresh();
            }
        }
    };
    if let Some(progress) = &mut board.progress {
        progress.end_all();
    }
    // A reader may be slow: wait until it has read all output, or until a signal.
    while !outputs.output.is_idle() {
        select! {
            biased;
            signal = stops.next() => return Ok(stopped(signal)),
            () = tokio::time::sleep(READER_PAUSE) => {}
        }
    }
    if outputs.output.dropped() > 0 {
        return Err(io::Error::other("the output could not be written"));
    }
    Ok(exit)
}

const fn stopped(signal: StopSignal) -> Exit {
    match signal {
        StopSignal::Interrupt => Exit::Interrupted,
        StopSignal::Terminate => Exit::Terminated,
    }
}

struct WaitBoard<'a> {
    args: &'a WaitArgs,
    ids: Vec<AvatarId>,
    labels: HashMap<AvatarId, String>,
    samples: HashMap<Option<String>, Vec<TrainingSample>>,
    known: HashMap<AvatarId, WaitUpdate>,
    started_at: Monotonic,
    outcomes: HashMap<AvatarId, Exit>,
    progress: Option<ProgressBars>,
}

#[derive(Debug, Serialize)]
struct View<'a> {
    id: &'a str,
    name: Option<&'a str>,
    outcome: &'static str,
    status: Option<&'a str>,
    reason: Option<String>,
    exit_status: u8,
    detected_at: String,
    waited_seconds: f64,
}

impl WaitBoard<'_> {
    /// The exit code, once it is final.
    fn end(&self) -> Option<Exit> {
        let settled =
            |exit: &&Exit| matches!(exit, Exit::Ok | Exit::TrainingFailed | Exit::Refused);
        if let (true, Some(first)) = (self.args.any, self.outcomes.values().find(settled)) {
            return Some(*first);
        }
        let all = self.outcomes.len() == self.ids.len();
        self.outcomes.values().max().filter(|_| all).copied()
    }

    fn apply(&mut self, update: WaitUpdate) {
        let (id, outcome) = (update.id.clone(), update.outcome.clone());
        self.known.insert(id.clone(), update);
        match outcome {
            Some(outcome) => self.decide(&id, &outcome),
            // Shown by the next refresh.
            None if self.progress.is_some() => {}
            None if !self.args.quiet => {
                print_error(&format!("avatar-watch: {}", self.state(&id)));
            }
            None => {}
        }
    }

    fn decide(&mut self, id: &AvatarId, result: &WaitOutcome) {
        let (exit, outcome, word, reason) = match result {
            WaitOutcome::Settled(Status::TrainingFailed) => {
                (Exit::TrainingFailed, "training_failed", "TRAINING_FAILED", None)
            }
            WaitOutcome::Settled(Status::Refused) => (Exit::Refused, "refused", "REFUSED", None),
            WaitOutcome::Settled(_) => (Exit::Ok, "ready", "IDLE", None),
            WaitOutcome::Missing(reason) => (Exit::Missing, "missing", "missing", Some(reason)),
            WaitOutcome::KeyRejected(reason) => {
                (Exit::KeyRejected, "key_rejected", "key-rejected", Some(reason))
            }
        };
        self.conclude(id, exit, outcome, word, reason.cloned());
    }

    fn time_out(&mut self) {
        for id in self.ids.clone() {
            if !self.outcomes.contains_key(&id) {
                let known = self.known.get(&id);
                let reason = known.and_then(|it| it.reason.clone().or_else(|| unknown_status(it)));
                let is_seen = known.is_some_and(|known| known.status.is_some());
                let reason = reason.or_else(|| (!is_seen).then(|| NO_RESPONSE.to_owned()));
                self.conclude(&id, Exit::TimedOut, "timed_out", "timed-out", reason);
            }
        }
    }

    fn conclude(
        &mut self,
        id: &AvatarId,
        exit: Exit,
        outcome: &'static str,
        word: &str,
        reason: Option<String>,
    ) {
        self.outcomes.insert(id.clone(), exit);
        if let Some(progress) = &mut self.progress {
            progress.end(id);
        }
        let why = reason.as_ref().map(|reason| {
            format!("avatar-watch: {} is {word}: {}", self.label(id), sanitize(reason))
        });
        let text = if self.args.json { self.json(id, exit, outcome, reason) } else { None };
        let text = text.unwrap_or_else(|| format!("{}: {word}", self.name(id)));
        let print = || {
            why.iter().for_each(|why| print_error(why));
            line(&text);
        };
        match &self.progress {
            Some(progress) => progress.pause(print),
            None => print(),
        }
    }

    fn json(
        &self,
        id: &AvatarId,
        exit: Exit,
        outcome: &'static str,
        reason: Option<String>,
    ) -> Option<String> {
        let known = self.known.get(id);
        let name = known.and_then(|known| known.name.as_deref());
        let waited = SystemClock.monotonic().since(self.started_at);
        let view = View {
            id: id.as_str(),
            name: self.labels.get(id).map(String::as_str).or(name),
            outcome,
            status: known.and_then(|known| known.status.as_ref()).map(|(status, _)| status.name()),
            reason,
            exit_status: exit.code(),
            detected_at: SystemClock.now().to_string(),
            waited_seconds: waited.as_secs_f64(),
        };
        json_line(&view)
    }

    fn refresh(&mut self) {
        if self.progress.as_ref().is_some_and(|progress| !progress.is_shown()) {
            return;
        }
        let open = self.ids.iter().filter(|id| !self.outcomes.contains_key(*id));
        let open: Vec<AvatarId> = open.take(LINES_MAX).cloned().collect();
        for id in open {
            let state = self.state(&id);
            if let Some(progress) = &mut self.progress {
                progress.show(&id, state);
            }
        }
    }

    /// The name, else the id; with the id if another of these avatars has the same name.
    fn name(&self, id: &AvatarId) -> String {
        let Some(name) = self.shown_name(id) else { return id.to_string() };
        let is_same = |other: &AvatarId| {
            other != id && self.shown_name(other).is_some_and(|other| is_same_name(other, name))
        };
        let is_shared = self.ids.iter().any(is_same);
        let name = sanitize_line(name, NAME_CHARS_MAX);
        if is_shared { format!("{name} ({id})") } else { name }
    }

    fn shown_name(&self, id: &AvatarId) -> Option<&str> {
        let seen = || self.known.get(id).and_then(|known| known.name.as_deref());
        let name = self.labels.get(id).map(String::as_str).or_else(seen);
        name.filter(|name| !is_blank(name))
    }

    fn label(&self, id: &AvatarId) -> String {
        self.shown_name(id).map_or_else(
            || format!("avatar `{id}`"),
            |name| format!("`{}`", sanitize_line(name, NAME_CHARS_MAX)),
        )
    }

    fn state(&self, id: &AvatarId) -> String {
        let now = SystemClock.now();
        let label = self.label(id);
        let Some(known) = self.known.get(id) else { return label };
        let status = known.status.as_ref().map(|(status, since)| {
            let lasted = self.progress.is_some().then(|| now.since(*since));
            let lasted = lasted.map(|it| format!(" for {}", humanize(it))).unwrap_or_default();
            match status {
                Status::Unrecognized(_) => {
                    format!("has the unknown status {}{lasted}, which is ignored", status.display())
                }
                known => format!("is {known}{lasted}"),
            }
        });
        let is_training = matches!(&known.status, Some((Status::Training, _)));
        let samples = self.samples.get(&known.model).filter(|_| is_training);
        let usual = samples.and_then(|samples| UsualDuration::of(samples));
        let usual = usual.map(|it| format!("; usually {it}")).unwrap_or_default();
        let reason = known.reason.as_ref();
        let failure = reason.map(|reason| format!("; last poll failed: {}", sanitize(reason)));
        let status = status.unwrap_or_else(|| "has no known status yet".to_owned());
        format!("{label} {status}{usual}{}", failure.unwrap_or_default())
    }
}

fn unknown_status(known: &WaitUpdate) -> Option<String> {
    let (status, _) = known.status.as_ref().filter(|(status, _)| !status.is_recognized())?;
    Some(format!("it has the unknown status {}", status.display()))
}

/// The reason of a timeout before the first response.
const NO_RESPONSE: &str = "no response from the API within the timeout";
const UPDATES_MAX: usize = 64;
/// The interval between checks whether all output was read.
const READER_PAUSE: Duration = Duration::from_millis(10);
const REFRESH: Duration = Duration::from_millis(120);
/// Avatars to show at once; the others follow when these have settled.
const LINES_MAX: usize = 20;
