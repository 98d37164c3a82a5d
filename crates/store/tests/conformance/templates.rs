//! Templates of an account's mails.

use giftd_domain::ids::{AccountId, TemplateId};
use giftd_domain::limits;
use giftd_domain::orders::place::PlaceOrder;
use giftd_domain::templates::{Alignment, Template, TemplateContent};
use giftd_store::TemplateDeletion;

use crate::bed::Bed;
use crate::world::{World, after, at_once, gift_key, now};

const DEFAULT: TemplateId = TemplateId(limits::FIRST_TEMPLATE_ID);

pub fn content(name: &str) -> TemplateContent {
    TemplateContent {
        name: name.to_owned(),
        sender_name: "Bücher & 本".to_owned(),
        message: Some("For you,\n\tall the best".to_owned()),
        image_alignment: Alignment::Right,
        image_size: 100,
        border_color: "#000000".parse().expect("a color"),
        button_color: "#00FF7f".parse().expect("a color"),
        button_font_color: "#123456".parse().expect("a color"),
    }
}

async fn templates(world: &World, account: AccountId) -> Vec<Template> {
    world.store.templates(account).await.expect("an answer")
}

async fn numbers(world: &World, account: AccountId) -> Vec<i64> {
    templates(world, account).await.iter().map(|template| template.template_id.0).collect()
}

async fn create(world: &World, account: AccountId, name: &str) -> Template {
    world.store.create_template(account, &content(name)).await.expect("an answer").expect("a template")
}

async fn delete(world: &World, account: AccountId, template: TemplateId) -> TemplateDeletion {
    world.store.delete_template(account, template, after(100)).await.expect("an answer")
}

pub async fn each_account_starts_with_a_default_template_in_its_organizations_name(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    let first = Template { template_id: DEFAULT, is_default: true, content: TemplateContent::first("Acme") };
    for account in [world.production, world.sandbox] {
        assert_eq!(templates(&world, account).await, std::slice::from_ref(&first));
    }
    assert_eq!(templates(&world, AccountId(4_711)).await, []);
}

pub async fn a_template_reads_back_as_created(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    let created = create(&world, world.production, "Birthday ✓").await;
    let expected = Template { template_id: TemplateId(13), is_default: false, content: content("Birthday ✓") };
    assert_eq!(created, expected);
    let plain = TemplateContent { message: None, image_alignment: Alignment::Left, image_size: 1, ..content("Plain") };
    let second = world.store.create_template(world.production, &plain).await.expect("an answer").expect("a template");
    assert_eq!((second.template_id, &second.content), (TemplateId(14), &plain));
    assert_eq!(templates(&world, world.production).await[1..], [created, second]);
    let settings = world.store.account_settings(world.production).await.expect("an answer").expect("settings");
    assert_eq!(settings.templates, [DEFAULT, TemplateId(13), TemplateId(14)]);
    assert_eq!(settings.default_template, DEFAULT);
}

pub async fn an_account_has_its_own_templates(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    let here = create(&world, world.production, "Here").await;
    assert_eq!(numbers(&world, world.sandbox).await, [12]);
    let there = create(&world, world.sandbox, "There").await;
    assert_eq!(here.template_id, there.template_id, "each account counts for itself");
    assert_eq!(delete(&world, world.sandbox, there.template_id).await, TemplateDeletion::Deleted);
    let replaced = world.store.replace_template(world.sandbox, here.template_id, &content("Mine")).await;
    assert_eq!(replaced.expect("an answer"), None);
    assert_eq!(templates(&world, world.production).await[1], here);
}

pub async fn a_template_is_replaced_whole(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    create(&world, world.production, "Before").await;
    let plain = TemplateContent { message: None, ..TemplateContent::first("After") };
    for number in [DEFAULT, TemplateId(13)] {
        let replaced = world.store.replace_template(world.production, number, &plain).await.expect("an answer");
        let expected = Template { template_id: number, is_default: number == DEFAULT, content: plain.clone() };
        assert_eq!(replaced.as_ref(), Some(&expected));
        assert!(templates(&world, world.production).await.contains(&expected));
    }
    let none = world.store.replace_template(world.production, TemplateId(14), &plain).await.expect("an answer");
    assert_eq!((none, numbers(&world, world.production).await), (None, vec![12, 13]));
}

pub async fn a_deleted_template_is_gone_and_its_number_never_comes_back(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    for name in ["one", "two", "three"] {
        create(&world, world.production, name).await;
    }
    for number in [TemplateId(13), TemplateId(15)] {
        assert_eq!(delete(&world, world.production, number).await, TemplateDeletion::Deleted);
        assert_eq!(delete(&world, world.production, number).await, TemplateDeletion::Unknown, "again");
        let replaced = world.store.replace_template(world.production, number, &content("back")).await;
        assert_eq!(replaced.expect("an answer"), None);
    }
    assert_eq!(numbers(&world, world.production).await, [12, 14]);
    let settings = world.store.account_settings(world.production).await.expect("an answer").expect("settings");
    assert_eq!(settings.templates, [DEFAULT, TemplateId(14)], "no new order can name it");
    assert_eq!(create(&world, world.production, "next").await.template_id, TemplateId(16));
}

