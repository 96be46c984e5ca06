//! The order of the steps.

use crate::http::Away;
use crate::report::{Ended, Report};
use crate::session::Session;
use crate::settings::{Risk, Settings};
use crate::world::World;

/// Takes every step that the settings allow. A run that ends early also returns a report, about the steps before.
///
/// # Errors
/// The run could not begin, because this machine can't use TLS.
pub async fn run<W: World>(settings: Settings, world: &mut W) -> Result<Report, Away> {
    let mut session = Session::new(settings, world)?;
    let ended = match session.take_all_steps().await {
        Ok(()) => Ended::Complete,
        Err(ended) => ended,
    };
    session.judge_webhooks();
    Ok(session.into_report(ended))
}

impl<W: World> Session<'_, W> {
    async fn take_all_steps(&mut self) -> Result<(), Ended> {
        // Harmless: invented codes, then reads with a consent of this run.
        self.ask_the_token_host().await?;
        self.see_a_refusal().await?;
        self.consent_first().await?;
        self.read_shops_and_scopes().await?;
        self.make_mistakes().await?;
        // Renewals, as in daily use.
        self.refresh_tokens().await?;
        self.consent_again().await?;
        self.wait_for_an_expired_access_token().await?;
        // From here on, the consent may end.
        if self.settings.risk >= Risk::MayEndConsent {
            self.use_the_refresh_token_of_the_earlier_consent().await?;
            self.send_a_valid_token_with_a_wrong_secret().await?;
            self.replay_refresh_tokens().await?;
        }
        self.wait_for_the_end_of_the_authorization().await?;
        if self.settings.risk >= Risk::EndsConsent {
            self.remove_shops().await?;
        }
        self.wait_for_webhooks().await
    }
}
