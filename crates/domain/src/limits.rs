//! Every limit of giftd, with its unit in its name. Those that clients meet are fixed by the API;
//! the rest keep memory and time bounded.

/// Bytes of a request body; more is 413.
pub const BODY_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of a body's start: an order of some 500 recipients. It has room of its own, and is parsed on the async threads
/// where there is no more.
pub const BODY_START_BYTES: usize = 100 * 1024;
/// Bytes of bodies' starts that one node holds at once; more waits, then 503.
pub const BODY_STARTS_IN_FLIGHT_BYTES: usize = 32 * 1024 * 1024;
/// The same of what goes beyond a body's start.
pub const BODY_RESTS_IN_FLIGHT_BYTES: usize = 64 * 1024 * 1024;
/// Seconds that a client has to send its body.
pub const BODY_SECONDS: u64 = 60;
/// Seconds that a body waits for others to make room, before 503.
pub const BODY_ROOM_SECONDS: u64 = 2;
/// Bytes that one permit of the bodies in flight stands for.
pub const BODY_PERMIT_BYTES: usize = 1_024;
/// Bytes of an oversized body or form that are read and dropped, so that a client that sends all before
/// it listens gets its 413 instead of a broken connection.
pub const BODY_BYTES_DROPPED: usize = 4 * BODY_BYTES;
/// Levels of objects and arrays inside one another in a body; ours need three.
pub const JSON_LEVELS: usize = 32;
/// Fields that are looked at in one object of a body; ours have some ten.
pub const OBJECT_FIELDS: usize = 64;
/// Characters that an answer repeats of a field's name that a client made up.
pub const FIELD_NAME_CHARACTERS_SHOWN: usize = 64;
/// Details in one error answer.
pub const PROBLEMS: usize = 100;
/// Characters of an `X-Request-Id` that is echoed.
pub const REQUEST_ID_CHARACTERS: usize = 128;
/// Seconds after which a client may try again when the store is down or a queue is full.
pub const UNAVAILABLE_RETRY_SECONDS: u64 = 1;
/// Seconds after which it may try again where the operator has no usable rate.
pub const NO_RATE_RETRY_SECONDS: u64 = 60;

/// Default page size.
pub const PAGE_SIZE_DEFAULT: u32 = 20;
/// Largest page size.
pub const PAGE_SIZE: u32 = 100;
/// Largest page number that is looked at; no history reaches it.
pub const PAGE: u32 = 1_000_000_000;
/// Characters of a search keyword.
pub const SEARCH_CHARACTERS: usize = 200;

/// Characters of an idempotency key.
pub const IDEMPOTENCY_KEY_CHARACTERS: usize = 64;
/// Recipients of one order.
pub const RECIPIENTS: usize = 10_000;
/// Recipients up to which an order's rules are checked on the async threads.
pub const RECIPIENTS_CHECKED_INLINE: usize = 300;
/// Recipients up to which an order's answer is written on the async threads; one of more is a large order.
pub const RECIPIENTS_WRITTEN_INLINE: usize = 300;
/// Large orders that one node has read at once, to answer them: some 20 MB each. SQLite has one reader more, for all
/// that is small.
pub const LARGE_ORDERS_READ: usize = 3;
/// Seconds that an answer waits for other large orders of its account, and of all, before 503.
pub const LARGE_ORDER_ROOM_SECONDS: u64 = 5;
/// Characters (and, being ASCII, bytes) of an email address (RFC 5321).
pub const EMAIL_CHARACTERS: usize = 254;
/// Characters of a first or last name, company or department.
pub const PERSON_TEXT_CHARACTERS: usize = 100;
/// Characters of the sender's name.
pub const SENDER_NAME_CHARACTERS: usize = 100;
/// Characters of the subject.
pub const SUBJECT_CHARACTERS: usize = 200;
/// Characters of the message.
pub const MESSAGE_CHARACTERS: usize = 2_000;
/// Characters of a number in a body.
pub const NUMBER_CHARACTERS: usize = 64;
/// Days that an order may be scheduled ahead.
pub const SCHEDULE_AHEAD_DAYS: i64 = 366;

