//! Checks of events: a row and its events are written together, `append_once` appends once, no event of a grant follows
//! the end of its connection, and no event appears at a position before one that was already read.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::broken::{Broken, ensure, ensure_eq};
use super::concurrency::{eventually, race};
use super::register::{Kind, Register, Stored};
use super::samples::{self, Sample};
use super::trial::{Tenant, Trial};
use tiktok_shop_host::connection::{ConnectionKey, ConnectionStatus, ReauthorizationReason, UnixSeconds};
use tiktok_shop_host::events::{Cause, Event, EventKind, EventPosition, NewEvent, Origin};
use tiktok_shop_host::storage::{HostStorage, Next, StorageError, Swapped};
use tiktok_shop_host::{HostKeyId, ShopId, TenantId};

/// Returns all events of a tenant, without their positions.
pub(super) async fn all_events(
    storage: &Arc<dyn HostStorage>,
    tenant: &TenantId,
) -> Result<Vec<NewEvent>, StorageError> {
    let events = storage.events(tenant, None, usize::MAX).await?;
    Ok(events.into_iter().map(|event| event.event).collect())
}

pub(super) async fn a_row_and_its_events_are_written_together_or_not_at_all(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let (storage, id) = (&tenant.storage, &tenant.id);
    let register = Register::new(&tenant, "account", Kind::Row)?;
    let key = &register.key;
    let [began, recovered, ended, late] =
        [EventKind::Connected, EventKind::Recovered, EventKind::Disconnected, EventKind::Disconnected]
            .map(|kind| samples::event(key, kind));
    let began = [began, recovered];
    ensure_eq!(register.swap_with(None, Some(Stored::new(1)), &began).await?, Swapped::Done, "a creation");
    for (expected, next) in [(None, Some(1)), (None, None), (Some(2), Some(3)), (Some(2), None)] {
        let answer = register.swap_with(expected, next.map(Stored::new), std::slice::from_ref(&ended)).await?;
        ensure_eq!(answer, Swapped::Stale(Some(Stored::new(1))), "a swap of {expected:?} to {next:?}");
    }
    eventually("`events` after stale swaps with events", began.to_vec(), || all_events(storage, id)).await?;
    ensure_eq!(register.swap_with(Some(1), Some(Stored::new(2)), &[]).await?, Swapped::Done, "a swap");
    ensure_eq!(register.swap_with(Some(2), None, std::slice::from_ref(&ended)).await?, Swapped::Done, "a deletion");
    let answer = register.swap_with(Some(2), None, std::slice::from_ref(&late)).await?;
    ensure_eq!(answer, Swapped::Stale(None), "a second deletion");
    let all = [began.as_slice(), &[ended]].concat();
    eventually("`events` after a deletion with an event", all, || all_events(storage, id)).await
}