pub async fn the_default_template_cannot_be_deleted(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    assert_eq!(delete(&world, world.production, DEFAULT).await, TemplateDeletion::Default);
    assert_eq!(delete(&world, world.production, TemplateId(13)).await, TemplateDeletion::Unknown);
    assert_eq!(numbers(&world, world.production).await, [12]);
}

pub async fn a_mail_looks_as_its_template_is_when_it_is_sent(bed: Bed) {
    let world = World::new(&bed).await;
    let number = create(&world, world.production, "Before").await.template_id;
    let mut command = world.command("order", 2);
    command.email_setting.template_id = number;
    world.place(command).await;
    let now_then = TemplateContent { message: Some("The template's".to_owned()), ..content("After") };
    world.store.replace_template(world.production, number, &now_then).await.expect("an answer");
    let claimed = world.claim(after(1), 1).await;
    assert_eq!((&claimed[0].template, claimed[0].message.as_deref()), (&now_then, Some("The template's")));
    assert_eq!(claimed[0].sender_name, "Acme Corp", "the order's own");
    assert_eq!(delete(&world, world.production, number).await, TemplateDeletion::Deleted);
    let claimed = world.claim(after(2), 1).await;
    assert_eq!(claimed[0].template, now_then, "orders that name a deleted template still render it");
}

pub async fn an_orders_own_message_wins_over_its_templates(bed: Bed) {
    let world = World::new(&bed).await;
    let with_message = content("With a message");
    world.store.replace_template(world.production, DEFAULT, &with_message).await.expect("an answer");
    let mut command = PlaceOrder { now: now(), ..world.command("own", 1) };
    command.email_setting.message = Some("The order's".to_owned());
    world.place(command).await;
    world.place(PlaceOrder { now: after(1), ..world.command("none", 1) }).await;
    let messages: Vec<_> = world.claim(after(2), 10).await.into_iter().map(|delivery| delivery.message).collect();
    assert_eq!(messages, [Some("The order's".to_owned()), with_message.message]);
}

pub async fn the_recipients_page_has_the_orders_message_or_else_its_templates(bed: Bed) {
    let world = World::new(&bed).await;
    let template = create(&world, world.production, "With a message").await;
    let message = async |order| world.at_hand(gift_key(world.production, order, 1)).await.order.email_setting.message;
    let mut orders = Vec::new();
    for (key, own, template_id) in [
        ("own", Some("The order's"), template.template_id),
        ("none", None, template.template_id),
        ("bare", None, DEFAULT),
    ] {
        let mut command = world.command(key, 1);
        command.email_setting.message = own.map(str::to_owned);
        command.email_setting.template_id = template_id;
        orders.push(world.place_and_send(command).await);
    }
    assert_eq!(delete(&world, world.production, template.template_id).await, TemplateDeletion::Deleted);
    assert_eq!(message(orders[0]).await.as_deref(), Some("The order's"));
    assert_eq!(message(orders[1]).await, template.content.message, "of a deleted template too");
    assert_eq!(message(orders[2]).await, None);
    assert_eq!(world.order(orders[1]).await.summary.email_setting.message, None, "the order itself stays without one");
}

pub async fn templates_made_at_once_have_numbers_of_their_own(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    let nodes = [world.clone(), world.on_another_node(&bed).await];
    let mut made = at_once((0..20_usize).map(|index| {
        let node = nodes[index % 2].clone();
        async move { create(&node, node.production, &format!("template {index}")).await }
    }))
    .await;
    made.sort_by_key(|template| template.template_id.0);
    assert!(made.iter().map(|template| template.template_id.0).eq(13..33));
    assert_eq!(templates(&world, world.production).await[1..], made);
}

pub async fn an_account_has_at_most_1000_templates_with_deleted_ones(bed: Bed) {
    let world = World::with_funds(&bed, 0).await;
    assert_eq!(limits::TEMPLATES, 1_000);
    for index in 1..1_000 {
        let made = create(&world, world.production, &format!("template {index}")).await;
        if index % 100 == 0 {
            assert_eq!(delete(&world, world.production, made.template_id).await, TemplateDeletion::Deleted);
        }
    }
    let one_more = world.store.create_template(world.production, &content("more")).await.expect("an answer");
    assert_eq!(one_more, None);
    assert_eq!(delete(&world, world.production, TemplateId(13)).await, TemplateDeletion::Deleted);
    let one_more = world.store.create_template(world.production, &content("more")).await.expect("an answer");
    assert_eq!((one_more, templates(&world, world.production).await.len()), (None, 1_000 - 10));
    create(&world, world.sandbox, "another account's").await;
}
