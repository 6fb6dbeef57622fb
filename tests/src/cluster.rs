//! The whole of it: PostgreSQL, broker, replicas of the cloud, boxes, and the network between them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sent_contract::{
    Uuid,
    capital::Account,
    fleet::{Claim, NewClaim, NewOrganization, Organization},
    identity::{NewUser, Role, User},
};
use tempfile::TempDir;

use crate::{
    Appliance, Face, books,
    broker::{Broker, Certificates},
    cloud::{Common, Replica},
    postgres::{DATABASE, Postgres},
    program::last_lines,
    relay::Relay,
    until,
};

/// The MSP's first user.
pub const MSP: (&str, &str) = ("olga@msp.example", "operations are dull");
/// Password of everybody else.
pub const PASSWORD: &str = "tea in the afternoon";
/// The master key of every cloud of tests, hex.
const MASTER: &str = "5e175e175e175e175e175e175e175e175e175e175e175e175e175e175e175e17";
/// Lines of each log that a failed test prints.
const TAIL: usize = 25;

/// What a test wants.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Replicas of the cloud.
    pub replicas: usize,
    /// A broker; without one boxes poll.
    pub broker: bool,
    /// Seed of all that is drawn.
    pub seed: u64,
}

impl Default for Setup {
    fn default() -> Self {
        Self { replicas: 1, broker: true, seed: 1 }
    }
}

/// A customer.
#[derive(Clone, Debug)]
pub struct Office {
    /// Organisation.
    pub organization: Uuid,
    /// Its branch.
    pub branch: Uuid,
    /// Its owner's login; the password is [`PASSWORD`].
    pub owner: String,
    /// Login of somebody who may only look.
    pub viewer: String,
}

/// Everything.
#[derive(Debug)]
pub struct Cluster {
    /// PostgreSQL.
    pub postgres: Postgres,
    /// The broker.
    pub broker: Option<Broker>,
    /// The cloud.
    pub replicas: Vec<Replica>,
    /// Between boxes and the wire; it also spreads them over the replicas.
    pub wire: Relay,
    /// Between boxes and the broker.
    pub mqtt: Relay,
    /// Between the cloud and PostgreSQL.
    pub database: Relay,
    /// The MSP's owner at the first replica's console.
    pub fleet: Face,
    /// What the replicas have in common.
    pub common: Common,
    logs: Vec<PathBuf>,
    passed: bool,
    // Last, so that it is removed when everything in it has ended.
    folder: TempDir,
}

impl Cluster {
    /// Starts all of it, with an MSP and nobody else.
    pub async fn start(setup: Setup) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("sent-").tempdir()?;
        // PostgreSQL runs as another user and must get through.
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let at = |name: &str| folder.path().join(name);
        let postgres = Postgres::start(at("postgres"), at("postgres.log")).await?;
        let (database, wire, mqtt) =
            (Relay::start(setup.seed).await?, Relay::start(setup.seed + 1).await?, Relay::start(setup.seed + 2).await?);
        database.aim([postgres.port()]);
        let url = |port: u16| format!("postgres://postgres@127.0.0.1:{port}/{DATABASE}?sslmode=disable");
        let mut common = Common {
            folder: at("cloud"),
            database: url(database.address().port()),
            owner: url(postgres.port()),
            wire_url: format!("https://127.0.0.1:{}", wire.address().port()),
            mqtt: String::new(),
            mqtt_box: String::new(),
            master: MASTER.to_owned(),
        };
        std::fs::create_dir_all(&common.folder)?;
        let first = common.replica("first")?;
        first.verb("migrate", &[])?;
        bootstrap(&first)?;
        let mut logs = vec![at("postgres.log")];
        let broker = if setup.broker {
            let certificates = certificates(&first, &at("certificates"))?;
            let broker = Broker::start(&at("broker"), at("broker.log"), &certificates).await?;
            mqtt.aim([broker.port()]);
            common.mqtt = format!("mqtts://127.0.0.1:{}", broker.port());
            common.mqtt_box = format!("mqtts://127.0.0.1:{}", mqtt.address().port());
            logs.push(at("broker.log"));
            Some(broker)
        } else {
            None
        };
        let mut replicas = Vec::new();
        for n in 0..setup.replicas.max(1) {
            let mut replica = common.replica(&format!("replica-{n}"))?;
            logs.push(replica.log().to_owned());
            replica.start().await?;
            replicas.push(replica);
        }
        wire.aim(replicas.iter().map(Replica::wire));
        let fleet = Face::login(replicas[0].console(), MSP.0, MSP.1).await?;
        Ok(Self { postgres, broker, replicas, wire, mqtt, database, fleet, common, logs, passed: false, folder })
    }

    /// The folder everything is in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Makes a customer with a branch, users and a chart of accounts, by the cloud's routes.
    pub async fn office(&self, name: &str) -> Result<Office> {
        make_office(&self.fleet, name, PASSWORD).await
    }

    /// A claim code for a new box of a customer.
    pub async fn claim(&self, office: &Office, name: &str) -> Result<Claim> {
        claim(&self.fleet, office, name).await
    }

    /// A box that nobody has set up.
    pub fn blank(&mut self, name: &str) -> Result<Appliance> {
        let log = self.folder.path().join(format!("{name}.log"));
        self.logs.push(log.clone());
        Appliance::new(self.folder.path().join(name), log)
    }

    /// An enrolled box that runs and has its reference data, and its owner at its pages.
    pub async fn appliance(&mut self, office: &Office, name: &str) -> Result<(Appliance, Face)> {
        let mut appliance = self.blank(name)?;
        self.enrol(office, &appliance, name).await?;
        appliance.start().await?;
        let face = self.arrived(office, &appliance).await?;
        Ok((appliance, face))
    }

    /// Enrols a box.
    pub async fn enrol(&self, office: &Office, appliance: &Appliance, name: &str) -> Result<Uuid> {
        let claim = self.claim(office, name).await?;
        appliance.run(&["enrol", "--cloud", &claim.wire_url, "--claim", &claim.code, "--name", name])?;
        Ok(claim.box_id)
    }

    /// Waits until a box has its users and accounts.
    pub async fn arrived(&self, office: &Office, appliance: &Appliance) -> Result<Face> {
        arrived(appliance, &office.owner, PASSWORD).await
    }

    /// A client that speaks the wire by hand.
    pub fn wire_url(&self) -> &str {
        &self.common.wire_url
    }

    /// The story ended well: the logs need not be shown.
    pub fn passed(mut self) {
        self.passed = true;
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.passed {
            return;
        }
        for log in &self.logs {
            if let Ok(text) = std::fs::read_to_string(log) {
                eprintln!("── {} ──\n{}", log.display(), last_lines(&text, TAIL));
            }
        }
        if std::env::var_os("SENT_KEEP").is_some() {
            self.folder.disable_cleanup(true);
            eprintln!("everything is kept in {}", self.folder.path().display());
        }
    }
}

