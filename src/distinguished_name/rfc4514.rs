//! The escapes of RFC 4514 text (§2.4, §3).

use super::InvalidDistinguishedName;

/// Splits at each separator that no backslash escapes.
pub(super) fn split_unescaped(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    text.split(move |character| {
        let separates = character == separator && !escaped;
        escaped = character == '\\' && !escaped;
        separates
    })
}

/// Undoes the escapes of RFC 4514 §3 and drops the unescaped spaces at the end (RFC 2253 §4).
pub(super) fn unescaped(value: &str) -> Result<String, InvalidDistinguishedName> {
    let mut bytes = Vec::new();
    let mut length_without_trailing_spaces = 0;
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' => {
                bytes.push(b' ');
                continue;
            }
            '\\' => match characters.next() {
                Some(special) if is_special(special) || " #=".contains(special) => {
                    push(&mut bytes, special);
                }
                high => {
                    let pair: String = high.into_iter().chain(characters.next()).collect();
                    let byte = bytes_of(&pair).ok_or(InvalidDistinguishedName::InvalidEscape)?;
                    bytes.extend(byte);
                }
            },
            _ if is_special(character) || character.is_control() => {
                return Err(InvalidDistinguishedName::UnescapedCharacter(character));
            }
            _ => push(&mut bytes, character),
        }
        length_without_trailing_spaces = bytes.len();
    }
    bytes.truncate(length_without_trailing_spaces);
    String::from_utf8(bytes).map_err(|_| InvalidDistinguishedName::InvalidUtf8)
}

fn push(bytes: &mut Vec<u8>, character: char) {
    bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}

/// `escaped` and `ESC` of RFC 4514 §3.
pub(super) fn is_special(character: char) -> bool {
    "\"+,;<>\\".contains(character)
}

/// Escapes text as RFC 4514 §2.4 says, and what would not be visible as itself.
pub(super) fn escaped(text: &str) -> String {
    if text.is_empty() {
        // An empty UTF8String, since a value without any text is refused as a slip of the pen.
        return "#0C00".to_owned();
    }
    let without_trailing_space = text.strip_suffix(' ').unwrap_or(text).len();
    text.char_indices()
        .map(|(at, character)| match character {
            ' ' | '#' if at == 0 => format!("\\{character}"),
            ' ' if at == without_trailing_space => "\\ ".to_owned(),
            // `escape_debug` knows what is printable: not line separators, nor characters that
            // change the direction of the text or join their neighbours.
            _ if is_special(character)
                || character != '\'' && character.escape_debug().len() > 1 =>
            {
                escaped_character(character)
            }
            _ => character.to_string(),
        })
        .collect()
}

pub(super) fn escaped_character(character: char) -> String {
    if is_special(character) {
        return format!("\\{character}");
    }
    let mut utf8 = [0; 4];
    let bytes = character.encode_utf8(&mut utf8).bytes();
    bytes.map(|byte| format!("\\{byte:02X}")).collect()
}

pub(super) fn hexadecimal_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// The bytes of `1*hexpair` (RFC 4514 §3).
pub(super) fn bytes_of(hexadecimal: &str) -> Option<Vec<u8>> {
    let (pairs, []) = hexadecimal.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let bytes = pairs.iter().map(|pair| {
        let digits = str::from_utf8(pair).ok()?;
        // `from_str_radix` alone would take a sign.
        let is_hexadecimal = pair.iter().all(u8::is_ascii_hexdigit);
        is_hexadecimal.then_some(u8::from_str_radix(digits, 16).ok()?)
    });
    bytes.collect::<Option<Vec<u8>>>().filter(|bytes| !bytes.is_empty())
}
