//! A real mosquitto with mutual TLS.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::Result;
use tokio::net::TcpStream;

use crate::{
    program::{Launch, Program, free_port},
    until,
};

/// Certificates of the broker, PEM files.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// Root of the cloud.
    pub root: PathBuf,
    /// The broker's own.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// The broker.
#[derive(Debug)]
pub struct Broker {
    configuration: PathBuf,
    log: PathBuf,
    port: u16,
    program: Option<Program>,
}

/// A client's user name is its certificate's common name: a box reads and writes below its own id, the cloud everywhere.
const ACCESS: &str = "\
pattern write sent/%u/presence
pattern write sent/%u/live
pattern read sent/%u/doorbell
user cloud
topic readwrite #
";

impl Broker {
    /// Starts one.
    pub async fn start(folder: &Path, log: PathBuf, certificates: &Certificates) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let (access, configuration) = (folder.join("acl"), folder.join("mosquitto.conf"));
        std::fs::File::create(&access)?.write_all(ACCESS.as_bytes())?;
        let port = free_port()?;
        let user = if crate::program::is_root() { "user root\n" } else { "" };
        let text = format!(
            "{user}persistence false\nlog_type warning\nlog_type error\nlog_type notice\nlog_dest stderr\n\
             acl_file {}\nlistener {port} 127.0.0.1\ncafile {}\ncertfile {}\nkeyfile {}\ntls_version tlsv1.2\n\
             require_certificate true\nuse_identity_as_username true\n",
            access.display(),
            certificates.root.display(),
            certificates.certificate.display(),
            certificates.key.display()
        );
        std::fs::File::create(&configuration)?.write_all(text.as_bytes())?;
        let mut broker = Self { configuration, log, port, program: None };
        broker.resume().await?;
        Ok(broker)
    }

    /// Starts it again after [`Broker::kill`].
    pub async fn resume(&mut self) -> Result<()> {
        let program = std::path::Path::new("/usr/sbin/mosquitto");
        let program = if program.is_file() { program } else { Path::new("mosquitto") };
        let launch = Launch::new(program).arguments(["-c", &self.configuration.display().to_string()]);
        self.program = Some(launch.start(&self.log)?);
        let port = self.port;
        until("the broker listens", 30, || async move {
            TcpStream::connect(("127.0.0.1", port)).await?;
            Ok(Some(()))
        })
        .await
    }

    /// `kill -9`.
    pub fn kill(&mut self) -> Result<()> {
        match self.program.take() {
            Some(mut program) => program.kill(),
            None => Ok(()),
        }
    }

    /// Its port on the loopback interface.
    pub fn port(&self) -> u16 {
        self.port
    }
}
