//! Organizations, their accounts and their apps.

use giftd_domain::access::{App, Environment, Scope, Scopes};
use giftd_domain::catalog::ChoiceRange;
use giftd_domain::ids::{AccountId, OrganizationId, TemplateId};
use giftd_domain::ledger::{EntryType, Postings};
use giftd_domain::limits;
use giftd_domain::orders::place::AccountSettings;
use giftd_domain::templates::SenderLook;

use crate::bed::Bed;
use crate::world::{World, account_of, after, entropy, instant, now};

const NOBODY: OrganizationId = OrganizationId(4_711);

pub async fn an_organization_has_an_account_in_each_environment(bed: Bed) {
    let store = bed.open().await;
    let organization = store.create_organization("Acme", now(), entropy()).await.expect("an organization");
    let production = account_of(&*store, organization, Environment::Production).await;
    let sandbox = account_of(&*store, organization, Environment::Sandbox).await;
    assert_ne!(production.account_id, sandbox.account_id);
    for (account, environment) in [(&production, Environment::Production), (&sandbox, Environment::Sandbox)] {
        assert_eq!((account.organization_id, account.environment), (organization, environment));
        assert_eq!(store.account(account.account_id).await.expect("an answer").as_ref(), Some(account));
    }
    assert_eq!(store.account_of(NOBODY, Environment::Production).await.expect("an answer"), None);
    assert_eq!(store.account(AccountId(4_711)).await.expect("an answer"), None);
    assert_eq!(store.account_settings(AccountId(4_711)).await.expect("an answer"), None);
}

pub async fn a_production_account_starts_empty(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    assert_eq!(world.balances().await, Postings::default());
    assert_eq!(world.ledger(world.production).await.total, 0);
}

pub async fn a_sandbox_starts_with_its_play_money_by_one_charge(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    let balances = Postings { funding: -1_000_000, available: 1_000_000, pending: 0, issued: 0 };
    let account = world.account(world.sandbox).await;
    assert_eq!(account.balances, balances);
    let page = world.ledger(world.sandbox).await;
    assert_eq!((page.total, page.items.len()), (1, 1));
    let charge = &page.items[0];
    assert_eq!((charge.entry_type, charge.reference.as_str()), (EntryType::Charge, "sandbox refill"));
    assert_eq!((charge.postings, charge.available_after), (balances, 1_000_000));
    assert_eq!(charge.created_at(), now());
    assert_eq!(account.last_id, Some(charge.id));
    world.verify().await;
}

pub async fn each_account_has_the_default_template_12(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    assert_eq!(limits::FIRST_TEMPLATE_ID, 12, "the API reference's examples name it");
    for account in [world.production, world.sandbox] {
        let settings = world.store.account_settings(account).await.expect("an answer");
        let only = TemplateId(12);
        assert_eq!(
            settings,
            Some(AccountSettings { choice_range: None, templates: vec![only], default_template: only })
        );
    }
}

pub async fn organizations_are_listed_oldest_first(bed: Bed) {
    let store = bed.open().await;
    assert!(store.organizations().await.expect("an answer").is_empty());
    let mut made = Vec::new();
    for (name, second) in [("Zebra", 0), ("Äther GmbH", 1), ("Zebra", 2), ("O'Neil; DROP TABLE apps", 3)] {
        let created_at = after(second);
        let id = store.create_organization(name, created_at, entropy()).await.expect("an organization");
        made.push((id, name.to_owned(), created_at));
    }
    let listed = store.organizations().await.expect("an answer");
    let listed: Vec<_> = listed.into_iter().map(|o| (o.organization_id, o.name, o.created_at)).collect();
    assert_eq!(listed, made);
}

pub async fn a_choice_range_is_set_for_both_accounts_of_one_organization(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    let other = World::beside(world.store.clone(), "Other").await;
    for range in [ChoiceRange { min: 500, max: 50_000 }, ChoiceRange { min: 1, max: 1 }] {
        assert!(world.store.set_choice_range(world.organization, range).await.expect("an answer"));
        for account in [world.production, world.sandbox] {
            let settings = world.store.account_settings(account).await.expect("an answer").expect("settings");
            assert_eq!(settings.choice_range, Some(range));
        }
    }
    let untouched = other.store.account_settings(other.production).await.expect("an answer").expect("settings");
    assert_eq!(untouched.choice_range, None);
    let nobody = world.store.set_choice_range(NOBODY, ChoiceRange { min: 1, max: 2 }).await.expect("an answer");
    assert!(!nobody, "there is no such organization");
}

