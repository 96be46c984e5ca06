//! Gives a fake TikTok Shop only credentials that it has shown.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tiktok_shop_fake_client::FakeAddress;
use tiktok_shop_host::TenantId;
use tiktok_shop_host::credentials::{
    AppCredentials, CredentialsError, CredentialsProvider, NotOfFake, check_app_of_fake,
};

use crate::error::BindingError;

/// Asks the fake for its apps, with their secrets.
///
/// # Errors
/// No fake answers at the address (`fake-unavailable`).
pub(crate) async fn apps_of(fake: FakeAddress) -> Result<Vec<AppCredentials>, BindingError> {
    fake.apps().await.map_err(|error| {
        BindingError::settings("fake-unavailable", format!("{error}; start a fake, or correct the option `fake`"))
    })
}

/// Returns the text of the error if a fake has not shown an app. `place` is the place of the app in the list of the
/// tenant's apps, beginning with 1.
pub(crate) fn not_of_fake(why: NotOfFake, place: usize, fake: FakeAddress) -> String {
    let what = match why {
        NotOfFake::UnknownApp => "",
        NotOfFake::OtherSecret => "the secret of ",
    };
    format!(
        "the fake at {fake} has not shown {what}app {place}, so the host does not send the app's secret to this fake; \
         copy the app from the fake's page, or leave out the option `fake`"
    )
}

/// App credentials that go to a fake. Credentials that the fake has not shown are refused.
pub(crate) struct ForFake {
    provider: Arc<dyn CredentialsProvider>,
    fake: FakeAddress,
    /// The apps that the fake has shown.
    shown: Mutex<Arc<[AppCredentials]>>,
}

impl ForFake {
    pub(crate) fn new(provider: Arc<dyn CredentialsProvider>, fake: FakeAddress, shown: Vec<AppCredentials>) -> Self {
        Self { provider, fake, shown: Mutex::new(shown.into()) }
    }

    /// Returns the place of the first app that the fake has not shown, and why it is refused.
    fn refused(&self, apps: &[AppCredentials]) -> Option<(usize, NotOfFake)> {
        let shown = Arc::clone(&self.shown.lock().unwrap_or_else(PoisonError::into_inner));
        (1..).zip(apps).find_map(|(place, app)| check_app_of_fake(app, &shown).err().map(|why| (place, why)))
    }
}

#[async_trait]
impl CredentialsProvider for ForFake {
    async fn apps(&self, tenant: &TenantId) -> Result<Vec<AppCredentials>, CredentialsError> {
        let apps = self.provider.apps(tenant).await?;
        if self.refused(&apps).is_some() {
            // A test may have given the fake another app since.
            let shown = apps_of(self.fake).await.map_err(|error| CredentialsError::Unavailable(error.message))?;
            *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = shown.into();
        }
        match self.refused(&apps) {
            Some((place, why)) => Err(CredentialsError::Refused(not_of_fake(why, place, self.fake))),
            None => Ok(apps),
        }
    }
}

#[cfg(test)]
mod tests {
    use fake_tiktok_shop::{FakeTikTokShop, Options};
    use tiktok_shop_host::credentials::StaticCredentials;

    use super::*;

    #[tokio::test]
    async fn a_host_with_a_fake_uses_only_credentials_that_the_fake_has_shown() {
        let running = FakeTikTokShop::start(Options::default()).unwrap();
        let fake = FakeAddress::of_this_process(running.address()).unwrap();
        let shown = apps_of(fake).await.unwrap();
        let keys: Vec<_> = running.control().apps().into_iter().map(|app| app.app_key).collect();
        assert_eq!(shown.iter().map(|app| app.app_key.clone()).collect::<Vec<_>>(), keys);

        let (tenant, own) = ("acme".parse::<TenantId>().unwrap(), shown[0].clone());
        let real = AppCredentials { app_key: "6realapp00001".to_owned(), ..own.clone() };
        let changed = AppCredentials { app_secret: "the secret of a real app".into(), ..own.clone() };
        let next = "so the host does not send the app's secret to this fake; copy the app from the fake's page, or \
                    leave out the option `fake`";
        let refused =
            |what: &str| Err(CredentialsError::Refused(format!("the fake at {fake} has not shown {what}, {next}")));
        for (app, expected) in [
            (own.clone(), Ok(own.app_key.clone())),
            (real, refused("app 1")),
            (changed, refused("the secret of app 1")),
        ] {
            // The host has asked the fake when it opened, or asks it now.
            for known in [shown.clone(), Vec::new()] {
                let provider = StaticCredentials::new().with(tenant.clone(), app.clone());
                let provider = ForFake::new(Arc::new(provider), fake, known);
                let apps = provider.apps(&tenant).await.map(|apps| apps[0].app_key.clone());
                assert_eq!(apps, expected, "{}", app.app_key);
            }
        }
    }

    #[tokio::test]
    async fn an_address_without_a_fake_is_an_error() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = FakeAddress::of_this_process(listener.local_addr().unwrap()).unwrap();
        drop(listener);
        let error = apps_of(fake).await.unwrap_err();
        let text = format!("no fake TikTok Shop answers at {fake}; start a fake, or correct the option `fake`");
        assert_eq!((error.code, error.message), ("fake-unavailable".to_owned(), text));
    }
}
