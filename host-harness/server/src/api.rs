//! The handlers of the API, one file for each call. Each handler names the scope that it needs by its parameter
//! [`Allowed`](crate::caller::Allowed).

pub(crate) mod access_token;
pub(crate) mod apps;
pub(crate) mod calls;
pub(crate) mod connect_sessions;
pub(crate) mod connections;
pub(crate) mod deliveries;
pub(crate) mod disconnect;
pub(crate) mod events;
pub(crate) mod export;
pub(crate) mod imports;
pub(crate) mod installs;
pub(crate) mod refresh;
pub(crate) mod shops;
pub(crate) mod tiktok;

use serde::Deserialize;
use tiktok_shop_host::{AccountId, CustomerId};

/// The maximum number of entries of a page.
const MAX_PAGE: usize = 200;
/// The number of entries of a page if the caller names none.
const DEFAULT_PAGE: usize = 50;

/// A customer in the path.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct OfCustomer {
    /// The platform's id of the customer, percent-encoded.
    #[param(value_type = String, min_length = 1, max_length = 256)]
    customer: CustomerId,
}

/// A connection in the path.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct OfConnection {
    /// The platform's id of the customer, percent-encoded.
    #[param(value_type = String, min_length = 1, max_length = 256)]
    customer: CustomerId,
    /// TikTok Shop's id of the seller account, percent-encoded.
    #[param(value_type = String, min_length = 1, max_length = 256)]
    account: AccountId,
}
