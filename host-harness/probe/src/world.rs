//! What the probe needs from outside: a clock, time that passes, and a person who decides on the consent page.

use std::future::Future;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::webhook_receiver::Arrival;

/// The decision that the probe asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Allow the app.
    Allow,
    /// Refuse the app, so that the probe sees the callback of a refusal. The person may skip this.
    Refuse,
}

/// Why there is no callback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoCallback {
    /// The person has skipped the decision.
    Skipped,
    /// The command was stopped.
    Stopped,
    /// There will be no callback. The text says why.
    Failed(String),
}

/// The command was stopped while the probe waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

/// The surroundings of a run. With a fake, waiting moves the fake's clock.
pub trait World: Send {
    /// Returns the time of this machine since 1970.
    fn now(&self) -> Duration;

    /// Returns whether the command was stopped. The probe begins no further request then.
    fn is_stopped(&self) -> bool;

    /// Asks for a decision on the page at `link`. Returns the query of the callback.
    fn callback(
        &mut self,
        link: &str,
        decision: Decision,
    ) -> impl Future<Output = Result<Zeroizing<String>, NoCallback>> + Send;

    /// Lets this much time pass.
    fn wait(&mut self, time: Duration) -> impl Future<Output = Result<(), Stopped>> + Send;

    /// Returns the webhooks that have arrived since the last call, in the order of their arrival.
    fn webhooks(&mut self) -> Vec<Arrival>;

    /// Tells the person something at once.
    fn say(&mut self, text: &str);
}
