//! Light, dark, or what the system says. The choice stands in `localStorage`; `theme.js` reads it before the first paint
//! and whenever it is told that it changed.

use web_sys::{Event, Storage};

/// A person's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    /// What the system says.
    System,
    /// Always light.
    Light,
    /// Always dark.
    Dark,
}

impl Theme {
    /// What was chosen on this machine.
    pub fn chosen() -> Self {
        let kept = storage().and_then(|storage| storage.get_item("theme").ok().flatten());
        Self::named(kept.as_deref().unwrap_or_default())
    }

    /// Chooses it. Where storage is refused the choice does not stay.
    pub fn choose(self) {
        if let Some(storage) = storage() {
            let _ = match self {
                Theme::System => storage.remove_item("theme"),
                chosen => storage.set_item("theme", chosen.name()),
            };
        }
        if let (Some(window), Ok(event)) = (web_sys::window(), Event::new("sent-theme")) {
            let _ = window.dispatch_event(&event);
        }
    }

    /// The next one in the round that a single button walks.
    pub fn next(self) -> Self {
        match self {
            Theme::System => Theme::Light,
            Theme::Light => Theme::Dark,
            Theme::Dark => Theme::System,
        }
    }

    /// Its name in `localStorage` and in forms.
    pub fn name(self) -> &'static str {
        match self {
            Theme::System => "system",
            Theme::Light => "light",
            Theme::Dark => "dark",
        }
    }

    /// The theme of that name; anything unknown is the system's.
    pub fn named(name: &str) -> Self {
        match name {
            "light" => Theme::Light,
            "dark" => Theme::Dark,
            _ => Theme::System,
        }
    }

    /// For people.
    pub fn label(self) -> &'static str {
        match self {
            Theme::System => "System theme",
            Theme::Light => "Light theme",
            Theme::Dark => "Dark theme",
        }
    }
}

fn storage() -> Option<Storage> {
    web_sys::window()?.local_storage().ok().flatten()
}
