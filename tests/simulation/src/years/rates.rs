//! How often things fail in the simulated years: one list of rates, each with the reason for its value.

use crate::provider::GRACE;

/// What can fail, and how often. `Default` is a normal year.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Kills of a process without notice, for each machine and day.
    pub kills_a_day: f64,
    /// Stalls of a process for at least one second, for each machine and day.
    pub stalls_a_day: f64,
    /// Outages of the storage in a year.
    pub outages_a_year: f64,
    /// The share of accesses to storage that do not happen.
    pub storage_dropped: f64,
    /// The share of accesses to storage that happen, and whose answer is lost.
    pub storage_answer_lost: f64,
    /// The share of requests for which no connection to TikTok is made.
    pub not_connected: f64,
    /// The share of requests that are sent and get lost before TikTok acts.
    pub request_lost: f64,
    /// The share of requests on which TikTok acts, and whose answer is lost.
    pub answer_lost: f64,
    /// The share of requests that TikTok answers with HTTP 5xx without acting.
    pub server_error: f64,
    /// The share of requests on which TikTok acts, and that get HTTP 5xx all the same.
    pub server_error_after_acting: f64,
    /// The share of requests that get HTTP 429.
    pub limited: f64,
    /// The share of requests that a gateway answers with a web page.
    pub page: f64,
    /// The share of machines whose clock is wrong by up to ten minutes.
    pub wrong_clocks: f64,
    /// The seconds for which a policy with a grace period still accepts a refresh token after its first use.
    pub grace: u64,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            kills_a_day: 1.0,
            stalls_a_day: 1.0,
            outages_a_year: 12.0,
            storage_dropped: 1e-5,
            storage_answer_lost: 1e-5,
            not_connected: 5e-4,
            request_lost: 5e-5,
            answer_lost: 5e-5,
            server_error: 5e-4,
            server_error_after_acting: 5e-5,
            limited: 5e-4,
            page: 1e-4,
            wrong_clocks: 2e-3,
            grace: GRACE,
        }
    }
}

impl Rates {
    /// Returns rates at which everything fails `factor` times as often.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self {
            kills_a_day: self.kills_a_day * factor,
            stalls_a_day: self.stalls_a_day * factor,
            outages_a_year: self.outages_a_year * factor,
            storage_dropped: self.storage_dropped * factor,
            storage_answer_lost: self.storage_answer_lost * factor,
            not_connected: self.not_connected * factor,
            request_lost: self.request_lost * factor,
            answer_lost: self.answer_lost * factor,
            server_error: self.server_error * factor,
            server_error_after_acting: self.server_error_after_acting * factor,
            limited: self.limited * factor,
            page: self.page * factor,
            wrong_clocks: (self.wrong_clocks * factor).min(1.0),
            grace: self.grace,
        }
    }

    /// Lists each fault with its rate and the reason for the rate, for a page.
    #[must_use]
    pub fn explained(&self) -> Vec<[String; 3]> {
        let share = |share: f64| format!("1 in {}", grouped(1.0 / share));
        let a_day = |rate: f64| format!("{rate} for each machine and day");
        let row = |fault: &str, rate: String, reason: &str| [fault.to_owned(), rate, reason.to_owned()];
        vec![
            row(
                "a process is killed without notice, and starts again after 20 s",
                a_day(self.kills_a_day),
                "Five deploys a day; in one of five the process that refreshes is not drained before its grace period \
                 of 30 s ends, or it ran out of memory or lost its machine.",
            ),
            row(
                "a process stalls for at least 1 s, and longer than N seconds in one case of N, up to 15 min",
                a_day(self.stalls_a_day),
                "Garbage collection, throttled processors, and virtual machines that are moved. So a stall of more \
                 than a minute comes once in two months to a machine.",
            ),
            row(
                "the storage is out for 2 min on average, at most 30 min",
                format!("{} in a year", self.outages_a_year),
                "A managed database fails over in one to two minutes, for patches, too: 24 min a year are 99.995 %.",
            ),
            row(
                "an access to storage does not happen",
                share(self.storage_dropped),
                "A connection that was closed while idle, a pool without a free connection, a deadlock.",
            ),
            row(
                "an access to storage happens, and its answer is lost",
                share(self.storage_answer_lost),
                "The same closed connection, after the statement was sent.",
            ),
            row(
                "no connection to TikTok",
                share(self.not_connected),
                "Names, TCP and TLS over the internet: 99.95 % of the attempts succeed.",
            ),
            row(
                "the request is lost before TikTok acts",
                share(self.request_lost),
                "One request in 10 000 ends with a reset or a time-out. In half of these cases TikTok did not act.",
            ),
            row("TikTok acts, and the answer is lost", share(self.answer_lost), "The other half of these cases."),
            row(
                "TikTok answers HTTP 5xx and did not act",
                share(self.server_error),
                "99.95 % of the answers of a large API are no 5xx.",
            ),
            row(
                "TikTok answers HTTP 5xx and did act",
                share(self.server_error_after_acting),
                "A tenth of the 5xx, for example a gateway that did not wait long enough.",
            ),
            row("HTTP 429", share(self.limited), "TikTok documents no limit for its token host."),
            row("a web page of a gateway", share(self.page), "A firewall, or maintenance."),
            row(
                "the clock of a machine is wrong by up to 10 min, in both directions",
                format!("1 machine in {:.0}", 1.0 / self.wrong_clocks),
                "Time synchronization that has stopped, and that nobody has noticed.",
            ),
        ]
    }
}

/// Formats a whole number. Spaces separate groups of three digits.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let begins_group = |index: usize| index > 0 && (digits.len() - index).is_multiple_of(3);
    let spaced = digits.chars().enumerate().map(|(index, digit)| {
        let space = if begins_group(index) { " " } else { "" };
        format!("{space}{digit}")
    });
    spaced.collect()
}
