//! Windows events: one set of names for what the `evtx` crate, Winlogbeat and NXLog send. The values of an event keep
//! Microsoft's names under `winlog.event_data.`, where Sigma's rules look for them; the few that a reader searches for
//! stand under their common names too.

use super::{
    json::Place,
    names::{self, Symbol},
    record::LogSource,
};

/// Where an event's own values are kept.
pub const DATA: &str = "winlog.event_data.";
/// The log source of all of them.
pub const LOG: LogSource<'static> = LogSource { product: "windows", category: "", service: "" };

/// The name a record has for a field as Sigma's rules for Windows name it: `EventID` is `winlog.event_id`, `Image` is
/// `winlog.event_data.Image`.
pub fn name_of(sigma: &str) -> String {
    match sigma {
        "EventID" => "winlog.event_id".to_owned(),
        "Channel" => "winlog.channel".to_owned(),
        "Provider_Name" | "Source" => "winlog.provider_name".to_owned(),
        "ComputerName" | "Computer" => "winlog.computer_name".to_owned(),
        "Level" => "winlog.level".to_owned(),
        "Task" => "winlog.task".to_owned(),
        "Opcode" => "winlog.opcode".to_owned(),
        "Keywords" => "winlog.keywords".to_owned(),
        other => format!("{DATA}{other}"),
    }
}

/// `Event.System.…`, `Event.EventData.…` with the attribute marks gone.
pub(super) fn evtx(path: &str) -> Place<'_> {
    let path = path.strip_prefix("Event.").unwrap_or(path);
    if let Some(name) = path.strip_prefix("EventData.") {
        return data(name);
    }
    if let Some(name) = path.strip_prefix("UserData.") {
        // One element around all, named after the schema.
        return data(name.split_once('.').map_or(name, |(_, inner)| inner));
    }
    match path {
        "System.Provider.Name" => Place::Both(names::WINLOG_PROVIDER, names::EVENT_PROVIDER),
        "System.EventID" => Place::Both(names::WINLOG_EVENT_ID, names::EVENT_CODE),
        "System.Channel" => Place::Known(names::WINLOG_CHANNEL),
        "System.Computer" => Place::Both(names::WINLOG_COMPUTER, names::HOST_NAME),
        "System.TimeCreated.SystemTime" => Place::Time,
        "System.EventRecordID" => Place::Known(names::WINLOG_RECORD),
        "System.Security.UserID" => Place::Known(names::WINLOG_USER),
        "System.Level" => Place::Known(names::WINLOG_LEVEL),
        "System.Task" => Place::Known(names::WINLOG_TASK),
        "System.Opcode" => Place::Known(names::WINLOG_OPCODE),
        "System.Keywords" => Place::Known(names::WINLOG_KEYWORDS),
        "RenderingInfo.Message" => Place::Message,
        _ => Place::Under("winlog.", path.strip_prefix("System.").unwrap_or(path)),
    }
}

/// NXLog's `to_json()` of `im_msvistalog`: system values and event data side by side.
pub(super) fn nxlog(path: &str) -> Place<'_> {
    match path {
        "EventTime" => Place::Time,
        "Message" => Place::Message,
        "Hostname" => Place::Both(names::WINLOG_COMPUTER, names::HOST_NAME),
        "EventID" => Place::Both(names::WINLOG_EVENT_ID, names::EVENT_CODE),
        "Channel" => Place::Known(names::WINLOG_CHANNEL),
        "SourceName" => Place::Both(names::WINLOG_PROVIDER, names::EVENT_PROVIDER),
        "RecordNumber" => Place::Known(names::WINLOG_RECORD),
        "Severity" => Place::Known(names::LOG_LEVEL),
        "Keywords" => Place::Known(names::WINLOG_KEYWORDS),
        "Task" => Place::Known(names::WINLOG_TASK),
        "EventReceivedTime" | "SourceModuleName" | "SourceModuleType" | "SeverityValue" | "ProviderGuid"
        | "EventType" | "Version" | "OpcodeValue" | "Opcode" | "Category" | "ExecutionProcessID" | "ThreadID" => {
            Place::Under("winlog.nxlog.", path)
        }
        _ => data(path),
    }
}

/// A value of the event itself.
pub(super) fn data(name: &str) -> Place<'_> {
    match common(name) {
        Some(symbol) => Place::UnderAnd(DATA, name, symbol),
        None => Place::Under(DATA, name),
    }
}

