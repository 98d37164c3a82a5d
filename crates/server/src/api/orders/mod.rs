//! Orders: placed, listed, shown, canceled, sent again.

pub mod cancel;
pub mod events;
pub mod get;
pub mod large;
pub mod list;
pub mod place;
pub mod resend;
pub mod reward_links;
pub mod shape;
pub mod test_email;

/// `sendTiming.type`
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, strum::EnumString, strum::VariantArray)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum TimingType {
    /// As soon as it is placed.
    Immediate,
    /// At a local time.
    Scheduled,
}
