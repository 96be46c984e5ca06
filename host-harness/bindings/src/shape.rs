//! The JSON of results. The members have the names that the service's API uses. `None` becomes `null`. No result
//! contains a cipher. Only `access-token` and `export-grant` contain tokens.

use serde_json::{Value, json};
use tiktok_shop_host::access_token::ValidToken;
use tiktok_shop_host::call::CallResponse;
use tiktok_shop_host::connection::{Connection, ConnectionKey, PastFailure, ReauthorizationReason, Shop, UnixSeconds};
use tiktok_shop_host::disconnect::{Disconnected, NotRevoked, SharedConnections};
use tiktok_shop_host::events::{Actor, Cause, Event, EventValues, StatedReason};
use tiktok_shop_host::existing_grant::ExistingGrant;
use tiktok_shop_host::install::PendingInstall;
use tiktok_shop_host::refresh::{RefreshEffect, Refreshed};
use tiktok_shop_host::storage::Due;
use tiktok_shop_host::sweep::{AccessTokenState, SweepOutcome, Swept};
use tiktok_shop_host::webhook::Webhook;
use tiktok_shop_host::{AccountId, AppKey, HostKeyId, Secret, ShopId};

use crate::error::BindingError;

fn seconds(at: Option<UnixSeconds>) -> Option<u64> {
    at.map(|at| at.0)
}

pub(crate) fn connection(connection: &Connection) -> Value {
    let shops = connection.shops.iter().map(|one| shop(one, connection.allows(one)));
    json!({
        "customer": connection.key.customer.as_str(),
        "account": connection.key.account.as_str(),
        "app": connection.app.as_ref().map(AppKey::as_str),
        "seller_name": connection.seller_name,
        "seller_base_region": connection.seller_base_region,
        "granted_scopes": connection.granted_scopes,
        "shop_policy": connection.shop_policy.as_str(),
        "status": connection.status.as_str(),
        "reason": connection.status.reason().map(ReauthorizationReason::as_str),
        "ends_at": seconds(connection.status.ends_at()),
        "access_expires_at": seconds(connection.access_expires_at),
        "refresh_expires_at": seconds(connection.refresh_expires_at),
        "authorization_ends_at": seconds(connection.authorization_ends_at),
        "connected_at": connection.connected_at.0,
        "granted_at": connection.granted_at.0,
        "refreshed_at": connection.refreshed_at.0,
        "shops_synced_at": seconds(connection.shops_synced_at),
        "shops": shops.collect::<Vec<_>>(),
        "last_failure": connection.last_failure.as_ref().map(past_failure),
    })
}

pub(crate) fn shop(shop: &Shop, usable: bool) -> Value {
    json!({
        "id": shop.id.as_str(),
        "account": shop.account.as_str(),
        "app": shop.app.as_ref().map(AppKey::as_str),
        "name": shop.name,
        "region": shop.region,
        "seller_type": shop.seller_type,
        "code": shop.code,
        "standing": shop.standing.as_str(),
        "linked": shop.linked,
        "usable": usable,
        "has_cipher": shop.cipher.is_some(),
        "raw": shop.raw,
    })
}

fn past_failure(PastFailure { at, failure }: &PastFailure) -> Value {
    json!({
        "at": at.0,
        "code": failure.code,
        "detail": failure.detail,
        "tiktok_http_status": failure.http_status,
        "tiktok_request_id": failure.request_id,
    })
}

pub(crate) fn connection_key(key: &ConnectionKey) -> Value {
    json!({ "customer": key.customer.as_str(), "account": key.account.as_str() })
}

pub(crate) fn pending_install(pending: &PendingInstall) -> Value {
    let shops = pending.shops.iter().map(|shop| {
        json!({
            "id": shop.id.as_str(),
            "name": shop.name,
            "region": shop.region,
            "seller_type": shop.seller_type,
            "code": shop.code,
        })
    });
    json!({
        "id": pending.id.expose(),
        "app": pending.app.as_str(),
        "account": pending.account.as_str(),
        "seller_name": pending.seller_name,
        "seller_base_region": pending.seller_base_region,
        "granted_scopes": pending.granted_scopes,
        "shops": shops.collect::<Vec<_>>(),
    })
}

pub(crate) fn refreshed(Refreshed { connection: refreshed, effect }: &Refreshed) -> Value {
    let (effect, why) = match effect {
        RefreshEffect::Renewed => ("renewed", None),
        RefreshEffect::ShopsRead => ("shops-read", None),
        RefreshEffect::NothingSent(error) => ("nothing-sent", Some(BindingError::from(error).to_json())),
    };
    json!({ "connection": connection(refreshed), "effect": effect, "nothing_sent": why })
}

pub(crate) fn valid_token(token: &ValidToken) -> Value {
    json!({
        "account": token.account.as_str(),
        "token": token.token.expose(),
        "expires_at": seconds(token.expires_at),
    })
}

pub(crate) fn existing_grant(grant: &ExistingGrant) -> Value {
    json!({
        "account": grant.account.as_ref().map(AccountId::as_str),
        "refresh_token": grant.refresh_token.expose(),
        "access_token": grant.access_token.as_ref().map(Secret::expose),
        "access_token_ends": seconds(grant.access_token_ends),
        "refresh_token_ends": seconds(grant.refresh_token_ends),
    })
}

