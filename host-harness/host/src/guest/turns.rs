//! Gives a limited number of places to waiting calls, one tenant after the other.
//!
//! A tenant holds at most its share of the places. Tenants that wait for a place form a ring. Each place that becomes
//! free goes to the next tenant of the ring, for the call of this tenant that has waited longest. So while a tenant
//! waits for its turn, every tenant in front of it gets only one place, even if many calls of that tenant are waiting.

use std::collections::{BTreeMap, VecDeque};
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::id::TenantId;

/// A limited number of places, and the calls that wait for a place. All clones hand out the same places.
#[derive(Clone)]
pub(super) struct Turns(Arc<Mutex<State>>);

struct State {
    free: usize,
    /// The number of places that one tenant may hold at the same time.
    share: usize,
    /// The tenants that hold a place or wait for one.
    tenants: BTreeMap<TenantId, Tenant>,
    /// The tenants in the order of their turns, the next tenant first. Each tenant is listed at most once. A tenant
    /// that holds its share is not listed.
    ring: VecDeque<TenantId>,
    next_ticket: u64,
}

#[derive(Default)]
struct Tenant {
    held: usize,
    /// The waiting calls by ticket. The call that has waited longest has the lowest ticket.
    waiting: BTreeMap<u64, oneshot::Sender<Place>>,
    in_ring: bool,
}

impl Turns {
    /// Creates `places` places, of which one tenant may hold `share`. A share of 0 counts as 1.
    pub(super) fn new(places: usize, share: usize) -> Self {
        let (tenants, ring) = (BTreeMap::new(), VecDeque::new());
        Self(Arc::new(Mutex::new(State { free: places, share: share.max(1), tenants, ring, next_ticket: 0 })))
    }

    /// Waits for a place. If the caller drops the future, the call no longer waits.
    pub(super) async fn take(&self, tenant: &TenantId) -> Place {
        let (sender, receiver) = oneshot::channel();
        let ticket = self.lock().enter(tenant, sender);
        let _leave = Leave { turns: self, tenant, ticket };
        self.hand_out();
        match receiver.await {
            Ok(place) => place,
            // Only `_leave` drops the sender without sending a place. `_leave` does so when this future is dropped, and
            // then nobody polls this future any more.
            Err(_) => pending().await,
        }
    }

    fn hand_out(&self) {
        loop {
            let Some((tenant, sender)) = self.lock().next() else { return };
            // If the call has just stopped waiting, the place comes back here and is dropped, so it is free again.
            let _ = sender.send(Place { turns: self.clone(), tenant });
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn enter(&mut self, tenant: &TenantId, sender: oneshot::Sender<Place>) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.tenants.entry(tenant.clone()).or_default().waiting.insert(ticket, sender);
        self.list(tenant);
        ticket
    }

    fn leave(&mut self, tenant: &TenantId, ticket: u64) {
        if let Some(found) = self.tenants.get_mut(tenant) {
            found.waiting.remove(&ticket);
        }
        self.forget(tenant);
    }

    fn give_back(&mut self, tenant: &TenantId) {
        self.free += 1;
        if let Some(found) = self.tenants.get_mut(tenant) {
            found.held = found.held.saturating_sub(1);
        }
        self.list(tenant);
        self.forget(tenant);
    }

    /// Takes a place for the call whose turn it is. `None` if no place is free, or if no waiting tenant may take a
    /// place.
    fn next(&mut self) -> Option<(TenantId, oneshot::Sender<Place>)> {
        while self.free > 0 {
            let tenant = self.ring.pop_front()?;
            let Some(found) = self.tenants.get_mut(&tenant) else { continue };
            found.in_ring = false;
            let Some((_, sender)) = found.waiting.pop_first() else {
                self.forget(&tenant);
                continue;
            };
            found.held += 1;
            self.free -= 1;
            self.list(&tenant);
            return Some((tenant, sender));
        }
        None
    }

    /// Puts a tenant at the end of the ring, if it waits, may hold another place, and is not in the ring yet.
    fn list(&mut self, tenant: &TenantId) {
        let Some(found) = self.tenants.get_mut(tenant) else { return };
        if !found.in_ring && !found.waiting.is_empty() && found.held < self.share {
            found.in_ring = true;
            self.ring.push_back(tenant.clone());
        }
    }

    /// Removes a tenant that holds no place, does not wait and is not in the ring. If a tenant that is in the ring were
    /// removed, it could be put into the ring a second time.
    fn forget(&mut self, tenant: &TenantId) {
        let is_idle = |found: &Tenant| found.held == 0 && found.waiting.is_empty() && !found.in_ring;
        if self.tenants.get(tenant).is_some_and(is_idle) {
            self.tenants.remove(tenant);
        }
    }
}

/// A place that a tenant holds. Dropping it frees the place.
pub(crate) struct Place {
    turns: Turns,
    tenant: TenantId,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.turns.lock().give_back(&self.tenant);
        self.turns.hand_out();
    }
}

/// Removes a call from the waiting calls when the future of the call is dropped. Does nothing if the call already has
/// its place.
struct Leave<'a> {
    turns: &'a Turns,
    tenant: &'a TenantId,
    ticket: u64,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.turns.lock().leave(self.tenant, self.ticket);
    }
}

#[cfg(test)]
mod tests;
