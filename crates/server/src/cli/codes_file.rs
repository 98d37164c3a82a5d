//! A file of codes: `code,pin,faceValue`. What is wrong with it is told by line and column, never by its text,
//! which may be a code wherever it stands.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use csv::StringRecord;
use giftd_domain::catalog::BrandedCard;
use giftd_domain::limits;
use giftd_domain::money::{Currency, decimal_from_json};
use giftd_domain::problems::Problems;
use giftd_domain::text::{NotAText, filled_line, line};

use crate::supplier::Code;

/// The columns.
const HEADER: [&str; 3] = ["code", "pin", "faceValue"];

/// A code of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileCode {
    /// The code.
    pub code: Code,
    /// What it is worth, in minor units of its product's currency.
    pub face_value: i64,
}

/// What a file holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct CodesFile {
    /// Its codes, each once.
    pub codes: Vec<FileCode>,
    /// Lines that say again what a line before said.
    pub repeated: u64,
}

/// Reads a file of a card's codes, or says all that is wrong with it, the first problems of many.
pub fn read(bytes: &[u8], card: &BrandedCard) -> Result<CodesFile, Problems> {
    let mut problems = Problems::new();
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.trim_start_matches('\u{feff}'),
        Err(error) => {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            problems.add(at(1 + line_feeds(before)), "INVALID", "must be UTF-8: save the file with that encoding");
            return Err(problems);
        }
    };
    let mut file = CodesFile::default();
    // Where each code is in the file: its place among the codes, and its line.
    let mut known: HashMap<String, (usize, usize)> = HashMap::new();
    let mut lines = Lines { text: text.as_bytes(), counted: 0, line: 1 };
    let mut records =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).trim(csv::Trim::All).from_reader(text.as_bytes());
    let mut record = StringRecord::new();
    let mut is_header = true;
    while !problems.is_full() {
        match records.read_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                let line = lines.of(error.position().map_or(0, csv::Position::byte));
                problems.add(at(line), "INVALID", "can't be read as CSV");
                break;
            }
        }
        let number = lines.of(record.position().map_or(0, csv::Position::byte));
        if std::mem::take(&mut is_header) {
            if record.iter().ne(HEADER) {
                problems.add(at(number), "HEADER", format!("must be the header {}", HEADER.join(",")));
                break;
            }
            continue;
        }
        let row = match row(&record, card) {
            Ok(row) => row,
            Err((code, message)) => {
                problems.add(at(number), code, message);
                continue;
            }
        };
        match known.entry(row.code.code.clone()) {
            Entry::Vacant(new) => {
                new.insert((file.codes.len(), number));
                file.codes.push(row);
            }
            Entry::Occupied(before) => match *before.get() {
                (index, _) if file.codes.get(index) == Some(&row) => file.repeated += 1,
                (_, line) => {
                    let message = format!("has the code of line {line} with another PIN or face value");
                    problems.add(at(number), "TWICE", message);
                }
            },
        }
    }
    if file.codes.is_empty() && problems.is_empty() {
        problems.add(at(1), "EMPTY", format!("must have the header {} and at least one code", HEADER.join(",")));
    }
    if problems.is_empty() { Ok(file) } else { Err(problems) }
}

/// One line's code, or what is wrong with the line.
fn row(record: &StringRecord, card: &BrandedCard) -> Result<FileCode, (&'static str, String)> {
    let (Some(code), Some(pin), Some(face_value), 3) = (record.get(0), record.get(1), record.get(2), record.len())
    else {
        let message = format!("must have 3 columns, {}, and has {}", HEADER.join(", "), record.len());
        return Err(("COLUMNS", message));
    };
    let wrong = |column: &str, error: NotAText| (error.code(), format!("{column}: {error}"));
    filled_line(code, limits::CODE_CHARACTERS).map_err(|error| wrong("code", error))?;
    line(pin, limits::CODE_CHARACTERS).map_err(|error| wrong("pin", error))?;
    let face_value = minor_units(face_value, card.currency)?;
    if !card.prices.contains(face_value) {
        let (product, points) = (&card.product_id, card.prices.in_words(card.currency));
        return Err(("NOT_A_PRICE_POINT", format!("faceValue: must be a price point of {product}: {points}")));
    }
    let pin = (!pin.is_empty()).then(|| pin.to_owned());
    Ok(FileCode { code: Code { code: code.to_owned(), pin }, face_value })
}

fn minor_units(face_value: &str, currency: Currency) -> Result<i64, (&'static str, String)> {
    let decimal = decimal_from_json(face_value).ok_or_else(|| {
        let example = currency.decimal(2_500);
        ("INVALID", format!("faceValue: must be a number such as {example}, in {currency}"))
    })?;
    currency.minor_units(decimal).map_err(|error| ("INVALID", format!("faceValue: {error}")))
}

fn at(line: usize) -> String {
    format!("line {line}")
}

/// Tells the lines of records, which are asked for in their order.
struct Lines<'a> {
    text: &'a [u8],
    /// Bytes whose line feeds are counted.
    counted: usize,
    line: usize,
}

impl Lines<'_> {
    /// The line of the record that begins at `byte`, or after the empty lines there.
    fn of(&mut self, byte: u64) -> usize {
        let from = usize::try_from(byte).unwrap_or(usize::MAX).clamp(self.counted, self.text.len());
        let empty = self.text.iter().skip(from).take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        self.line += line_feeds(self.text.get(self.counted..from + empty).unwrap_or_default());
        self.counted = from + empty;
        self.line
    }
}