/// Makes the MSP and its first user.
pub fn bootstrap(replica: &Replica) -> Result<()> {
    replica.bootstrap("Clearwater MSP", MSP.0, MSP.1)
}

/// Lets the cloud's authority issue the broker's certificates.
pub fn certificates(replica: &Replica, folder: &Path) -> Result<Certificates> {
    std::fs::create_dir_all(folder)?;
    replica.verb("certificates", &["--out", &folder.display().to_string()])?;
    Ok(Certificates {
        root: folder.join("ca.pem"),
        certificate: folder.join("broker.pem"),
        key: folder.join("broker.key"),
    })
}

/// Role and name of everybody in an office.
const PEOPLE: [(&str, &str); 4] =
    [("owner", "Anna Berg"), ("accountant", "Ben Okafor"), ("technician", "Chiara Rossi"), ("viewer", "Dan Novak")];

/// Makes a customer with a branch, users and a chart of accounts, by the cloud's routes. What is there already stays, so
/// that one that was interrupted can be finished.
pub async fn make_office(fleet: &Face, name: &str, password: &str) -> Result<Office> {
    let known: Vec<Organization> = fleet.get("/api/fleet/organizations").await?;
    let made = match known.into_iter().find(|o| o.name == name) {
        Some(known) => known,
        None => {
            let branches = vec!["Harbour Street".into()];
            let new = NewOrganization { name: name.into(), currency: "EUR".into(), branches };
            fleet.post("/api/fleet/organizations", &new).await?
        }
    };
    let branch = made.branches.first().context("the organisation has no branch")?.id;
    let at = format!("/api/fleet/organizations/{}", made.id);
    let roles: Vec<Role> = fleet.get(&format!("{at}/roles")).await?;
    let users: Vec<User> = fleet.get(&format!("{at}/users")).await?;
    let domain: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let login =
        |person: &str| format!("{}@{domain}.example", person.split(' ').next().unwrap_or(person).to_ascii_lowercase());
    for (role, person) in PEOPLE {
        let email = login(person);
        if users.iter().any(|u| u.email == email) {
            continue;
        }
        let role = roles.iter().find(|r| r.name == role).with_context(|| format!("there is no role {role}"))?.id;
        let (name, password) = (person.to_owned(), password.to_owned());
        let _: User =
            fleet.post(&format!("{at}/users"), &NewUser { email, name, password, role, branch: Some(branch) }).await?;
    }
    let accounts: Vec<Account> = fleet.get(&format!("{at}/accounts")).await?;
    for account in books::chart().iter().filter(|a| accounts.iter().all(|known| known.name != a.name)) {
        let _: Account = fleet.post(&format!("{at}/accounts"), account).await?;
    }
    Ok(Office { organization: made.id, branch, owner: login(PEOPLE[0].1), viewer: login(PEOPLE[3].1) })
}

/// A claim code.
pub async fn claim(fleet: &Face, office: &Office, name: &str) -> Result<Claim> {
    let new = NewClaim { organization: office.organization, branch: office.branch, name: name.to_owned(), hours: None };
    fleet.post("/api/fleet/claims", &new).await
}

/// Waits until a box has the cloud's users and accounts; answers one of them, logged in.
pub async fn arrived(appliance: &Appliance, email: &str, password: &str) -> Result<Face> {
    let face =
        until("the cloud's users are on the box", 60, || async { Ok(Some(appliance.login(email, password).await?)) })
            .await?;
    until("the cloud's accounts are on the box", 60, || async {
        let accounts: Vec<Account> = face.get("/api/capital/accounts").await?;
        Ok((accounts.len() >= books::chart().len()).then_some(()))
    })
    .await?;
    Ok(face)
}
