//! `giftd catalog`

use std::path::PathBuf;

use clap::Subcommand;
use giftd_domain::limits;
use giftd_domain::problems::Problems;
use giftd_store::CatalogImport;
use indicatif::ProgressBar;
use serde::Serialize;

use super::output::{Failure, Output};
use super::{Context, catalog_file};

#[derive(Subcommand)]
pub enum Catalog {
    /// Replace the catalog: what is no longer listed can't be ordered any more, its orders stay
    #[command(
        after_help = "Example of a file:\n  {\"brandedCards\": [{\"productId\": \"20001\", \"brandName\": \"Sakura Books\", \"productName\": \"Sakura Books JP\",\n     \"countryCode\": \"JPN\", \"currencyCode\": \"JPY\", \"priceType\": \"FIXED\", \"prices\": [1000, 5000]}],\n   \"choiceCards\": [{\"productId\": \"55\", \"productName\": \"Choice Card\", \"prices\": [5, 500]}]}\n\nA priceType RANGE has prices [least, most] and a priceStep."
    )]
    Import {
        /// The file
        #[arg(value_name = "FILE.json")]
        file: PathBuf,
        /// Only tell what would happen
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Imported {
    dry_run: bool,
    added: Vec<String>,
    kept: Vec<String>,
    removed: Vec<String>,
}

impl Catalog {
    pub async fn run(self, context: &Context) -> Result<Output, Failure> {
        let Self::Import { file, dry_run } = self;
        let cannot = |why: String| Failure::new("FILE", format!("{} {why}", file.display()));
        let bytes = std::fs::read(&file).map_err(|error| cannot(format!("can't be read: {error}")))?;
        if bytes.len() > limits::CATALOG_BYTES {
            return Err(cannot(format!("has more than {} bytes", limits::CATALOG_BYTES)));
        }
        let catalog = catalog_file::read(&bytes)?;
        let store = context.store().await?;
        let products = catalog.branded.len() + catalog.choice.len();
        // Shown only on a terminal, and gone at the end.
        let progress = ProgressBar::new_spinner().with_message(format!("importing {products} products"));
        progress.enable_steady_tick(std::time::Duration::from_millis(100));
        let imported = store.import_catalog(&catalog, context.clock.now(), dry_run).await;
        progress.finish_and_clear();
        let CatalogImport { added, kept, removed, refused } = imported?;
        if !refused.is_empty() {
            return Err(refusal(&refused));
        }
        let changes = format!("{} added, {} kept, {} removed", added.len(), kept.len(), removed.len());
        let text = match dry_run {
            true => format!("Would be: {changes}. Nothing was imported."),
            false => format!("{changes}; servers notice within 5 seconds."),
        };
        Output::new(&Imported { dry_run, added, kept, removed }, text)
    }
}

fn refusal(products: &[String]) -> Failure {
    let mut problems = Problems::new();
    for product in products {
        problems.add(
            product,
            "CHANGED_CURRENCY",
            "had another currency or was the other kind of card: give it another productId",
        );
    }
    Failure::invalid("A product never changes its currency or kind, and nothing was imported:", problems)
}
