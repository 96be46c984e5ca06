//! Removes the shops from the consent with Deauthorize Shop. After that, the consent has ended for the app.

use serde_json::json;
use tiktok_shop_connector_core::http::Method;
use tiktok_shop_connector_core::secret::ShopCipher;

use crate::finding::Finding;
use crate::http::Answer;
use crate::report::Ended;
use crate::session::{Call, Grant, Removal, Session, Shop, TokenState, refuses_refresh_token};
use crate::step::calls::{DOES_NOT_FIT, NO_CIPHER};
use crate::step::waiting::{BEFORE_END, UNLIMITED};
use crate::switch::Switch;
use crate::world::World;

const DEAUTHORIZE: &str = "/authorization/202403/shops";

/// The questions that this step can answer.
const QUESTIONS: [Switch; 4] =
    [Switch::DeauthorizeShop, Switch::DeauthorizeAgain, Switch::LastShopRemoved, Switch::TokensAfterRemoval];

/// The verdict on a list of shops with a token that works.
type Good = (u16, Option<i64>);

/// What became of the tokens after a removal.
enum Lasting {
    /// They worked after this number of seconds, and were refused after that number.
    Refused { worked: u64, refused: u64 },
    /// The removed shop has left the list, and other shops are still on it.
    ListChanged,
    /// They worked until shortly before the authorization ended.
    ToTheEnd,
    /// They still worked after this number of seconds, and the run may wait no longer.
    NotOver(u64),
    /// An answer fits nothing.
    Unknown(String),
}

