//! A JSON object, read field by field: everything that is wrong with its shape is told at once, each with
//! its path.
//!
//! Nothing is read through binary floating point, and nothing is silently dropped: fields that are
//! unknown or there twice are problems.

use std::borrow::Cow;
use std::fmt;

use giftd_domain::limits;
use giftd_domain::money::decimal_from_json;
use giftd_domain::problems::Problems;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::error::ApiError;
use super::wire::WireEnum;

/// Reads a JSON object through `read`, which takes its fields. All problems are collected: whatever
/// `read` returns counts only if there was none.
pub fn read_object<T>(bytes: &[u8], read: impl FnOnce(&mut Fields<'_, '_>) -> Option<T>) -> Result<T, ApiError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| ApiError::malformed_json(format!("The body is not UTF-8: {error}.")))?;
    if is_too_deep(bytes) {
        return Err(ApiError::malformed_json(format!(
            "The body has more than {} objects and arrays inside one another.",
            limits::JSON_LEVELS
        )));
    }
    let object: &RawValue = serde_json::from_str(text)
        .map_err(|error| ApiError::malformed_json(format!("The body is not JSON: {error}.")))?;
    if !object.get().starts_with('{') {
        return Err(ApiError::malformed_json("The body must be a JSON object."));
    }
    let mut problems = Problems::new();
    let read = read_fields(object, "", &mut problems, read)
        .map_err(|error| ApiError::malformed_json(format!("The body is not JSON: {error}.")))?;
    match read {
        _ if !problems.is_empty() => Err(problems.into()),
        Some(read) => Ok(read),
        None => Err(ApiError::internal("a body's reader returned nothing and named no problem")),
    }
}

/// The fields of one object. Each is taken once, by name; those left over at the end are unknown.
///
/// Absent and `null` are the same. What is required and absent, or isn't of the type asked for, is a
/// problem and comes back as none.
pub struct Fields<'a, 'p> {
    /// Where the object is: `recipients[3]`, or nothing for the body itself.
    path: Cow<'p, str>,
    fields: Vec<(Cow<'a, str>, &'a RawValue)>,
    problems: &'p mut Problems,
}

