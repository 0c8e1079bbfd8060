//! The figures of a simulation.

use std::collections::BTreeSet;

use crate::simulation::history::History;

/// How much was simulated.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    pub(super) hours: f64,
    pub(super) calm_hours_most: f64,
    pub(super) crashes: usize,
    pub(super) stops: usize,
    pub(super) reloads: usize,
    pub(super) jumps: usize,
    pub(super) polls: usize,
    pub(super) transitions: usize,
    pub(super) conditions: usize,
    pub(super) calls: usize,
    pub(super) deliveries: usize,
    pub(super) dead: usize,
    pub(super) repeats: usize,
}

impl Figures {
    /// Adds what one more seed simulated.
    pub(super) fn add(&mut self, other: &Self, history: &History) {
        self.hours += other.hours;
        self.calm_hours_most = self.calm_hours_most.max(other.calm_hours_most);
        self.crashes += other.crashes;
        self.stops += other.stops;
        self.reloads += other.reloads;
        self.jumps += other.jumps;
        self.polls += history.polls.len();
        self.transitions += history.transitions.len();
        self.conditions += history.conditions.len();
        self.calls += history.calls.len();
        self.deliveries += history.deliveries.len();
        self.dead += history.deliveries.iter().filter(|d| d.row.state == "failed").count();
        let accepted = history.calls.iter().filter(|call| call.accepted);
        let events: BTreeSet<_> =
            accepted.clone().map(|call| (&call.event_id, &call.channel, &call.recipient)).collect();
        self.repeats += accepted.count() - events.len();
    }
}
