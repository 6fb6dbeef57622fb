//! Log sources: from which of them an event came, and which rules speak of it.
//!
//! A rule names a product, a category and a service, or some of them. A Windows event names a channel and an id; the
//! tables below say which service and which categories those are. What an event does not tell excludes no rule: a rule
//! is passed over only where it names a source that the event is known not to come from.
//!
//! Source: the log-source taxonomy of the Sigma specification 2.1 and SigmaHQ's mapping for THOR.

use std::collections::HashMap;

use rsigma_parser::LogSource;

/// Channels by service (`product: windows`).
const CHANNELS: &[(&str, &[&str])] = &[
    ("application", &["Application"]),
    ("security", &["Security"]),
    ("system", &["System"]),
    ("ntlm", &["Microsoft-Windows-NTLM/Operational"]),
    ("sysmon", &["Microsoft-Windows-Sysmon/Operational"]),
    ("powershell", &["Microsoft-Windows-PowerShell/Operational", "PowerShellCore/Operational"]),
    ("powershell-classic", &["Windows PowerShell"]),
    ("taskscheduler", &["Microsoft-Windows-TaskScheduler/Operational"]),
    ("wmi", &["Microsoft-Windows-WMI-Activity/Operational"]),
    ("dhcp", &["Microsoft-Windows-DHCP-Server/Operational"]),
    ("printservice-admin", &["Microsoft-Windows-PrintService/Admin"]),
    ("printservice-operational", &["Microsoft-Windows-PrintService/Operational"]),
    ("smbclient-security", &["Microsoft-Windows-SmbClient/Security"]),
    ("smbclient-connectivity", &["Microsoft-Windows-SmbClient/Connectivity"]),
    ("smbserver-connectivity", &["Microsoft-Windows-SMBServer/Connectivity"]),
    ("terminalservices-localsessionmanager", &["Microsoft-Windows-TerminalServices-LocalSessionManager/Operational"]),
    ("codeintegrity-operational", &["Microsoft-Windows-CodeIntegrity/Operational"]),
    (
        "applocker",
        &[
            "Microsoft-Windows-AppLocker/MSI and Script",
            "Microsoft-Windows-AppLocker/EXE and DLL",
            "Microsoft-Windows-AppLocker/Packaged app-Deployment",
            "Microsoft-Windows-AppLocker/Packaged app-Execution",
        ],
    ),
    ("msexchange-management", &["MSExchange Management"]),
    ("windefend", &["Microsoft-Windows-Windows Defender/Operational"]),
    ("firewall-as", &["Microsoft-Windows-Windows Firewall With Advanced Security/Firewall"]),
    ("bits-client", &["Microsoft-Windows-Bits-Client/Operational"]),
    (
        "security-mitigations",
        &["Microsoft-Windows-Security-Mitigations/Kernel Mode", "Microsoft-Windows-Security-Mitigations/User Mode"],
    ),
    ("diagnosis-scripted", &["Microsoft-Windows-Diagnosis-Scripted/Operational"]),
    ("shell-core", &["Microsoft-Windows-Shell-Core/Operational"]),
    ("openssh", &["OpenSSH/Operational"]),
    ("ldap", &["Microsoft-Windows-LDAP-Client/Debug"]),
    ("bitlocker", &["Microsoft-Windows-BitLocker/BitLocker Management"]),
    ("vhdmp", &["Microsoft-Windows-VHDMP/Operational"]),
    ("appxdeployment-server", &["Microsoft-Windows-AppXDeploymentServer/Operational"]),
    ("lsa-server", &["Microsoft-Windows-LSA/Operational"]),
    ("appxpackaging-om", &["Microsoft-Windows-AppxPackaging/Operational"]),
    ("dns-client", &["Microsoft-Windows-DNS Client Events/Operational"]),
    ("appmodel-runtime", &["Microsoft-Windows-AppModel-Runtime/Admin"]),
    ("capi2", &["Microsoft-Windows-CAPI2/Operational"]),
    (
        "certificateservicesclient-lifecycle-system",
        &["Microsoft-Windows-CertificateServicesClient-Lifecycle-System/Operational"],
    ),
    (
        "kernel-shimengine",
        &["Microsoft-Windows-Kernel-ShimEngine/Operational", "Microsoft-Windows-Kernel-ShimEngine/Diagnostic"],
    ),
    (
        "application-experience",
        &[
            "Microsoft-Windows-Application-Experience/Program-Telemetry",
            "Microsoft-Windows-Application-Experience/Program-Compatibility-Assistant",
        ],
    ),
    ("ntfs", &["Microsoft-Windows-Ntfs/Operational"]),
    ("hyper-v-worker", &["Microsoft-Windows-Hyper-V-Worker"]),
    ("kernel-event-tracing", &["Microsoft-Windows-Kernel-EventTracing"]),
    ("sense", &["Microsoft-Windows-SENSE/Operational"]),
    ("servicebus-client", &["Microsoft-ServiceBus-Client/Admin", "Microsoft-ServiceBus-Client/Operational"]),
    ("iis-configuration", &["Microsoft-IIS-Configuration/Operational"]),
];

