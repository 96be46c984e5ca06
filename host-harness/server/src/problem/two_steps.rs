//! The problems of installs and of exports.

use http::StatusCode;
use tiktok_shop_host::export_grant::ExportError;
use tiktok_shop_host::install::InstallError;

use super::{Next, Problem, of_action};

impl From<InstallError> for Problem {
    fn from(error: InstallError) -> Self {
        let status = match error {
            InstallError::Storage(error) => return error.into(),
            InstallError::Call(error) => return error.into(),
            InstallError::Unknown => StatusCode::NOT_FOUND,
            InstallError::OtherBrowser | InstallError::OtherCustomer => StatusCode::FORBIDDEN,
            InstallError::Confirmed => StatusCode::UNPROCESSABLE_ENTITY,
            InstallError::Expired | InstallError::NotStored(_) => StatusCode::CONFLICT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let next = error.own_action().map_or(Next::Upstream, |action| of_action(action, error.code()).1);
        Self::new(status, next, error.code(), error.to_string())
    }
}

impl From<ExportError> for Problem {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Call(error) => error.into(),
            ExportError::NotAllowed => {
                let detail = "the configuration of the service does not allow exports; an operator sets export = \
                              \"allowed\" for the time of a move";
                Self::new(StatusCode::FORBIDDEN, Next::Misconfigured, error.code(), detail)
            }
            other => Self::new(StatusCode::INTERNAL_SERVER_ERROR, Next::Upstream, other.code(), other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tiktok_shop_host::storage::StorageError;

    use super::*;

    #[test]
    fn every_error_of_an_install_and_of_an_export_has_its_status_and_action() {
        let lost = || StorageError::Unavailable(String::new());
        let installs = [
            (InstallError::Unknown, 404, "reauthorize", "install-unknown"),
            (InstallError::OtherBrowser, 403, "invalid-request", "other-browser"),
            (InstallError::OtherCustomer, 403, "invalid-request", "other-customer"),
            (InstallError::Confirmed, 422, "invalid-request", "install-confirmed"),
            (InstallError::Expired, 409, "reauthorize", "install-expired"),
            (InstallError::NotStored(lost()), 409, "reauthorize", "install-not-stored"),
            (InstallError::Storage(lost()), 503, "storage-failed", "storage-unavailable"),
        ];
        for (error, status, action, code) in installs {
            let details = Problem::from(error).into_details();
            assert_eq!((details.status, details.action, &*details.code), (status, action, code));
        }
        let details = Problem::from(ExportError::NotAllowed).into_details();
        assert_eq!((details.status, details.action, &*details.code), (403, "misconfigured", "export-not-allowed"));
    }
}
