//! The section `[pulse]` of the settings file.

use serde::Deserialize;

/// What can be set.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Seconds between the kept measurements of the box itself.
    pub interval: u32,
    /// Webhooks are signed with this; without one they are not signed.
    pub webhook_secret: String,
    /// Days an alert is kept after its end, with what was told of it; 0 keeps it for ever.
    pub alerts_days: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { interval: 10, webhook_secret: String::new(), alerts_days: 365 }
    }
}

/// Why the section cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the settings section [pulse] is wrong: {0}")]
pub struct SettingsError(pub String);

impl Settings {
    /// Reads the section.
    pub fn read(section: &toml::Table) -> Result<Self, SettingsError> {
        let settings: Self =
            section.clone().try_into().map_err(|e: toml::de::Error| SettingsError(e.message().to_owned()))?;
        if !(1..=300).contains(&settings.interval) {
            return Err(SettingsError("interval is between 1 and 300 seconds".to_owned()));
        }
        if settings.alerts_days > 36_500 {
            return Err(SettingsError("alerts_days is at most 36500".to_owned()));
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_hold_and_unknown_keys_are_refused() {
        assert_eq!(Settings::read(&toml::Table::new()), Ok(Settings::default()));
        for wrong in ["intervall = 5", "interval = 0", "alerts_days = 36501"] {
            assert!(Settings::read(&wrong.parse().expect("toml")).is_err(), "{wrong}");
        }
    }
}