/// What an event of an id in a service's channel is, and how it names what rules of the category ask for.
struct Kind {
    service: &'static str,
    ids: &'static [i64],
    categories: &'static [&'static str],
    /// The event's field by the rules' field.
    fields: &'static [(&'static str, &'static str)],
}

const fn kind(service: &'static str, ids: &'static [i64], categories: &'static [&'static str]) -> Kind {
    Kind { service, ids, categories, fields: &[] }
}

const KINDS: &[Kind] = &[
    kind("sysmon", &[1], &["process_creation"]),
    Kind {
        service: "security",
        ids: &[4688],
        categories: &["process_creation"],
        fields: &[("Image", "NewProcessName"), ("ParentImage", "ParentProcessName")],
    },
    kind("sysmon", &[2], &["file_change"]),
    kind("sysmon", &[3], &["network_connection"]),
    kind("sysmon", &[4, 16], &["sysmon_status"]),
    kind("sysmon", &[5], &["process_termination"]),
    kind("sysmon", &[6], &["driver_load"]),
    kind("sysmon", &[7], &["image_load"]),
    kind("sysmon", &[8], &["create_remote_thread"]),
    kind("sysmon", &[9], &["raw_access_thread"]),
    kind("sysmon", &[10], &["process_access"]),
    kind("sysmon", &[11], &["file_event"]),
    // Event 12 is a key or a value made or deleted; rules of both categories ask for `EventType` themselves.
    kind("sysmon", &[12], &["registry_event", "registry_add", "registry_delete"]),
    kind("sysmon", &[13], &["registry_event", "registry_set"]),
    kind("sysmon", &[14], &["registry_event", "registry_rename"]),
    kind("sysmon", &[15], &["create_stream_hash"]),
    kind("sysmon", &[17, 18], &["pipe_created"]),
    kind("sysmon", &[19, 20, 21], &["wmi_event"]),
    kind("sysmon", &[22], &["dns_query"]),
    kind("sysmon", &[23], &["file_delete"]),
    kind("sysmon", &[24], &["clipboard_change"]),
    kind("sysmon", &[25], &["process_tampering"]),
    kind("sysmon", &[26], &["file_delete_detected", "file_delete"]),
    kind("sysmon", &[27], &["file_block_executable"]),
    kind("sysmon", &[28], &["file_block_shredding"]),
    kind("sysmon", &[29], &["file_executable_detected"]),
    kind("sysmon", &[255], &["sysmon_error"]),
    kind("powershell", &[4103], &["ps_module"]),
    kind("powershell", &[4104], &["ps_script"]),
    kind("powershell-classic", &[400], &["ps_classic_start"]),
    kind("powershell-classic", &[600], &["ps_classic_provider_start"]),
    kind("powershell-classic", &[800], &["ps_classic_script"]),
    Kind {
        service: "windefend",
        ids: &[1006, 1007, 1008, 1009, 1010, 1011, 1012, 1017, 1018, 1019, 1115, 1116],
        categories: &["antivirus"],
        fields: &[("Signature", "Threat Name"), ("Signature", "ThreatName"), ("Filename", "Path")],
    },
];

/// How the source of an event is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Routing {
    /// Every rule is asked of every event.
    None,
    /// By the channel and id of a Windows event; an event without a channel is asked everything.
    #[default]
    Channel,
    /// By the event's own fields `product`, `category` and `service`; one that is missing excludes no rule.
    Fields,
}

/// A set of rules, one bit each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Mask(Vec<u64>);

impl Mask {
    fn new(rules: usize, mut wanted: impl FnMut(usize) -> bool) -> Self {
        let mut bits = vec![0; rules.div_ceil(64)];
        for rule in (0..rules).filter(|&rule| wanted(rule)) {
            bits[rule / 64] |= 1 << (rule % 64);
        }
        Self(bits)
    }

    #[inline]
    pub(crate) fn has(&self, rule: u32) -> bool {
        self.0[rule as usize / 64] >> (rule % 64) & 1 != 0
    }