pub(super) async fn every_kind_of_event_is_returned_unchanged(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let (first, other) = (samples::key("customer", "account")?, samples::key("\0", "%' \"\u{10ffff}")?);
    let ends = UnixSeconds(253_402_300_799);
    let shops: Vec<ShopId> =
        ["2", "0001", "9999999999999999999"].into_iter().map(str::parse::<ShopId>).collect::<Result<_, _>>()?;
    let host_key: HostKeyId = "host-0000000000000000;'--\"".parse()?;
    let kinds = [
        EventKind::Connected,
        EventKind::AuthorizationEnding { ends },
        EventKind::AuthorizationEnding { ends: UnixSeconds(0) },
        EventKind::ReauthorizationRequired(ReauthorizationReason::AuthorizationExpired),
        EventKind::ReauthorizationRequired(ReauthorizationReason::AuthorizationRevoked),
        EventKind::ReauthorizationRequired(ReauthorizationReason::RefreshOutcomeUnknown),
        EventKind::Recovered,
        EventKind::Disconnected,
        EventKind::Notice { days: 0, ends },
        EventKind::Notice { days: u8::MAX, ends: UnixSeconds(0) },
        EventKind::ConsentRenewed,
        EventKind::ShopsLinked { shops: shops.clone() },
        EventKind::ShopsUnlinked { shops: shops.iter().take(1).cloned().collect() },
        EventKind::ShopsLost { shops: shops.clone() },
        EventKind::ShopsRegained { shops: shops.iter().skip(1).cloned().collect() },
        EventKind::RefreshForced,
        EventKind::TokenShown,
        EventKind::GrantExported,
        EventKind::InstallBegun,
        EventKind::InstallCancelled,
        EventKind::HostKeyAdded { host_key: host_key.clone() },
        EventKind::HostKeyPromoted { host_key: host_key.clone() },
        EventKind::KeysRotated { host_key: host_key.clone() },
        EventKind::HostKeyRetired { host_key: host_key.clone() },
        EventKind::TenantErased,
    ];
    let mut events: Vec<_> = kinds.into_iter().map(|kind| samples::event(&first, kind)).collect();
    events.push(NewEvent { at: UnixSeconds(0), ..samples::event(&other, EventKind::Connected) });
    events.push(NewEvent { at: ends, ..samples::event(&other, EventKind::Connected) });
    // These events concern the whole tenant, not one connection.
    events.push(samples::tenant_event(EventKind::HostKeyAdded { host_key: host_key.clone() }));
    events.push(samples::tenant_event(EventKind::HostKeyPromoted { host_key: host_key.clone() }));
    events.push(samples::tenant_event(EventKind::KeysRotated { host_key: host_key.clone() }));
    events.push(samples::tenant_event(EventKind::HostKeyRetired { host_key }));
    events.push(samples::tenant_event(EventKind::TenantErased));
    let shown = samples::event(&first, EventKind::TokenShown);
    events.extend(origins()?.into_iter().map(|origin| NewEvent { origin, ..shown.clone() }));
    // Each event is appended twice: with a row, and with `append_once`.
    let row = samples::row(&first);
    tenant.swap_row(&first, None, Some(&Next { revision: "r".parse()?, value: row.stored()? }), &events).await?;
    for (number, event) in events.iter().enumerate() {
        let once = samples::once(&number.to_string());
        ensure!(
            tenant.storage.append_once(&tenant.id, &once, event, None).await?,
            "a first `append_once` answered false"
        );
    }
    let twice = [events.as_slice(), &events].concat();
    eventually("`events`", twice, || all_events(&tenant.storage, &tenant.id)).await
}

/// Returns one origin for each kind of call, and origins whose actor and reason are texts that a faulty storage may
/// change.
fn origins() -> Result<Vec<Origin>, Broken> {
    let causes = [
        Cause::Connect,
        Cause::Import,
        Cause::Export,
        Cause::Refresh,
        Cause::Sweep,
        Cause::AccessToken,
        Cause::Call,
        Cause::Read,
        Cause::LinkShops,
        Cause::Disconnect,
        Cause::Webhook,
        Cause::KeyRotation,
        Cause::KeyRetirement,
        Cause::Erasure,
    ];
    let mut origins: Vec<_> =
        causes.into_iter().map(|cause| Origin { cause: Some(cause), ..Origin::default() }).collect();
    for text in
        [" ", "null", "O'Brien \"& Sons\" \\ %s {} ; -- $1 ?", "👩‍👩‍👧‍👦 Zürich Köln\u{308} 支持", &samples::longest_id("ß")]
    {
        let (actor, stated_reason) = (Some(text.parse()?), Some(text.parse()?));
        origins.push(Origin { actor: actor.clone(), ..Origin::default() });
        origins.push(Origin { stated_reason: stated_reason.clone(), ..Origin::default() });
        origins.push(Origin { actor, stated_reason, cause: Some(Cause::Connect) });
    }
    Ok(origins)
}

pub(super) async fn reading_events_continues_from_any_position(trial: &Trial) -> Result<(), Broken> {
    const EVENTS: u64 = 25;
    let tenant = trial.tenant().await?;
    let (storage, id) = (&tenant.storage, &tenant.id);
    let register = Register::new(&tenant, "account", Kind::Row)?;
    let events: Vec<_> = (0..EVENTS).map(|number| samples::numbered_event(&register.key, number)).collect();
    let mut current = None;
    // Every swap appends three events, except the last swap, which appends one event.
    for (chunk, revision) in events.chunks(3).zip(1..) {
        let swapped = register.swap_with(current, Some(Stored::new(revision)), chunk).await?;
        ensure_eq!(swapped, Swapped::Done, "a swap with events");
        current = Some(revision);
    }
    eventually("`events`", events.clone(), || all_events(storage, id)).await?;
    for limit in [1, 2, 7, events.len(), usize::MAX] {
        eventually(&format!("`events`, {limit} at a time"), events.clone(), || paged(&tenant, limit)).await?;
    }
    ensure_eq!(storage.events(id, None, 0).await?, Vec::new(), "`events` with the limit 0");
    let mut rest = storage.events(id, None, usize::MAX).await?;
    while !rest.is_empty() {
        let after = Some(rest.remove(0).position);
        let read = || storage.events(id, after, usize::MAX);
        eventually(&format!("`events` after {after:?}"), rest.clone(), read).await?;
    }
    let end = Some(EventPosition(u64::MAX));
    ensure_eq!(storage.events(id, end, usize::MAX).await?, Vec::new(), "`events` after the greatest possible position");
    Ok(())
}

