//! What a restart leaves: everything, for whichever process comes next.

use anyhow::Result;

use super::{Customer, LIST_SHOPS, OK, REFRESH, WEEK, lasts, lasts_from, linked, listed};
use crate::page::Page;
use crate::stage::{GERMAN_SHOP, Stage};

pub(super) async fn tell(stage: &mut Stage, page: &mut Page, customer: &Customer) -> Result<()> {
    let before = listed(stage, customer).await?;
    stage.journal.take();
    stage.end_servers().await;
    stage.advance(WEEK);
    page.step(
        "The servers end, and another process carries on",
        stage.now(),
        "What they had in memory is gone. A week later another program opens the same SQLite file with the same key file: \
         the command line of this project. The access token has run out, so it renews it. Then the servers are back.",
    )?;
    let command = format!("refresh {}", customer.id);
    let said = stage.other_process(&command)?;
    stage.begin_servers().await?;
    stage.journal.checks();
    let after = listed(stage, customer).await?;

    page.command(&format!("tiktok-shop-harness {command}"), &said)?;
    page.requests(&stage.journal.take(), &[(1, REFRESH, OK), (1, LIST_SHOPS, OK)])?;
    page.check("the servers find the same connection, and the only one", &after.key, &before.key)?;
    page.check("active, with an access token for seven days", &lasts(&after), &lasts_from(stage.now()))?;
    page.check("the choice stands", &linked(&after), &vec![GERMAN_SHOP])
}
