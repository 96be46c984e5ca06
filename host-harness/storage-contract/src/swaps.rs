//! Swaps: of those who expect the same one wins, and the others get what won.

use super::broken::{Broken, ensure, ensure_same};
use super::concurrency::{race, settles};
use super::register::{Kind, Register, Stored, of_each_kind};
use super::trial::Trial;
use tiktok_shop_host::storage::Swapped;

/// As many as a small fleet has calls for one connection at a time.
const RACERS: u64 = 8;
/// A race may happen to go well.
const ROUNDS: u64 = 4;

pub(super) async fn of_many_who_create_a_record_one_wins_and_the_others_get_it(trial: &Trial) -> Result<(), Broken> {
    of_each_kind(trial, |register| async move {
        for round in 0..ROUNDS {
            let register = register.at(&format!("account {round}"))?;
            let writes: Vec<_> = (1..=RACERS).map(|number| (None, Some(Stored::new(number)))).collect();
            one_wins(&register, &writes).await?;
        }
        Ok(())
    })
    .await
}

pub(super) async fn of_many_who_expect_the_same_revision_one_wins(trial: &Trial) -> Result<(), Broken> {
    of_each_kind(trial, |register| async move {
        for round in 0..ROUNDS {
            let register = register.at(&format!("account {round}"))?;
            ensure_same!(register.swap(None, Some(Stored::new(100))).await?, Swapped::Done, "a creation");
            // One of them deletes.
            let writes = (1..=RACERS).map(|number| (Some(100), (number != round).then(|| Stored::new(number))));
            one_wins(&register, &writes.collect::<Vec<_>>()).await?;
        }
        Ok(())
    })
    .await
}

pub(super) async fn of_many_who_delete_a_record_one_wins(trial: &Trial) -> Result<(), Broken> {
    of_each_kind(trial, |register| async move {
        for round in 0..ROUNDS {
            let register = register.at(&format!("account {round}"))?;
            ensure_same!(register.swap(None, Some(Stored::new(100))).await?, Swapped::Done, "a creation");
            one_wins(&register, &vec![(Some(100), None); usize::try_from(RACERS).unwrap_or_default()]).await?;
        }
        Ok(())
    })
    .await
}

/// Lets all of these swaps begin at once. All expect what stands there.
async fn one_wins(register: &Register, writes: &[(Option<u64>, Option<Stored>)]) -> Result<(), Broken> {
    let answers = race(writes.iter().map(|&(expected, next)| {
        let register = register.clone();
        async move { register.swap(expected, next).await }
    }));
    let answers = answers.await?;
    let winners: Vec<_> = writes
        .iter()
        .zip(&answers)
        .filter(|(_, answer)| **answer == Swapped::Done)
        .map(|((_, next), _)| *next)
        .collect();
    let [won] = winners.as_slice() else {
        return Err(Broken(format!("{} of {} swaps that expected the same won", winners.len(), writes.len())));
    };
    for answer in answers.into_iter().filter(|answer| *answer != Swapped::Done) {
        ensure_same!(answer, Swapped::Stale(*won), "what a loser got");
    }
    settles("a load after the race", *won, || register.load()).await
}

const WRITERS: u64 = 6;
const INCREMENTS: u64 = 8;

pub(super) async fn no_update_is_lost(trial: &Trial) -> Result<(), Broken> {
    of_each_kind(trial, |register| async move {
        ensure_same!(register.swap(None, Some(Stored { revision: 1, value: 0 })).await?, Swapped::Done, "a creation");
        race((1..=WRITERS).map(|writer| increments(register.clone(), writer))).await?;
        let all = WRITERS * INCREMENTS;
        let Swapped::Stale(Some(found)) = register.swap(None, Some(Stored::new(2))).await? else {
            return Err(Broken("a record was created where one stands".to_owned()));
        };
        ensure!(found.value == all, "{all} times 1 was added, and {} stands there", found.value);
        Ok(())
    })
    .await
}

/// Adds 1 to what stands there, some times. The first load may be old; after it only what others write makes a swap lose.
async fn increments(register: Register, writer: u64) -> Result<(), Broken> {
    let most = INCREMENTS + WRITERS * INCREMENTS + 1;
    let mut found = register.load().await?;
    let mut wins = 0;
    for number in 1..=most {
        // Others come in between.
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
    Err(Broken(format!("{wins} of {most} swaps won: those that lost were not told what stands there")))
}

pub(super) async fn an_old_revision_never_wins_again(trial: &Trial) -> Result<(), Broken> {
    of_each_kind(trial, |register| async move {
        let same = |revision| Some(Stored { revision, value: 7 });
        let other = |revision| Some(Stored { revision, value: 8 });
        // What is written in turn; the same value comes back with other revisions, and the record after it was gone.
        let writes = [same(1), other(2), same(3), None, same(4), None, same(5)];
        let mut stands: Option<Stored> = None;
        let mut old = Vec::new();
        for next in writes {
            let expected = stands.map(|stored| stored.revision);
            ensure_same!(register.swap(expected, next).await?, Swapped::Done, "a swap of {expected:?} for {next:?}");
            old.extend(expected);
            stands = next;
            for revision in &old {
                for again in [same(100), None] {
                    let answer = register.swap(Some(*revision), again).await?;
                    ensure_same!(
                        answer,
                        Swapped::Stale(stands),
                        "a swap of {revision}, which is replaced, for {again:?}"
                    );
                }
            }
        }
        Ok(())
    })
    .await
}

pub(super) async fn a_swap_that_expects_no_record_loses_where_one_is(trial: &Trial) -> Result<(), Broken> {
    of_each_kind(trial, |register| async move {
        ensure_same!(register.swap(None, None).await?, Swapped::Done, "a deletion of nothing");
        let stored = Stored::new(1);
        ensure_same!(register.swap(None, Some(stored)).await?, Swapped::Done, "a creation");
        for next in [Some(Stored::new(2)), None] {
            let answer = register.swap(None, next).await?;
            ensure_same!(answer, Swapped::Stale(Some(stored)), "a swap that expected no record, for {next:?}");
        }
        Ok(())
    })
    .await
}

pub(super) async fn what_is_deleted_is_gone(trial: &Trial) -> Result<(), Broken> {
    of_each_kind(trial, |register| async move {
        ensure_same!(register.swap(None, Some(Stored::new(6))).await?, Swapped::Done, "a creation");
        ensure_same!(
            register.swap(Some(5), None).await?,
            Swapped::Stale(Some(Stored::new(6))),
            "a deletion of another"
        );
        ensure_same!(register.swap(Some(6), None).await?, Swapped::Done, "a deletion");
        ensure_same!(register.swap(Some(6), None).await?, Swapped::Stale(None), "a second deletion");
        settles("a load after a deletion", None, || register.load()).await?;
        let (storage, tenant, customer) = (&register.tenant.storage, &register.tenant.id, &register.key.customer);
        match register.kind {
            Kind::Token => {
                settles("accounts after a deletion", Vec::new(), || storage.accounts(tenant, customer)).await
            }
            Kind::Row => {
                settles("list_rows after a deletion", Vec::new(), || storage.list_rows(tenant, customer)).await?;
                let shop = "100".parse()?;
                settles("owners after a deletion", Vec::new(), || storage.owners(tenant, &shop)).await
            }
        }
    })
    .await
}
