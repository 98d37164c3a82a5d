//! `giftd codes`

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use giftd_domain::catalog::{BrandedCard, Catalog};
use giftd_domain::gifts::redemption::{KnownCard, NewCode, Stock};
use giftd_domain::limits;
use giftd_domain::money::Money;
use giftd_store::{CodesImport, Store, StoreError};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::codes_file::{CodesFile, FileCode};
use super::output::{Failure, Output, few, table};
use super::{Context, codes_file};
use crate::api::wire::Amount;
use crate::clock::Clock;
use crate::keys::SecretKey;
use crate::serve::open_keys;
use crate::supplier::sealed::{self, Place};

#[derive(Subcommand)]
pub enum Codes {
    /// Import codes of a branded card, which recipients get when they redeem; those that are known are skipped
    #[command(
        after_help = "Example of a file, whose PINs may be empty:\n  code,pin,faceValue\n  4ZK9-77QD-W2MA,0042,25.00\n  4ZK9-81XC-P0RT,,50.00\n\nCodes are encrypted under keys/codes.key before they are stored: keep a copy of that file."
    )]
    Import {
        /// The card: see giftd codes status, or the catalog
        #[arg(long, value_name = "ID")]
        product: String,
        /// The file; - reads standard input
        #[arg(value_name = "FILE.csv")]
        file: PathBuf,
    },
    /// Show how many codes there are, by card and face value
    Status,
}

#[derive(Serialize)]
struct Imported {
    imported: u64,
    skipped: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    stock: Vec<Row>,
    /// Listed branded cards of which no code is left.
    without_codes: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    product_id: String,
    product_name: String,
    /// Whether it is in the catalog now.
    listed: bool,
    face_value: Amount,
    currency: &'static str,
    available: u64,
    handed_out: u64,
}

impl Codes {
    pub async fn run(self, context: &Context) -> Result<Output, Failure> {
        match self {
            Self::Import { product, file } => import(context, &product, &file).await,
            Self::Status => status(context).await,
        }
    }
}

async fn import(context: &Context, product: &str, file: &Path) -> Result<Output, Failure> {
    let store = context.store().await?;
    let Some(KnownCard { card, listed }) = store.branded_card(product).await? else {
        let message = format!("there is no branded card {product}: see the productIds of giftd catalog import");
        return Err(Failure::new("NOT_FOUND", message));
    };
    let shown = if is_stdin(file) { "standard input".to_owned() } else { file.display().to_string() };
    let bytes = read(file).map_err(|error| Failure::new("FILE", format!("{shown} can't be read: {error}")))?;
    if bytes.len() > limits::CODES_BYTES {
        let most = limits::CODES_BYTES / 1024 / 1024;
        return Err(Failure::new("FILE", format!("{shown} has more than {most} MiB: split it, each with the header")));
    }
    let CodesFile { codes, repeated } = codes_file::read(&bytes, &card)
        .map_err(|problems| Failure::invalid(format!("{shown} is wrong, and no code was imported:"), problems))?;
    let keys = open_keys(&context.settings()?, store.as_ref(), &context.clock).await?;
    let CodesImport { imported, skipped } =
        import_all(store.as_ref(), &context.clock, keys.codes(), &card, &codes).await?;
    let skipped = skipped + repeated;
    let codes = if imported == 1 { "code" } else { "codes" };
    let mut text = format!("{imported} {codes} of {product} {} imported", card.product_name);
    if skipped > 0 {
        text += &format!(", {skipped} skipped that were there already");
    }
    text += ". Next: giftd codes status";
    if !listed {
        text += &format!("\n{product} isn't listed now: its codes go to gifts that were ordered before.");
    }
    Output::new(&Imported { imported, skipped }, text)
}

fn is_stdin(file: &Path) -> bool {
    file == Path::new("-")
}

