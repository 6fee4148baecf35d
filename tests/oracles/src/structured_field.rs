//! Dictionaries of RFC 9651, read by code that is not certbound's.

use std::{collections::BTreeMap, sync::LazyLock};

use data_encoding::{BASE64_NOPAD, Encoding};

static BASE64: LazyLock<Encoding> = LazyLock::new(|| {
    let mut lenient = BASE64_NOPAD.specification();
    lenient.check_trailing_bits = false;
    lenient.encoding().expect("only less strict")
});

/// A bare item, as what it means.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum BareItem {
    Boolean(bool),
    Bytes(Vec<u8>),
    Date(i64),
    /// In thousandths.
    Decimal(i64),
    DisplayString(String),
    Integer(i64),
    String(String),
    Token(String),
}

/// A member of a dictionary: an item, or an inner list and its items.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Member {
    /// One without inner list is the member itself.
    items: Vec<(BareItem, Parameters)>,
    is_inner_list: bool,
    parameters: Parameters,
}

type Parameters = Vec<(String, BareItem)>;

impl Member {
    /// A parameter of the member that is a string.
    pub(crate) fn string(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find_map(|(known, value)| match value {
            BareItem::String(text) if known == name => Some(text.as_str()),
            _ => None,
        })
    }
}

/// Reads a dictionary (RFC 9651 §4.2.2); of a name that is there twice, the last counts.
pub(crate) fn dictionary(text: &[u8]) -> Option<BTreeMap<String, Member>> {
    let mut members = BTreeMap::new();
    let mut reader = Reader(text);
    reader.skip(b" ");
    while !reader.0.is_empty() {
        let name = reader.key()?;
        let member = if reader.take(b'=') { reader.member()? } else { reader.implicit_true()? };
        members.insert(name, member);
        reader.skip(b" \t");
        if reader.0.is_empty() {
            return Some(members);
        }
        reader.require(b',')?;
        reader.skip(b" \t");
        // A trailing comma.
        reader.0.first()?;
    }
    Some(members)
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn skip(&mut self, bytes: &[u8]) {
        self.while_in(|byte| bytes.contains(&byte));
    }

    fn while_in(&mut self, belongs: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|byte| !belongs(*byte)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.0.first() == Some(&byte);
        if is_next {
            self.next();
        }
        is_next
    }

    fn require(&mut self, byte: u8) -> Option<()> {
        self.take(byte).then_some(())
    }

    fn key(&mut self) -> Option<String> {
        let starts = self.0.first().is_some_and(|byte| byte.is_ascii_lowercase() || *byte == b'*');
        let key = self.while_in(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte)
        });
        starts.then(|| String::from_utf8_lossy(key).into_owned())
    }

    fn implicit_true(&mut self) -> Option<Member> {
        let items = vec![(BareItem::Boolean(true), Vec::new())];
        Some(Member { items, is_inner_list: false, parameters: self.parameters()? })
    }

    fn member(&mut self) -> Option<Member> {
        if !self.take(b'(') {
            let items = vec![(self.bare_item()?, Vec::new())];
            return Some(Member { items, is_inner_list: false, parameters: self.parameters()? });
        }
        let mut items = Vec::new();
        loop {
            self.skip(b" ");
            if self.take(b')') {
                return Some(Member { items, is_inner_list: true, parameters: self.parameters()? });
            }
            items.push((self.bare_item()?, self.parameters()?));
            matches!(self.0.first(), Some(b' ' | b')')).then_some(())?;
        }
    }

    fn parameters(&mut self) -> Option<Parameters> {
        let mut parameters = Parameters::new();
        while self.take(b';') {
            self.skip(b" ");
            let name = self.key()?;
            let value = if self.take(b'=') { self.bare_item()? } else { BareItem::Boolean(true) };
            parameters.retain(|(known, _)| *known != name);
            parameters.push((name, value));
        }
        parameters.sort_by(|(one, _), (other, _)| one.cmp(other));
        Some(parameters)
    }

    fn bare_item(&mut self) -> Option<BareItem> {
        match *self.0.first()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.string(),
            b'*' | b'a'..=b'z' | b'A'..=b'Z' => {
                let token = self.while_in(|byte| {
                    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte)
                });
                Some(BareItem::Token(String::from_utf8_lossy(token).into_owned()))
            }
            b':' => {
                self.next();
                let text = self.while_in(|byte| byte != b':');
                self.require(b':')?;
                // Padding may be left out, and the bits that are too many be anything (§4.2.7).
                let end = text
                    .iter()
                    .rposition(|byte| *byte != b'=')
                    .map_or(0, |last| last.saturating_add(1));
                (text.len() <= end.next_multiple_of(4)).then_some(())?;
                let decoded = BASE64.decode(&text[..end]).ok()?;
                Some(BareItem::Bytes(decoded))
            }
            b'?' => {
                self.next();
                match self.next()? {
                    b'0' => Some(BareItem::Boolean(false)),
                    b'1' => Some(BareItem::Boolean(true)),
                    _ => None,
                }
            }
            b'@' => {
                self.next();
                match self.number()? {
                    BareItem::Integer(seconds) => Some(BareItem::Date(seconds)),
                    _ => None,
                }
            }
            b'%' => self.display_string(),
            _ => None,
        }
    }

    fn number(&mut self) -> Option<BareItem> {
        let sign = if self.take(b'-') { -1 } else { 1 };
        let digits = |bytes: &[u8]| str::from_utf8(bytes).ok()?.parse::<i64>().ok();
        let whole = self.while_in(|byte| byte.is_ascii_digit());
        let value = digits(whole)?;
        if !self.take(b'.') {
            return (whole.len() <= 15).then_some(BareItem::Integer(value.checked_mul(sign)?));
        }
        let fraction = self.while_in(|byte| byte.is_ascii_digit());
        let thousandths = format!("{:0<3}", str::from_utf8(fraction).ok()?);
        let valid = whole.len() <= 12 && (1..=3).contains(&fraction.len());
        let value = value
            .checked_mul(1000)?
            .checked_add(digits(thousandths.as_bytes())?)?
            .checked_mul(sign)?;
        valid.then_some(BareItem::Decimal(value))
    }

    fn string(&mut self) -> Option<BareItem> {
        self.require(b'"')?;
        let mut text = String::new();
        loop {
            match self.next()? {
                b'"' => return Some(BareItem::String(text)),
                b'\\' => text.push(self.next().filter(|byte| b"\"\\".contains(byte))?.into()),
                byte @ b' '..=b'~' => text.push(byte.into()),
                _ => return None,
            }
        }
    }

    fn display_string(&mut self) -> Option<BareItem> {
        self.require(b'%')?;
        self.require(b'"')?;
        let mut text = Vec::new();
        loop {
            match self.next()? {
                b'"' => return String::from_utf8(text).ok().map(BareItem::DisplayString),
                b'%' => {
                    let digits = [self.next()?, self.next()?];
                    text.push(*data_encoding::HEXLOWER.decode(&digits).ok()?.first()?);
                }
                byte @ b' '..=b'~' => text.push(byte),
                _ => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn example_of_rfc_9421_section_4_1_is_read() {
        let field = br#"sig1=("@method" "@target-uri" "@authority" "content-digest" "cache-control");created=1618884475;keyid="test-key-rsa-pss", a;tag="x", b=-1.5;c=?0;d=:AA==:;e=@1;f=%"%c3%a5""#;
        let members = dictionary(field).unwrap();
        assert_eq!(members.keys().collect::<Vec<_>>(), ["a", "b", "sig1"]);
        assert_eq!(members["sig1"].items.len(), 5);
        assert_eq!(members["sig1"].string("keyid"), Some("test-key-rsa-pss"));
        assert_eq!(members["a"].string("tag"), Some("x"));
        assert_eq!(members["b"].items, [(BareItem::Decimal(-1500), Vec::new())]);
        let parameters = &members["b"].parameters;
        assert_eq!(parameters[3].1, BareItem::DisplayString("å".into()));
    }

    #[test]
    fn what_is_no_dictionary_is_refused() {
        for field in [
            "A=1",
            "a=",
            "a=1,",
            "a=1 b=2",
            "a=(1",
            "a=(1\"\")",
            "a=\"\\x\"",
            "a=1.2345",
            "a=:A:",
            "a=:AA==AA==:",
            "a=:AAA==:",
            "a=?2",
        ] {
            assert_eq!(dictionary(field.as_bytes()), None, "{field}");
        }
    }
}