/// Reads all events, in pages of at most `limit` events.
async fn paged(tenant: &Tenant, limit: usize) -> Result<Vec<NewEvent>, Broken> {
    let mut reader = Reader::default();
    while reader.read_page(tenant, limit).await? > 0 {}
    Ok(reader.read.into_iter().map(|event| event.event).collect())
}

/// A reader that continues after the last event that it has read.
#[derive(Default)]
struct Reader {
    read: Vec<Event>,
}

impl Reader {
    /// Reads one page, and returns its number of events.
    async fn read_page(&mut self, tenant: &Tenant, limit: usize) -> Result<usize, Broken> {
        let after = self.read.last().map(|event| event.position);
        let page = tenant.storage.events(&tenant.id, after, limit).await?;
        ensure!(page.len() <= limit, "`events` returned {} events, but the limit is {limit}", page.len());
        for event in &page {
            let last = self.read.last().map(|event| event.position);
            ensure!(last < Some(event.position), "`events` returned position {:?} after {last:?}", event.position);
            self.read.push(event.clone());
        }
        Ok(page.len())
    }
}

/// The number of tasks that write at the same time. Each task writes its own row.
const WRITERS: u64 = 8;
/// The number of swaps that each task makes.
const SWAPS: u64 = 20;

pub(super) async fn no_event_appears_before_a_position_that_was_read(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let writing = Arc::new(AtomicBool::new(true));
    let reader = {
        let (tenant, writing) = (tenant.clone(), Arc::clone(&writing));
        tokio::spawn(async move {
            let mut reader = Reader::default();
            loop {
                let is_last = !writing.load(Ordering::SeqCst);
                if reader.read_page(&tenant, 5).await? == 0 && is_last {
                    return Ok::<_, Broken>(reader.read);
                }
                tokio::task::yield_now().await;
            }
        })
    };
    let wrote = race((0..WRITERS).map(|writer| append_events(tenant.clone(), writer))).await;
    writing.store(false, Ordering::SeqCst);
    let read = reader.await??;
    let written: u64 = wrote?.into_iter().sum();
    let (storage, id) = (&tenant.storage, &tenant.id);
    let count = || async { all_events(storage, id).await.map(|events| events.len() as u64) };
    eventually("the number of events of concurrent writers", written, count).await?;
    let stored = storage.events(id, None, usize::MAX).await?;
    let last = read.last().map(|event| event.position);
    let missed = stored.iter().find(|event| Some(event.position) < last && !read.contains(event));
    ensure_eq!(missed, None, "an event that appeared before a position that was already read");
    // The events of each row are in the order of its swaps.
    for writer in 0..WRITERS {
        let key = samples::key("customer", &format!("account {writer}"))?;
        let own = stored.iter().filter(|event| event.event.key.as_ref() == Some(&key)).map(|event| event.event.clone());
        let own: Vec<_> = own.collect();
        let expected: Vec<_> = (0..own.len() as u64).map(|number| samples::numbered_event(&key, number)).collect();
        ensure_eq!(own, expected, "the events of one row");
    }
    Ok(())
}

/// Swaps a row [`SWAPS`] times. No other task writes this row. Each swap appends one to three events. Returns the
/// number of all appended events.
async fn append_events(tenant: Tenant, writer: u64) -> Result<u64, Broken> {
    let register = Register::new(&tenant, &format!("account {writer}"), Kind::Row)?;
    let (mut current, mut written) = (None, 0);
    for revision in 1..=SWAPS {
        let events: Vec<_> =
            (0..1 + (revision + writer) % 3).map(|nth| samples::numbered_event(&register.key, written + nth)).collect();
        let swapped = register.swap_with(current, Some(Stored::new(revision)), &events).await?;
        ensure_eq!(swapped, Swapped::Done, "a swap of a row that no other task writes");
        (current, written) = (Some(revision), written + events.len() as u64);
        tokio::task::yield_now().await;
    }
    Ok(written)
}

