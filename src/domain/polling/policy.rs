//! The settings of one watch for one observation, and what is known of its avatar before the first.

use crate::domain::account::AccountName;
use crate::domain::avatar::status::Status;
use crate::domain::avatar::training::UsualDuration;
use crate::domain::config_origin::ConfigOrigin;
use crate::domain::polling::forecast::Forecast;
use crate::domain::polling::interval::PollIntervals;
use crate::domain::polling::overdue::OverdueAfter;
use crate::domain::time::timestamp::Timestamp;

/// The settings of one watch.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy<'a> {
    /// The polling intervals.
    pub intervals: &'a PollIntervals,
    /// Whether a settled avatar is an event if its training was not observed.
    pub infer_unseen_training: bool,
    /// When the request was sent: the response may show the state of that time.
    pub asked_at: Timestamp,
    /// What is known of it before its first poll.
    pub origin: Origin<'a>,
    /// The name that the user gave the avatar, which is shown instead of the API's.
    pub label: Option<&'a str>,
    /// Its account.
    pub account: &'a AccountName,
    /// Its location in the config, for people.
    pub location: Option<&'a ConfigOrigin>,
    /// When a training is overdue.
    pub overdue_after: OverdueAfter,
    /// The usual duration of a training of its model, if known.
    pub usual: Option<UsualDuration>,
    /// When a poll with the account last succeeded.
    pub account_last_success_at: Option<Timestamp>,
    /// The forecast from past trainings of the model.
    pub forecast: Option<&'a Forecast>,
}

/// What is known of an avatar before its first poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin<'a> {
    /// Nothing: the first poll is a baseline.
    Unknown,
    /// Assumed by the config.
    Assumed(&'a Status),
    /// It did not exist: a complete list did not contain it.
    New,
}

impl<'a> Policy<'a> {
    /// A policy with defaults, for a response to a request sent at `asked_at`.
    pub fn new(
        intervals: &'a PollIntervals,
        account: &'a AccountName,
        asked_at: Timestamp,
    ) -> Self {
        Self {
            intervals,
            infer_unseen_training: true,
            asked_at,
            origin: Origin::Unknown,
            label: None,
            account,
            location: None,
            overdue_after: OverdueAfter::Never,
            usual: None,
            account_last_success_at: None,
            forecast: None,
        }
    }
}