/// The file, or one byte more than it may have.
fn read(file: &Path) -> io::Result<Vec<u8>> {
    let most = u64::try_from(limits::CODES_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    if is_stdin(file) {
        io::stdin().lock().take(most).read_to_end(&mut bytes)?;
    } else {
        std::fs::File::open(file)?.take(most).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// Imports in groups, each all or nothing. After a crash the same file again imports the rest.
pub(super) async fn import_all(
    store: &dyn Store,
    clock: &Clock,
    key: &SecretKey,
    card: &BrandedCard,
    codes: &[FileCode],
) -> Result<CodesImport, Failure> {
    let product = &card.product_id;
    // Shown only on a terminal, and gone at the end.
    let progress = ProgressBar::new(u64::try_from(codes.len()).unwrap_or(u64::MAX));
    let style = ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} codes, {eta} left");
    progress.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut all = CodesImport::default();
    for group in codes.chunks(limits::IMPORT_CODES) {
        let sealed = group.iter().map(|FileCode { code, face_value }| NewCode {
            hash: sealed::hash(key, product, &code.code),
            face_value: *face_value,
            sealed: sealed::seal(
                key,
                clock.random_bytes(),
                Place::Stock { product_id: product, face_value: *face_value },
                code,
            ),
        });
        match store.import_codes(product, sealed.collect(), clock.now()).await {
            Ok(CodesImport { imported, skipped }) => {
                all.imported += imported;
                all.skipped += skipped;
            }
            Err(error) => {
                progress.finish_and_clear();
                return Err(interrupted(error, all.imported));
            }
        }
        progress.inc(u64::try_from(group.len()).unwrap_or(u64::MAX));
    }
    progress.finish_and_clear();
    Ok(all)
}

fn interrupted(error: StoreError, imported: u64) -> Failure {
    let failure = Failure::from(error);
    if imported == 0 {
        return failure;
    }
    failure.and(format!("{imported} codes were imported before; the same file again imports the rest"))
}

async fn status(context: &Context) -> Result<Output, Failure> {
    let store = context.store().await?;
    let (mut stock, catalog) = (store.stock().await?, store.reference().await?.catalog);
    stock.sort_by(|one, other| (&one.product_id, one.face_value).cmp(&(&other.product_id, other.face_value)));
    let mut cards: BTreeMap<String, KnownCard> = BTreeMap::new();
    let mut rows = Vec::new();
    for Stock { product_id, face_value, available, handed_out } in &stock {
        if !cards.contains_key(product_id) {
            let card = store.branded_card(product_id).await?;
            let card = card.ok_or_else(|| StoreError::Broken("there are codes of a card that never was".into()))?;
            cards.insert(product_id.clone(), card);
        }
        let KnownCard { card, listed } = &cards[product_id];
        rows.push(Row {
            product_id: product_id.clone(),
            product_name: card.product_name.clone(),
            listed: *listed,
            face_value: Amount(Money::new(*face_value, card.currency)),
            currency: card.currency.code(),
            available: *available,
            handed_out: *handed_out,
        });
    }
    let without_codes = without_codes(&catalog, &stock);
    let text = in_words(&rows, &without_codes);
    Output::new(
        &Status { stock: rows, without_codes: without_codes.iter().map(|card| card.product_id.clone()).collect() },
        text,
    )
}

fn in_words(rows: &[Row], without_codes: &[&BrandedCard]) -> String {
    let mut text = match rows {
        [] => "There are no codes yet.\n".to_owned(),
        rows => table(
            ["PRODUCT", "NAME", "FACE VALUE", "AVAILABLE", "HANDED OUT"],
            rows.iter().map(|row| {
                let name =
                    if row.listed { row.product_name.clone() } else { format!("{} (not listed)", row.product_name) };
                let face = format!("{} {}", row.face_value.0, row.currency);
                [row.product_id.clone(), name, face, row.available.to_string(), row.handed_out.to_string()]
            }),
        ),
    };
    if let [first, ..] = without_codes {
        let names: Vec<_> =
            without_codes.iter().map(|card| format!("{} {}", card.product_id, card.product_name)).collect();
        text += &format!(
            "\nListed and without a code, so that recipients in production can't redeem them: {}.\n\
             Next: giftd codes import --product {} FILE.csv\n",
            few(&names),
            first.product_id
        );
    }
    text
}

/// Listed branded cards of which no code is left, by product id.
pub fn without_codes<'a>(catalog: &'a Catalog, stock: &[Stock]) -> Vec<&'a BrandedCard> {
    let has_one = |card: &BrandedCard| stock.iter().any(|row| row.product_id == card.product_id && row.available > 0);
    catalog.branded.values().filter(|card| !has_one(card)).collect()
}
