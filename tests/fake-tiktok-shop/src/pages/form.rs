//! Forms and buttons that change the fake's state.

use maud::{Markup, html};

use crate::marketplace::Marketplace;
use crate::page::Tab;

/// Writes the forms of one page.
pub(super) struct Forms {
    token: String,
    tab: Tab,
}

/// How a button looks.
#[derive(Clone, Copy)]
pub(super) enum Look {
    Plain,
    /// The main button of a form.
    Primary,
    /// The button of an action that removes, ends, revokes, closes or deletes something.
    Danger,
}

impl Look {
    fn class(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Primary => Some("primary"),
            Self::Danger => Some("danger"),
        }
    }
}

impl Forms {
    pub(super) fn new(marketplace: &Marketplace, tab: Tab) -> Self {
        Self { token: marketplace.pages.token.clone(), tab }
    }

    /// Returns a form that the browser sends to this action. `hidden` contains names and values that the browser also
    /// sends, but that the user does not see.
    pub(super) fn form(&self, action: &str, hidden: &[(&str, &str)], content: &Markup) -> Markup {
        html! {
            form method="post" action={ "/_pages/do/" (action) } {
                input type="hidden" name="token" value=(self.token);
                input type="hidden" name="back" value=(self.tab.path());
                @for (name, value) in hidden { input type="hidden" name=(name) value=(value); }
                (content)
            }
        }
    }

    /// Returns a form that consists of one button.
    pub(super) fn button(&self, action: &str, hidden: &[(&str, &str)], look: Look, label: &str) -> Markup {
        self.form(action, hidden, &submit(look, label))
    }

    /// Returns a form that consists of one button. A screen reader also says the subject, because the page has other
    /// buttons with the same label.
    pub(super) fn button_for(
        &self,
        subject: &str,
        action: &str,
        hidden: &[(&str, &str)],
        look: Look,
        label: &str,
    ) -> Markup {
        let button = html! { button class=[look.class()] aria-label={ (label) ": " (subject) } { (label) } };
        self.form(action, hidden, &button)
    }
}

pub(super) fn submit(look: Look, label: &str) -> Markup {
    html! { button class=[look.class()] { (label) } }
}

/// Returns an input with its label above it.
pub(super) fn field(label: &str, class: &str, input: &Markup) -> Markup {
    html! { div class={ "field " (class) } { label { (label) (input) } } }
}