pub(super) async fn append_once_appends_once_per_tenant_and_connection(trial: &Trial) -> Result<(), Broken> {
    let (ours, theirs) = (trial.tenant().await?, trial.tenant().await?);
    let [one, account, customer] = [("c", "a"), ("c", "b"), ("d", "a")].map(|(c, a)| samples::key(c, a));
    let (one, account, customer) = (one?, account?, customer?);
    let first = samples::event(&one, EventKind::Recovered);
    // This event has another kind than `first`, but is appended with the same `once`.
    let again = samples::event(&one, EventKind::Disconnected);
    // Each tuple holds the tenant, `once`, the event, and whether the call must append the event.
    let calls = [
        (&ours, "x", first.clone(), true),
        (&ours, "x", again, false),
        (&ours, "y", first.clone(), true),
        (&ours, "x", samples::event(&account, EventKind::Recovered), true),
        (&ours, "x", samples::event(&customer, EventKind::Recovered), true),
        (&ours, "x", samples::tenant_event(EventKind::TenantErased), true),
        (&ours, "x", samples::tenant_event(EventKind::TenantErased), false),
        (&ours, "z", samples::tenant_event(EventKind::TenantErased), true),
        (&theirs, "x", samples::tenant_event(EventKind::TenantErased), true),
        (&theirs, "x", first.clone(), true),
        (&theirs, "x", first, false),
    ];
    for (tenant, once, event, appended) in &calls {
        let answer = tenant.storage.append_once(&tenant.id, &samples::once(once), event, None).await?;
        ensure_eq!(answer, *appended, "`append_once` of {event:?} with {once:?}");
    }
    for tenant in [&ours, &theirs] {
        let mine = calls.iter().filter(|(called, _, _, appended)| *appended && called.id == tenant.id);
        let mine: Vec<_> = mine.map(|(_, _, event, _)| event.clone()).collect();
        eventually("the events of `append_once`", mine, || all_events(&tenant.storage, &tenant.id)).await?;
    }
    Ok(())
}

/// Asks the storage whether an event with this `once` was appended for this connection.
async fn knows(tenant: &Tenant, key: &ConnectionKey, once: &str) -> Result<bool, StorageError> {
    tenant.storage.knows_once(&tenant.id, key, &samples::once(once)).await
}

pub(super) async fn an_event_that_was_appended_once_is_known(trial: &Trial) -> Result<(), Broken> {
    let (ours, theirs) = (trial.tenant().await?, trial.tenant().await?);
    let [one, account, customer] = [("c", "a"), ("c", "b"), ("d", "a")].map(|(c, a)| samples::key(c, a));
    let (one, account, customer) = (one?, account?, customer?);
    ensure!(!knows(&ours, &one, "x").await?, "`knows_once` answered true before `append_once`");
    let event = samples::event(&one, EventKind::Recovered);
    ours.storage.append_once(&ours.id, &samples::once("x"), &event, None).await?;
    // The answer may be stale, but only for a short time.
    eventually("`knows_once` after `append_once`", true, || knows(&ours, &one, "x")).await?;
    for (tenant, key, once) in
        [(&ours, &one, "y"), (&ours, &account, "x"), (&ours, &customer, "x"), (&theirs, &one, "x")]
    {
        ensure!(!knows(tenant, key, once).await?, "`knows_once` answered true for {key:?} and {once:?}");
    }
    Ok(())
}

pub(super) async fn exactly_one_concurrent_append_once_appends_the_event(trial: &Trial) -> Result<(), Broken> {
    const RACERS: usize = 8;
    let tenant = trial.tenant().await?;
    let key = samples::key("customer", "account")?;
    let mut all = Vec::new();
    for round in 0..4 {
        let (once, event) = (samples::once(&format!("{round}")), samples::numbered_event(&key, round));
        let answers = race((0..RACERS).map(|_| {
            let (tenant, event) = (tenant.clone(), event.clone());
            async move { Ok(tenant.storage.append_once(&tenant.id, &once, &event, None).await?) }
        }));
        let appended = answers.await?.into_iter().filter(|appended| *appended).count();
        ensure!(appended == 1, "{appended} of {RACERS} `append_once` calls of the same event answered true");
        all.push(event);
    }
    eventually("the events of concurrent `append_once` calls", all, || all_events(&tenant.storage, &tenant.id)).await
}

