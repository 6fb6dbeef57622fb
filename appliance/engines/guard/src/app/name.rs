//! Names of what is spoken.

use crate::packet::Tunnel;

macro_rules! apps {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// What is spoken.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum App {
            /// The outer packets of a tunnel.
            Tunnel(Tunnel),
            $($(#[doc = $doc])+ $variant,)+
        }

        impl App {
            /// Its name in records.
            pub const fn name(self) -> &'static str {
                match self {
                    Self::Tunnel(tunnel) => tunnel.name(),
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

apps! {
    /// AMQP 0-9-1 and 1.0.
    Amqp = "amqp",
    /// BACnet/IP.
    Bacnet = "bacnet",
    /// BGP, RFC 4271.
    Bgp = "bgp",
    /// BitTorrent: peers and the distributed hash table.
    Bittorrent = "bittorrent",
    /// DCE/RPC.
    Dcerpc = "dcerpc",
    /// DHCP, RFC 2131.
    Dhcp = "dhcp",
    /// DHCPv6, RFC 8415.
    Dhcp6 = "dhcpv6",
    /// DNP3, IEEE 1815.
    Dnp3 = "dnp3",
    /// DNS, RFC 1035.
    Dns = "dns",
    /// DTLS.
    Dtls = "dtls",
    /// Finger, RFC 1288.
    Finger = "finger",
    /// FTP's control connection, RFC 959.
    Ftp = "ftp",
    /// Gnutella.
    Gnutella = "gnutella",
    /// GTP's control plane, TS 29.060 and 29.274.
    GtpControl = "gtp-c",
    /// HTTP/1.
    Http = "http",
    /// HTTP/2 in the clear.
    Http2 = "http2",
    /// IKE, RFC 7296.
    Ike = "ike",
    /// IMAP, RFC 9051.
    Imap = "imap",
    /// IRC.
    Irc = "irc",
    /// ISO transport over TCP: MMS, S7.
    Iso = "cotp",
    /// Kerberos, RFC 4120.
    Kerberos = "kerberos",
    /// L2TP, RFC 2661.
    L2tp = "l2tp",
    /// LDAP, RFC 4511.
    Ldap = "ldap",
    /// LLMNR, RFC 4795.
    Llmnr = "llmnr",
    /// mDNS, RFC 6762.
    Mdns = "mdns",
    /// Modbus/TCP.
    Modbus = "modbus",
    /// MongoDB's wire protocol.
    Mongodb = "mongodb",
    /// MQTT.
    Mqtt = "mqtt",
    /// Microsoft SQL Server's TDS.
    Mssql = "mssql",
    /// MySQL.
    Mysql = "mysql",
    /// NetBIOS datagrams.
    NetbiosDatagram = "netbios-dgm",
    /// NetBIOS names, RFC 1002.
    Netbios = "nbns",
    /// NTP, RFC 5905.
    Ntp = "ntp",
    /// POP3, RFC 1939.
    Pop3 = "pop3",
    /// PostgreSQL.
    Postgresql = "postgresql",
    /// PPTP's control connection, RFC 2637.
    Pptp = "pptp",
    /// QUIC.
    Quic = "quic",
    /// RADIUS, RFC 2865.
    Radius = "radius",
    /// RDP.
    Rdp = "rdp",
    /// Redis.
    Redis = "redis",
    /// rlogin, RFC 1282, and rsh.
    Rlogin = "rlogin",
    /// ONC RPC, RFC 5531: NFS, mount, the port mapper.
    Rpc = "rpc",
    /// RTP, RFC 3550.
    Rtp = "rtp",
    /// RTSP, RFC 7826.
    Rtsp = "rtsp",
    /// SIP, RFC 3261.
    Sip = "sip",
    /// SMB.
    Smb = "smb",
    /// SMTP, RFC 5321.
    Smtp = "smtp",
    /// SNMP.
    Snmp = "snmp",
    /// SOCKS 4 and 5.
    Socks = "socks",
    /// SSDP, of UPnP.
    Ssdp = "ssdp",
    /// SSH, RFC 4253.
    Ssh = "ssh",
    /// STUN, RFC 8489.
    Stun = "stun",
    /// Syslog, RFC 5424 and 3164.
    Syslog = "syslog",
    /// Telnet, RFC 854.
    Telnet = "telnet",
    /// TFTP, RFC 1350.
    Tftp = "tftp",
    /// TLS.
    Tls = "tls",
    /// VNC, RFC 6143.
    Vnc = "vnc",
    /// WireGuard.
    Wireguard = "wireguard",
    /// XMPP, RFC 6120.
    Xmpp = "xmpp",
}