fn line_feeds(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use giftd_domain::catalog::Prices;

    use super::*;

    fn card(currency: &str, prices: Prices) -> BrandedCard {
        BrandedCard {
            product_id: "10042".to_owned(),
            brand_name: "Sakura".to_owned(),
            product_name: "Sakura Books".to_owned(),
            country_code: "USA".to_owned(),
            currency: currency.parse().expect("a currency"),
            prices,
            description: None,
            terms: None,
            image_url: None,
        }
    }

    fn dollars() -> BrandedCard {
        card("USD", Prices::Fixed(vec![1_000, 2_500]))
    }

    fn problems(text: &str) -> Vec<(String, &'static str)> {
        let problems = read(text.as_bytes(), &dollars()).expect_err("it is wrong").into_vec();
        problems.into_iter().map(|problem| (problem.field, problem.code)).collect()
    }

    #[test]
    fn codes_are_read_with_their_pins_and_face_values_by_value() {
        let text = "\u{feff}code,pin,faceValue\r\nAAAA,0042,25\r\n BBBB , ,10.000\r\n\r\n\"C,\"\"C\",1,2.5e1";
        let file = read(text.as_bytes(), &dollars()).expect("it is right");
        let rows: Vec<_> =
            file.codes.iter().map(|row| (row.code.code.as_str(), row.code.pin.as_deref(), row.face_value)).collect();
        assert_eq!(rows, [("AAAA", Some("0042"), 2_500), ("BBBB", None, 1_000), ("C,\"C", Some("1"), 2_500)]);
        let yen = card("JPY", Prices::Range { min: 1_000, max: 50_000, step: 500 });
        let file = read(b"code,pin,faceValue\nA,,1500.0\n", &yen).expect("it is right");
        assert_eq!(file.codes[0].face_value, 1_500);
    }

    #[test]
    fn a_line_that_is_there_twice_counts_once_but_not_when_it_says_otherwise() {
        let file = read(b"code,pin,faceValue\nA,1,10\nB,,10\nA,1,10.00\n", &dollars()).expect("it is right");
        assert_eq!((file.codes.len(), file.repeated), (2, 1));
        let found = problems("code,pin,faceValue\nA,1,10\nA,1,25\nA,2,10\n");
        assert_eq!(found, [("line 3".to_owned(), "TWICE"), ("line 4".to_owned(), "TWICE")]);
    }

    #[test]
    fn every_problem_is_told_with_its_line() {
        let text = "code,pin,faceValue\r\nA,1,10\r\n\r\n\r\n,1,10\nB,1\nC,1,10,\nD,1,x\nE,1,10.001\nF,1,20\nG,\u{1},10\n\
                    \"H\nH\",1,10\nI,1,-10\nJ,1,0\n  \nK,1,99999999999999999999999\n";
        let expected = [
            ("line 5", "BLANK"),
            ("line 6", "COLUMNS"),
            ("line 7", "COLUMNS"),
            ("line 8", "INVALID"),
            ("line 9", "INVALID"),
            ("line 10", "NOT_A_PRICE_POINT"),
            ("line 11", "CONTROL_CHARACTER"),
            ("line 12", "CONTROL_CHARACTER"),
            ("line 14", "NOT_A_PRICE_POINT"),
            ("line 15", "NOT_A_PRICE_POINT"),
            ("line 16", "COLUMNS"),
            ("line 17", "INVALID"),
        ];
        assert_eq!(problems(text), expected.map(|(line, code)| (line.to_owned(), code)));
    }

    #[test]
    fn a_file_without_header_or_codes_or_in_another_encoding_is_refused() {
        for (text, code) in [
            ("", "EMPTY"),
            ("code,pin,faceValue\n", "EMPTY"),
            ("A,1,10\n", "HEADER"),
            ("code,faceValue,pin\nA,10,1\n", "HEADER"),
            ("code;pin;faceValue\nA;1;10\n", "HEADER"),
        ] {
            assert_eq!(problems(text), [("line 1".to_owned(), code)], "{text:?}");
        }
        let latin = read(b"code,pin,faceValue\nA,1,10\n\xfc,1,10\n", &dollars()).expect_err("it is wrong").into_vec();
        assert_eq!((latin[0].field.as_str(), latin[0].code), ("line 3", "INVALID"));
    }

    #[test]
    fn no_text_of_a_file_is_in_what_is_said_about_it() {
        let secret = "S3CR3T";
        for wrong in [
            format!("{secret}\n"),
            format!("code,pin,faceValue\n{secret}\n"),
            format!("code,pin,faceValue\n10,1,{secret}\n"),
            format!("code,pin,faceValue\n{secret},1,10\n{secret},2,10\n"),
            format!("code,pin,faceValue\n\"{secret}\n,1,10\n"),
            format!("code,pin,faceValue\n{},1,10\n", secret.repeat(100)),
            format!("code,pin,faceValue\nA,{},10\n", secret.repeat(100)),
        ] {
            let said = format!("{:?}", read(wrong.as_bytes(), &dollars()).expect_err("it is wrong"));
            assert!(!said.contains(secret), "{said}");
        }
        let number = format!("{:?}", read(b"code,pin,faceValue\nA,1,48151623\n", &dollars()).expect_err("it is wrong"));
        assert!(!number.contains("48151623"), "a code in the wrong column: {number}");
    }
}