impl<'a> Fields<'a, '_> {
    /// A text that may be absent.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let raw = self.take(name)?;
        let text = raw.get().starts_with('"').then(|| serde_json::from_str::<String>(raw.get()));
        match text {
            Some(Ok(text)) => Some(text),
            Some(Err(_)) => self.wrong_type(name, "must be a text of valid Unicode"),
            None => self.wrong_type(name, "must be a text"),
        }
    }

    /// A text.
    pub fn required_text(&mut self, name: &str) -> Option<String> {
        self.required(name, Self::text)
    }

    /// `true` or `false`, or absent.
    pub fn boolean(&mut self, name: &str) -> Option<bool> {
        match self.take(name)?.get() {
            "true" => Some(true),
            "false" => Some(false),
            _ => self.wrong_type(name, "must be true or false"),
        }
    }

    /// A number by its digits, or absent. A text is no number.
    pub fn decimal(&mut self, name: &str) -> Option<Decimal> {
        let raw = self.take(name)?.get();
        if !is_number(raw) {
            return self.wrong_type(name, "must be a number");
        }
        let decimal = if raw.len() > limits::NUMBER_CHARACTERS { None } else { decimal_from_json(raw) };
        if decimal.is_none() {
            self.problem(name, "OUT_OF_RANGE", "has too many digits");
        }
        decimal
    }

    /// A number by its digits.
    pub fn required_decimal(&mut self, name: &str) -> Option<Decimal> {
        self.required(name, Self::decimal)
    }

    /// A whole number, or absent. 5.0 is one.
    pub fn integer(&mut self, name: &str) -> Option<i64> {
        let decimal = self.decimal(name)?;
        if !decimal.fract().is_zero() {
            return self.wrong_type(name, "must be a whole number");
        }
        let integer = decimal.to_i64();
        if integer.is_none() {
            self.problem(name, "OUT_OF_RANGE", "is too large");
        }
        integer
    }

    /// A whole number.
    pub fn required_integer(&mut self, name: &str) -> Option<i64> {
        self.required(name, Self::integer)
    }

    /// One of a few names, or absent.
    pub fn choice<E: WireEnum>(&mut self, name: &str) -> Option<E> {
        let text = self.text(name)?;
        let choice = E::from_name(&text);
        if choice.is_none() {
            self.problem(name, "UNKNOWN_VALUE", format!("must be one of {}", E::names()));
        }
        choice
    }

    /// One of a few names.
    pub fn required_choice<E: WireEnum>(&mut self, name: &str) -> Option<E> {
        self.required(name, Self::choice)
    }

    /// An object, read by `read`, or absent.
    pub fn object<T>(&mut self, name: &str, read: impl FnOnce(&mut Fields<'_, '_>) -> Option<T>) -> Option<T> {
        let raw = self.take(name)?;
        let path = self.path_of(name);
        self.object_at(raw, &path, read)
    }

    /// An object, read by `read`.
    pub fn required_object<T>(&mut self, name: &str, read: impl FnOnce(&mut Fields<'_, '_>) -> Option<T>) -> Option<T> {
        self.required(name, |fields, name| fields.object(name, read))
    }

    /// An array of at most `max` objects, each read by `read`, or absent. Of a longer one none is read.
    pub fn objects<T>(
        &mut self,
        name: &str,
        max: usize,
        mut read: impl FnMut(&mut Fields<'_, '_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let items = self.items(name, max, "must be an array")?;
        let array = self.path_of(name);
        let mut objects = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            // Nothing more would be told, so that nothing more is looked for.
            if self.problems.is_full() {
                return None;
            }
            objects.extend(self.object_at(item, &format!("{array}[{index}]"), &mut read));
        }
        Some(objects)
    }

    /// An array of at most `max` objects, each read by `read`.
    pub fn required_objects<T>(
        &mut self,
        name: &str,
        max: usize,
        read: impl FnMut(&mut Fields<'_, '_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        self.required(name, |fields, name| fields.objects(name, max, read))
    }

    /// An array of at most `max` numbers, by their digits.
    pub fn required_decimals(&mut self, name: &str, max: usize) -> Option<Vec<Decimal>> {
        self.required(name, |fields, name| fields.decimals(name, max))
    }

    fn decimals(&mut self, name: &str, max: usize) -> Option<Vec<Decimal>> {
        let items = self.items(name, max, "must be an array of numbers")?;
        let read = |raw: &RawValue| Some(raw.get()).filter(|raw| is_number(raw)).and_then(decimal_from_json);
        let decimals: Option<Vec<_>> = items.into_iter().map(read).collect();
        if decimals.is_none() {
            self.problem(name, "WRONG_TYPE", "must be an array of numbers with at most 28 digits");
        }
        decimals
    }

    /// The items of an array of at most `max`, or absent. Of a longer one none is taken.
    fn items(&mut self, name: &str, max: usize, wrong: &str) -> Option<Vec<&'a RawValue>> {
        let mut json = serde_json::Deserializer::from_str(self.take(name)?.get());
        let Ok((items, length)) = json.deserialize_seq(Items { max }) else {
            return self.wrong_type(name, wrong);
        };
        if length > max {
            self.problem(name, "TOO_MANY", format!("must have at most {max} entries, and has {length}"));
            return None;
        }
        Some(items)
    }

    /// Adds a problem of the field `name`.
    pub fn problem(&mut self, name: &str, code: &'static str, message: impl Into<String>) {
        let path = self.path_of(name);
        self.problems.add(path, code, message);
    }

    /// The field's path in the body.
    pub fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn object_at<T>(
        &mut self,
        raw: &RawValue,
        path: &str,
        read: impl FnOnce(&mut Fields<'_, '_>) -> Option<T>,
    ) -> Option<T> {
        if !raw.get().starts_with('{') {
            self.problems.add(path, "WRONG_TYPE", "must be an object");
            return None;
        }
        read_fields(raw, path, self.problems, read).unwrap_or_else(|_| {
            self.problems.add(path, "WRONG_TYPE", "must be an object with names of valid Unicode");
            None
        })
    }

    /// Takes a field that isn't `null`.
    fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let at = self.fields.iter().position(|(field, _)| field == name)?;
        Some(self.fields.remove(at).1).filter(|raw| raw.get() != "null")
    }

    /// What `take` takes; that it wasn't there is a problem.
    fn required<T>(&mut self, name: &str, take: impl FnOnce(&mut Self, &str) -> Option<T>) -> Option<T> {
        let is_there = self.fields.iter().any(|(field, raw)| field == name && raw.get() != "null");
        let taken = take(self, name);
        if !is_there {
            self.problem(name, "REQUIRED", "is required");
        }
        taken
    }

    fn wrong_type<T>(&mut self, name: &str, message: &str) -> Option<T> {
        self.problem(name, "WRONG_TYPE", message);
        None
    }
}

