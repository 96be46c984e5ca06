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
use tiktok_shop_host::{AccountId, CallError, CustomerId};

use crate::problem::Problem;

/// The maximum number of entries of a page.
const MAX_PAGE: usize = 200;
/// The number of entries of a page if the caller names none.
const DEFAULT_PAGE: usize = 50;

/// A customer in the path.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct OfCustomer {
    /// The platform's id of the customer. A generated client percent-encodes it. The ids `.` and `..` are refused.
    #[param(value_type = String, min_length = 1, max_length = 256)]
    customer: CustomerId,
}

/// A connection in the path.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct OfConnection {
    /// The platform's id of the customer. A generated client percent-encodes it. The ids `.` and `..` are refused.
    #[param(value_type = String, min_length = 1, max_length = 256)]
    customer: CustomerId,
    /// TikTok Shop's id of the seller account. A generated client percent-encodes it. The ids `.` and `..` are refused.
    #[param(value_type = String, min_length = 1, max_length = 256)]
    account: AccountId,
}

/// The code of the error for an app that the tenant does not have.
const APP_UNKNOWN: &str = "app-unknown";

/// Returns the problem of a request that may name an app. Elsewhere, an unknown app is that of a stored connection, and an
/// operator must act. Here, the caller corrects the request.
fn of_named_app(error: CallError) -> Problem {
    if let CallError::Connector(known) = &error
        && known.failure().code == APP_UNKNOWN
    {
        return Problem::refused(APP_UNKNOWN, known.failure().detail.clone());
    }
    error.into()
}
