//! The steps of the demo, in order. Each step makes calls, shows their results, and checks what it shows.

#[macro_use]
mod step;

mod connecting;
mod ending;
mod keeping;
mod restarting;
mod webhooks;

use anyhow::Result;

use self::step::Customer;
use crate::page::Page;
use crate::stage::Stage;

pub(crate) async fn tell(stage: &mut Stage, page: &mut Page) -> Result<()> {
    let mut customer = Customer { id: "customer-7".parse()?, browser: Stage::browser()?, last_event: None };
    connecting::tell(stage, page, &mut customer).await?;
    restarting::tell(stage, page, &customer).await?;
    let announced = keeping::tell(stage, page, &mut customer).await?;
    ending::tell(stage, page, &mut customer, announced).await
}
