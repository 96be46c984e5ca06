//! The names of the program's environment variables.

pub(crate) const STORAGE: &str = "TIKTOK_SHOP_STORAGE";
pub(crate) const STORAGE_FILE: &str = "TIKTOK_SHOP_STORAGE_FILE";
pub(crate) const CONTRACT_STORAGE: &str = "TIKTOK_SHOP_CONTRACT_STORAGE";
pub(crate) const HOST_KEYS: &str = "TIKTOK_SHOP_HOST_KEYS";
pub(crate) const PROXY: &str = "TIKTOK_SHOP_PROXY";
pub(crate) const PROXY_FILE: &str = "TIKTOK_SHOP_PROXY_FILE";
pub(crate) const PROXY_CERTIFICATES: &str = "TIKTOK_SHOP_PROXY_CERTIFICATES";
/// The token with which the program authenticates to the key service.
pub(crate) const KEY_SERVICE_TOKEN: &str = "TIKTOK_SHOP_KEY_SERVICE_TOKEN";
pub(crate) const KEY_SERVICE_TOKEN_FILE: &str = "TIKTOK_SHOP_KEY_SERVICE_TOKEN_FILE";
/// The secret id with which the program logs in to the key service as an AppRole.
pub(crate) const KEY_SERVICE_SECRET_ID: &str = "TIKTOK_SHOP_KEY_SERVICE_SECRET_ID";
pub(crate) const KEY_SERVICE_SECRET_ID_FILE: &str = "TIKTOK_SHOP_KEY_SERVICE_SECRET_ID_FILE";
pub(crate) const APP_KEY: &str = "TIKTOK_SHOP_APP_KEY";
pub(crate) const APP_SECRET: &str = "TIKTOK_SHOP_APP_SECRET";
pub(crate) const APP_SECRET_FILE: &str = "TIKTOK_SHOP_APP_SECRET_FILE";
pub(crate) const PREVIOUS_APP_SECRET: &str = "TIKTOK_SHOP_PREVIOUS_APP_SECRET";
pub(crate) const PREVIOUS_APP_SECRET_FILE: &str = "TIKTOK_SHOP_PREVIOUS_APP_SECRET_FILE";
pub(crate) const AUTHORIZATION_LINK: &str = "TIKTOK_SHOP_AUTHORIZATION_LINK";
pub(crate) const TENANT: &str = "TIKTOK_SHOP_TENANT";
pub(crate) const KEY_FILE: &str = "TIKTOK_SHOP_KEY_FILE";
pub(crate) const FILE_ACCESS: &str = "TIKTOK_SHOP_FILE_ACCESS";
pub(crate) const CONFIG: &str = "TIKTOK_SHOP_CONFIG";
pub(crate) const FAKE: &str = "TIKTOK_SHOP_FAKE";
/// The address on which the service listens.
pub(crate) const LISTEN: &str = "TIKTOK_SHOP_LISTEN";
/// The address by which browsers reach the service.
pub(crate) const PUBLIC_ADDRESS: &str = "TIKTOK_SHOP_PUBLIC_ADDRESS";
pub(crate) const ACTOR: &str = "TIKTOK_SHOP_ACTOR";
/// Clap reads this variable for the option `--component`. With `--version`, clap does not parse the other settings, so
/// the program reads the variable itself.
pub(crate) const COMPONENT: &str = "TIKTOK_SHOP_COMPONENT";
pub(crate) const COMPONENT_SHA256: &str = "TIKTOK_SHOP_COMPONENT_SHA256";
