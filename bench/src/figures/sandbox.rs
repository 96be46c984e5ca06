//! The cost of the sandbox. Compares the component with the same core as native code, a fresh instance with an empty
//! component, and a host with limits with a host without limits.

use std::sync::Arc;

use anyhow::Result;
use tokio::runtime::Runtime;

use super::{Context, Outcome};
use crate::empty::{Empty, Memory};
use crate::figure::{Measured, number};
use crate::native::Native;
use crate::own_engine::{Limited, OwnEngine, Transport};
use crate::platform::{Platform, customer};
use crate::rounds::{Arm, Series, in_turn, median_of_calls, on_worker, whole_machine};
use crate::server::Server;

pub(super) const NATIVE: [&str; 4] = ["connect_vs_native", "refresh_vs_native", "connect_us", "refresh_us"];
pub(super) const EMPTY: [&str; 2] = ["list_shops_vs_empty", "list_shops_us"];
pub(super) const LIMITS: [&str; 1] = ["limits_on_vs_off"];

/// The number of calls of each kind in each round that send requests.
const CALLS: u64 = 1_000;
/// The number of calls in each round that send none.
const LOCAL_CALLS: u64 = 10_000;

/// Describes the two sides of a ratio.
fn sides(one: &Series, other: &Series) -> String {
    format!("{} µs ÷ {} µs", number(one.median()), number(other.median()))
}

pub(super) fn measure_native(context: &Context) -> Result<Outcome> {
    let (server, runtime) = (Server::start()?, whole_machine()?);
    let platform = {
        let _guard = runtime.enter();
        context.parts(&server)?.build()?
    };
    let native = Arc::new(Native::of(&platform)?);

    let mut connected = 0;
    let mut connect = || {
        let (platform, first) = (platform.clone(), connected);
        connected += CALLS;
        on_worker(&runtime, async move {
            median_of_calls(CALLS, |call| {
                let platform = platform.clone();
                async move { platform.connect(&customer(first + call)?).await.map(drop) }
            })
            .await
        })
    };
    let mut natively_connected = 0;
    let mut connect_natively = || {
        let (native, first) = (Arc::clone(&native), natively_connected);
        natively_connected += CALLS;
        on_worker(&runtime, async move {
            median_of_calls(CALLS, |call| {
                let native = Arc::clone(&native);
                async move { native.connect(&format!("customer-{}", first + call)).await }
            })
            .await
        })
    };
    let mut refresh = || {
        let platform = platform.clone();
        on_worker(&runtime, async move {
            median_of_calls(CALLS, |call| {
                let platform = platform.clone();
                async move { platform.refresh(&customer(call)?).await }
            })
            .await
        })
    };
    let mut refresh_natively = || {
        let native = Arc::clone(&native);
        on_worker(&runtime, async move {
            median_of_calls(CALLS, |call| {
                let native = Arc::clone(&native);
                async move { native.refresh(&format!("customer-{call}")).await }
            })
            .await
        })
    };
    // The first measurement, which does not count, connects the customers that are refreshed.
    let [connects, native_connects] = in_turn(context.rounds, [&mut connect, &mut connect_natively])?;
    let [refreshes, native_refreshes] = in_turn(context.rounds, [&mut refresh, &mut refresh_natively])?;
    let [connect_ratio, refresh_ratio, connect_time, refresh_time] = NATIVE;
    Ok(vec![
        Measured::of_rounds(connect_ratio, &connects.over(&native_connects), sides(&connects, &native_connects)),
        Measured::of_rounds(refresh_ratio, &refreshes.over(&native_refreshes), sides(&refreshes, &native_refreshes)),
        Measured::of_rounds(connect_time, &connects, ""),
        Measured::of_rounds(refresh_time, &refreshes, ""),
    ]
    .into())
}

pub(super) fn measure_empty(context: &Context) -> Result<Outcome> {
    let (server, runtime) = (Server::start()?, whole_machine()?);
    let platform = connected(context, &server, &runtime)?;
    let empty = |memory| Empty::on_engine_of(&platform.host, memory);
    let (bare, with_memory) = (empty(Memory::None)?, empty(Memory::Written)?);
    let mut list_shops = || {
        let platform = platform.clone();
        on_worker(&runtime, async move {
            median_of_calls(LOCAL_CALLS, |_| {
                let platform = platform.clone();
                async move { platform.list_shops(&customer(0)?).await }
            })
            .await
        })
    };
    let nothing = |empty: &Empty| {
        let empty = empty.clone();
        on_worker(&runtime, async move {
            median_of_calls(LOCAL_CALLS, |_| {
                let empty = empty.clone();
                async move { empty.call().await }
            })
            .await
        })
    };
    let arms: [Arm<'_>; 3] = [&mut list_shops, &mut || nothing(&bare), &mut || nothing(&with_memory)];
    let [lists, nothings, nothings_with_memory] = in_turn(context.rounds, arms)?;
    let [ratio, time] = EMPTY;
    let detail = format!(
        "{}; {} µs for an empty component that writes to a memory",
        sides(&lists, &nothings),
        number(nothings_with_memory.median())
    );
    Ok(vec![Measured::of_rounds(ratio, &lists.over(&nothings), detail), Measured::of_rounds(time, &lists, "")].into())
}

pub(super) fn measure_limits(context: &Context) -> Result<Outcome> {
    let (server, runtime) = (Server::start()?, whole_machine()?);
    let platform = connected(context, &server, &runtime)?;
    let transport = Transport::Pooled(Arc::new(platform.host.pooled_client()));
    let engine = |limited| OwnEngine::new(&context.component, limited, transport.clone());
    let (on, off) = (engine(Limited::Yes)?, engine(Limited::No)?);
    for engine in [&on, &off] {
        let engine = engine.clone();
        on_worker(&runtime, async move { engine.connect().await })?;
    }
    let list = |engine: &OwnEngine| {
        let engine = engine.clone();
        on_worker(&runtime, async move {
            median_of_calls(LOCAL_CALLS, |_| {
                let engine = engine.clone();
                async move { engine.list_shops().await }
            })
            .await
        })
    };
    let [with, without] = in_turn(context.rounds, [&mut || list(&on), &mut || list(&off)])?;
    let [key] = LIMITS;
    Ok(vec![Measured::of_rounds(key, &with.over(&without), sides(&with, &without))].into())
}

/// Returns a platform with one connected customer, whose storage is in memory.
pub(super) fn connected(context: &Context, server: &Server, runtime: &Runtime) -> Result<Platform> {
    let _guard = runtime.enter();
    let platform = context.parts(server)?.build()?;
    let first = platform.clone();
    on_worker(runtime, async move { first.connect(&customer(0)?).await.map(drop) })?;
    Ok(platform)
}