/// Returns a row of this connection whose consent was given at this second.
fn consented_at(key: &ConnectionKey, second: u64) -> Sample {
    let mut row = samples::row(key);
    row.connection.granted_at = UnixSeconds(second);
    row
}

pub(super) async fn an_event_of_a_grant_is_appended_only_while_the_row_works_with_it(
    trial: &Trial,
) -> Result<(), Broken> {
    let (ours, theirs) = (trial.tenant().await?, trial.tenant().await?);
    let (key, other) = (samples::key("customer", "account")?, samples::key("customer", "other account")?);
    let [first, second] = [1, 2].map(|second| consented_at(&key, second));
    let mut dead = second.clone();
    dead.connection.status = ConnectionStatus::ReauthorizationRequired(ReauthorizationReason::AuthorizationRevoked);
    let mut appended = Vec::new();
    let mut number = 0;
    // Appends an event with this grant, and checks the answer. A refused event must store no digest. So the calls use
    // the same digest until one of them appends its event.
    let mut append = async |tenant: &Tenant, key: &ConnectionKey, grant: &Sample, once: &str, expected: bool| {
        number += 1;
        let event = samples::numbered_event(key, number);
        let answer = tenant.storage.append_once(&tenant.id, &samples::once(once), &event, Some(&grant.grant())).await?;
        ensure_eq!(answer, expected, "call {number} of `append_once` with a grant, for {key:?}");
        appended.extend(answer.then_some(event));
        Ok::<_, Broken>(())
    };
    append(&ours, &key, &first, "x", false).await?;
    ours.put_row("a", &first).await?;
    append(&theirs, &key, &first, "x", false).await?;
    append(&ours, &other, &first, "x", false).await?;
    append(&ours, &key, &second, "x", false).await?;
    append(&ours, &key, &first, "x", true).await?;
    append(&ours, &key, &first, "x", false).await?;
    let next = Next { revision: "b".parse()?, value: second.stored()? };
    ours.swap_row(&key, Some("a"), Some(&next), &[]).await?;
    append(&ours, &key, &first, "y", false).await?;
    append(&ours, &key, &second, "y", true).await?;
    let next = Next { revision: "c".parse()?, value: dead.stored()? };
    ours.swap_row(&key, Some("b"), Some(&next), &[]).await?;
    append(&ours, &key, &second, "z", false).await?;
    ours.swap_row(&key, Some("c"), None, &[]).await?;
    append(&ours, &key, &second, "z", false).await?;
    eventually("the events of grants", appended, || all_events(&ours.storage, &ours.id)).await?;
    ensure_eq!(all_events(&theirs.storage, &theirs.id).await?, [], "the events of a tenant without a row");
    Ok(())
}

pub(super) async fn no_event_of_a_grant_follows_the_end_of_its_row(trial: &Trial) -> Result<(), Broken> {
    const ROUNDS: u64 = 16;
    let tenant = trial.tenant().await?;
    let key = samples::key("customer", "account")?;
    let mut expected = Vec::new();
    for round in 0..ROUNDS {
        let row = consented_at(&key, round);
        tenant.put_row(&format!("{round}"), &row).await?;
        let (notice, end) = (samples::numbered_event(&key, round), samples::event(&key, EventKind::Disconnected));
        let append = {
            let (tenant, notice) = (tenant.clone(), notice.clone());
            async move {
                let once = samples::once(&format!("{round}"));
                Ok(tenant.storage.append_once(&tenant.id, &once, &notice, Some(&row.grant())).await?)
            }
        };
        let delete = {
            let (tenant, key, end) = (tenant.clone(), key.clone(), end.clone());
            async move {
                tenant.swap_row(&key, Some(&format!("{round}")), None, &[end]).await?;
                Ok(false)
            }
        };
        // Each of the two begins first in half of the rounds.
        let mut racers: Vec<Pin<Box<dyn Future<Output = _> + Send>>> = vec![Box::pin(append), Box::pin(delete)];
        racers.rotate_left(usize::from(round % 2 == 1));
        let appended = race(racers).await?.contains(&true);
        expected.extend(appended.then_some(notice));
        expected.push(end);
    }
    eventually("the events of a grant and of its end", expected, || all_events(&tenant.storage, &tenant.id)).await
}
