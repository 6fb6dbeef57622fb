//! Debian's rsyslog forwards over TLS (RFC 5425): every line it was given arrives, with its sender's certificate asked for.

use std::{fs::File, io::Write as _, path::Path, time::Duration};

use nix::sys::signal::Signal;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use sent_tests::{
    Result, ensure,
    logs::Logs,
    program::{Launch, free_port},
    until,
};

const LINES: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn syslog_tls() -> Result<()> {
    let folder = tempfile::Builder::new().prefix("sent-").tempdir()?;
    let keys = folder.path();
    certificates(keys)?;
    let port = free_port()?;
    let settings = format!(
        "[radar]\nsyslog_tls = \"127.0.0.1:{port}\"\ncertificate = \"{0}/box.pem\"\nkey = \"{0}/box.key\"\nclients = \"{0}/ca.pem\"\n",
        keys.display()
    );
    let mut logs = Logs::start(&settings, &[]).await?;
    ensure!(logs.way("syslog TLS").await?.ends_with(&format!(":{port}")), "{:?}", logs.status().await?);

    // rsyslog reads a file and forwards it, octet-counted.
    let input = keys.join("input.log");
    let mut file = File::create(&input)?;
    for n in 0..LINES {
        writeln!(file, "line number {n} of an office")?;
    }
    let configuration = keys.join("rsyslog.conf");
    write!(
        File::create(&configuration)?,
        "global(workDirectory=\"{0}\" defaultNetstreamDriver=\"ossl\" defaultNetstreamDriverCAFile=\"{0}/ca.pem\"
            defaultNetstreamDriverCertFile=\"{0}/client.pem\" defaultNetstreamDriverKeyFile=\"{0}/client.key\")
         module(load=\"imfile\")
         input(type=\"imfile\" File=\"{0}/input.log\" Tag=\"office\")
         action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{port}\" protocol=\"tcp\" TCP_Framing=\"octet-counted\"
            template=\"RSYSLOG_SyslogProtocol23Format\" StreamDriver=\"ossl\" StreamDriverMode=\"1\"
            StreamDriverAuthMode=\"x509/name\" StreamDriverPermittedPeers=\"box.example\"
            queue.type=\"LinkedList\" action.resumeRetryCount=\"-1\" action.resumeInterval=\"1\")\n",
        keys.display()
    )?;
    let launch = Launch::new("/usr/sbin/rsyslogd").arguments([
        "-n".to_owned(),
        "-f".to_owned(),
        configuration.display().to_string(),
        "-i".to_owned(),
        keys.join("rsyslogd.pid").display().to_string(),
    ]);
    let mut rsyslog = launch.start(&keys.join("rsyslog.log"))?;
    let found = logs.lines("process.name:office", LINES).await?;
    ensure!(found.items.len() == LINES, "{} lines", found.items.len());
    for n in 0..LINES {
        let message = format!("line number {n} of an office");
        ensure!(found.items.iter().any(|hit| hit.message == message), "{message} is missing");
    }
    rsyslog.stop(Signal::SIGTERM, Duration::from_secs(10)).await?;

    // Somebody without a certificate is refused and counted.
    let before = logs.status().await?.refused;
    let knock = Launch::new("openssl").arguments(["s_client", "-connect", &format!("127.0.0.1:{port}"), "-quiet"]);
    knock.finish(b"<13>let me in\n")?;
    until("the refusal is counted", 30, || async { Ok((logs.status().await?.refused > before).then_some(())) }).await?;
    logs.appliance.stop().await
}

/// `ca.pem`, and for the box and its client a certificate and a key.
fn certificates(folder: &Path) -> Result<()> {
    let key = KeyPair::generate()?;
    let mut authority = CertificateParams::new(Vec::<String>::new())?;
    authority.distinguished_name.push(DnType::CommonName, "Northwind's own");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own = authority.self_signed(&key)?;
    write!(File::create(folder.join("ca.pem"))?, "{}", own.pem())?;
    let issuer = Issuer::new(authority, key);
    for (name, host) in [("box", "box.example"), ("client", "client.example")] {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::new(vec![host.to_owned()])?;
        parameters.distinguished_name.push(DnType::CommonName, host);
        let certificate = parameters.signed_by(&key, &issuer)?;
        write!(File::create(folder.join(format!("{name}.pem")))?, "{}", certificate.pem())?;
        write!(File::create(folder.join(format!("{name}.key")))?, "{}", key.serialize_pem())?;
    }
    Ok(())
}
