//! A browser walks the recipient's pages of a running server: the walk is `tests/browser/walk.mjs`.

use std::path::Path;
use std::process::Stdio;

use crate::bed::{Bed, Database, on, string};

/// Place → mail → verify → reveal, and place → mail → verify → pick two brands: with the keyboard alone, on a
/// phone and on a desk, with axe on each page and pictures in `target/browser`.
#[test]
fn slow_browser_a_recipient_comes_to_the_codes_with_the_keyboard_alone() {
    let chromium = std::env::var("TEST_CHROMIUM").expect("run scripts/test: it finds or installs a browser");
    on(Database::Sqlite, async |mut bed: Bed| {
        bed.set("GIFTD_RATE_LIMIT_SANDBOX", "0");
        bed.prepare();
        let scopes = "orders.read orders.write";
        let app = bed.json(&[
            "app",
            "create",
            "--org",
            "1",
            "--environment",
            "sandbox",
            "--name",
            "Walk",
            "--scopes",
            scopes,
        ]);
        let server = bed.serve();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let walk = tokio::process::Command::new("node")
            .arg(root.join("tests/browser/walk.mjs"))
            .env("GIFTD_URL", format!("http://{}", server.address))
            .env("CLIENT_ID", string(&app["clientId"]))
            .env("CLIENT_SECRET", string(&app["clientSecret"]))
            .env("CHROMIUM", &chromium)
            .env("PICTURES", root.join("target/browser"))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .expect("node runs");
        let said = format!("{}{}", String::from_utf8_lossy(&walk.stdout), String::from_utf8_lossy(&walk.stderr));
        assert!(walk.status.success(), "{said}\n{}", server.log());
        server.stop().await;
    });
}