/// Characters of an organization's or app's name.
pub const NAME_CHARACTERS: usize = 100;
/// Characters of an operator's reference.
pub const REFERENCE_CHARACTERS: usize = 200;
/// Characters of a product id.
pub const PRODUCT_ID_CHARACTERS: usize = 64;
/// Characters of a product's description or terms.
pub const PRODUCT_TEXT_CHARACTERS: usize = 10_000;
/// Prices of one product.
pub const PRODUCT_PRICES: usize = 200;
/// Cents that one operator's entry may move: a billion dollars.
pub const OPERATOR_CENTS: i64 = 100_000_000_000;

/// Hours until an emailed gift expires: 180 days of 24 hours.
pub const EXPIRY_HOURS: i64 = 180 * 24;
/// The same with the refund option: 30 days.
pub const EXPIRY_HOURS_WITH_REFUND: i64 = 30 * 24;

/// Minutes to its instant that a scheduled order must have left to be canceled.
pub const CANCEL_MINUTES: i64 = 60;
/// Resends of one gift in 24 hours of real time.
pub const RESENDS_A_DAY: u32 = 10;
/// Gifts that one app may move to another address in 24 hours of real time: a stolen token must not take
/// every outstanding gift.
pub const MOVES_A_DAY: u32 = 100;
/// Seconds after which an app that moved so many may try again: some of them may be a day old by then.
pub const TOO_MANY_MOVES_RETRY_SECONDS: u64 = 3_600;
/// Minutes that a verification's link is good for, and in which [`VERIFICATIONS_SHORTLY`] may be asked for.
pub const VERIFICATION_MINUTES: i64 = 10;
/// Verification mails of one gift in [`VERIFICATION_MINUTES`].
pub const VERIFICATIONS_SHORTLY: usize = 3;
/// Verification mails of one gift in 24 hours.
pub const VERIFICATIONS_A_DAY: usize = 10;
/// Hours that a recipient's session lasts.
pub const SESSION_HOURS: i64 = 12;
/// Days after a gift's expiry that a revealed code can still be seen.
pub const CODE_SHOWN_DAYS: i64 = 30;
/// Wrong links and verifications that one address may try in a minute before 429.
pub const GUESSES_A_MINUTE: u32 = 20;
/// Seconds that a recipient's page waits for a supplier before it says that the code is being prepared.
pub const SUPPLIER_SECONDS: u64 = 10;
/// Seconds after which the page of a code that is being prepared looks again.
pub const CODE_LOOK_AGAIN_SECONDS: u64 = 5;
/// Redemptions of a gift that its supplier may refuse in [`REFUSAL_MINUTES`]; more aren't asked for.
pub const REFUSALS_SHORTLY: usize = 10;
/// Released redemptions of a gift that its page looks at, the latest; more than [`REFUSALS_SHORTLY`], which it counts
/// there.
pub const RELEASED_AT_HAND: usize = 20;
/// Minutes in which refusals count.
pub const REFUSAL_MINUTES: i64 = 10;
/// Bytes of a form of a recipient's page; a real one has some 300.
pub const RECIPIENT_FORM_BYTES: usize = 4 * 1024;
/// Forms of a gift's pages that one node takes in a minute before 429, right ones too.
pub const FORMS_A_MINUTE: u32 = 20;
/// Brands on one page of a choice gift.
pub const BRANDS_A_PAGE: usize = 20;
/// Branded cards of a catalog that a choice gift's page looks at itself; more are a task of their own, so that nobody
/// else waits meanwhile.
pub const BRANDS_LOOKED_AT: usize = 300;
/// Codes on one page of a choice gift.
pub const CODES_A_PAGE: usize = 5;
/// Amounts of a brand that a recipient picks from a list; from more, one is written into a field.
pub const AMOUNTS_LISTED: usize = 200;
/// Characters of a card's description or terms that stand on a page of something else, each.
pub const CARD_TEXT_CHARACTERS: usize = 2_000;
/// Redemptions that one look takes to ask their supplier again.
pub const ASK_AGAIN_REDEMPTIONS: u32 = 50;
/// Days that recipients are kept after their gifts' expiry, at least: until then a code can be seen by whoever controls
/// the address.
pub const RECIPIENTS_KEPT_DAYS_LEAST: i64 = CODE_SHOWN_DAYS;
/// The same at most: a hundred years.
pub const RECIPIENTS_KEPT_DAYS: i64 = 36_500;
/// Orders whose recipients one transaction erases; of large ones as many as have [`GROUP_GIFTS`] gifts, and one at least.
pub const ERASE_ORDERS: usize = 500;
/// Gifts that one transaction reminds of or expires.
pub const TURN_GIFTS: u32 = 500;
/// Codes that one transaction imports.
pub const IMPORT_CODES: usize = 1_000;
/// Bytes of a file of codes.
pub const CODES_BYTES: usize = 64 * 1024 * 1024;
/// Characters of a code or its PIN.
pub const CODE_CHARACTERS: usize = 200;

