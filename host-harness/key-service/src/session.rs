//! Logs in to the key service, renews the token's lease before the lease ends, and logs in again after it has ended.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tiktok_shop_host::Secret;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};
use zeroize::Zeroize as _;

use crate::auth::{Auth, Credentials};
use crate::client::{ApiRequest, Client, Repeat};
use crate::error::ServiceError;

/// How long the host waits before it tries again to renew a token, if the renewal failed.
const RETRY_RENEWAL: Duration = Duration::from_secs(10);
/// How often the host looks whether a token needs renewal, if the token never ends.
const IDLE: Duration = Duration::from_secs(60);
/// If the service has refused a new token as well, the host does not log in again for this time when a request is
/// refused. The reason for such a refusal is a policy, and not the token.
const LOGIN_PAUSE: Duration = Duration::from_secs(10);

/// A token and the end of its lease.
#[derive(Clone)]
struct Lease {
    token: Secret,
    is_renewable: bool,
    /// The time for which the service granted the token at the login. Zero if the token never ends.
    granted: Duration,
    /// When the token ends. `None` if it never ends, or if the end is unknown.
    ends: Option<Instant>,
    /// When the host renews the token. `None` if the token never ends.
    renew_at: Option<Instant>,
}

impl Lease {
    fn new(token: Secret, duration: Duration, is_renewable: bool) -> Self {
        let now = Instant::now();
        // The fraction is random, so that the hosts of a fleet do not all renew at the same moment.
        let renewal = duration.mul_f64(0.6 + fastrand::f64() / 10.0);
        Self {
            token,
            is_renewable,
            granted: duration,
            ends: (!duration.is_zero()).then(|| now + duration),
            renew_at: (!duration.is_zero()).then(|| now + renewal),
        }
    }

    fn has_ended(&self) -> bool {
        self.ends.is_some_and(|end| end <= Instant::now())
    }
}

/// The answer of a login or of a renewal.
#[derive(Deserialize)]
struct Granted {
    auth: GrantedToken,
}

#[derive(Deserialize)]
struct GrantedToken {
    client_token: String,
    lease_duration: u64,
    renewable: bool,
}

/// The token of a host, which all requests share.
pub(crate) struct Session {
    client: Arc<Client>,
    auth: Auth,
    lease: Mutex<Option<Lease>>,
    /// The latest time at which the service refused a request again after a new login.
    refused_again_at: Mutex<Option<Instant>>,
    /// A task holds this lock while it logs in or renews the token.
    turn: tokio::sync::Mutex<()>,
    /// The task that renews the token.
    renewal: Mutex<Option<AbortHandle>>,
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.renewal).take() {
            task.abort();
        }
    }
}

impl Session {
    pub(crate) fn new(client: Arc<Client>, auth: Auth) -> Arc<Self> {
        let (turn, renewal) = (tokio::sync::Mutex::default(), Mutex::default());
        let (lease, refused_again_at) = (Mutex::default(), Mutex::default());
        Arc::new(Self { client, auth, lease, refused_again_at, turn, renewal })
    }

    pub(crate) const fn auth(&self) -> &Auth {
        &self.auth
    }

    /// Returns the token. Logs in if there is no token yet, or if the token has ended.
    pub(crate) async fn token(self: &Arc<Self>) -> Result<Secret, ServiceError> {
        if let Some(token) = self.valid_token() {
            return Ok(token);
        }
        let _turn = self.turn.lock().await;
        if let Some(token) = self.valid_token() {
            return Ok(token);
        }
        self.log_in().await
    }

    /// Returns another token after the service has refused a request with the token `refused`. Returns `None` if
    /// another token would not help, for example because the service accepts the token, but not the request.
    pub(crate) async fn after_refusal(self: &Arc<Self>, refused: &Secret) -> Result<Option<Secret>, ServiceError> {
        let _turn = self.turn.lock().await;
        let current = lock(&self.lease).clone();
        let Some(lease) = current else { return self.log_in().await.map(Some) };
        if lease.token != *refused {
            return Ok(Some(lease.token));
        }
        let refused_again_at = *lock(&self.refused_again_at);
        if !self.auth.can_log_in_again() || refused_again_at.is_some_and(|at| at.elapsed() < LOGIN_PAUSE) {
            return Ok(None);
        }
        match self.look_up(refused).await {
            Ok(_accepted) => Ok(None),
            Err(ServiceError::Denied { .. }) => self.log_in().await.map(Some),
            Err(error) => Err(error),
        }
    }

    /// Notes that the service has refused a request again, although the host has logged in again.
    pub(crate) fn was_refused_again(&self) {
        *lock(&self.refused_again_at) = Some(Instant::now());
    }

    fn valid_token(self: &Arc<Self>) -> Option<Secret> {
        let lease = lock(&self.lease).clone()?;
        self.keep_renewing();
        (!lease.has_ended()).then_some(lease.token)
    }

