//! What the demo works with: an organization with money and two apps, a catalog and its rates. Made
//! once; again, it goes on with what is there.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use giftd_domain::access::{Environment, Scope, Scopes};
use giftd_domain::catalog::Prices;
use giftd_domain::ids::OrganizationId;
use giftd_domain::ledger::EntryType;
use giftd_store::Store;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use strum::VariantArray as _;

use super::codes_file::FileCode;
use super::output::Failure;
use super::{app, arguments, balance, catalog_file, codes, fx};
use crate::clock::Clock;
use crate::state::Giftd;
use crate::supplier::Code;

/// The demo's organization.
const ORGANIZATION: &str = "Acme Corp (demo)";
/// The creator of its orders.
const APP: &str = "Demo";
/// Cents that it is funded with: 10,000.00 USD.
const FUNDS: i64 = 1_000_000;
/// Cents below which it is funded again.
const FUNDS_LOW: i64 = 100_000;
/// Codes of each card and price point.
const CODES: usize = 5;
/// The products that the demo orders.
pub const BRANDED: &str = "10042";
pub const CHOICE: &str = "55";

/// The demo's credentials, as `demo.json` keeps them.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DemoData {
    pub organization_id: String,
    pub production: Credentials,
    pub sandbox: Credentials,
}

/// An app's credentials.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    pub client_id: String,
    pub client_secret: String,
}

/// Where the credentials are kept.
pub fn file(giftd: &Giftd) -> PathBuf {
    giftd.settings.data_dir.join("demo.json")
}

/// Makes what isn't there yet.
pub async fn prepare(giftd: &Giftd) -> Result<DemoData, Failure> {
    let path = file(giftd);
    let known = read(&path)?;
    let organization = organization(giftd, known.as_ref()).await?;
    let data = DemoData {
        organization_id: organization.to_string(),
        production: credentials(
            giftd,
            organization,
            Environment::Production,
            known.as_ref().map(|data| &data.production),
        )
        .await?,
        sandbox: credentials(giftd, organization, Environment::Sandbox, known.as_ref().map(|data| &data.sandbox))
            .await?,
    };
    write(&path, &data, giftd.clock.entropy())?;
    fill_catalog(giftd).await?;
    fill_rates(giftd).await?;
    giftd.refresh_reference().await?;
    fill_stock(giftd).await?;
    fund(giftd, organization).await?;
    Ok(data)
}

async fn organization(giftd: &Giftd, known: Option<&DemoData>) -> Result<OrganizationId, Failure> {
    let organizations = giftd.store.organizations().await?;
    let known: Option<OrganizationId> = known.and_then(|data| data.organization_id.parse().ok());
    let found = organizations.iter().find(|one| Some(one.organization_id) == known && one.name == ORGANIZATION);
    match found.or_else(|| organizations.iter().find(|one| one.name == ORGANIZATION)) {
        Some(organization) => Ok(organization.organization_id),
        None => Ok(giftd.store.create_organization(ORGANIZATION, giftd.clock.now(), giftd.clock.entropy()).await?),
    }
}

/// The known credentials where they still work, else those of a new app.
async fn credentials(
    giftd: &Giftd,
    organization: OrganizationId,
    environment: Environment,
    known: Option<&Credentials>,
) -> Result<Credentials, Failure> {
    if let Some(known) = known
        && let Some(app) = giftd.store.app(&known.client_id).await?
    {
        let secret_hash: [u8; 32] = Sha256::digest(&known.client_secret).into();
        let is_ours = app.organization_id == organization && app.environment == environment;
        if is_ours && app.revoked_at.is_none() && app.secret_hash == secret_hash {
            return Ok(known.clone());
        }
    }
    let scopes: Scopes = Scope::VARIANTS.iter().copied().collect();
    let made = app::create(giftd.store.as_ref(), &giftd.clock, organization, environment, APP, scopes).await?;
    Ok(Credentials { client_id: made.client_id, client_secret: made.client_secret })
}

/// Imports the demo's catalog into an empty database; another catalog is left alone.
async fn fill_catalog(giftd: &Giftd) -> Result<(), Failure> {
    let listed = giftd.store.reference().await?.catalog;
    if listed.branded.contains_key(BRANDED) && listed.choice.contains_key(CHOICE) {
        return Ok(());
    }
    if !listed.branded.is_empty() || !listed.choice.is_empty() {
        return Err(Failure::new(
            "OTHER_CATALOG",
            "this database has another catalog than the demo's: run the demo with another GIFTD_DATA_DIR (and database)",
        ));
    }
    let catalog = catalog_file::read(include_bytes!("../../demo/catalog.json"))?;
    giftd.store.import_catalog(&catalog, giftd.clock.now(), false).await?;
    Ok(())
}