/// The answer to a signed call, without its body.
pub(crate) fn call_response(answer: &CallResponse) -> Value {
    json!({
        "http_status": answer.http_status,
        "code": answer.code,
        "request_id": answer.request_id,
        "content_type": answer.content_type,
        "is_success": answer.is_success(),
    })
}

pub(crate) fn shared_connections(shared: &SharedConnections) -> Value {
    let connections = shared.connections.iter().map(|shared| {
        json!({
            "customer": shared.key.customer.as_str(),
            "account": shared.key.account.as_str(),
            "shops": shared.shops.iter().map(ShopId::as_str).collect::<Vec<_>>(),
        })
    });
    json!({
        "connections": connections.collect::<Vec<_>>(),
        "shops_not_read": shared.shops_not_read.iter().map(AccountId::as_str).collect::<Vec<_>>(),
    })
}

pub(crate) fn disconnected(ended: &Disconnected) -> Value {
    let revoked = ended.revoked.iter();
    let revoked = revoked.map(|shop| json!({ "account": shop.account.as_str(), "shop": shop.shop.as_str() }));
    let not_revoked = ended.not_revoked.iter().map(|NotRevoked { account, shop, failure }| {
        json!({
            "account": account.as_str(),
            "shop": shop.as_ref().map(ShopId::as_str),
            "code": failure.code,
            "detail": failure.detail,
        })
    });
    json!({
        "found": ended.found.iter().map(connection_key).collect::<Vec<_>>(),
        "remaining": ended.remaining.iter().map(connection).collect::<Vec<_>>(),
        "revoked": revoked.collect::<Vec<_>>(),
        "not_revoked": not_revoked.collect::<Vec<_>>(),
    })
}

pub(crate) fn webhook(webhook: &Webhook) -> Value {
    let owners = webhook.owners.iter().map(|owner| {
        let ConnectionKey { customer, account } = &owner.key;
        json!({ "customer": customer.as_str(), "account": account.as_str(), "may_use": owner.may_use })
    });
    json!({
        "app": webhook.app.as_str(),
        "notification_id": webhook.notification_id,
        "event_type": webhook.event_type,
        "shop": webhook.shop.as_ref().map(ShopId::as_str),
        "occurred_at": seconds(webhook.occurred_at),
        "data": webhook.data,
        "owners": owners.collect::<Vec<_>>(),
        "effect": webhook.effect.as_str(),
    })
}

/// An event. The position is text, because not every language has integers of 64 bits in its JSON.
pub(crate) fn event(Event { position, event }: &Event) -> Value {
    let (key, origin) = (event.key.as_ref(), &event.origin);
    let EventValues { reason, days, ends_at, shops, host_key, .. } = event.kind.values();
    json!({
        "position": position.0.to_string(),
        "at": event.at.0,
        "event": event.kind.as_str(),
        "customer": key.map(|key| key.customer.as_str()),
        "account": key.map(|key| key.account.as_str()),
        "reason": reason.map(ReauthorizationReason::as_str),
        "days": days,
        "ends_at": seconds(ends_at),
        "shops": shops.map(|shops| shops.iter().map(ShopId::as_str).collect::<Vec<_>>()),
        "host_key": host_key.map(HostKeyId::as_str),
        "actor": origin.actor.as_ref().map(Actor::as_str),
        "stated_reason": origin.stated_reason.as_ref().map(StatedReason::as_str),
        "cause": origin.cause.map(Cause::as_str),
    })
}

pub(crate) fn swept(swept: &Swept) -> Value {
    json!({
        "refreshed": swept.refreshed,
        "ended": swept.ended,
        "no_longer_due": swept.no_longer_due,
        "held": swept.held,
        "backing_off": swept.backing_off,
        "unusable": swept.unusable,
        "failed": swept.failed,
        "notices": swept.notices,
        "stopped": swept.stopped,
        "left": swept.left,
    })
}

/// How the refresh of one connection ended in a sweep.
pub(crate) fn sweep_outcome(due: &Due, outcome: &SweepOutcome) -> Value {
    let (word, until, usable, error) = match outcome {
        SweepOutcome::Refreshed(_) => ("refreshed", None, None, None),
        SweepOutcome::PassedOver(passed) => {
            let is_usable = passed.access_token == AccessTokenState::Valid;
            let error = BindingError::from(&passed.error).to_json();
            (passed.reason.as_str(), Some(passed.until.0), Some(is_usable), Some(error))
        }
        SweepOutcome::Ended(error) => ("ended", None, None, Some(BindingError::from(error).to_json())),
        SweepOutcome::NoLongerDue => ("no-longer-due", None, None, None),
        SweepOutcome::Failed(error) => ("failed", None, None, Some(BindingError::from(error.clone()).to_json())),
    };
    json!({
        "tenant": due.tenant.as_str(),
        "customer": due.key.customer.as_str(),
        "account": due.key.account.as_str(),
        "outcome": word,
        "until": until,
        "usable": usable,
        "error": error,
    })
}
