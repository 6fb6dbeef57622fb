//! What runs on a device: a guess, and from what it was made.
//!
//! DHCP says most: many clients name themselves in option 60, and the order of option 55 is a habit of each system. The
//! first segment of a TCP connection says little more than the family: how many hops it began with (64 for Linux, Apple
//! and Android, 128 for Windows, 255 for network gear) and its window.

use serde::Serialize;

/// What a guess was made from, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// What the client says of itself to DHCP.
    DhcpVendor,
    /// What it asks DHCP for, in which order.
    DhcpOptions,
    /// How it begins a connection.
    TcpSyn,
}

impl Basis {
    /// Its name in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DhcpVendor => "dhcp_vendor",
            Self::DhcpOptions => "dhcp_options",
            Self::TcpSyn => "tcp_syn",
        }
    }

    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::DhcpVendor, Self::DhcpOptions, Self::TcpSyn].into_iter().find(|basis| basis.name() == name)
    }
}

/// A guess.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct System {
    /// In words.
    pub name: String,
    /// From what.
    pub basis: Basis,
}

impl System {
    /// From DHCP's option 55 and option 60.
    pub fn of_dhcp(asks: &[u8], vendor: Option<&str>) -> Option<Self> {
        let by_vendor = |name: String| Some(Self { name, basis: Basis::DhcpVendor });
        if let Some(vendor) = vendor {
            let begins =
                |prefix: &str| vendor.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix));
            if begins("MSFT ") {
                return by_vendor("Windows".to_owned());
            }
            if let Some(version) = vendor.strip_prefix("android-dhcp-") {
                let version: String =
                    version.chars().take_while(|letter| letter.is_ascii_digit() || *letter == '.').collect();
                return by_vendor(format!("Android {version}").trim_end().to_owned());
            }
            if begins("dhcpcd") && vendor.contains("Linux") || begins("Linux") {
                return by_vendor("Linux".to_owned());
            }
            if begins("udhcp") || begins("busybox") {
                return by_vendor("Linux, embedded".to_owned());
            }
            if begins("Cisco") || begins("ArubaAP") || begins("ubnt") || begins("MikroTik") || begins("Juniper") {
                return by_vendor(format!("network gear ({vendor})"));
            }
            if begins("Hewlett-Packard JetDirect") || begins("Mfg=") || begins("CANON") || begins("EPSON") {
                return by_vendor("printer".to_owned());
            }
            if begins("yealink") || begins("snom") || begins("Polycom") || begins("AASTRA") || begins("Grandstream") {
                return by_vendor("telephone".to_owned());
            }
        }
        let name = match asks {
            // Apple asks for captive portals and IPv6-only first, then NetBIOS or not.
            [1, 121, 3, 6, 15, ..] => "Apple",
            [1, 3, 6, 15, 119, 252, ..] | [1, 3, 6, 15, 119, 95, 252, ..] => "Apple",
            [1, 3, 6, 15, 31, 33, 43, 44, 46, 47, ..] | [1, 15, 3, 6, 44, 46, 47, 31, 33, ..] => "Windows",
            [1, 3, 6, 15, 26, 28, 51, 58, 59, 43, ..] | [1, 33, 3, 6, 15, 28, 51, 58, 59, ..] => "Android",
            [1, 28, 2, 3, 15, 6, 119, 12, ..] | [1, 2, 6, 12, 15, 26, 28, 121, 3, 33, ..] => "Linux",
            [1, 3, 6, 12, 15, 28, 42, ..] | [1, 3, 6, 12, 15, 28, 40, 41, 42, ..] => "Linux, embedded",
            _ => return None,
        };
        Some(Self { name: name.to_owned(), basis: Basis::DhcpOptions })
    }

    /// From the first segment of a connection that the device begins.
    pub fn of_syn(hops: u8, window: u16) -> Option<Self> {
        let name = match (hops, window) {
            (65..=128, _) => "Windows",
            (129..=255, _) => "network gear",
            (33..=64, 65_535) => "Apple, BSD or Android",
            (33..=64, _) => "Linux",
            _ => return None,
        };
        Some(Self { name: name.to_owned(), basis: Basis::TcpSyn })
    }
}