pub async fn an_organizations_look_is_that_of_both_its_accounts(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    let other = World::beside(world.store.clone(), "Other").await;
    let plain = |name: &str| SenderLook { organization: name.to_owned(), ..SenderLook::default() };
    let look = async |account| world.store.sender_look(account).await.expect("an answer");
    assert_eq!(look(world.production).await, Some(plain("Acme")));
    assert_eq!(look(AccountId(4_711)).await, None);

    let png = vec![0x89, b'P', b'N', b'G', 0, 255];
    let line = "Bücherweg 1, 10115 Berlin";
    assert!(world.store.set_logo(world.organization, Some(png.clone())).await.expect("an answer"));
    assert!(world.store.set_postal_line(world.organization, Some(line)).await.expect("an answer"));
    let expected = SenderLook { postal_line: Some(line.to_owned()), logo: Some(png.clone()), ..plain("Acme") };
    for account in [world.production, world.sandbox] {
        assert_eq!(look(account).await.as_ref(), Some(&expected));
    }
    for account in [other.production, other.sandbox] {
        assert_eq!(look(account).await, Some(plain("Other")), "another organization's stays");
    }

    assert!(world.store.set_postal_line(world.organization, None).await.expect("an answer"));
    assert_eq!(look(world.sandbox).await, Some(SenderLook { logo: Some(png), ..plain("Acme") }));
    let large = vec![7; limits::LOGO_BYTES];
    assert!(world.store.set_logo(world.organization, Some(large.clone())).await.expect("an answer"));
    assert_eq!(look(world.production).await.and_then(|look| look.logo), Some(large), "the other is replaced");
    assert!(world.store.set_logo(world.organization, None).await.expect("an answer"));
    assert_eq!(look(world.production).await, Some(plain("Acme")));
    assert!(!world.store.set_logo(NOBODY, None).await.expect("an answer"), "there is no such organization");
    assert!(!world.store.set_postal_line(NOBODY, Some(line)).await.expect("an answer"));
}

// --- apps ---

pub fn app(world: &World, client_id: &str, second: i64) -> App {
    App {
        client_id: client_id.to_owned(),
        organization_id: world.organization,
        account_id: world.production,
        environment: Environment::Production,
        name: "Payroll ✓".to_owned(),
        scopes: [Scope::OrdersWrite, Scope::OrdersRead].into_iter().collect(),
        secret_hash: [7; 32],
        secret_version: 1,
        created_at: after(second),
        revoked_at: None,
    }
}

async fn app_of(world: &World, client_id: &str) -> Option<App> {
    world.store.app(client_id).await.expect("an answer")
}

pub async fn an_app_reads_back_as_created(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    let production = app(&world, "app_1", 0);
    let sandbox = App {
        account_id: world.sandbox,
        environment: Environment::Sandbox,
        scopes: Scopes::default(),
        created_at: instant("2026-11-22T18:30:00.123456Z"),
        ..app(&world, "app_2", 0)
    };
    for app in [&production, &sandbox] {
        world.store.create_app(app).await.expect("an app");
        assert_eq!(app_of(&world, &app.client_id).await.as_ref(), Some(app));
    }
    assert_eq!(app_of(&world, "app_3").await, None);
    assert_eq!(app_of(&world, "APP_1").await, None, "a client id is exact");
}

pub async fn a_client_id_must_be_new(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    let first = app(&world, "app_1", 0);
    world.store.create_app(&first).await.expect("an app");
    let second = App { name: "Other".to_owned(), ..app(&world, "app_1", 1) };
    assert!(world.store.create_app(&second).await.is_err());
    assert_eq!(app_of(&world, "app_1").await, Some(first));
}

pub async fn apps_of_an_organization_are_listed_oldest_first_with_revoked_ones(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    let other = World::beside(world.store.clone(), "Other").await;
    for (client_id, second) in [("c", 0), ("a", 1), ("d", 2), ("b", 3)] {
        world.store.create_app(&app(&world, client_id, second)).await.expect("an app");
    }
    world.store.create_app(&app(&other, "x", 0)).await.expect("an app");
    assert!(world.store.revoke_app("a", after(10)).await.expect("an answer"));
    let listed = world.store.apps(world.organization).await.expect("an answer");
    let listed: Vec<_> = listed.iter().map(|app| (app.client_id.as_str(), app.revoked_at)).collect();
    assert_eq!(listed, [("c", None), ("a", Some(after(10))), ("d", None), ("b", None)]);
    assert!(world.store.apps(NOBODY).await.expect("an answer").is_empty());
}

pub async fn a_rotated_app_has_another_secret_and_the_next_version(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    let first = app(&world, "app_1", 0);
    world.store.create_app(&first).await.expect("an app");
    world.store.create_app(&app(&world, "app_2", 1)).await.expect("an app");
    assert!(world.store.rotate_app("app_1", [8; 32]).await.expect("an answer"));
    assert!(world.store.rotate_app("app_1", [9; 32]).await.expect("an answer"));
    assert_eq!(app_of(&world, "app_1").await, Some(App { secret_hash: [9; 32], secret_version: 3, ..first }));
    assert_eq!(app_of(&world, "app_2").await, Some(app(&world, "app_2", 1)), "no other app is touched");
    assert!(!world.store.rotate_app("app_3", [8; 32]).await.expect("an answer"), "there is no such app");
}

pub async fn an_app_is_revoked_for_ever(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    let first = app(&world, "app_1", 0);
    world.store.create_app(&first).await.expect("an app");
    let revoked = App { revoked_at: Some(after(10)), ..first };
    assert!(world.store.revoke_app("app_1", after(10)).await.expect("an answer"));
    assert_eq!(app_of(&world, "app_1").await.as_ref(), Some(&revoked));
    assert!(world.store.revoke_app("app_1", after(20)).await.expect("an answer"), "again is no error");
    assert!(!world.store.rotate_app("app_1", [8; 32]).await.expect("an answer"), "a revoked app gets no secret");
    assert_eq!(app_of(&world, "app_1").await, Some(revoked), "and the first revocation stays");
    assert!(!world.store.revoke_app("app_2", after(10)).await.expect("an answer"), "there is no such app");
}
