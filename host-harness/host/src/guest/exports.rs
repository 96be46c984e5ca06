//! The functions that the component exports.
//!
//! The bindings that wasmtime generates load every function of an instance and compare its types. Every call has an
//! instance of its own and calls one function, so [`Exports`] loads only that function.

use wasmtime::Store;
use wasmtime::component::{Component, ComponentExportIndex, ComponentNamedList, Instance, Lift, Lower};

use super::bindings::{export, types};
use super::call_state::CallState;

/// The interface that has the functions. If a component exports another version 0.2.x of it, wasmtime finds that one.
const INTERFACE: &str = "tiktok-shop:connector/connector@0.2.0";

/// The answer of an export: a value, the connector's own error, or wasmtime's error, for example a trap.
pub(crate) type Answer<T> = wasmtime::Result<Result<T, types::ConnectorError>>;

/// The exports of the instance of one call.
pub(crate) struct Exports {
    instance: Instance,
    places: Places,
}

impl Exports {
    pub(super) fn new(instance: Instance, places: Places) -> Self {
        Self { instance, places }
    }

    /// Compares the types of a function with `P` and `T`, and calls the function.
    async fn call<P, T>(&self, store: &mut Store<CallState>, place: ComponentExportIndex, parameters: P) -> Answer<T>
    where
        P: ComponentNamedList + Lower + Send + Sync,
        T: Lift + Send + Sync + 'static,
    {
        let function = self.instance.get_typed_func::<P, (Result<T, types::ConnectorError>,)>(&mut *store, &place)?;
        let (answer,) = function.call_async(store, parameters).await?;
        Ok(answer)
    }
}

macro_rules! exports {
    ($($name:literal $method:ident($($parameter:ident: $type:ty),*) -> $value:ty;)*) => {
        /// Where the functions are in the component.
        #[derive(Clone, Copy)]
        pub(super) struct Places {
            $($method: ComponentExportIndex,)*
        }

        impl Places {
            /// Finds the functions. Returns `None` if a function is missing. Does not compare their types.
            pub(super) fn find(component: &Component) -> Option<Self> {
                let interface = component.get_export_index(None, INTERFACE)?;
                Some(Self { $($method: component.get_export_index(Some(&interface), $name)?,)* })
            }
        }

        impl Exports {
            $(
                #[doc = concat!("Calls the export `", $name, "`.")]
                pub(crate) async fn $method(
                    &self,
                    store: &mut Store<CallState>,
                    $($parameter: $type),*
                ) -> Answer<$value> {
                    self.call(store, self.places.$method, ($($parameter,)*)).await
                }
            )*
        }
    };
}

exports! {
    "authorization-url" authorization_url(app: Option<&str>, state: &str) -> String;
    "exchange-install" exchange_install(app: Option<&str>, query: &str) -> export::PendingInstall;
    "install-shops" install_shops(pending: &[u8]) -> Vec<export::InstallShop>;
    "connect" connect(customer: &str, app: Option<&str>, grant: &export::Grant, shops: types::ShopPolicy) -> types::Connection;
    "refresh" refresh(customer: &str, account: Option<&str>, rotation: export::Rotation) -> export::Refreshed;
    "list-shops" list_shops(customer: &str) -> Vec<types::Shop>;
    "list-connections" list_connections(customer: &str) -> Vec<types::Connection>;
    "link-shops" link_shops(customer: &str, account: Option<&str>, shops: &[String]) -> types::Connection;
    "access-token" access_token(customer: &str, account: Option<&str>, min_validity_seconds: u32) -> export::ValidToken;
    "export-grant" export_grant(customer: &str, account: Option<&str>) -> export::ExistingGrant;
    "call" call_api(customer: &str, request: &export::CallRequest) -> export::CallResponse;
    "disconnect" disconnect(customer: &str, target: &export::DisconnectTarget, remote: export::RemoteGrant) -> export::Disconnected;
    "receive-webhook" receive_webhook(app: Option<&str>, signature: &str, body: &[u8]) -> export::Webhook;
}
