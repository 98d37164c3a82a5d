//! `giftd org`

use std::fmt::Display;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use giftd_domain::ids::OrganizationId;
use giftd_domain::limits;
use giftd_domain::text;
use serde::Serialize;

use super::output::{Failure, Output, table};
use super::{Context, arguments};
use crate::api::wire::Instant;
use crate::mail::logo;

#[derive(Subcommand)]
pub enum Org {
    /// Create an organization, with a production and a sandbox account
    #[command(after_help = "Example:\n  giftd org create 'Acme Corp'")]
    Create {
        /// Up to 100 characters
        name: String,
    },
    /// List all organizations
    List,
    /// Set or remove the logo that an organization's mails show
    #[command(after_help = "What is kept is a plain PNG of at most 600 × 600 pixels, drawn from the file.\n\n\
                      Examples:\n  giftd org logo --org 1 acme.svg\n  giftd org logo --org 1 --remove")]
    Logo {
        /// The organization's id
        #[arg(long, value_name = "ID", value_parser = arguments::organization)]
        org: OrganizationId,
        /// A PNG or an SVG of at most 1 MiB
        #[arg(required_unless_present = "remove")]
        file: Option<PathBuf>,
        /// Remove it
        #[arg(long, conflicts_with = "file")]
        remove: bool,
    },
    /// Set or remove the postal address at the foot of an organization's mails
    #[command(
        after_help = "Examples:\n  giftd org postal --org 1 'Acme Corp, 1 Main Street, Springfield'\n  giftd org postal --org 1 --remove"
    )]
    Postal {
        /// The organization's id
        #[arg(long, value_name = "ID", value_parser = arguments::organization)]
        org: OrganizationId,
        /// Name and address in one line of up to 300 characters
        #[arg(required_unless_present = "remove")]
        line: Option<String>,
        /// Remove it: the organization's name stands there alone
        #[arg(long, conflicts_with = "line")]
        remove: bool,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    organization_id: String,
}

#[derive(Serialize)]
struct List {
    organizations: Vec<Row>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    organization_id: String,
    name: String,
    created_at: Instant,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Logo {
    organization_id: String,
    /// Pixels, as it is kept; none where it was removed.
    width: Option<u32>,
    height: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Postal {
    organization_id: String,
    postal_line: Option<String>,
}

impl Org {
    pub async fn run(self, context: &Context) -> Result<Output, Failure> {
        match self {
            Self::Create { name } => create(context, &name).await,
            Self::List => list(context).await,
            Self::Logo { org, file, .. } => set_logo(context, org, file.as_deref()).await,
            Self::Postal { org, line, .. } => set_postal(context, org, line.as_deref()).await,
        }
    }
}

async fn create(context: &Context, name: &str) -> Result<Output, Failure> {
    let named = text::filled_line(name, limits::NAME_CHARACTERS);
    named.map_err(|problem| Failure::new("VALIDATION_ERROR", format!("the name of an organization {problem}")))?;
    let store = context.store().await?;
    let organization = store.create_organization(name, context.clock.now(), context.clock.entropy()).await?;
    let text = format!(
        "{name} is organization {organization}.\n\
         Next: giftd app create --org {organization} --environment sandbox --name NAME --scopes 'orders.read orders.write'"
    );
    Output::new(&Created { organization_id: organization.to_string() }, text)
}

async fn list(context: &Context) -> Result<Output, Failure> {
    let organizations = context.store().await?.organizations().await?;
    let rows: Vec<_> = organizations
        .into_iter()
        .map(|organization| Row {
            organization_id: organization.organization_id.to_string(),
            name: organization.name,
            created_at: Instant(organization.created_at),
        })
        .collect();
    let text = match rows.as_slice() {
        [] => "There is no organization yet. Next: giftd org create NAME".to_owned(),
        rows => table(
            ["ID", "NAME", "CREATED"],
            rows.iter().map(|row| [row.organization_id.clone(), row.name.clone(), row.created_at.to_string()]),
        ),
    };
    Output::new(&List { organizations: rows }, text)
}

async fn set_logo(context: &Context, organization: OrganizationId, file: Option<&Path>) -> Result<Output, Failure> {
    let png = file.map(read_logo).transpose()?;
    let size = png.as_deref().and_then(logo::size);
    if !context.store().await?.set_logo(organization, png).await? {
        return Err(arguments::no_organization(organization));
    }
    let text = match size {
        Some((width, height)) => format!(
            "Mails of organization {organization} show this logo, of {width} × {height} pixels; servers notice within 5 seconds."
        ),
        None => format!("Mails of organization {organization} show no logo; servers notice within 5 seconds."),
    };
    let (width, height) = size.unzip();
    Output::new(&Logo { organization_id: organization.to_string(), width, height }, text)
}

/// The logo of a file, made safe.
fn read_logo(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |why: &dyn Display| Failure::new("VALIDATION_ERROR", format!("{}: {why}", path.display()));
    let mut bytes = Vec::new();
    // One more than allowed tells that it is too large, whatever is behind it.
    let most = limits::LOGO_BYTES as u64 + 1;
    let read = File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes));
    read.map_err(|error| failed(&error))?;
    logo::to_png(&bytes).map_err(|error| failed(&error))
}

async fn set_postal(context: &Context, organization: OrganizationId, line: Option<&str>) -> Result<Output, Failure> {
    if let Some(line) = line {
        let checked = text::filled_line(line, limits::POSTAL_LINE_CHARACTERS);
        checked.map_err(|problem| Failure::new("VALIDATION_ERROR", format!("the postal line {problem}")))?;
    }
    let line = line.map(str::trim);
    if !context.store().await?.set_postal_line(organization, line).await? {
        return Err(arguments::no_organization(organization));
    }
    let text = match line {
        Some(line) => format!("At the foot of mails of organization {organization} stands: {line}"),
        None => format!("At the foot of mails of organization {organization} stands its name."),
    };
    Output::new(&Postal { organization_id: organization.to_string(), postal_line: line.map(str::to_owned) }, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_logo_is_named_with_what_would_be_right() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("logo.jpg");
        std::fs::write(&path, b"\xff\xd8\xff\xe0").expect("written");
        let failure = format!("{:?}", read_logo(&path).expect_err("refused"));
        assert!(failure.contains("logo.jpg: the file is neither a PNG nor an SVG"), "{failure}");
        assert!(read_logo(&folder.path().join("nothing")).is_err());
        assert!(read_logo(Path::new("/dev/zero")).is_err(), "not read to its end");
    }
}
