//! Checks of compare-and-swap: if several swaps expect the same revision, exactly one swap wins. The other swaps get
//! the record that the winner wrote.

use super::broken::{Broken, ensure, ensure_eq};
use super::concurrency::{eventually, race};
use super::register::{Kind, Register, Stored, for_each_kind};
use super::trial::Trial;
use tiktok_shop_host::storage::Swapped;

/// The number of swaps in a race. A small fleet makes about this many swaps for one connection at the same time.
const RACERS: u64 = 8;
/// How often each race is run. One run is not enough, because a faulty storage may answer correctly by chance.
const ROUNDS: u64 = 4;

pub(super) async fn exactly_one_concurrent_create_wins_and_the_others_get_its_record(
    trial: &Trial,
) -> Result<(), Broken> {
    for_each_kind(trial, |register| async move {
        for round in 0..ROUNDS {
            let register = register.at(&format!("account {round}"))?;
            let swaps = (1..=RACERS).map(|number| Swap { expected: None, next: Some(Stored::new(number)) });
            exactly_one_wins(&register, &swaps.collect::<Vec<_>>()).await?;
        }
        Ok(())
    })
    .await
}

pub(super) async fn exactly_one_concurrent_swap_of_a_revision_wins(trial: &Trial) -> Result<(), Broken> {
    for_each_kind(trial, |register| async move {
        for round in 0..ROUNDS {
            let register = register.at(&format!("account {round}"))?;
            ensure_eq!(register.swap(None, Some(Stored::new(100))).await?, Swapped::Done, "a creation");
            // In every round except the first, one of the swaps deletes the record.
            let next = |number| (number != round).then(|| Stored::new(number));
            let swaps = (1..=RACERS).map(|number| Swap { expected: Some(100), next: next(number) });
            exactly_one_wins(&register, &swaps.collect::<Vec<_>>()).await?;
        }
        Ok(())
    })
    .await
}

pub(super) async fn exactly_one_concurrent_delete_wins(trial: &Trial) -> Result<(), Broken> {
    for_each_kind(trial, |register| async move {
        for round in 0..ROUNDS {
            let register = register.at(&format!("account {round}"))?;
            ensure_eq!(register.swap(None, Some(Stored::new(100))).await?, Swapped::Done, "a creation");
            let swaps = (1..=RACERS).map(|_| Swap { expected: Some(100), next: None });
            exactly_one_wins(&register, &swaps.collect::<Vec<_>>()).await?;
        }
        Ok(())
    })
    .await
}

/// A swap in a race.
#[derive(Clone, Copy)]
struct Swap {
    expected: Option<u64>,
    next: Option<Stored>,
}

/// Starts all swaps at the same moment. Every swap expects the stored revision, so exactly one swap must win.
async fn exactly_one_wins(register: &Register, swaps: &[Swap]) -> Result<(), Broken> {
    let answers = race(swaps.iter().map(|&Swap { expected, next }| {
        let register = register.clone();
        async move { register.swap(expected, next).await }
    }));
    let answers = answers.await?;
    let winners = swaps.iter().zip(&answers).filter(|(_, answer)| **answer == Swapped::Done);
    let winners: Vec<_> = winners.map(|(swap, _)| swap.next).collect();
    let [won] = winners.as_slice() else {
        return Err(Broken(format!("{} of {} swaps that expected the same revision won", winners.len(), swaps.len())));
    };
    for answer in answers.into_iter().filter(|answer| *answer != Swapped::Done) {
        ensure_eq!(answer, Swapped::Stale(*won), "the answer to a swap that lost");
    }
    eventually("a load after the race", *won, || register.load()).await
}

/// The number of tasks that increment the same value.
const WRITERS: u64 = 6;
/// How often each task increments the value.
const INCREMENTS: u64 = 8;

pub(super) async fn no_update_is_lost(trial: &Trial) -> Result<(), Broken> {
    for_each_kind(trial, |register| async move {
        ensure_eq!(register.swap(None, Some(Stored { revision: 1, value: 0 })).await?, Swapped::Done, "a creation");
        race((1..=WRITERS).map(|writer| increments(register.clone(), writer))).await?;
        let all = WRITERS * INCREMENTS;
        let Swapped::Stale(Some(found)) = register.swap(None, Some(Stored::new(2))).await? else {
            return Err(Broken("a swap created a record that already exists".to_owned()));
        };
        ensure!(found.value == all, "the value is {} after {all} increments", found.value);
        Ok(())
    })
    .await
}