/// Reads one object: known fields through `read`, then says which were left over.
fn read_fields<T>(
    raw: &RawValue,
    path: &str,
    problems: &mut Problems,
    read: impl FnOnce(&mut Fields<'_, '_>) -> Option<T>,
) -> Result<Option<T>, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(raw.get());
    let (all, is_cut) = json.deserialize_map(Entries)?;
    let mut fields = Fields { path: Cow::Borrowed(path), fields: Vec::with_capacity(all.len()), problems };
    for (name, raw) in all {
        if fields.fields.iter().any(|(seen, _)| *seen == name) {
            fields.problem(&shown(&name), "DUPLICATE_FIELD", "is there more than once");
        } else {
            fields.fields.push((name, raw));
        }
    }
    if is_cut {
        fields.problems.add(path, "TOO_MANY", format!("has more than {} fields", limits::OBJECT_FIELDS));
    }
    let read = read(&mut fields);
    for (name, _) in std::mem::take(&mut fields.fields) {
        fields.problem(&shown(&name), "UNKNOWN_FIELD", "is not a field of this request");
    }
    Ok(read)
}

/// Whether a JSON value is a number.
fn is_number(raw: &str) -> bool {
    raw.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

/// A name that a client made up, short enough to repeat.
fn shown(name: &str) -> String {
    let most = limits::FIELD_NAME_CHARACTERS_SHOWN;
    if name.chars().count() <= most { name.to_owned() } else { name.chars().take(most).chain(['…']).collect() }
}

/// An object's entries in their order, the first [`limits::OBJECT_FIELDS`], and whether there were more.
struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = (Vec<(Cow<'de, str>, &'de RawValue)>, bool);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while entries.len() < limits::OBJECT_FIELDS {
            let Some(Name(name)) = map.next_key()? else { return Ok((entries, false)) };
            entries.push((name, map.next_value()?));
        }
        let mut is_cut = false;
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            is_cut = true;
        }
        Ok((entries, is_cut))
    }
}

/// A name, borrowed unless it holds escapes.
struct Name<'de>(Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Name<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// An array's items, as many as are wanted, and how many there are.
struct Items {
    max: usize,
}

impl<'de> Visitor<'de> for Items {
    type Value = (Vec<&'de RawValue>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while items.len() < self.max {
            let Some(item) = array.next_element()? else {
                let length = items.len();
                return Ok((items, length));
            };
            items.push(item);
        }
        let mut length = items.len();
        while array.next_element::<IgnoredAny>()?.is_some() {
            length = length.saturating_add(1);
        }
        Ok((items, length))
    }
}

