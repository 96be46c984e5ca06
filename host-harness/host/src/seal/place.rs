//! The place of a sealed value: the tenant, connection, purpose and revision for which it was sealed.

use super::aead::encode_associated_data;
use crate::connection::ConnectionKey;
use crate::id::{KeyId, Revision, TenantId};
use crate::storage::Purpose;

/// The tenant, connection, purpose and revision for which a value is sealed. If the value is copied to another place,
/// it can't be decrypted.
pub(super) struct Place<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) key: &'a ConnectionKey,
    pub(super) purpose: Purpose,
    pub(super) revision: &'a Revision,
}

impl Place<'_> {
    /// Returns the associated data of a value that is stored at this place and sealed by this data key.
    pub(super) fn associated_data(&self, sealed_by: &KeyId) -> Vec<u8> {
        let purpose = match self.purpose {
            Purpose::Token => "token",
            Purpose::Ciphers => "ciphers",
        };
        let ConnectionKey { customer, account } = self.key;
        encode_associated_data(
            "record",
            &[
                self.tenant.as_str(),
                customer.as_str(),
                account.as_str(),
                purpose,
                sealed_by.as_str(),
                self.revision.as_str(),
            ],
        )
    }
}
