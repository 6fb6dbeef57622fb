//! Making a stand-alone box, and its users.

use std::{io::Read as _, path::Path, process::ExitCode};

use anyhow::{Context as _, anyhow, bail};
use clap::{Args, Subcommand};
use sent_contract::identity::{NewUser, UserPatch};
use sent_core::{Problem, Scope, id, money};
use sent_store::{NewBox, Store, StoreError, identity::found_organization};
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::{engines, settings::Settings};

/// `sent init`.
#[derive(Debug, Args)]
pub struct Init {
    /// Name of the organisation.
    #[arg(long, visible_alias = "organization", value_name = "NAME")]
    organisation: String,
    /// Base currency (ISO 4217).
    #[arg(long, value_name = "CODE")]
    currency: String,
    /// Name of the branch this box stands in.
    #[arg(long, default_value = "Main office")]
    branch: String,
    /// Time zone of the branch (IANA name).
    #[arg(long, default_value = "UTC")]
    timezone: String,
    /// Name of the box; default: the branch's.
    #[arg(long)]
    name: Option<String>,
    /// E-mail address of the first user, who owns everything.
    #[arg(long)]
    email: Option<String>,
    /// Read the first user's password from standard input; otherwise one is made up and printed.
    #[arg(long, requires = "email")]
    password_stdin: bool,
}

/// Verbs of users.
#[derive(Debug, Subcommand)]
pub enum UserVerb {
    /// List users.
    List,
    /// Add a user.
    Add {
        /// E-mail address.
        email: String,
        /// Name; default: the address.
        #[arg(long)]
        name: Option<String>,
        /// Role.
        #[arg(long, default_value = "viewer")]
        role: String,
        /// Read the password from standard input; otherwise one is made up and printed.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Give a user a new password.
    Password {
        /// E-mail address.
        email: String,
        /// Read the password from standard input; otherwise one is made up and printed.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Take a user's second factor away, who has lost telephone and recovery codes; the password alone opens the account then.
    ResetFactor {
        /// E-mail address.
        email: String,
    },
}

/// Reads a password, or makes one up. The second value is what to print.
fn password(from_stdin: bool) -> anyhow::Result<(String, Option<String>)> {
    if from_stdin {
        let mut text = String::new();
        std::io::stdin().lock().take(4096).read_to_string(&mut text).context("cannot read the password")?;
        return Ok((text.trim_end_matches(['\r', '\n']).to_owned(), None));
    }
    let made_up = sent_core::identity::recovery_codes().swap_remove(0).to_lowercase();
    Ok((made_up.clone(), Some(made_up)))
}

fn in_words(problem: Problem) -> anyhow::Error {
    match problem.detail {
        Some(detail) => anyhow!("{} ({detail})", problem.message),
        None => anyhow!(problem.message),
    }
}

/// Makes a stand-alone box.
pub fn init(init: Init, data: &Path, settings: &Settings, _runtime: &Runtime) -> anyhow::Result<ExitCode> {
    if !money::is_code(&init.currency) || money::places(&init.currency).is_none() {
        bail!("{} is no ISO 4217 currency we know", init.currency);
    }
    let store = engines::open_store(data.to_owned(), settings)?;
    let clock = store.clock().clone();
    let (organization, branch) = (id::new(&*clock), id::new(&*clock));
    let name = init.name.unwrap_or_else(|| init.branch.clone());
    store.initialise(NewBox { box_id: id::new(&*clock), name: name.clone(), organization, branch: Some(branch) })?;
    let mut scope = Scope::system(organization, "command line", &*clock);
    scope.branch = Some(branch);
    let (title, currency, branch_name, timezone) =
        (init.organisation.clone(), init.currency, init.branch, init.timezone);
    store.write_blocking(&scope, "organization.create", move |tx| -> Result<(), StoreError> {
        found_organization(tx, &title, &currency, branch, &branch_name, &timezone, || id::new(&*clock))
    })?;
    sent_pulse::Service::add_default_rules(&store, &scope)?;
    println!("{name}: a stand-alone box of {}", init.organisation);
    if let Some(email) = init.email {
        let (password, shown) = password(init.password_stdin)?;
        let role = role(&store, &scope, "owner")?;
        let new = NewUser { name: email.clone(), email: email.clone(), password, role, branch: None };
        store.create_user_blocking(&scope, new).map_err(in_words)?;
        match shown {
            Some(password) => println!("login: {email}  password: {password}"),
            None => println!("login: {email}"),
        }
        println!("next: sent --data {}, then open http://{}", data.display(), settings.gateway.listen);
    }
    Ok(ExitCode::SUCCESS)
}

fn role(store: &Store, scope: &Scope, name: &str) -> anyhow::Result<Uuid> {
    let id = store.read_blocking(scope, |db| -> Result<Option<String>, StoreError> {
        let mut statement = db.prepare("SELECT id FROM roles WHERE name = ?1")?;
        let mut rows = statement.query([name])?;
        Ok(rows.next()?.map(|r| r.get(0)).transpose()?)
    })?;
    Ok(id.ok_or_else(|| anyhow!("there is no role {name}"))?.parse()?)
}

/// Does a verb of users.
pub fn user(verb: UserVerb, data: &Path, settings: &Settings, runtime: &Runtime) -> anyhow::Result<ExitCode> {
    let store = super::open(data, settings)?;
    let scope = super::scope(&store)?;
    match verb {
        UserVerb::List => {
            for user in runtime.block_on(store.users(&scope)).map_err(in_words)? {
                let locked = if user.disabled { "  (locked)" } else { "" };
                println!("{:<32} {:<24} {}{locked}", user.email, user.name, user.role.name);
            }
        }
        UserVerb::Add { email, name, role: role_name, password_stdin } => {
            let (password, shown) = password(password_stdin)?;
            let role = role(&store, &scope, &role_name)?;
            let new = NewUser {
                name: name.unwrap_or_else(|| email.clone()),
                email: email.clone(),
                password,
                role,
                branch: None,
            };
            store.create_user_blocking(&scope, new).map_err(in_words)?;
            if let Some(password) = shown {
                println!("login: {email}  password: {password}");
            }
        }
        UserVerb::Password { email, password_stdin } => {
            let (password, shown) = password(password_stdin)?;
            let id = user_of(&store, &scope, &email)?;
            let patch = UserPatch { password: Some(password), ..UserPatch::default() };
            runtime.block_on(store.patch_user(&scope, id, patch)).map_err(in_words)?;
            if let Some(password) = shown {
                println!("login: {email}  password: {password}");
            }
        }
        UserVerb::ResetFactor { email } => {
            runtime.block_on(store.remove_totp(&scope, user_of(&store, &scope, &email)?)).map_err(in_words)?;
            println!("{email} has no second factor any more");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn user_of(store: &Store, scope: &Scope, email: &str) -> anyhow::Result<Uuid> {
    let id = store.read_blocking(scope, |db| sent_store::identity::find_user(db, email))?;
    id.ok_or_else(|| anyhow!("there is no user {email}"))
}
