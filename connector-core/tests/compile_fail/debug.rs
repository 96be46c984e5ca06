//! This file must not compile, because neither a secret type nor a type that contains a secret implements `Debug`.

use core::fmt::Debug;
use tiktok_shop_connector_core::ports::TokenValue;
use tiktok_shop_connector_core::secret::*;
use tiktok_shop_connector_core::*;

fn needs<T: Debug>() {}

fn main() {
    needs::<AccessToken>();
    needs::<AppSecret>();
    needs::<AuthorizationCode>();
    needs::<RefreshToken>();
    needs::<RequestTarget>();
    needs::<SecretBytes>();
    needs::<ShopCipher>();
    needs::<State>();

    needs::<callback::Grant>();
    needs::<pending_install::PendingInstall>();
    needs::<connection::Connection>();
    needs::<connection::ListedShop>();
    needs::<connection::Row>();
    needs::<endpoint::api::ApiRequest<'static>>();
    needs::<token::Pair>();
    needs::<envelope::Success<'static>>();
    needs::<http::Request<'static>>();
    needs::<http::Response>();
    needs::<operation::access_token::ValidToken>();
    needs::<credentials::Credentials>();
    needs::<ports::Entry<TokenValue>>();
    needs::<TokenValue>();
    needs::<ports::TokenWrite>();
    needs::<record::CurrentPair>();
    needs::<record::TokenRecord>();
}