    /// Gets a new token. The caller must hold the lock `turn`.
    async fn log_in(self: &Arc<Self>) -> Result<Secret, ServiceError> {
        let lease = match self.auth.credentials().await? {
            Credentials::Token(token) => match self.look_up(&token).await {
                Ok(data) => {
                    let ttl = data.get("ttl").and_then(Value::as_u64).unwrap_or_default();
                    let is_renewable = data.get("renewable").and_then(Value::as_bool).unwrap_or_default();
                    Lease::new(token, Duration::from_secs(ttl), is_renewable)
                }
                // The token is wrong, or its policies do not allow it to look itself up. The next request shows which
                // of these two reasons is true.
                Err(ServiceError::Denied { .. }) => Lease::new(token, Duration::ZERO, false),
                Err(error) => return Err(error),
            },
            Credentials::Login { path, mut body } => {
                let answer =
                    self.ask(&path, None, &body, Repeat::IfUnsent).await.map_err(|error| self.refused(error, &path));
                forget_texts(&mut body);
                lease(answer?)?
            }
        };
        let token = lease.token.clone();
        *lock(&self.lease) = Some(lease);
        self.keep_renewing();
        Ok(token)
    }

    /// Converts the error of a login request to this path. If the service refused the login, the result says so.
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other error says itself what is wrong")]
    fn refused(&self, error: ServiceError, path: &str) -> ServiceError {
        let method = self.auth.method();
        match error {
            ServiceError::Denied { .. } => ServiceError::LoginRefused { method, why: "permission denied".to_owned() },
            ServiceError::Failed { status: 400, why } => ServiceError::LoginRefused { method, why },
            ServiceError::NoMount(_) => ServiceError::NoAuthMount(path.trim_end_matches("/login").to_owned()),
            error => error,
        }
    }

    /// Renews the lease of the token. If the service refuses the renewal, or grants less than half of the time that it
    /// granted at the login, logs in again if this is possible.
    async fn renew(self: &Arc<Self>) -> Result<(), ServiceError> {
        let _turn = self.turn.lock().await;
        let current = lock(&self.lease).clone();
        let Some(current) = current else { return self.log_in().await.map(drop) };
        if current.renew_at.is_none_or(|at| at > Instant::now()) {
            return Ok(()); // A request has logged in meanwhile.
        }
        if current.is_renewable && !current.has_ended() {
            match self.ask("auth/token/renew-self", Some(&current.token), &json!({}), Repeat::Always).await {
                Ok(answer) => {
                    let mut renewed = lease(answer)?;
                    let is_near_its_end = renewed.granted < current.granted / 2;
                    renewed.granted = current.granted;
                    *lock(&self.lease) = Some(renewed);
                    if !(is_near_its_end && self.auth.can_log_in_again()) {
                        return Ok(());
                    }
                }
                Err(error) if error.is_transient() || error == ServiceError::Sealed => return Err(error),
                Err(error) if !self.auth.can_log_in_again() => return Err(error),
                Err(_refused) => {}
            }
        } else if !self.auth.can_log_in_again() {
            return Ok(()); // The host can do nothing for this token. Requests use it until it ends.
        }
        self.log_in().await.map(drop)
    }

    /// Asks the service for the properties of a token, such as its remaining time.
    async fn look_up(&self, token: &Secret) -> Result<Value, ServiceError> {
        let request = ApiRequest {
            method: Method::GET,
            path: "auth/token/lookup-self",
            token: Some(token),
            body: None,
            repeat: Repeat::Always,
            asker: self.auth.method(),
        };
        let answer = self.client.send(&request).await?;
        answer.get("data").cloned().ok_or(ServiceError::Malformed("a token has no data"))
    }

    async fn ask(
        &self,
        path: &str,
        token: Option<&Secret>,
        body: &Value,
        repeat: Repeat,
    ) -> Result<Value, ServiceError> {
        let (method, asker) = (Method::POST, self.auth.method());
        self.client.send(&ApiRequest { method, path, token, body: Some(body), repeat, asker }).await
    }

    /// Starts the task that renews the token, unless this task is already running.
    fn keep_renewing(self: &Arc<Self>) {
        let mut task = lock(&self.renewal);
        if task.as_ref().is_none_or(AbortHandle::is_finished) {
            *task = Some(tokio::spawn(keep_renewing(Arc::downgrade(self))).abort_handle());
        }
    }

    /// Returns how long the task waits before it renews the token.
    fn until_renewal(&self) -> Duration {
        let renew_at = lock(&self.lease).as_ref().and_then(|lease| lease.renew_at);
        renew_at.map_or(IDLE, |at| at.saturating_duration_since(Instant::now()))
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("auth", &self.auth).finish_non_exhaustive()
    }
}

/// Renews the token again and again, until the session is dropped.
async fn keep_renewing(session: Weak<Session>) {
    while let Some(wait) = session.upgrade().map(|session| session.until_renewal()) {
        sleep(wait).await;
        let Some(session) = session.upgrade() else { return };
        let renewed = session.renew().await;
        if let Err(error) = &renewed {
            tracing::warn!(address = session.client.authority(), "the key service's token was not renewed: it {error}");
        }
        let is_due_again = session.until_renewal().is_zero();
        drop(session);
        if renewed.is_err() || is_due_again {
            sleep(RETRY_RENEWAL).await;
        }
    }
}

fn lease(answer: Value) -> Result<Lease, ServiceError> {
    let granted = serde_json::from_value(answer).map_err(|_| ServiceError::Malformed("a login has no token"));
    let Granted { auth: GrantedToken { client_token, lease_duration, renewable } } = granted?;
    Ok(Lease::new(Secret::from(client_token), Duration::from_secs(lease_duration), renewable))
}

/// Zeroes the texts of a login, which contain a secret.
fn forget_texts(body: &mut Value) {
    for member in body.as_object_mut().into_iter().flat_map(serde_json::Map::values_mut) {
        if let Value::String(text) = member {
            text.zeroize();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