impl<W: World> Session<'_, W> {
    /// Removes one shop, then the others.
    pub(crate) async fn remove_shops(&mut self) -> Result<(), Ended> {
        let grant = self.working_grant().await?;
        self.step("END: listed the shops, and removed the first of them with Deauthorize Shop.");
        let listed = self.list_shops(&grant.access, "").await?;
        let good = listed.verdict();
        let shops = self.read_shops(&listed).unwrap_or_default();
        self.shops = shops;
        let first = self.shops.iter().find_map(|shop| Some((shop.id.clone(), shop.cipher.as_ref()?.duplicate())));
        let Some((first_id, first_cipher)) = first else {
            return self.leave_all(Finding::not_observable("no shop has a cipher, so none can be removed"));
        };
        let answer = self.deauthorize(&grant, &first_id, &first_cipher).await?;
        if !answer.is_success() {
            let why = format!("Deauthorize Shop gets {}", answer.in_words());
            return self.leave_all(Finding::not_observable(why));
        }
        if !self.has_seen(Switch::EmptyData) {
            self.judge_empty_data(&answer);
        }
        let removed_at = self.now();
        let after = self.list_shops(&grant.access, "after the removal").await?;
        match self.token_state(&after, good) {
            TokenState::Invalid => {
                self.judge_removed_grant(Lasting::Refused { worked: 0, refused: 0 });
                self.confirm_removal(&grant).await
            }
            TokenState::Works => match self.read_shops(&after) {
                Some(left) if left.iter().any(|shop| shop.id == first_id) => {
                    let lasting = self.watch(&grant, good, removed_at, Some(&first_id)).await?;
                    if matches!(lasting, Lasting::ListChanged) {
                        return self.remove_the_others(&grant, good, &first_cipher).await;
                    }
                    let is_removed = matches!(lasting, Lasting::Refused { .. });
                    self.judge_removed_grant(lasting);
                    if is_removed { self.confirm_removal(&grant).await } else { Ok(()) }
                }
                Some(left) if left.is_empty() && self.shops.len() == 1 => {
                    self.watch_the_only_shop(&grant, good, removed_at, &first_cipher).await
                }
                Some(left) if left.len() + 1 == self.shops.len() => {
                    self.remove_the_others(&grant, good, &first_cipher).await
                }
                Some(_) | None => self.leave_all(Finding::unclear("the list after the removal lacks other shops, too")),
            },
            TokenState::Expired | TokenState::Unknown => {
                let why = format!("after the removal, the list of shops gets {}", after.in_words());
                self.leave_all(Finding::unclear(why))
            }
        }
    }

    fn leave_all(&mut self, finding: Finding) -> Result<(), Ended> {
        QUESTIONS.into_iter().for_each(|switch| self.find(switch, finding.clone()));
        Ok(())
    }

    async fn deauthorize(&mut self, grant: &Grant, id: &str, cipher: &ShopCipher) -> Result<Answer, Ended> {
        let at = self.now();
        let call = Call { method: Method::Delete, cipher: Some(cipher), ..Call::get(DEAUTHORIZE) };
        let answer = self.call(&call, Some(&grant.access), "Deauthorize Shop").await?;
        if answer.is_success() && !self.removals.iter().any(|removal| removal.shop_id == id) {
            self.removals.push(Removal { shop_id: id.to_owned(), at });
        }
        Ok(answer)
    }

    /// Records the findings if the first call did not simply take one shop off the list. If the tokens are refused, the
    /// call has removed the whole grant. Otherwise its effect is unclear.
    fn judge_removed_grant(&mut self, lasting: Lasting) {
        let all = self.shops.len();
        let only = "the grant had only one shop, so it is unknown whether the call removed the shop or the grant";
        let shop = match &lasting {
            Lasting::Refused { .. } if all >= 2 => {
                self.removed_at_once = Some(all);
                Finding::seen("grant", format!("the tokens are refused although {} shops were not removed", all - 1))
            }
            Lasting::Refused { .. } => Finding::not_observable(only),
            Lasting::ListChanged | Lasting::ToTheEnd | Lasting::NotOver(_) | Lasting::Unknown(_) => {
                Finding::unclear("the call succeeded, but the removed shop is still on the list")
            }
        };
        self.find(Switch::DeauthorizeShop, shop);
        let (last, again) = if matches!(lasting, Lasting::Refused { .. }) {
            let gone = if all >= 2 { "the first call removed the whole grant" } else { only };
            (Finding::not_observable(gone), Finding::not_observable("the grant does not stand after the first call"))
        } else {
            let unclear = Finding::unclear("it is unclear what the first call has removed");
            (unclear.clone(), unclear)
        };
        self.find(Switch::LastShopRemoved, last);
        self.find(Switch::DeauthorizeAgain, again);
        self.judge_lasting(&lasting);
    }

    /// Records for how long tokens work after their grant was removed.
    fn judge_lasting(&mut self, lasting: &Lasting) {
        let finding = match lasting {
            Lasting::Refused { refused: 0, .. } => Finding::seen("refused", "they are refused at once"),
            Lasting::Refused { worked, refused } => Finding::Seen {
                value: json!({ "honoured-for-seconds": worked + 1 }),
                at_most_seconds: Some(*refused),
                why: format!("they work {worked} s after the removal, and are refused {refused} s after it"),
            },
            Lasting::ListChanged | Lasting::ToTheEnd => Finding::not_observable("the grant was not removed"),
            Lasting::NotOver(seconds) => Finding::unclear(format!(
                "the access token works {seconds} s after the removal: the grant stands, or its tokens work for longer; a \
                 longer --wait looks longer"
            )),
            Lasting::Unknown(why) => Finding::unclear(why),
        };
        self.find(Switch::TokensAfterRemoval, finding);
    }

    /// Checks that a refresh is refused as well. If it is not, the grant was not removed.
    async fn confirm_removal(&mut self, grant: &Grant) -> Result<(), Ended> {
        let newest = self.grant.as_ref().map_or_else(|| grant.copy(), Grant::copy);
        let answer = self.refresh(&newest.refresh, "after the removal").await?;
        if self.read_grant(&answer, Some(&newest)).is_some() {
            let why = "the access token is refused, but a refresh still works";
            self.removed_at_once = None;
            return self.leave_all(Finding::unclear(why));
        }
        if refuses_refresh_token(&answer) {
            self.lose_grant();
        }
        Ok(())
    }

    /// The only shop was removed, and the list is empty: waits to see whether the grant stands.
    async fn watch_the_only_shop(
        &mut self,
        grant: &Grant,
        good: Good,
        removed_at: u64,
        cipher: &ShopCipher,
    ) -> Result<(), Ended> {
        let again = self.deauthorize(grant, "", cipher).await?;
        let again = self.judged_again(&again);
        let lasting = self.watch(grant, good, removed_at, None).await?;
        match &lasting {
            Lasting::ToTheEnd => {
                let why = "the only shop was removed, and the tokens work until the authorization ends";
                self.find(Switch::DeauthorizeShop, Finding::seen("shop", why));
                self.find(Switch::LastShopRemoved, Finding::seen("leaves-grant", why));
                self.find(Switch::DeauthorizeAgain, again);
            }
            Lasting::Refused { .. } => {
                self.judge_removed_grant(lasting);
                return self.confirm_removal(grant).await;
            }
            Lasting::ListChanged | Lasting::NotOver(_) | Lasting::Unknown(_) => {
                let why = "the only shop was removed; it is unknown whether the grant stands";
                self.leave_all(Finding::unclear(why))?;
            }
        }
        self.judge_lasting(&lasting);
        Ok(())
    }

    fn judged_again(&self, answer: &Answer) -> Finding {
        let words = answer.in_words();
        if answer.is_success() {
            Finding::seen("success", "a second call for the same shop succeeds")
        } else if self.wrong_cipher == Some(answer.verdict()) && matches!(answer.code(), Some(NO_CIPHER | DOES_NOT_FIT))
        {
            Finding::seen("wrong-cipher", format!("a second call gets {words}, like an invented cipher"))
        } else {
            Finding::unclear(format!("a second call for the same shop gets {words}"))
        }
    }

    /// The first call has removed one shop only: makes it again, and removes the other shops.
    async fn remove_the_others(&mut self, grant: &Grant, good: Good, first: &ShopCipher) -> Result<(), Ended> {
        let all = self.shops.len();
        let why = format!("one of {all} shops has left the list, and the others are still on it");
        self.find(Switch::DeauthorizeShop, Finding::seen("shop", why));
        self.step("END: removed the first shop again, and then the other shops.");
        let again = self.deauthorize(grant, "", first).await?;
        let again = self.judged_again(&again);
        self.find(Switch::DeauthorizeAgain, again);

        let is_first = |shop: &&Shop| shop.cipher.as_ref().is_some_and(|cipher| cipher.same_as(first));
        let others = self.shops.iter().filter(|shop| !is_first(shop));
        let others: Vec<_> =
            others.map(|shop| (shop.id.clone(), shop.cipher.as_ref().map(ShopCipher::duplicate))).collect();
        let mut without_cipher = 0;
        for (id, cipher) in &others {
            let Some(cipher) = cipher else {
                without_cipher += 1;
                continue;
            };
            let answer = self.deauthorize(grant, id, cipher).await?;
            if !answer.is_success() {
                let finding = Finding::unclear(format!("the removal of another shop gets {}", answer.in_words()));
                self.find(Switch::LastShopRemoved, finding.clone());
                self.find(Switch::TokensAfterRemoval, finding);
                return Ok(());
            }
        }
        if without_cipher > 0 {
            let finding =
                Finding::not_observable(format!("{without_cipher} of the shops have no cipher, so they stay"));
            self.find(Switch::LastShopRemoved, finding.clone());
            self.find(Switch::TokensAfterRemoval, finding);
            return Ok(());
        }
        let removed_at = self.now();
        let after = self.list_shops(&grant.access, "after the removal of every shop").await?;
        let lasting = match self.token_state(&after, good) {
            TokenState::Invalid => Lasting::Refused { worked: 0, refused: 0 },
            TokenState::Works => match self.read_shops(&after) {
                Some(left) if left.is_empty() => self.watch(grant, good, removed_at, None).await?,
                Some(_) | None => Lasting::Unknown("every shop was removed, but the list is not empty".to_owned()),
            },
            TokenState::Expired | TokenState::Unknown => {
                Lasting::Unknown(format!("after the removal of every shop, the list gets {}", after.in_words()))
            }
        };
        let finding = match &lasting {
            Lasting::Refused { .. } => Finding::seen("removes-grant", "the tokens are refused after the last removal"),
            Lasting::ToTheEnd => Finding::seen("leaves-grant", "the tokens work until the authorization ends"),
            Lasting::NotOver(seconds) => Finding::unclear(format!(
                "{seconds} s after the last removal, the access token works with an empty list"
            )),
            Lasting::ListChanged => Finding::unclear("the list has changed by itself"),
            Lasting::Unknown(why) => Finding::unclear(why),
        };
        self.find(Switch::LastShopRemoved, finding);
        self.judge_lasting(&lasting);
        if matches!(lasting, Lasting::Refused { .. }) {
            let newest = self.grant.as_ref().map_or_else(|| grant.copy(), Grant::copy);
            let answer = self.refresh(&newest.refresh, "after the removal").await?;
            if self.read_grant(&answer, Some(&newest)).is_some() {
                let finding = Finding::unclear("the access token is refused, but a refresh still works");
                self.find(Switch::LastShopRemoved, finding.clone());
                self.find(Switch::TokensAfterRemoval, finding);
            } else if refuses_refresh_token(&answer) {
                self.lose_grant();
            }
        }
        Ok(())
    }

    /// Lists the shops again and again, until the tokens are refused. The pauses grow with the time. If `listed` names a
    /// shop, also ends when this shop leaves the list.
    async fn watch(
        &mut self,
        grant: &Grant,
        good: Good,
        removed_at: u64,
        listed: Option<&str>,
    ) -> Result<Lasting, Ended> {
        let mut grant = grant.copy();
        let mut left = self.settings.longest_wait.as_secs();
        let mut worked = self.now().saturating_sub(removed_at);
        loop {
            let to_end = grant.ends.saturating_sub(self.now()).saturating_sub(BEFORE_END);
            if to_end == 0 {
                return Ok(if worked >= UNLIMITED { Lasting::ToTheEnd } else { Lasting::NotOver(worked) });
            }
            let pause = (worked / 20).max(1).min(to_end);
            if pause > left {
                return Ok(Lasting::NotOver(worked));
            }
            left -= pause;
            self.wait(pause).await?;
            let refused = self.now().saturating_sub(removed_at);
            if grant.access_ends <= self.now() {
                let answer = self.refresh(&grant.refresh, "after the removal").await?;
                match self.read_grant(&answer, Some(&grant)) {
                    Some(next) => {
                        grant = next.copy();
                        self.hold(next);
                    }
                    None if refuses_refresh_token(&answer) => return Ok(Lasting::Refused { worked, refused }),
                    None => return Ok(Lasting::Unknown(format!("a refresh gets {}", answer.in_words()))),
                }
            }
            let answer = self.list_shops(&grant.access, "after the removal").await?;
            match self.token_state(&answer, good) {
                TokenState::Works => worked = refused,
                TokenState::Invalid => return Ok(Lasting::Refused { worked, refused }),
                TokenState::Expired | TokenState::Unknown => {
                    return Ok(Lasting::Unknown(format!("the list of shops gets {}", answer.in_words())));
                }
            }
            let shops = self.read_shops(&answer).unwrap_or_default();
            if listed.is_some_and(|id| !shops.is_empty() && !shops.iter().any(|shop| shop.id == id)) {
                return Ok(Lasting::ListChanged);
            }
        }
    }
}
