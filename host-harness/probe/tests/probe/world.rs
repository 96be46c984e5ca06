//! A world in which a fake is TikTok Shop, and a seller of the fake decides at once.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use fake_tiktok_shop::{App, Clock, Control, FakeTikTokShop, Options, WebhookState};
use tiktok_shop_connector_core::authorization_link::LinkScheme;
use tiktok_shop_connector_core::credentials::Credentials;
use tiktok_shop_connector_core::secret::AppSecret;
use tiktok_shop_probe::http::Route;
use tiktok_shop_probe::settings::{Refusal, Risk, Settings, Webhooks};
use tiktok_shop_probe::webhook_receiver::{Arrival, WebhookReceiver};
use tiktok_shop_probe::world::{Decision, NoCallback, Stopped, World};
use zeroize::Zeroizing;

pub(crate) struct FakeWorld {
    pub(crate) fake: FakeTikTokShop,
    pub(crate) control: Control,
    pub(crate) app: App,
    pub(crate) seller: String,
    /// The other sellers who decide, by the number of the decision, counted from 0.
    pub(crate) other_sellers: BTreeMap<usize, String>,
    /// Each wait takes this many seconds longer than it should.
    pub(crate) late: u64,
    /// How far the clock of this machine is ahead of TikTok Shop's, in seconds.
    pub(crate) skew: i64,
    pub(crate) receiver: Option<WebhookReceiver>,
    pub(crate) said: Vec<String>,
    /// The state of each consent link.
    pub(crate) states: Vec<String>,
    /// The seller skips the refusal.
    pub(crate) skips_refusal: bool,
    /// The command is stopped after this number of decisions.
    pub(crate) decisions_left: u32,
}

fn local(control: &Control, skew: i64) -> Duration {
    Duration::from_secs(control.now().saturating_add_signed(skew))
}

impl FakeWorld {
    pub(crate) fn new(now: u64, app: usize, seller: &str) -> Self {
        let fake = FakeTikTokShop::start(Options { clock: Clock::fixed(now), ..Options::default() }).unwrap();
        let control = fake.control();
        let app = control.apps()[app].clone();
        Self {
            fake,
            control,
            app,
            seller: seller.to_owned(),
            other_sellers: BTreeMap::new(),
            late: 0,
            skew: 0,
            receiver: None,
            said: Vec::new(),
            states: Vec::new(),
            skips_refusal: false,
            decisions_left: u32::MAX,
        }
    }

    pub(crate) async fn receive_webhooks(&mut self) {
        let (control, skew) = (self.control.clone(), self.skew);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        self.receiver = Some(WebhookReceiver::listen(address, Arc::new(move || local(&control, skew))).await.unwrap());
    }

    pub(crate) fn settings(&self) -> Settings {
        let link = format!("https://services.tiktokshop.com/open/authorize?service_id={}", self.app.service_id);
        Settings {
            app: Credentials {
                app_key: self.app.app_key.clone(),
                app_secret: AppSecret::new(self.app.app_secret.clone()),
                previous_app_secret: None,
                authorization_link: Some(link),
                link_scheme: LinkScheme::Https,
            },
            route: Route::Fake(self.fake.address()),
            risk: Risk::None,
            longest_wait: Duration::ZERO,
            refusal: Refusal::Asked,
            webhooks: if self.receiver.is_some() { Webhooks::Received } else { Webhooks::None },
            app_scopes: Vec::new(),
        }
    }

    /// Sends the webhooks that are due, like TikTok Shop.
    async fn send_due(&self) {
        if let Some(receiver) = &self.receiver {
            self.control.send_webhooks(receiver.address(), "/webhooks").await.unwrap();
        }
    }
}

impl World for FakeWorld {
    fn now(&self) -> Duration {
        local(&self.control, self.skew)
    }

    fn is_stopped(&self) -> bool {
        self.decisions_left == 0
    }

    async fn callback(&mut self, link: &str, decision: Decision) -> Result<Zeroizing<String>, NoCallback> {
        if decision == Decision::Refuse && self.skips_refusal {
            return Err(NoCallback::Skipped);
        }
        let query = link.split_once('?').unwrap().1;
        let parameter = |name: &str| {
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            pairs.find(|(known, _)| known == name).map(|(_, value)| value.into_owned()).unwrap()
        };
        let (service_id, state) = (parameter("service_id"), parameter("state"));
        let decision = match decision {
            Decision::Allow => fake_tiktok_shop::Decision::Allow,
            Decision::Refuse => fake_tiktok_shop::Decision::Refuse,
        };
        let seller = self.other_sellers.get(&self.states.len()).unwrap_or(&self.seller);
        let callback = self.control.consent(&service_id, seller, Some(&state), decision).unwrap();
        self.states.push(state);
        self.decisions_left -= 1;
        Ok(Zeroizing::new(callback))
    }

    async fn wait(&mut self, time: Duration) -> Result<(), Stopped> {
        let until = self.control.now().saturating_add(time.as_secs()).saturating_add(self.late);
        if self.receiver.is_some() {
            // Each webhook is sent at the moment at which it is due.
            loop {
                self.send_due().await;
                let due = self.control.webhooks().into_iter().filter_map(|webhook| match webhook.state {
                    WebhookState::DueAt(at) if at <= until => Some(at),
                    WebhookState::Due | WebhookState::DueAt(_) | WebhookState::Delivered | WebhookState::GivenUp => {
                        None
                    }
                });
                let Some(next) = due.min() else { break };
                self.control.set_now(next);
            }
        }
        self.control.set_now(until);
        self.send_due().await;
        Ok(())
    }

    fn webhooks(&mut self) -> Vec<Arrival> {
        self.receiver.as_ref().map(WebhookReceiver::take).unwrap_or_default()
    }

    fn say(&mut self, text: &str) {
        self.said.push(text.to_owned());
    }
}
