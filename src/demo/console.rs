//! Console output of the demo: one line for each live event, through the output queue, so that the
//! demo continues whether or not the lines are read.

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

#[derive(Debug)]
pub(super) struct Console {
    names: HashMap<String, String>,
    colours: bool,
    output: &'static OutputQueue,
}

impl Console {
    pub(super) fn new(scripts: &[AvatarScript], output: &'static OutputQueue) -> Self {
        let names = scripts.iter().map(|script| (script.id.clone(), script.name.clone())).collect();
        let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { names, colours, output }
    }

    pub(super) fn begin(&self, avatars: usize, endless: bool, folder: &str) {
        self.line(&format!(
            "A fake Argil API trains {avatars} avatars. The real daemon polls it, writes every \
             transition\nto SQLite, and notifies a receiver, which verifies every signature and \
             rejects every\nfifth message once, to see it repeated. A video training takes a \
             minute here and hours\nin reality."
        ));
        let end =
            if endless { "Ctrl-C ends it." } else { "It ends when all trainings are finished." };
        self.line(&format!("{end} The database is in {folder}.\n"));
    }

    pub(super) fn page(&self, address: Option<SocketAddr>) {
        if let Some(address) = address {
            self.line(&format!("Status page: http://{address}/\n"));
        }
    }

    pub(super) fn show(&self, elapsed: Duration, event: &LiveEvent) {
        let at = format!("{:>6.1} s", elapsed.as_secs_f64());
        match event {
            LiveEvent::StatusChanged { transition, event } => {
                let name = self.name(transition.avatar_id.as_str());
                let to = self.status(&transition.status);
                let Some(from) = transition.previous.status() else {
                    self.line(&format!("{at}  {name:<10} {to} (baseline: recorded, no event)"));
                    return;
                };
                let note = match event {
                    Some((id, kind)) => format!("   {kind}  {}", self.faint(id.as_str())),
                    None => " (recorded, no event)".to_owned(),
                };
                self.line(&format!("{at}  {name:<10} {from} → {to}{note}"));
            }
            LiveEvent::AttemptFinished {
                event_id, ordering_key, attempt, outcome, state, ..
            } => {
                let name = self.name(ordering_key.as_str());
                let id = self.faint(event_id.as_str());
                let text = match state {
                    DeliveryState::Delivered => {
                        format!("delivered on attempt {attempt}, signature valid")
                    }
                    DeliveryState::Pending { .. } => {
                        let code = outcome.code.unwrap_or_default();
                        format!("rejected with {code} on attempt {attempt}; will be retried")
                    }
                    DeliveryState::Dead { reason } => format!("failed: {reason}"),
                    DeliveryState::Sending => state.name().to_owned(),
                };
                self.line(&format!("{at}  {name:<10}   ↳ {text}  {id}"));
            }
        }
    }

    pub(super) fn end(&self, elapsed: Duration, settled: bool, reconciliation: &Reconciliation) {
        let Reconciliation { made, accepted, open, differences } = reconciliation;
        self.line(&format!(
            "\nIn {:.1} s the API made {made} transitions; the receiver accepted {accepted} \
             messages.",
            elapsed.as_secs_f64()
        ));
        for transition in open {
            let (name, from, to) =
                (self.name(&transition.avatar), &transition.from, &transition.to);
            self.line(&format!("  not accepted yet: {name} {from} → {to}"));
        }
        differences.iter().for_each(|difference| self.line(&format!("  wrong: {difference}")));
        match (settled && open.is_empty(), differences.is_empty()) {
            (true, true) => {
                self.line("Each was delivered exactly once, with one id and a valid signature.")
            }
            (false, true) => self.line("Not all trainings were finished; no differences so far."),
            (_, false) => self.line("This is a bug in avatar-watch."),
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