    pub(crate) fn meets(&self, other: &Mask) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a & b != 0)
    }
}

/// The rules that an event of a source is asked, and how that source names fields.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) mask: Mask,
    /// Whether any of the rules asks for keywords.
    pub(crate) words: bool,
    /// The event's field by the rules' field.
    pub(crate) fields: Vec<(String, String)>,
}

/// The rules partitioned by source.
#[derive(Debug)]
pub(crate) struct Lanes {
    sources: Vec<LogSource>,
    wordy: Mask,
    pub(crate) all: Lane,
    lanes: Vec<Lane>,
    /// The lane of a channel (folded) for ids that nothing more is known of.
    channels: HashMap<Vec<u8>, usize>,
    ids: HashMap<(usize, i64), usize>,
    /// The lane of Windows events whose channel is not listed.
    windows: usize,
}

impl Lanes {
    /// Partitions rules by their sources; `wordy` says which of them ask for keywords.
    pub(crate) fn new(sources: Vec<LogSource>, wordy: impl Fn(usize) -> bool) -> Self {
        let rules = sources.len();
        let wordy = Mask::new(rules, wordy);
        let lane = |mask: Mask, fields| Lane { words: mask.meets(&wordy), mask, fields };
        let mut lanes = Vec::new();
        let (mut channels, mut ids) = (HashMap::new(), HashMap::new());
        let known: Vec<&str> = KINDS.iter().flat_map(|kind| kind.categories).copied().collect();
        let mask = |service: Option<&str>, categories: &[&str]| {
            Mask::new(rules, |rule| {
                let source = &sources[rule];
                let listed = |name: &str| CHANNELS.iter().any(|(service, _)| service.eq_ignore_ascii_case(name));
                source.product.as_deref().is_none_or(|product| product.eq_ignore_ascii_case("windows"))
                    && source.service.as_deref().is_none_or(|rule| match service {
                        Some(service) => rule.eq_ignore_ascii_case(service),
                        None => !listed(rule),
                    })
                    && source.category.as_deref().is_none_or(|rule| {
                        let is = |category: &&str| category.eq_ignore_ascii_case(rule);
                        categories.iter().any(is) || !known.iter().any(is)
                    })
            })
        };
        for (service, names) in CHANNELS {
            let base = lanes.len();
            lanes.push(lane(mask(Some(service), &[]), Vec::new()));
            for name in *names {
                channels.insert(name.to_ascii_lowercase().into_bytes(), base);
            }
            for kind in KINDS.iter().filter(|kind| kind.service == *service) {
                let fields =
                    kind.fields.iter().map(|(rule, event)| ((*rule).to_owned(), (*event).to_owned())).collect();
                for &id in kind.ids {
                    ids.insert((base, id), lanes.len());
                }
                lanes.push(lane(mask(Some(service), kind.categories), fields));
            }
        }
        let windows = lanes.len();
        lanes.push(lane(mask(None, &[]), Vec::new()));
        let all = lane(Mask::new(rules, |_| true), Vec::new());
        Self { sources, wordy, all, lanes, channels, ids, windows }
    }

    /// The fields that lanes read, so that they are interned.
    pub(crate) fn fields() -> impl Iterator<Item = (&'static str, &'static str)> {
        KINDS.iter().flat_map(|kind| kind.fields.iter().copied())
    }

    /// The lane of a Windows event.
    pub(crate) fn windows(&self, channel: &[u8], id: Option<i64>, folded: &mut Vec<u8>) -> &Lane {
        folded.clear();
        folded.extend(channel.iter().map(u8::to_ascii_lowercase));
        let Some(&base) = self.channels.get(folded.as_slice()) else {
            return &self.lanes[self.windows];
        };
        let lane = id.and_then(|id| self.ids.get(&(base, id))).copied().unwrap_or(base);
        &self.lanes[lane]
    }

    /// The lane of an event that tells its source, or some of it.
    pub(crate) fn told(&self, product: Option<&str>, category: Option<&str>, service: Option<&str>) -> Lane {
        let agree = |rule: &Option<String>, event: Option<&str>| match (rule, event) {
            (Some(rule), Some(event)) => rule.eq_ignore_ascii_case(event),
            _ => true,
        };
        let mask = Mask::new(self.sources.len(), |rule| {
            let source = &self.sources[rule];
            agree(&source.product, product) && agree(&source.category, category) && agree(&source.service, service)
        });
        Lane { words: mask.meets(&self.wordy), mask, fields: Vec::new() }
    }
}