/// Sets the demo's rates where there is none or it is old; others are left alone.
async fn fill_rates(giftd: &Giftd) -> Result<(), Failure> {
    let now = giftd.clock.now();
    let rates = fx::parse(include_str!("../../demo/rates.csv"), now)
        .map_err(|problems| Failure::invalid("the demo's rates are wrong:", problems))?;
    let half = SignedDuration::try_from(giftd.settings.fx_max_age / 2).unwrap_or(SignedDuration::MAX);
    let known = giftd.store.reference().await?.rates;
    let good: BTreeSet<&str> =
        known.values().filter(|rate| rate.is_good(now, half)).map(|rate| rate.currency.code()).collect();
    let missing: Vec<_> = rates.into_iter().filter(|rate| !good.contains(rate.currency.code())).collect();
    if !missing.is_empty() {
        giftd.store.set_rates(&missing).await?;
    }
    Ok(())
}

/// Imports codes, so that gifts can be redeemed: of each card whose stock is empty, for a few of its price points.
async fn fill_stock(giftd: &Giftd) -> Result<(), Failure> {
    let stock = giftd.store.stock().await?;
    let has_codes = |product: &str| stock.iter().any(|line| line.product_id == product && line.available > 0);
    for card in giftd.reference().await?.catalog.branded.values().filter(|card| !has_codes(&card.product_id)) {
        let codes: Vec<FileCode> = face_values(&card.prices)
            .into_iter()
            .flat_map(|face_value| std::iter::repeat_n(face_value, CODES))
            .map(|face_value| FileCode { code: invented(&giftd.clock), face_value })
            .collect();
        codes::import_all(giftd.store.as_ref(), &giftd.clock, giftd.keys.codes(), card, &codes).await?;
    }
    Ok(())
}

/// The fixed prices, or round amounts of a range: 1, 2, 2.5, 5, 10, … of its currency.
fn face_values(prices: &Prices) -> Vec<i64> {
    match prices {
        Prices::Fixed(prices) => prices.clone(),
        Prices::Range { .. } => {
            let round = (1..=7).flat_map(|zeros| [10, 20, 25, 50].map(|digits| digits * 10_i64.pow(zeros)));
            round.filter(|face_value| prices.contains(*face_value)).collect()
        }
    }
}

fn invented(clock: &Clock) -> Code {
    let bits = clock.entropy();
    let code = format!("DEMO-{:04X}-{:04X}-{:04X}", bits & 0xffff, (bits >> 16) & 0xffff, (bits >> 32) & 0xffff);
    Code { code, pin: Some(format!("{:04}", (bits >> 48) % 10_000)) }
}

/// Funds the organization once; again only when the demo's orders have used it up.
async fn fund(giftd: &Giftd, organization: OrganizationId) -> Result<(), Failure> {
    let store: &dyn Store = giftd.store.as_ref();
    for round in 1.. {
        let reference = format!("demo funds {round}");
        let production = Environment::Production;
        balance::move_money(store, &giftd.clock, organization, production, EntryType::Charge, FUNDS, &reference)
            .await?;
        let account = store.account_of(organization, production).await?;
        let account = account.ok_or_else(|| arguments::no_organization(organization))?;
        if account.balances.available >= FUNDS_LOW {
            break;
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Option<DemoData>, Failure> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::new("FILE", format!("{} can't be read: {error}", path.display()))),
    };
    // What can't be read is replaced: it only saves making new apps.
    Ok(serde_json::from_slice(&text).ok())
}

/// Replaces the file as a whole; only its owner may read it.
fn write(path: &Path, data: &DemoData, unique: u128) -> Result<(), Failure> {
    let draft = path.with_extension(format!("{unique:032x}.new"));
    let written = serde_json::to_string_pretty(data).map_err(io::Error::other).and_then(|text| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        writeln!(file, "{text}")?;
        file.sync_all()?;
        fs::rename(&draft, path)
    });
    written.map_err(|error| Failure::new("FILE", format!("{} can't be written: {error}", path.display())))
}
