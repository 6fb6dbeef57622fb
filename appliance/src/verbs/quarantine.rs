//! `sent sync quarantine`: deciding about what a restored box could not take back.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use sent_core::Timestamp;
use sent_store::Store;

/// Verbs of the quarantine.
#[derive(Debug, Subcommand)]
pub enum QuarantineVerb {
    /// List the transactions of an earlier epoch that did not fit.
    List {
        /// Print JSON, with all changes.
        #[arg(long)]
        json: bool,
    },
    /// Apply some again, now that what they need is there.
    Apply(Which),
    /// Give some up for good.
    Drop(Which),
}

/// Which of them.
#[derive(Debug, Args)]
pub struct Which {
    /// Names as the list shows them.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    names: Vec<String>,
    /// All of them, in order.
    #[arg(long)]
    all: bool,
}

/// So many letters of an identity tell transactions apart in a list.
const NAME: usize = 12;

/// Does it. Fails when something that was to be applied still does not fit.
pub fn run(verb: QuarantineVerb, store: &Store) -> anyhow::Result<ExitCode> {
    let scope = super::scope(store)?;
    match verb {
        QuarantineVerb::List { json: true } => {
            super::print_json(&store.quarantine_blocking(&scope)?)?;
            Ok(ExitCode::SUCCESS)
        }
        QuarantineVerb::List { json: false } => {
            for one in store.quarantine_blocking(&scope)? {
                let (name, at) = (one.identity.get(..NAME).unwrap_or(&one.identity), Timestamp(one.at).rfc3339());
                println!(
                    "{name}  {at}  epoch {} transaction {}  {}: {}",
                    one.epoch, one.sequence, one.action, one.error
                );
            }
            Ok(ExitCode::SUCCESS)
        }
        QuarantineVerb::Apply(which) => {
            let mut left = 0;
            for name in chosen(which, store, &scope)? {
                match store.apply_quarantined_blocking(&scope, &name) {
                    Ok(()) => println!("{name}  applied"),
                    Err(error) => {
                        println!("{name}  {error}");
                        left += 1;
                    }
                }
            }
            Ok(if left == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        QuarantineVerb::Drop(which) => {
            for name in chosen(which, store, &scope)? {
                store.drop_quarantined_blocking(&scope, &name)?;
                println!("{name}  dropped");
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn chosen(which: Which, store: &Store, scope: &sent_core::Scope) -> anyhow::Result<Vec<String>> {
    if which.all {
        return Ok(store.quarantine_blocking(scope)?.into_iter().map(|one| one.identity).collect());
    }
    Ok(which.names)
}
