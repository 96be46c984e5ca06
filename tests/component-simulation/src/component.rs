//! Runs each call of a history in a fresh instance of the component.

use std::mem::take;
use std::sync::Arc;

use serde_json::Value;
use tiktok_shop_simulation::{Call, Connector, Host, Operation};
use wasmtime::Result;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{ComponentExportIndex, InstancePre, Linker, ResourceType, Val};
use wasmtime::error::Context as _;
use wasmtime::{Engine, Store};

use crate::exports::{export, outcome};
use crate::imports::{Guest, import};
use crate::transcript::Transcript;
use crate::values::{RESOURCE, read, write, write_all, write_text};

const EXPORTS: &str = "tiktok-shop:connector/connector@0.2.0";

/// The shipped component, compiled and linked with the simulated host.
#[derive(Clone)]
pub struct Component {
    engine: Engine,
    component: wasmtime::component::Component,
    exports: ComponentExportIndex,
    linked: InstancePre<Guest>,
    transcript: Option<Arc<Transcript>>,
}

impl Component {
    /// Builds and compiles the component.
    ///
    /// # Errors
    /// The component can't be built, or it imports something other than functions and resources.
    pub fn new() -> Result<Self> {
        let component = xtask::component().map_err(|error| wasmtime::Error::msg(format!("{error:#}")))?;
        let engine = Engine::default();
        let component = wasmtime::component::Component::from_file(&engine, component)?;
        let exports =
            component.get_export_index(None, EXPORTS).context("the component does not export the connector")?;
        let mut linker = Linker::new(&engine);
        for (interface, item) in component.component_type().imports(&engine) {
            let ComponentItem::ComponentInstance(instance) = item.ty else { continue };
            let mut linker = linker.instance(interface)?;
            for (name, item) in instance.exports(&engine) {
                match item.ty {
                    ComponentItem::ComponentFunc(_) => {
                        let function: Arc<str> = format!("{}.{name}", short(interface)).into();
                        linker.func_new_async(name, move |store, ty, arguments, results| {
                            Box::new(import(store, Arc::clone(&function), ty, arguments, results))
                        })?;
                    }
                    ComponentItem::Resource(_) => {
                        linker.resource(name, ResourceType::host_dynamic(RESOURCE), |_, _| Ok(()))?;
                    }
                    _ => {}
                }
            }
        }
        let linked = linker.instantiate_pre(&component)?;
        Ok(Self { engine, component, exports, linked, transcript: None })
    }

    /// Returns a component whose calls are added to the returned transcript.
    #[must_use]
    pub fn recorded(&self) -> (Self, Arc<Transcript>) {
        let transcript = Arc::default();
        (Self { transcript: Some(Arc::clone(&transcript)), ..self.clone() }, transcript)
    }

    async fn run(&self, host: Arc<Host>, name: &'static str, arguments: &[Value]) -> Result<String> {
        let call = host.call();
        let mut store = Store::new(&self.engine, Guest::new(host, self.transcript.clone()));
        let index = self.component.get_export_index(Some(&self.exports), name).context("there is no such export")?;
        let instance = self.linked.instantiate_async(&mut store).await?;
        let function = instance.get_func(&mut store, index).context("the export is no function")?;
        let ty = function.ty(&store);
        let types: Vec<_> = ty.params().map(|(_, ty)| ty).collect();
        let arguments = types.iter().zip(arguments).map(|(ty, value)| read(&mut store, ty, value));
        let arguments: Vec<Val> = arguments.collect::<Result<_>>()?;
        let mut line = String::from("{\"export\":");
        if let Some(transcript) = &self.transcript {
            write_text(&mut line, name);
            line.push_str(",\"arguments\":");
            write_all(&mut line, ['[', ']'], types.iter().zip(&arguments), |text, (ty, value)| write(text, ty, value));
            line.push('}');
            transcript.add(call, take(&mut line));
        }
        let mut results = [Val::Bool(false)];
        function.call_async(&mut store, &arguments, &mut results).await?;
        let [result] = &results;
        let ty = ty.results().next().context("the export has no result")?;
        if let Some(transcript) = &self.transcript {
            line.push_str("{\"result\":");
            write(&mut line, &ty, result);
            line.push('}');
            transcript.add(call, line);
        }
        Ok(outcome(result))
    }
}

impl Connector for Component {
    fn call(&self, host: Arc<Host>, operation: Operation) -> Call {
        let component = self.clone();
        let (name, arguments) = export(operation);
        // A trap is an outcome that the native core never has.
        Box::pin(
            async move { component.run(host, name, &arguments).await.unwrap_or_else(|error| format!("{error:#}")) },
        )
    }
}

/// Returns the name of an interface without its package and version, for example `storage`.
fn short(interface: &str) -> &str {
    let name = interface.rsplit_once('/').map_or(interface, |(_, name)| name);
    name.split_once('@').map_or(name, |(name, _)| name)
}