/// Templates of one account, deleted ones too.
pub const TEMPLATES: usize = 1_000;
/// Previews that an account may mail on a day (UTC, real time).
pub const TEST_MAILS_A_DAY: u32 = 10;
/// Seconds that a client waits for a preview to be sent, at most.
pub const TEST_MAIL_SECONDS: u64 = 20;
/// Bytes of a logo's file.
pub const LOGO_BYTES: usize = 1024 * 1024;
/// Pixels of a logo's width and height, as it is kept.
pub const LOGO_PIXELS: u32 = 600;
/// Characters of an organization's postal line.
pub const POSTAL_LINE_CHARACTERS: usize = 300;

/// Captured mails that a sandbox keeps.
pub const SANDBOX_MAILS: usize = 1_000;
/// Days of real time that it keeps them.
pub const SANDBOX_MAIL_DAYS: i64 = 7;
/// Days that a node keeps captured mails as files: those of sandboxes, where a mail server takes all others.
pub const MAIL_FILE_DAYS: i64 = SANDBOX_MAIL_DAYS;
/// The same where there is no mail server: production's are among them, and nobody else has them.
pub const MAIL_FILE_DAYS_WITHOUT_SERVER: i64 = 30;
/// Days that one call may move a sandbox's clock.
pub const CLOCK_DAYS: i64 = 400;
/// Events up to which such a call answers when all have happened; above it answers 202 at once.
pub const CLOCK_EVENTS: u64 = 5_000;
/// Characters of the duration in such a call.
pub const DURATION_CHARACTERS: usize = 64;
/// Last year that a sandbox's clock may be moved to, so that whatever is due later still has a date of four digits.
pub const CLOCK_YEAR: i16 = 9_000;
/// Seconds after which it answers 202 anyhow.
pub const CLOCK_ANSWER_SECONDS: u64 = 20;
/// Seconds that a node may keep a clock that it moves without a step; then another goes on.
pub const CLOCK_LEASE_SECONDS: i64 = 30;

/// Cents that a sandbox account starts with and is refilled to.
pub const SANDBOX_CENTS: i64 = 1_000_000;
/// Cents below which it is refilled.
pub const SANDBOX_REFILL_BELOW_CENTS: i64 = 100_000;