/// Increments the value [`INCREMENTS`] times. The first load may be stale, so the first swap may lose. After that, a
/// swap loses only because another task has written. So the number of attempts is limited.
async fn increments(register: Register, writer: u64) -> Result<(), Broken> {
    let max_attempts = INCREMENTS + WRITERS * INCREMENTS + 1;
    let mut found = register.load().await?;
    let mut wins = 0;
    for number in 1..=max_attempts {
        // This lets other tasks write between the load and the swap.
        tokio::task::yield_now().await;
        let value = found.map_or(0, |before| before.value) + 1;
        let next = Stored { revision: writer * 1_000_000 + number, value };
        match register.swap(found.map(|before| before.revision), Some(next)).await? {
            Swapped::Done => {
                found = Some(next);
                wins += 1;
                if wins == INCREMENTS {
                    return Ok(());
                }
            }
            Swapped::Stale(newer) => found = newer,
        }
    }
    Err(Broken(format!("{wins} of {max_attempts} swaps won, so the swaps that lost did not return the stored record")))
}

pub(super) async fn a_swap_that_expects_an_old_revision_is_stale(trial: &Trial) -> Result<(), Broken> {
    for_each_kind(trial, |register| async move {
        let same = |revision| Some(Stored { revision, value: 7 });
        let other = |revision| Some(Stored { revision, value: 8 });
        // The values to write, in this order. The same value is written several times, each time with a new revision.
        // `None` is a deletion.
        let writes = [same(1), other(2), same(3), None, same(4), None, same(5)];
        let mut current: Option<Stored> = None;
        let mut old = Vec::new();
        for next in writes {
            let expected = current.map(|stored| stored.revision);
            ensure_eq!(register.swap(expected, next).await?, Swapped::Done, "a swap of {expected:?} to {next:?}");
            old.extend(expected);
            current = next;
            for revision in &old {
                for again in [same(100), None] {
                    let answer = register.swap(Some(*revision), again).await?;
                    ensure_eq!(answer, Swapped::Stale(current), "a swap of old revision {revision} to {again:?}");
                }
            }
        }
        Ok(())
    })
    .await
}

pub(super) async fn a_swap_that_expects_no_record_is_stale_if_a_record_exists(trial: &Trial) -> Result<(), Broken> {
    for_each_kind(trial, |register| async move {
        ensure_eq!(register.swap(None, None).await?, Swapped::Done, "a deletion that expects no record");
        let stored = Stored::new(1);
        ensure_eq!(register.swap(None, Some(stored)).await?, Swapped::Done, "a creation");
        for next in [Some(Stored::new(2)), None] {
            let answer = register.swap(None, next).await?;
            ensure_eq!(answer, Swapped::Stale(Some(stored)), "a swap that expects no record, to {next:?}");
        }
        Ok(())
    })
    .await
}

pub(super) async fn a_deleted_record_is_gone(trial: &Trial) -> Result<(), Broken> {
    for_each_kind(trial, |register| async move {
        ensure_eq!(register.swap(None, Some(Stored::new(6))).await?, Swapped::Done, "a creation");
        ensure_eq!(
            register.swap(Some(5), None).await?,
            Swapped::Stale(Some(Stored::new(6))),
            "a deletion that expects another revision"
        );
        ensure_eq!(register.swap(Some(6), None).await?, Swapped::Done, "a deletion");
        ensure_eq!(register.swap(Some(6), None).await?, Swapped::Stale(None), "a second deletion");
        eventually("a load after a deletion", None, || register.load()).await?;
        let (storage, tenant, customer) = (&register.tenant.storage, &register.tenant.id, &register.key.customer);
        match register.kind {
            Kind::Token => {
                eventually("`accounts` after a deletion", Vec::new(), || storage.accounts(tenant, customer)).await
            }
            Kind::Row => {
                eventually("`list_rows` after a deletion", Vec::new(), || storage.list_rows(tenant, customer)).await?;
                let shop = "100".parse()?;
                eventually("`owners` after a deletion", Vec::new(), || storage.owners(tenant, &shop)).await
            }
        }
    })
    .await
}