/// Whether objects and arrays are nested deeper than [`limits::JSON_LEVELS`], whatever else the bytes are.
fn is_too_deep(bytes: &[u8]) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' | b'[' => depth = depth.saturating_add(1),
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limits::JSON_LEVELS {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use giftd_domain::access::Environment;

    use super::*;

    /// What is wrong when `read` reads `body`: the code of the error, or `path CODE` of each detail.
    fn wrong<T>(body: &str, read: impl FnOnce(&mut Fields<'_, '_>) -> Option<T>) -> Vec<String> {
        match read_object(body.as_bytes(), read) {
            Ok(_) => Vec::new(),
            Err(error) if error.details().is_empty() => vec![error.code().to_owned()],
            Err(error) => error.details().iter().map(|detail| format!("{} {}", detail.field, detail.code)).collect(),
        }
    }

    #[test]
    fn fields_are_read_by_type() {
        let read = read_object(
            br#" {"t":"x\u00fc\n","yes":true,"n":50.00,"i":5e0,"e":"SANDBOX","o":{"t":"in"},"a":[{"t":"1"},{"t":"2"}]} "#,
            |fields| {
                Some((
                    fields.required_text("t")?,
                    fields.boolean("yes")?,
                    fields.required_decimal("n")?,
                    fields.required_integer("i")?,
                    fields.required_choice::<Environment>("e")?,
                    fields.required_object("o", |fields| fields.required_text("t"))?,
                    fields.required_objects("a", 2, |fields| fields.required_text("t"))?,
                ))
            },
        );
        let (text, yes, number, integer, choice, inner, array) = read.expect("all is right");
        assert_eq!((text.as_str(), yes, integer, choice), ("xü\n", true, 5, Environment::Sandbox));
        assert_eq!((number, inner.as_str(), array), (Decimal::from(50), "in", vec!["1".to_owned(), "2".to_owned()]));
    }

    #[test]
    fn an_absent_field_and_null_are_the_same() {
        for body in [r#"{}"#, r#"{"t":null,"b":null,"n":null,"i":null,"e":null,"o":null,"a":null}"#] {
            let read = read_object(body.as_bytes(), |fields| {
                let nothing = fields.text("t").is_none()
                    && fields.boolean("b").is_none()
                    && fields.decimal("n").is_none()
                    && fields.integer("i").is_none()
                    && fields.choice::<Environment>("e").is_none()
                    && fields.object("o", |_| Some(())).is_none()
                    && fields.objects("a", 1, |_| Some(())).is_none();
                Some(nothing)
            });
            assert!(read.expect("nothing is wrong"), "{body}");
            let required = wrong(body, |fields| {
                let _ = fields.required_text("t");
                let _ = fields.required_decimal("n");
                let _ = fields.required_integer("i");
                let _ = fields.required_choice::<Environment>("e");
                let _ = fields.required_object("o", |_| Some(()));
                let _ = fields.required_objects("a", 1, |_| Some(()));
                let _ = fields.boolean("b");
                Some(())
            });
            assert_eq!(required, ["t REQUIRED", "n REQUIRED", "i REQUIRED", "e REQUIRED", "o REQUIRED", "a REQUIRED"]);
        }
    }

    #[test]
    fn all_wrong_types_and_unknown_fields_are_told_at_once_with_their_paths() {
        let body = r#"{"recipients":[{"email":"a"},{"email":7,"mail":"b"},"c",null,{"email":null}],"refundOption":"true","x":{"y":1}}"#;
        let found = wrong(body, |fields| {
            let recipients = fields.required_objects("recipients", 10, |fields| fields.required_text("email"));
            let refund = fields.boolean("refundOption");
            Some((recipients?, refund?))
        });
        assert_eq!(
            found,
            [
                "recipients[1].email WRONG_TYPE",
                "recipients[1].mail UNKNOWN_FIELD",
                "recipients[2] WRONG_TYPE",
                "recipients[3] WRONG_TYPE",
                "recipients[4].email REQUIRED",
                "refundOption WRONG_TYPE",
                "x UNKNOWN_FIELD",
            ]
        );
    }

    #[test]
    fn values_of_another_type_are_wrong_for_every_type() {
        for value in [r#""50""#, "50", "true", "{}", "[]", "0.5"] {
            let body = format!(r#"{{"f":{value}}}"#);
            let is_wrong = |found: Vec<String>, right: &[&str]| {
                let expected: &[&str] = if right.contains(&value) { &[] } else { &["f WRONG_TYPE"] };
                assert_eq!(found, expected, "{value}");
            };
            is_wrong(wrong(&body, |fields| fields.text("f")), &[r#""50""#]);
            is_wrong(wrong(&body, |fields| fields.decimal("f")), &["50", "0.5"]);
            is_wrong(wrong(&body, |fields| fields.integer("f")), &["50"]);
            is_wrong(wrong(&body, |fields| fields.boolean("f")), &["true"]);
            is_wrong(wrong(&body, |fields| fields.object("f", |_| Some(()))), &["{}"]);
            is_wrong(wrong(&body, |fields| fields.objects("f", 1, |_| Some(()))), &["[]"]);
        }
    }

    #[test]
    fn an_unknown_value_of_an_enum_names_the_known_ones() {
        let error =
            read_object(br#"{"e":"production"}"#, |fields| fields.choice::<Environment>("e")).expect_err("unknown");
        assert_eq!(error.details()[0].code, "UNKNOWN_VALUE");
        assert_eq!(error.details()[0].message, "must be one of PRODUCTION, SANDBOX");
    }

    #[test]
    fn a_field_that_is_there_twice_is_a_problem_also_when_written_with_escapes() {
        let found = wrong(r#"{"a":"1","\u0061":"2","o":{"b":1,"b":2}}"#, |fields| {
            let text = fields.text("a");
            let _ = fields.object("o", |fields| fields.integer("b"));
            text
        });
        assert_eq!(found, ["a DUPLICATE_FIELD", "o.b DUPLICATE_FIELD"]);
    }

    #[test]
    fn amounts_are_read_by_their_digits_never_through_a_binary_fraction() {
        let decimal = |number: &str| {
            read_object(format!(r#"{{"n":{number}}}"#).as_bytes(), |fields| fields.required_decimal("n"))
                .map(|read| read.to_string())
        };
        assert_eq!(decimal("0.1").ok().as_deref(), Some("0.1"));
        assert_eq!(decimal("9007199254740993").ok().as_deref(), Some("9007199254740993"));
        assert_eq!(decimal("1e3").ok().as_deref(), Some("1000"));
        assert_eq!(decimal("-5.50").ok().as_deref(), Some("-5.5"));
        for number in ["1e999999999", "1e-999999999", &"9".repeat(65), &format!("0.{}", "1".repeat(40))] {
            assert_eq!(decimal(number).expect_err("too long").details()[0].code, "OUT_OF_RANGE", "{number}");
        }
        assert_eq!(wrong(r#"{"i":9223372036854775808}"#, |fields| fields.integer("i")), ["i OUT_OF_RANGE"]);
        for number in ["01", "+1", ".5", "1.", "NaN", "Infinity", "0x10", "1e"] {
            assert_eq!(decimal(number).expect_err("no JSON").code(), "MALFORMED_JSON", "{number}");
        }
    }

    #[test]
    fn broken_json_is_malformed() {
        let mut bodies = [
            "",
            " ",
            "{",
            "}",
            "[]",
            "null",
            "7",
            "\"x\"",
            "{}{}",
            "{} x",
            "{'a':1}",
            "{\"a\":1,}",
            "{\"a\"}",
            "{a:1}",
            "\u{feff}{}",
        ]
        .map(|body| body.as_bytes().to_vec())
        .to_vec();
        bodies.extend([
            b"{\"a\":\"\xff\"}".to_vec(),
            b"{\"a\":\"\n\"}".to_vec(),
            b"{\"\\ud800\":1}".to_vec(),
            b"{\"a\":1}\0".to_vec(),
        ]);
        for body in bodies {
            let error = read_object(&body, |fields| {
                let _ = fields.text("a");
                Some(())
            })
            .expect_err("malformed");
            assert_eq!((error.status(), error.code()), (StatusCode::BAD_REQUEST, "MALFORMED_JSON"), "{body:?}");
        }
        assert_eq!(wrong(r#"{"a":"\ud800"}"#, |fields| fields.text("a")), ["a WRONG_TYPE"], "half a character");
    }

    #[test]
    fn depth_and_size_bombs_are_refused_before_they_cost_anything() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let body = format!("{{\"a\":{}1{}}}", open.repeat(100_000), close.repeat(100_000));
            assert_eq!(wrong(&body, |fields| fields.text("a")), ["MALFORMED_JSON"]);
        }
        let unclosed = "[".repeat(1_000_000);
        assert_eq!(wrong(&unclosed, |_| Some(())), ["MALFORMED_JSON"]);
        let brackets_in_text = format!(r#"{{"a":"\"{}"}}"#, "[{".repeat(1_000));
        assert_eq!(wrong(&brackets_in_text, |fields| fields.text("a")), Vec::<String>::new());
        let wide = format!("{{{}\"z\":1}}", (0..100_000).map(|index| format!("\"f{index}\":1,")).collect::<String>());
        let found = wrong(&wide, |_| Some(()));
        assert_eq!((found.len(), found[0].as_str()), (limits::OBJECT_FIELDS + 1, " TOO_MANY"));
        let long = format!("{{\"a\":[{}0]}}", "0,".repeat(1_000_000));
        assert_eq!(wrong(&long, |fields| fields.objects("a", 10, |_| Some(()))), ["a TOO_MANY"]);
    }

    #[test]
    fn at_most_100_problems_are_looked_for() {
        let body = format!("{{\"a\":[{}0]}}", "0,".repeat(9_999));
        assert_eq!(wrong(&body, |fields| fields.objects("a", 10_000, |_| Some(()))).len(), limits::PROBLEMS);
    }
}