fn common(name: &str) -> Option<Symbol> {
    Some(match name {
        "Image" | "NewProcessName" | "Application" => names::PROCESS_EXECUTABLE,
        "CommandLine" | "ProcessCommandLine" => names::PROCESS_COMMAND_LINE,
        "ParentImage" | "ParentProcessName" => names::PROCESS_PARENT_EXECUTABLE,
        "ParentCommandLine" => names::PROCESS_PARENT_COMMAND_LINE,
        "ProcessId" | "NewProcessId" => names::PROCESS_PID,
        "User" | "TargetUserName" => names::USER_NAME,
        "SourceIp" | "IpAddress" | "SourceAddress" | "ClientAddress" => names::SOURCE_IP,
        "SourcePort" | "IpPort" => names::SOURCE_PORT,
        "DestinationIp" | "DestAddress" => names::DESTINATION_IP,
        "DestinationPort" | "DestPort" => names::DESTINATION_PORT,
        "DestinationHostname" => names::DESTINATION_DOMAIN,
        "TargetFilename" => names::FILE_PATH,
        "QueryName" => names::DNS_QUESTION_NAME,
        _ => return None,
    })
}

/// The log source of a channel and an event's number, as SigmaHQ's mapping has them.
pub fn log_source(channel: &str, event: &str) -> LogSource<'static> {
    let service = service(channel);
    let category = match (service, event) {
        ("sysmon", number) => sysmon(number),
        ("security", "4688") => "process_creation",
        ("security", "4657") => "registry_set",
        ("powershell", "4103") => "ps_module",
        ("powershell", "4104") => "ps_script",
        ("powershell-classic", "400") => "ps_classic_start",
        ("powershell-classic", "600") => "ps_classic_provider_start",
        _ => "",
    };
    LogSource { category, service, ..LOG }
}

fn sysmon(event: &str) -> &'static str {
    match event {
        "1" => "process_creation",
        "2" => "file_change",
        "3" => "network_connection",
        "4" | "16" => "sysmon_status",
        "5" => "process_termination",
        "6" => "driver_load",
        "7" => "image_load",
        "8" => "create_remote_thread",
        "9" => "raw_access_thread",
        "10" => "process_access",
        "11" => "file_event",
        "12" => "registry_add",
        "13" => "registry_set",
        "14" => "registry_rename",
        "15" => "create_stream_hash",
        "17" | "18" => "pipe_created",
        "19" | "20" | "21" => "wmi_event",
        "22" => "dns_query",
        "23" | "26" => "file_delete",
        "24" => "clipboard_capture",
        "25" => "process_tampering",
        "27" | "28" => "file_block",
        "29" => "file_executable_detected",
        "255" => "sysmon_error",
        _ => "",
    }
}

fn service(channel: &str) -> &'static str {
    match channel {
        "Security" => "security",
        "System" => "system",
        "Application" => "application",
        "Windows PowerShell" => "powershell-classic",
        "Microsoft-Windows-PowerShell/Operational" | "PowerShellCore/Operational" => "powershell",
        "Microsoft-Windows-Sysmon/Operational" => "sysmon",
        "Microsoft-Windows-Windows Defender/Operational" => "windefend",
        "Microsoft-Windows-TaskScheduler/Operational" => "taskscheduler",
        "Microsoft-Windows-WMI-Activity/Operational" => "wmi",
        "Microsoft-Windows-DNS-Client/Operational" => "dns-client",
        "DNS Server" => "dns-server",
        "Microsoft-Windows-DriverFrameworks-UserMode/Operational" => "driver-framework",
        "Microsoft-Windows-NTLM/Operational" => "ntlm",
        "Microsoft-Windows-AppLocker/MSI and Script"
        | "Microsoft-Windows-AppLocker/EXE and DLL"
        | "Microsoft-Windows-AppLocker/Packaged app-Deployment"
        | "Microsoft-Windows-AppLocker/Packaged app-Execution" => "applocker",
        "Microsoft-Windows-Windows Firewall With Advanced Security/Firewall" => "firewall-as",
        "Microsoft-Windows-Bits-Client/Operational" => "bits-client",
        "Microsoft-Windows-CodeIntegrity/Operational" => "codeintegrity-operational",
        "Microsoft-Windows-TerminalServices-LocalSessionManager/Operational" => "terminalservices-localsessionmanager",
        "Microsoft-Windows-Shell-Core/Operational" => "shell-core",
        "Microsoft-Windows-SMBClient/Security" => "smbclient-security",
        "Microsoft-Windows-LDAP-Client/Debug" => "ldap_debug",
        "Microsoft-ServiceBus-Client/Operational" | "Microsoft-ServiceBus-Client/Admin" => {
            "microsoft-servicebus-client"
        }
        "OpenSSH/Operational" => "openssh",
        "MSExchange Management" => "msexchange-management",
        _ => "",
    }
}
