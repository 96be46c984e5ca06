//! The step of the demo that restarts the servers. Nothing is lost: another process continues with the same storage.

use anyhow::Result;

use super::step::{Customer, LIST_SHOPS, OK, REFRESH, WEEK, active_for_a_week, linked, listed, status_and_end};
use crate::page::Page;
use crate::stage::{GERMAN_SHOP, Stage};

pub(super) async fn tell(stage: &mut Stage, page: &mut Page, customer: &Customer) -> Result<()> {
    let before = listed(stage, customer).await?;
    stage.journal.take();
    stage.end_servers().await;
    stage.advance(WEEK);
    page.step(
        "The servers end, and another process continues",
        stage.now(),
        "The servers stop, and their memory is lost. A week later another program opens the same SQLite file with the \
         same key file: tiktok-shop-harness. The access token has ended, so the program renews it. Then the servers \
         start again.",
    )?;
    let command = format!("refresh {}", customer.id);
    let output = stage.run_harness(&command)?;
    stage.start_servers().await?;
    stage.journal.checks();
    let after = listed(stage, customer).await?;

    page.command(&format!("tiktok-shop-harness {command}"), &output)?;
    page.requests(&stage.journal.take(), &[(1, REFRESH, OK), (1, LIST_SHOPS, OK)])?;
    page.check("the servers find the same connection, and no other", &after.key, &before.key)?;
    page.check(
        "the connection is active, with an access token for seven days",
        &status_and_end(&after),
        &active_for_a_week(stage.now()),
    )?;
    page.check("the chosen shop is still linked", &linked(&after), &vec![GERMAN_SHOP])
}
