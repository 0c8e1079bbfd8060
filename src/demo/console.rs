//! The screen: each thing that happens as one line, through the output queue, so that the tour
//! goes on whether the lines are read or not.

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::time::Duration;

use crate::demo::ledger::Reconciliation;
use crate::demo::scenario::AvatarScript;
use crate::domain::avatar::status::Status;
use crate::domain::delivery::DeliveryState;
use crate::runtime::event_bus::LiveEvent;
use crate::telemetry::output_queue::OutputQueue;

/// Writes lines to standard output.
#[derive(Debug)]
pub struct Console {
    names: HashMap<String, String>,
    colours: bool,
    output: &'static OutputQueue,
}

impl Console {
    /// A screen that knows these avatars by name.
    pub fn new(lives: &[AvatarScript], output: &'static OutputQueue) -> Self {
        let names = lives.iter().map(|life| (life.id.clone(), life.name.clone())).collect();
        let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { names, colours, output }
    }

    /// Says what will be seen.
    pub fn begin(&self, avatars: usize, endless: bool, folder: &str) {
        self.line(&format!(
            "{avatars} avatars are being trained at a simulated Argil. The real daemon polls it, \
             writes\nevery change to SQLite, and tells a real receiver, which checks every \
             signature and\nsends every fifth message away once, to see it repeated. Videos are \
             trained in a minute\nhere; in life it takes hours."
        ));
        let end = if endless { "Ctrl-C ends it." } else { "It ends when all have settled." };
        self.line(&format!("{end} The database is in {folder}.\n"));
    }

    /// Says where the status page is.
    pub fn page(&self, place: Option<SocketAddr>) {
        if let Some(place) = place {
            self.line(&format!("Look at it: http://{place}/\n"));
        }
    }

    /// Shows one thing that happened.
    pub fn show(&self, elapsed: Duration, happening: &LiveEvent) {
        let at = format!("{:>6.1} s", elapsed.as_secs_f64());
        match happening {
            LiveEvent::StatusChanged { transition, event } => {
                let name = self.name(transition.avatar_id.as_str());
                let to = self.status(&transition.status);
                let Some(from) = transition.previous.status() else {
                    self.line(&format!("{at}  {name:<10} {to} (first sight: recorded, not told)"));
                    return;
                };
                let told = match event {
                    Some((id, kind)) => format!("   {kind}  {}", self.faint(id.as_str())),
                    None => " (recorded, not told)".to_owned(),
                };
                self.line(&format!("{at}  {name:<10} {from} → {to}{told}"));
            }
            LiveEvent::AttemptFinished { event_id, avatar_id, attempt, outcome, state, .. } => {
                let name = self.name(avatar_id);
                let id = self.faint(event_id.as_str());
                let text = match state {
                    DeliveryState::Delivered => {
                        format!("delivered on try {attempt}, signature good")
                    }
                    DeliveryState::Pending { .. } => {
                        let code = outcome.code.unwrap_or_default();
                        format!("sent away with {code} on try {attempt}; again in a moment")
                    }
                    DeliveryState::Failed { reason } => format!("given up: {reason}"),
                    DeliveryState::Sending | DeliveryState::Cancelled => state.name().to_owned(),
                };
                self.line(&format!("{at}  {name:<10}   ↳ {text}  {id}"));
            }
        }
    }

    /// Shows how it ended.
    pub fn end(&self, elapsed: Duration, settled: bool, balance: &Reconciliation) {
        let Reconciliation { made, taken, open, faults } = balance;
        self.line(&format!(
            "\nIn {:.1} s the API made news {made} times; the receiver took {taken} of it.",
            elapsed.as_secs_f64()
        ));
        for news in open {
            let (name, from, to) = (self.name(&news.avatar), &news.from, &news.to);
            self.line(&format!("  not taken yet: {name} {from} → {to}"));
        }
        faults.iter().for_each(|fault| self.line(&format!("  wrong: {fault}")));
        match (settled && open.is_empty(), faults.is_empty()) {
            (true, true) => self.line("Each was delivered exactly once, under one id, signed."),
            (false, true) => self.line("Not everything had settled; nothing was wrong so far."),
            (_, false) => self.line("That is not what avatar-watch promises."),
        }
    }

    fn name<'a>(&'a self, id: &'a str) -> &'a str {
        self.names.get(id).map_or(id, String::as_str)
    }

    fn status(&self, status: &Status) -> String {
        let colour = match status {
            Status::Idle => "32",
            Status::Training | Status::NotTrained => "36",
            Status::TrainingFailed | Status::Refused => "31",
            Status::Unrecognized(_) => "35",
        };
        self.paint(colour, status.name())
    }

    fn faint(&self, text: &str) -> String {
        self.paint("2", text)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colours { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn line(&self, text: &str) {
        self.output.push(format!("{text}\n"));
    }
}
