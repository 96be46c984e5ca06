//! Plays a history twice: with the native core, and with the component.

use anyhow::{Result, bail, ensure};
use tiktok_shop_simulation::{Broken, Connector, NativeCore, Played, Policy, Seen, run};

/// Plays the history with this seed with both forms of the connector. Returns what happened in it.
///
/// # Errors
/// The component's history breaks a law, or differs from the history of the native core.
pub fn compare(component: &impl Connector, seed: u64, policy: Policy) -> Result<Seen> {
    let of_core = played(&NativeCore, seed, policy)?;
    let of_component = played(component, seed, policy)?;
    let (expected, actual) = (&of_core.history, &of_component.history);
    if let Some(at) = (0..expected.len().max(actual.len())).find(|at| expected.get(*at) != actual.get(*at)) {
        let common = expected[..at].join("\n");
        let line = |history: &[String]| history.get(at).cloned().unwrap_or_else(|| "the end".to_owned());
        bail!(
            "{policy:?}, seed {seed}: the histories differ\n{common}\ncore:      {}\ncomponent: {}",
            line(expected),
            line(actual)
        );
    }
    let Played { records, row, .. } = of_component;
    ensure!(records == of_core.records, "{policy:?}, seed {seed}: the token records differ");
    ensure!(row == of_core.row, "{policy:?}, seed {seed}: the rows differ: {row:?}, core: {:?}", of_core.row);
    Ok(of_component.seen)
}

fn played(connector: &impl Connector, seed: u64, policy: Policy) -> Result<Played> {
    match run(connector, seed, policy) {
        Ok(played) => Ok(played),
        Err(Broken { law, history }) => bail!("{policy:?}, seed {seed}: {law}\n{}", history.join("\n")),
    }
}