/// Seconds that an access token of a production app is good for.
pub const TOKEN_SECONDS_PRODUCTION: i64 = 3_600;
/// Seconds that an access token of a sandbox app is good for.
pub const TOKEN_SECONDS_SANDBOX: i64 = 86_400;
/// Failed authentications in a minute, for a client id and address, before 429.
pub const TOKEN_FAILURES_A_MINUTE: u32 = 10;
/// Client ids and addresses whose failures one node remembers; the least recently seen make room.
pub const TOKEN_FAILURES_REMEMBERED: u64 = 50_000;
/// Bytes of the token endpoint's form; a real one has some 200.
pub const TOKEN_FORM_BYTES: usize = 64 * 1024;
/// Bytes of a token that is looked at; ours have some 700.
pub const TOKEN_BYTES: usize = 4_096;
/// Verified tokens that one node remembers.
pub const TOKENS_REMEMBERED: u64 = 50_000;
/// Apps whose requests one node counts; the least recently seen make room.
pub const QUOTAS_REMEMBERED: u64 = 50_000;
/// Apps that one node remembers; more are looked up again.
pub const APPS_REMEMBERED: u64 = 100_000;
/// Accounts whose settings one node remembers; more are looked up again.
pub const ACCOUNTS_REMEMBERED: u64 = 100_000;
/// Accounts whose sender's look one node remembers: with a logo each, that is most of its memory.
pub const SENDER_LOOKS_REMEMBERED: u64 = 200;
/// Seconds that a node may act on what it remembers of an app or an account's settings; revocation
/// must be known everywhere within 5 seconds.
pub const MEMORY_SECONDS: u64 = 3;
/// Seconds between a node's looks whether the catalog or the rates changed.
pub const REFERENCE_SECONDS: u64 = 1;

/// Commands that wait for the writer of one node; more is 503.
pub const WRITES_QUEUED: usize = 4_096;
/// Gifts in the orders that wait for the writer of one node; more is 503.
pub const GIFTS_QUEUED: usize = 100_000;
/// Orders that share one commit.
pub const GROUP_ORDERS: usize = 512;
/// Gifts that share one commit, unless a single order has more.
pub const GROUP_GIFTS: usize = 2_000;
/// Orders that are read to gather those of the wanted kinds; more where any other way would read more for certain.
pub const HISTORY_GATHERED: u64 = 20_000;
/// Orders of any kind that are passed over in search of some kinds before the counts are asked where they are.
pub const HISTORY_PASSED: u64 = 50_000;

/// Deliveries that one claim takes.
pub const CLAIM_DELIVERIES: u32 = 200;
/// Outcomes that one settlement groups. At the end of each of its statements SQLite walks through the pages that it has
/// changed so far: of a long one each outcome would take longer, and all that place would wait for it.
pub const SETTLE_DELIVERIES: usize = 100;
/// Hours after which a transient failure is final.
pub const DELIVERY_RETRY_HOURS: i64 = 24;
/// Longest wait between two attempts, in minutes.
pub const DELIVERY_RETRY_MINUTES: i64 = 60;
/// Characters kept of a delivery's error.
pub const DELIVERY_ERROR_CHARACTERS: usize = 500;
/// Milliseconds that a node's clock may differ from the database's before it claims nothing.
pub const CLOCK_SKEW_MILLISECONDS: i64 = 2_000;

/// The number of an account's first template, its default: the one that the API reference's
/// examples name, so that they work as printed on any account.
pub const FIRST_TEMPLATE_ID: i64 = 12;

/// Connections that one node has open; for more, some that have waited longest for their clients make room.
pub const CONNECTIONS: usize = 8_192;
/// Connections that make room at once.
pub const CONNECTIONS_LET_GO: usize = 64;
/// File handles that a node keeps for its databases, mails and files when the system allows too few for all
/// [`CONNECTIONS`].
pub const FILES_KEPT: usize = 512;
/// Seconds that a client has to take its answer.
pub const ANSWER_SECONDS: u64 = 120;
/// Bytes of answers that clients of one node haven't taken; for more, some that have waited longest make room.
pub const ANSWER_BYTES_IN_FLIGHT: usize = 128 * 1024 * 1024;
/// Seconds that a client has to send a request's head; also how long a connection may be idle.
pub const HEAD_SECONDS: u64 = 30;
/// Seconds that requests under way may take to finish when the server stops.
pub const STOP_SECONDS: u64 = 20;
/// Bytes of a catalog file.
pub const CATALOG_BYTES: usize = 64 * 1024 * 1024;
/// Products of a catalog.
pub const PRODUCTS: usize = 100_000;
