//! What each answer of a mail server, at each stage, means for the gift.

use giftd_domain::access::Environment;
use giftd_domain::gifts::{DeliveryStatus, Gift};
use giftd_domain::orders::Order;
use tokio::task::JoinSet;

use crate::bed::{Bed, Node, addresses};
use crate::smtp_sink::{Reply, Stage};

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Means {
    /// The address is no good: FAILED at once.
    Failed,
    /// It may work later: tried again, quietly.
    Later,
    /// We are at fault: tried again, and loudly.
    OurFault,
}

/// A counter of this process, over all its labels.
fn counted(node: &Node, name: &str) -> f64 {
    let rendered = node.running.giftd.metrics.render();
    let lines = rendered.lines().filter(|line| line.starts_with(name) && !line.starts_with('#'));
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

fn only(order: &Order) -> &Gift {
    order.gifts.first().expect("one gift")
}

#[tokio::test]
async fn only_a_refused_recipient_is_failed_and_all_else_is_tried_again() {
    use Means::{Failed, Later, OurFault};
    use Stage::{Body, Data, Ehlo, Greeting, Mail, Rcpt};

    let table = [
        (Rcpt, "550 5.1.1 no such user", Failed, "550 5.1.1 no such user"),
        (Rcpt, "550-5.1.1 no such user\r\n550 5.1.1 ask them", Failed, "550 5.1.1 no such user"),
        (Rcpt, "550 no such user", Failed, "550 no such user"),
        (Rcpt, "551 not local", Failed, "551 not local"),
        (Rcpt, "553 bad name", Failed, "553 bad name"),
        (Rcpt, "552 5.2.2 mailbox full", Failed, "552 5.2.2 mailbox full"),
        (Rcpt, "554 5.1.2 bad domain", Failed, "554 5.1.2 bad domain"),
        (Rcpt, "552 over quota", OurFault, "552 over quota"),
        (Rcpt, "554 5.7.1 relaying denied", OurFault, "554 5.7.1 relaying denied"),
        (Rcpt, "550 5.7.26 not authenticated", OurFault, "550 5.7.26 not authenticated"),
        (Rcpt, "530 5.7.0 authentication required", OurFault, "530 5.7.0 authentication required"),
        (Rcpt, "450 4.2.1 try later", Later, "450 4.2.1 try later"),
        (Rcpt, "452 5.1.1 contradicts itself", Later, "452 5.1.1 contradicts itself"),
        (Rcpt, "421 4.7.0 closing", Later, "421 4.7.0 closing"),
        (Greeting, "554 5.7.1 go away", OurFault, "554 5.7.1 go away"),
        (Greeting, "421 busy", Later, "421 busy"),
        (Ehlo, "550 5.1.1 odd", OurFault, "550 5.1.1 odd"),
        (Mail, "550 5.1.8 bad sender", OurFault, "550 5.1.8 bad sender"),
        (Mail, "535 5.7.8 bad password", OurFault, "535 5.7.8 bad password"),
        (Mail, "451 4.3.0 later", Later, "451 4.3.0 later"),
        (Data, "554 5.5.1 no valid recipients", OurFault, "554 5.5.1 no valid recipients"),
        (Data, "451 later", Later, "451 later"),
        (Body, "550 5.1.1 no such user", OurFault, "550 5.1.1 no such user"),
        (Body, "554 5.7.1 spam", OurFault, "554 5.7.1 spam"),
        (Body, "452 4.3.1 disk full", Later, "452 4.3.1 disk full"),
    ];
    let answers = table.map(|(stage, answer, means, error)| (stage, Reply::from(answer), means, error));
    let hang_ups = [Greeting, Mail, Rcpt, Data, Body]
        .map(|stage| (stage, Reply::HangUp, Later, "the mail server can't be reached"));
    let cases: Vec<_> = answers.into_iter().chain(hang_ups).collect();
    // What is loud is counted in the whole process: those that mean the same go together.
    let mut faults = 0.0;
    for expected in [Failed, Later, OurFault] {
        let mut together = JoinSet::new();
        for (stage, answer, means, error) in cases.iter().filter(|(_, _, means, _)| *means == expected).cloned() {
            together.spawn(means_for_the_gift(stage, answer, means, error));
        }
        let count = together.len();
        let after = together.join_all().await.into_iter().fold(0.0, f64::max);
        let least = if expected == OurFault { count as f64 } else { 0.0 };
        assert!((expected == OurFault) == (after > faults), "{expected:?}: {faults} faults before, {after} after");
        assert!(after - faults >= least, "each is loud");
        faults = after;
    }
}

/// How many faults of ours were counted then.
async fn means_for_the_gift(stage: Stage, answer: Reply, means: Means, error: &str) -> f64 {
    let what = format!("{answer:?} at {stage:?}");
    let bed = Bed::new().await;
    bed.sink.always(stage, answer);
    let node = bed.start(bed.settings(), Environment::Production).await;
    let id = node.place(&bed.clock, &addresses(1)).await;
    let order = node.order_when(id, |order| only(order).delivery_attempts >= 1).await;
    let gift = only(&order);
    let status = if means == Means::Failed { DeliveryStatus::Failed } else { DeliveryStatus::Pending };
    assert_eq!(gift.delivery_status, status, "{what}");
    let told = gift.delivery_error.as_deref().unwrap_or_default();
    assert!(told.starts_with(error), "{what}: {told}");
    if means != Means::Failed {
        bed.sink.behave();
        let order = node.complete(id).await;
        assert_eq!(
            (only(&order).delivery_status, &only(&order).delivery_error),
            (DeliveryStatus::Sent, &None),
            "{what}"
        );
    }
    let faults = counted(&node, "giftd_mail_faults_total");
    node.running.stop().await;
    assert_eq!(bed.sink.count(), usize::from(means != Means::Failed), "{what}");
    faults
}
