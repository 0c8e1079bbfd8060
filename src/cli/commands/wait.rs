//! `avatar-watch wait`: blocks until avatars have settled, for scripts and for people.
//!
//! What is decided goes to standard output, one line an avatar; everything on the way goes to
//! standard error.

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
use crate::cli::output::{line, print_error, print_failure};
use crate::cli::progress_bar::ProgressBars;
use crate::cli::runtime::block_on;
use crate::daemon::clock::SystemClock;
use crate::daemon::ports::{Clock as _, sleep_until};
use crate::daemon::rng::Rng;
use crate::daemon::signals::{StopSignal, Stops};
use crate::daemon::wait_loop::{WaitLoop, WaitUpdate};
use crate::domain::avatar::AvatarId;
use crate::domain::avatar::status::Status;
use crate::domain::polling::forecast::median_duration;
use crate::domain::polling::wait::WaitOutcome;
use crate::domain::time::humanize::humanize;
use crate::domain::time::monotonic::Monotonic;
use crate::telemetry::init::{Outputs, queue_output};
use crate::text::sanitize::sanitize;
use crate::web::problem::json_line;

/// Waits.
pub fn wait(config: Option<&Path>, args: &WaitArgs) -> Exit {
    let plan = match wait_plan(config, args) {
        Ok(plan) => plan,
        Err(exit) => return exit,
    };
    let waited = queue_output().and_then(|outputs| block_on(run_wait(plan, args, outputs))?);
    waited.unwrap_or_else(|error| {
        print_failure(&error);
        Exit::Disk
    })
}

async fn run_wait(plan: WaitPlan, args: &WaitArgs, outputs: Outputs) -> io::Result<Exit> {
    let clock = SystemClock;
    let mut stops = Stops::take()?;
    let chance = Rng::from_entropy()?;
    let (sender, mut reports) = mpsc::channel(REPORTS_MAX);
    let WaitPlan { briefs, ids, labels, lessons } = plan;
    let known = briefs.iter().flat_map(|brief| &brief.known);
    let known = known.map(|watch| (watch.id.clone(), WaitUpdate::begin(watch))).collect();
    let mut waiters = JoinSet::new();
    for brief in briefs {
        let waiter = WaitLoop::new(brief, clock, chance.clone(), sender.clone());
        waiters.spawn(waiter.run());
    }
    drop(sender);
    let begun = clock.monotonic();
    let give_up_at = args.timeout.map(|timeout| begun.plus(timeout));
    let mut board = WaitBoard {
        args,
        ids,
        labels,
        lessons,
        known,
        begun,
        outcomes: HashMap::new(),
        progress: (!args.quiet && io::stderr().is_terminal()).then(|| ProgressBars::new(outputs)),
    };
    let mut refresh_at = begun;
    let exit = loop {
        if let Some(exit) = board.end() {
            break exit;
        }
        select! {
            biased;
            signal = stops.next() => break stopped(signal),
            report = reports.recv() => match report {
                Some(report) => board.take(report),
                None => return Err(io::Error::other("the looks broke off: this is a bug")),
            },
            () = sleep_until(&clock, give_up_at) => board.time_out(),
            () = clock.sleep_until(refresh_at), if board.progress.is_some() => {
                refresh_at = clock.monotonic().plus(REFRESH);
                board.refresh();
            }
        }
    };
    if let Some(progress) = &mut board.progress {
        progress.end_all();
    }
    // Whoever waits for us reads what we found out, in their own time; but a signal goes first.
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

/// What is known while waiting.
struct WaitBoard<'a> {
    args: &'a WaitArgs,
    ids: Vec<AvatarId>,
    labels: HashMap<AvatarId, String>,
    lessons: HashMap<Option<String>, Vec<Duration>>,
    known: HashMap<AvatarId, WaitUpdate>,
    begun: Monotonic,
    outcomes: HashMap<AvatarId, Exit>,
    progress: Option<ProgressBars>,
}

