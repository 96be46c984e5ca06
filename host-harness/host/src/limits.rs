//! The limits of what one call may use, and of how many calls run at the same time.

use tiktok_shop_connector_core::webhook::MAX_BODY_BYTES;

/// How much one call may use, and how many calls run concurrently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The maximum number of calls that run at the same time, not counting webhooks. Further calls wait for a free
    /// instance. Default: 100.
    pub concurrent_calls: u32,
    /// The maximum number of webhooks that are received at the same time. Further webhooks wait for a free instance.
    /// Webhooks have instances of their own, so webhooks and other calls do not wait for each other. Webhooks of
    /// tenants that the host does not know yet ask for credentials in additional places: as many as one tenant's share.
    /// Each of them gives its place to the next one after 2 s. Default: 40.
    pub concurrent_webhooks: u32,
    /// The share of the instances that one tenant may use at the same time, in per cent. It applies separately to the
    /// instances for webhooks and to the instances for all other calls. Every tenant may use at least one instance. A
    /// value above 100 counts as 100. Further calls of the tenant wait, while other tenants are served. Use 100 if the
    /// host has only one tenant. Default: 25.
    pub tenant_percent: u32,
    /// The maximum size of a webhook's body, in bytes. A value above 1 MiB counts as 1 MiB, because the connector reads
    /// no larger body. Default: 256 KiB.
    pub webhook_body_bytes: usize,
    /// The maximum size of the component, in bytes. The host checks the size before it compiles the component. Default:
    /// 4 MiB.
    pub component_bytes: u64,
    /// The maximum size of the linear memory of a call in bytes, as the sum over all its memories. Default: 64 MiB.
    pub memory_bytes: usize,
    /// The maximum number of elements of each table. Default: 20 000.
    pub table_elements: usize,
    /// The maximum number of bytes that one host call, or the result of the whole call, may copy out of the guest.
    /// Default: 8 MiB.
    pub hostcall_bytes: usize,
    /// The maximum number of handles that a guest holds at the same time: requests, bodies, streams. Default: 1 000.
    pub handles: usize,
    /// The maximum number of random bytes that the guest gets from one call to the host. Default: 64 KiB.
    pub random_bytes: u64,
    /// The maximum size in memory of one set of HTTP header fields, in bytes. Default: 64 KiB.
    pub header_bytes: usize,
    /// The maximum size of the body of one HTTP response, in bytes. Default: 8 MiB.
    pub response_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrent_calls: 100,
            concurrent_webhooks: 40,
            tenant_percent: 25,
            webhook_body_bytes: 256 << 10,
            component_bytes: 4 << 20,
            memory_bytes: 64 << 20,
            table_elements: 20_000,
            hostcall_bytes: 8 << 20,
            handles: 1_000,
            random_bytes: 64 << 10,
            header_bytes: 64 << 10,
            response_bytes: 8 << 20,
        }
    }
}

impl Limits {
    /// Returns how many calls of one tenant may run at the same time, not counting webhooks. At least 1.
    #[must_use]
    pub fn concurrent_calls_of_a_tenant(&self) -> usize {
        self.share_of(self.concurrent_calls)
    }

    /// Returns how many of these places one tenant may hold.
    pub(crate) fn share_of(&self, places: u32) -> usize {
        let share = u64::from(places) * u64::from(self.tenant_percent.min(100)) / 100;
        usize::try_from(share).unwrap_or(usize::MAX).max(1)
    }

    /// Returns the maximum size of a webhook's body, in bytes.
    pub(crate) fn max_webhook_bytes(&self) -> usize {
        self.webhook_body_bytes.min(MAX_BODY_BYTES)
    }

    /// Checks that no limit is zero. The error is the name of a limit that is zero.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let Self {
            concurrent_calls,
            concurrent_webhooks,
            tenant_percent,
            webhook_body_bytes,
            component_bytes,
            memory_bytes,
            table_elements,
            hostcall_bytes,
            handles,
            random_bytes,
            header_bytes,
            response_bytes,
        } = *self;
        let named = [
            ("concurrent_calls", concurrent_calls == 0),
            ("concurrent_webhooks", concurrent_webhooks == 0),
            ("tenant_percent", tenant_percent == 0),
            ("webhook_body_bytes", webhook_body_bytes == 0),
            ("component_bytes", component_bytes == 0),
            ("memory_bytes", memory_bytes == 0),
            ("table_elements", table_elements == 0),
            ("hostcall_bytes", hostcall_bytes == 0),
            ("handles", handles == 0),
            ("random_bytes", random_bytes == 0),
            ("header_bytes", header_bytes == 0),
            ("response_bytes", response_bytes == 0),
        ];
        named.into_iter().find(|(_, zero)| *zero).map_or(Ok(()), |(name, _)| Err(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenants_share_is_a_quarter_and_at_least_one_place() {
        let limits = |tenant_percent| Limits { tenant_percent, ..Limits::default() };
        assert_eq!(Limits::default().share_of(100), 25);
        for (percent, places, share) in [(25, 4, 1), (25, 3, 1), (1, 1, 1), (50, 5, 2), (100, 7, 7), (4_000, 7, 7)] {
            assert_eq!(limits(percent).share_of(places), share, "{percent} % of {places}");
        }
    }

    #[test]
    fn a_webhooks_body_has_at_most_256_kib_by_default_and_1_mib_at_most() {
        assert_eq!(Limits::default().max_webhook_bytes(), 262_144);
        assert_eq!(Limits { webhook_body_bytes: usize::MAX, ..Limits::default() }.max_webhook_bytes(), 1_048_576);
    }

    #[test]
    fn every_limit_of_zero_is_named() {
        assert_eq!(Limits::default().check(), Ok(()));
        let zero = Limits { tenant_percent: 0, ..Limits::default() };
        assert_eq!(zero.check(), Err("tenant_percent"));
        let zero = Limits { webhook_body_bytes: 0, ..Limits::default() };
        assert_eq!(zero.check(), Err("webhook_body_bytes"));
    }
}
