//! Authenticates the caller of the API. A handler can reach a tenant only through [`Allowed`], which names the scope
//! that the handler needs. So no handler can forget the check.

use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, HeaderName};
use tiktok_shop_host::events::{Actor, StatedReason};
use tiktok_shop_host::{ConnectorHost, TenantId};
use tokio::sync::OwnedSemaphorePermit;

use crate::api_key::{ApiKey, ApiKeyEntry, Scope};
use crate::problem::Problem;
use crate::state::Shared;

/// The header in which a caller states a reason, for example the number of a support case.
const REASON: HeaderName = HeaderName::from_static("x-reason");

/// A scope that a handler needs.
pub(crate) trait Needs: Send + Sync {
    const SCOPE: Scope;
}

macro_rules! needs {
    ($($name:ident),*) => {
        $(
            /// The handler needs the scope of this name.
            pub(crate) struct $name;

            impl Needs for $name {
                const SCOPE: Scope = Scope::$name;
            }
        )*
    };
}

needs!(Connect, Read, Call, Token, Admin);

/// A caller with a known API key, whose request its limits have admitted.
pub(crate) struct Admitted {
    key: ApiKey,
    entry: ApiKeyEntry,
    /// The request counts as running until this value is dropped.
    _running: OwnedSemaphorePermit,
}

impl Admitted {
    /// Authenticates the caller, and counts the request.
    pub(crate) fn of(parts: &Parts, state: &Shared) -> Result<Self, Problem> {
        let key = presented_key(parts).ok_or_else(Problem::unauthenticated)?;
        let place = state.keys.find(&key).ok_or_else(Problem::unauthenticated)?;
        let (entry, limits) =
            state.keys.entries().nth(place).zip(state.limits.get(place)).ok_or_else(Problem::internal)?;
        let running = limits.admit().map_err(Problem::limited)?;
        Ok(Self { key, entry: entry.clone(), _running: running })
    }

    pub(crate) const fn key(&self) -> &ApiKey {
        &self.key
    }

    pub(crate) const fn tenant(&self) -> &TenantId {
        &self.entry.tenant
    }
}

/// A caller whose API key has the scope `S`.
pub(crate) struct Allowed<S: Needs> {
    /// The tenant of the key. A caller can't name another tenant.
    pub(crate) tenant: TenantId,
    /// The name of the key.
    pub(crate) actor: Actor,
    /// The host, which names the key and the stated reason in the events of its calls.
    pub(crate) host: ConnectorHost,
    admitted: Arc<Admitted>,
    needs: PhantomData<S>,
}

impl<S: Needs> Allowed<S> {
    /// Makes a call on a task of its own, as [`State::run`](crate::state::State::run) does. The request counts as
    /// running until the call has ended, even if the client goes away before. So the number of running calls stays
    /// within the limit of the key. Afterwards, wakes the tasks that send the events of the call to the platform, also
    /// if the client has gone away.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        state: &Shared,
        call: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Problem> {
        let admitted = Arc::clone(&self.admitted);
        // A signed call can cause an event, too, but almost none does, and there are too many of them.
        let may_cause_events = matches!(S::SCOPE, Scope::Connect | Scope::Token | Scope::Admin);
        let (shared, tenant) = (state.clone(), self.tenant.clone());
        let counted = async move {
            let _admitted = admitted;
            let answer = call.await;
            if may_cause_events {
                shared.outgoing.wake(&tenant);
            }
            answer
        };
        state.run(counted).await
    }
}

impl<S: Needs> FromRequestParts<Shared> for Allowed<S> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, Problem> {
        // A request with an idempotency key was admitted before.
        let admitted = match parts.extensions.get::<Arc<Admitted>>() {
            Some(admitted) => Arc::clone(admitted),
            None => Arc::new(Admitted::of(parts, state)?),
        };
        let entry = &admitted.entry;
        if !entry.scopes.contains(&S::SCOPE) {
            return Err(Problem::scope_missing(S::SCOPE));
        }
        tracing::Span::current().record("tenant", entry.tenant.as_str()).record("actor", entry.name.as_str());
        let host = state.host.acting_as(entry.name.clone());
        let host = match stated_reason(&parts.headers)? {
            Some(reason) => host.because(reason),
            None => host,
        };
        Ok(Self { tenant: entry.tenant.clone(), actor: entry.name.clone(), host, admitted, needs: PhantomData })
    }
}

/// Returns the reason that the caller states. The header may be missing, and must not occur twice. It is ASCII, because
/// clients and proxies do not agree on the encoding of other texts in a header.
fn stated_reason(headers: &HeaderMap) -> Result<Option<StatedReason>, Problem> {
    let mut values = headers.get_all(REASON).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    let malformed =
        || Problem::invalid_parameter("X-Reason: not one text of 1 to 256 visible ASCII characters and spaces");
    text.and_then(|text| text.parse().ok()).map(Some).ok_or_else(malformed)
}

/// Returns the API key of the header `Authorization`. The header must occur once.
fn presented_key(parts: &Parts) -> Option<ApiKey> {
    let mut values = parts.headers.get_all(AUTHORIZATION).iter();
    let value = values.next().filter(|_| values.next().is_none())?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") { ApiKey::parse(key.trim()) } else { None }
}