/// The line about an avatar in JSON.
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
    /// The code to exit with, once that is clear.
    fn end(&self) -> Option<Exit> {
        let settled =
            |exit: &&Exit| matches!(exit, Exit::Good | Exit::TrainingFailed | Exit::Refused);
        if let (true, Some(first)) = (self.args.any, self.outcomes.values().find(settled)) {
            return Some(*first);
        }
        let all = self.outcomes.len() == self.ids.len();
        self.outcomes.values().max().filter(|_| all).copied()
    }

    fn take(&mut self, report: WaitUpdate) {
        let (id, verdict) = (report.id.clone(), report.verdict.clone());
        self.known.insert(id.clone(), report);
        match verdict {
            Some(verdict) => self.decide(&id, &verdict),
            // The next refresh shows it.
            None if self.progress.is_some() => {}
            None if !self.args.quiet => {
                print_error(&format!("avatar-watch: {}", self.state(&id)));
            }
            None => {}
        }
    }

    fn decide(&mut self, id: &AvatarId, verdict: &WaitOutcome) {
        let (exit, outcome, word) = match verdict {
            WaitOutcome::Settled(Status::TrainingFailed) => {
                (Exit::TrainingFailed, "training_failed", "TRAINING_FAILED")
            }
            WaitOutcome::Settled(Status::Refused) => (Exit::Refused, "refused", "REFUSED"),
            WaitOutcome::Settled(_) => (Exit::Good, "ready", "IDLE"),
            WaitOutcome::Missing(_) => (Exit::Missing, "missing", "missing"),
            WaitOutcome::KeyRejected(_) => (Exit::KeyRejected, "key_rejected", "key-rejected"),
        };
        let reason = match verdict {
            WaitOutcome::Settled(_) => None,
            WaitOutcome::Missing(reason) | WaitOutcome::KeyRejected(reason) => Some(reason.clone()),
        };
        self.conclude(id, exit, outcome, word, reason);
    }

    /// Gives up on whoever is not decided.
    fn time_out(&mut self) {
        for id in self.ids.clone() {
            if !self.outcomes.contains_key(&id) {
                let known = self.known.get(&id);
                let reason = known.and_then(|it| it.reason.clone().or_else(|| unknown_status(it)));
                let is_seen = known.is_some_and(|known| known.status.is_some());
                let reason = reason.or_else(|| (!is_seen).then(|| UNHEARD.to_owned()));
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
        let text = text.unwrap_or_else(|| format!("{id} {word}"));
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
        let waited = SystemClock.monotonic().since(self.begun);
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

    /// Brings the lines of all that are waited for up to date.
    fn refresh(&mut self) {
        if self.progress.as_ref().is_some_and(|progress| !progress.is_shown()) {
            return;
        }
        let open = self.ids.iter().filter(|id| !self.outcomes.contains_key(*id));
        let open: Vec<AvatarId> = open.take(LINES_MAX).cloned().collect();
        open.iter().for_each(|id| self.show(id));
    }

    fn show(&mut self, id: &AvatarId) {
        let state = self.state(id);
        if let Some(progress) = &mut self.progress {
            progress.show(id, state);
        }
    }

    fn label(&self, id: &AvatarId) -> String {
        let seen = self.known.get(id).and_then(|known| known.name.clone());
        let name = self.labels.get(id).cloned().or(seen);
        name.map_or_else(|| format!("avatar `{id}`"), |name| format!("`{}`", sanitize(&name)))
    }

    /// What is known of an avatar that is waited for, for people.
    fn state(&self, id: &AvatarId) -> String {
        let now = SystemClock.now();
        let label = self.label(id);
        let Some(known) = self.known.get(id) else { return label };
        let status = known.status.as_ref().map(|(status, since)| {
            let lasted = self.progress.is_some().then(|| now.since(*since));
            let lasted = lasted.map(|it| format!(" for {}", humanize(it))).unwrap_or_default();
            match status {
                Status::Unrecognized(_) => format!(
                    "has the unknown status {}{lasted}: nothing is concluded from it",
                    status.display()
                ),
                known => format!("is {known}{lasted}"),
            }
        });
        let is_training = matches!(&known.status, Some((Status::Training, _)));
        let lessons = self.lessons.get(&known.model).filter(|_| is_training);
        let usual = lessons.and_then(|lessons| median_duration(lessons));
        let usual = usual.map(|it| format!(" (usually {})", humanize(it))).unwrap_or_default();
        let reason = known.reason.as_ref();
        let trouble =
            reason.map(|reason| format!("; it cannot be seen just now: {}", sanitize(reason)));
        let status = status.unwrap_or_else(|| "is not seen yet".to_owned());
        format!("{label} {status}{usual}{}", trouble.unwrap_or_default())
    }
}

/// Why the status that was seen decides nothing, if nobody knows it.
fn unknown_status(known: &WaitUpdate) -> Option<String> {
    let (status, _) = known.status.as_ref().filter(|(status, _)| !status.is_recognized())?;
    Some(format!("it has the unknown status {}", status.display()))
}

/// Why nothing at all is known when the time is over.
const UNHEARD: &str = "the API has neither answered nor failed yet: looking up its name, \
                       connecting or its answer takes longer than this wait";
/// Reports that wait to be shown.
const REPORTS_MAX: usize = 64;
/// The pause before it is seen again whether all output was taken.
const READER_PAUSE: Duration = Duration::from_millis(10);
/// How often the progress is brought up to date, and its spinners turn.
const REFRESH: Duration = Duration::from_millis(120);
/// Avatars that the progress shows at once; the others follow when these are decided.
const LINES_MAX: usize = 20;
