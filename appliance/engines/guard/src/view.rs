//! From what is kept to what pages show, and back.

use std::{collections::BTreeMap, net::IpAddr};

use sent_contract::guard::{Certificate, Device};

use crate::{
    device::{self, Basis, Mac, Role, Source, System},
    watch::Presented,
};

/// Microseconds of nanoseconds.
const fn micros(nanoseconds: i64) -> i64 {
    nanoseconds.div_euclid(1_000)
}

/// A device as a page has it.
pub fn device(device: &device::Device) -> Device {
    named(Device {
        mac: device.mac.to_string(),
        random: false,
        name: None,
        maker: device.maker.clone(),
        addresses: device.addresses.iter().map(|(address, _)| address.to_string()).collect(),
        names: device.names.iter().map(|(source, name)| (source.name().to_owned(), name.clone())).collect(),
        system: device.system.as_ref().map(|system| system.name.clone()),
        system_basis: device.system.as_ref().map(|system| system.basis.name().to_owned()),
        roles: device.roles.iter().map(|role| role.name().to_owned()).collect(),
        first_seen: micros(device.first_seen),
        last_seen: micros(device.last_seen),
    })
}

/// With what follows from its address and its names.
pub fn named(mut device: Device) -> Device {
    device.random = device.mac.parse::<Mac>().is_ok_and(Mac::is_random);
    device.name = Source::ALL.iter().find_map(|source| device.names.get(source.name())).cloned();
    device
}

/// A device as it was before a restart; nothing, where its address is none.
pub fn restored(shown: &Device) -> Option<device::Device> {
    let mut device = device::Device::new(shown.mac.parse().ok()?, shown.maker.clone(), shown.first_seen * 1_000);
    device.last_seen = shown.last_seen * 1_000;
    let addresses = shown.addresses.iter().filter_map(|address| address.parse::<IpAddr>().ok());
    device.addresses = addresses.map(|address| (address, device.last_seen)).collect();
    let names: BTreeMap<_, _> = Source::ALL.iter().map(|source| (source.name(), *source)).collect();
    device.names =
        shown.names.iter().filter_map(|(source, name)| Some((*names.get(source.as_str())?, name.clone()))).collect();
    device.roles = shown.roles.iter().filter_map(|role| Role::named(role)).collect();
    device.system = shown
        .system
        .clone()
        .zip(shown.system_basis.as_deref().and_then(Basis::named))
        .map(|(name, basis)| System { name, basis });
    Some(device)
}

/// A certificate as a page has it.
pub fn certificate(presented: &Presented) -> Certificate {
    let certificate = &presented.certificate;
    Certificate {
        server: presented.server.to_string(),
        port: presented.port,
        sha256: certificate.sha256.clone(),
        name: presented.name.clone(),
        subject: certificate.subject.clone(),
        issuer: certificate.issuer.clone(),
        names: certificate.names.clone(),
        not_before: certificate.not_before.saturating_mul(1_000_000),
        not_after: certificate.not_after.saturating_mul(1_000_000),
        key: certificate.key.clone(),
        signature: certificate.signature.clone(),
        self_signed: certificate.self_signed,
        weak: certificate.weak.clone(),
        own: presented.own,
        first_seen: micros(presented.first_seen),
    }
}
