//! Compares a refresh over TLS with the pooled client and with wasmtime's default transport.

use std::sync::Arc;

use anyhow::Result;
use tiktok_shop_host::egress::PooledClient;

use super::{Context, Outcome};
use crate::figure::{Measured, number};
use crate::own_engine::{Limited, OwnEngine, Transport};
use crate::rounds::{in_turn, median_of_calls, on_worker, whole_machine};
use crate::server::Server;

pub(super) const KEYS: [&str; 1] = ["pooled_vs_default_transport"];

/// The number of refreshes in each round.
const CALLS: u64 = 500;

pub(super) fn measure(context: &Context) -> Result<Outcome> {
    let (server, runtime) = (Server::with(&["--tls"])?, whole_machine()?);
    let roots = server.roots()?;
    let client = PooledClient::to_loopback(server.address().port(), roots.clone())?;
    let default = Transport::Default { server: server.address(), roots: Arc::new(roots) };
    let engine = |transport| {
        let engine = OwnEngine::new(&context.component, Limited::Yes, transport)?;
        let connecting = engine.clone();
        on_worker(&runtime, async move { connecting.connect().await })?;
        anyhow::Ok(engine)
    };
    let (pooled, default) = (engine(Transport::Pooled(Arc::new(client)))?, engine(default)?);
    let refresh = |engine: &OwnEngine| {
        let engine = engine.clone();
        on_worker(&runtime, async move {
            median_of_calls(CALLS, |_| {
                let engine = engine.clone();
                async move { engine.refresh().await }
            })
            .await
        })
    };
    let [with, without] = in_turn(context.rounds, [&mut || refresh(&pooled), &mut || refresh(&default)])?;
    let [key] = KEYS;
    let detail = format!("{} µs ÷ {} µs", number(with.median()), number(without.median()));
    Ok(vec![Measured::of_rounds(key, &with.over(&without), detail)].into())
}
