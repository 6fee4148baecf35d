//! Verifies that certbound signed a request (RFC 9421), and hands out the client's certificate only then.
//! The numbered checks are the same in every language here; docs/verifying.md says why.

use std::{collections::HashMap, error::Error, fs, io::Read, process::ExitCode, time::SystemTime};

use base64::prelude::*;
use ed25519_dalek::pkcs8::DecodePublicKey;
use hmac::{Hmac, KeyInit, Mac};
use p256::ecdsa::signature::Verifier as _;
use sha2::{Digest, Sha256};

const LABEL: &str = "certbound";
const REQUIRED: [&str; 5] = ["client-cert", "@method", "@authority", "@path", "content-digest"];
/// Seconds by which the clocks may differ.
const LEEWAY: u64 = 5;

/// Why a request is not believed. For the log, never for the client.
type Refused = String;

fn check(holds: bool, reason: &str) -> Result<(), Refused> {
    if holds { Ok(()) } else { Err(reason.into()) }
}

/// A key, which decides on the algorithm, whatever a request says.
pub enum Key {
    Ed25519(ed25519_dalek::VerifyingKey),
    P256(p256::ecdsa::VerifyingKey),
    Hmac(Hmac<Sha256>),
}

impl Key {
    /// Reads a public key as PEM, or an HMAC secret in base64.
    pub fn read(text: &str) -> Result<Self, Box<dyn Error>> {
        if !text.contains("-----BEGIN") {
            let secret = BASE64_STANDARD.decode(text.trim())?;
            check(secret.len() >= 32, "the secret is too short")?;
            let is_der = secret.starts_with(&[0x30]) && usize::from(secret[1]) == secret.len() - 2;
            check(!is_der, "a public key without its PEM armour is no secret")?;
            return Ok(Self::Hmac(Hmac::new_from_slice(&secret)?));
        }
        match ed25519_dalek::VerifyingKey::from_public_key_pem(text) {
            Ok(key) => Ok(Self::Ed25519(key)),
            Err(_) => Ok(Self::P256(p256::ecdsa::VerifyingKey::from_public_key_pem(text)?)),
        }
    }

    fn alg(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => "\"ed25519\"",
            Self::P256(_) => "\"ecdsa-p256-sha256\"",
            Self::Hmac(_) => "\"hmac-sha256\"",
        }
    }

    fn verifies(&self, base: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(base, &signature).is_ok()),
            Self::P256(key) => p256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(base, &signature).is_ok()),
            Self::Hmac(mac) => mac.clone().chain_update(base).verify_slice(signature).is_ok(),
        }
    }
}

/// Header fields in their order; names in any case.
pub type Headers<'a> = [(&'a str, &'a str)];

pub struct Verify {
    /// By keyid.
    pub keys: HashMap<String, Key>,
    /// Of this process, with the end of their signatures; servers that run several share them.
    pub nonces: HashMap<String, u64>,
}

impl Verify {
    /// Returns the DER encoding of the client's certificate.
    pub fn verify(
        &mut self,
        method: &str,
        authority: &str,
        target: &str,
        headers: &Headers<'_>,
        body: &[u8],
        now: u64,
    ) -> Result<Vec<u8>, Refused> {
        // 1. Exactly one member has our label, in both headers, and none of the others our tag.
        let input = our_member("signature-input", headers)?;
        let signature = bytes(&our_member("signature", headers)?)?;
        let (covered, given) = parse(&input).ok_or("the signature is malformed")?;
        let parameter = |name| {
            let mut found = given.iter().filter(|(given, _)| *given == name);
            let value = found.next().map(|(_, value)| *value).unwrap_or_default();
            check(found.next().is_none(), "a parameter is there twice").map(|()| value)
        };
        // 2. It is ours, of now, by a key that we know, with that key's algorithm.
        check(parameter("tag")? == "\"certbound\"", "the tag is another")?;
        let created: u64 = parameter("created")?.parse().map_err(|_| "created is malformed")?;
        let expires: u64 = parameter("expires")?.parse().map_err(|_| "expires is malformed")?;
        check(created <= now + LEEWAY, "created is not in the past")?;
        check(created < expires && now <= expires.saturating_add(LEEWAY), "expired")?;
        let key =
            self.keys.get(parameter("keyid")?.trim_matches('"')).ok_or("the key is unknown")?;
        check(parameter("alg")? == key.alg(), "the algorithm is not the key's")?;
        // 3. It covers all that it must, and every certificate that is there.
        let is_unique = |name: &&&str| covered.iter().filter(|other| other == name).count() == 1;
        check(covered.iter().all(|name| is_unique(&name)), "a component is covered twice")?;
        let chain = ["client-cert-chain"];
        let has_chain = values("client-cert-chain", headers).next().is_some();
        for name in REQUIRED.iter().chain(if has_chain { &chain[..] } else { &[] }) {
            check(covered.contains(name), &format!("{name} is not covered"))?;
        }
        // 4. The signature is right.
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let authority = authority.to_ascii_lowercase();
        let mut base = String::new();
        for name in covered {
            let value = match name {
                "@method" => method.to_owned(),
                "@authority" => authority.strip_suffix(":443").unwrap_or(&authority).to_owned(),
                "@path" => if path.is_empty() { "/" } else { path }.to_owned(),
                "@query" => format!("?{query}"),
                field => sole(field, headers)?.to_owned(),
            };
            base += &format!("\"{name}\": {value}\n");
        }
        base += &format!("\"@signature-params\": {input}");
        check(key.verifies(base.as_bytes(), &signature), "the signature is wrong")?;
        // 5. The body is the one that was signed.
        let digest = format!("sha-256=:{}:", BASE64_STANDARD.encode(Sha256::digest(body)));
        check(sole("content-digest", headers)? == digest, "the body was changed")?;
        // 6. Each nonce once.
        self.nonces.retain(|_, until| *until + LEEWAY >= now);
        let nonce = parameter("nonce")?;
        let is_new = nonce.len() > 2 && self.nonces.insert(nonce.to_owned(), expires).is_none();
        check(is_new, "the nonce is missing or was used")?;
        bytes(sole("client-cert", headers)?)
    }
}

fn values<'a>(name: &str, headers: &Headers<'a>) -> impl Iterator<Item = &'a str> {
    headers
        .iter()
        .filter(move |(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

fn sole<'a>(name: &str, headers: &Headers<'a>) -> Result<&'a str, Refused> {
    let mut found = values(name, headers);
    match (found.next(), found.next()) {
        (Some(value), None) if value.bytes().all(|b| matches!(b, b'\t' | b' '..=b'~')) => Ok(value),
        _ => Err(format!("not exactly one {name}")),
    }
}

/// Reads a byte sequence (RFC 9651).
fn bytes(item: &str) -> Result<Vec<u8>, Refused> {
    let text = item.strip_prefix(':').and_then(|rest| rest.strip_suffix(':'));
    text.and_then(|text| BASE64_STANDARD.decode(text).ok()).ok_or_else(|| "not base64".into())
}

/// The value of our member of a dictionary (RFC 9651), which is split at the commas that are not within strings.
fn our_member(field: &str, headers: &Headers<'_>) -> Result<String, Refused> {
    let text = values(field, headers).collect::<Vec<_>>().join(",");
    let (mut is_quoted, mut is_escaped) = (false, false);
    let all = text.split(|c| {
        let is_end = c == ',' && !is_quoted;
        is_quoted ^= c == '"' && !is_escaped;
        is_escaped = is_quoted && c == '\\' && !is_escaped;
        is_end
    });
    let is_key = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.*".contains(c);
    let is_ours =
        |member: &&str| member.strip_prefix(LABEL).is_some_and(|rest| !rest.starts_with(is_key));
    let (ours, others): (Vec<_>, Vec<_>) = all.map(str::trim).partition(is_ours);
    let is_tagged =
        |member: &&str| member.split(';').any(|parameter| parameter.trim() == "tag=\"certbound\"");
    match &ours[..] {
        [member] if !is_quoted && !others.iter().any(is_tagged) => {
            let value = member[LABEL.len()..].strip_prefix('=');
            value.map(str::to_owned).ok_or_else(|| format!("{LABEL} has no value in {field}"))
        }
        _ => Err(format!("not exactly one {LABEL} in {field}")),
    }
}

type Parsed<'a> = (Vec<&'a str>, Vec<(&'a str, &'a str)>);

/// Takes `("a" "b");name=1;name="text"` apart, written as certbound writes it and without escapes.
fn parse(input: &str) -> Option<Parsed<'_>> {
    let (list, tail) = input.strip_prefix("(\"")?.split_once("\")")?;
    let covered: Vec<_> = list.split("\" \"").collect();
    let is_plain = |text: &str| !text.is_empty() && !text.contains(['"', '\\']);
    let is_string = |text: &str| {
        text.len() >= 2
            && text.starts_with('"')
            && text.ends_with('"')
            && !text[1..text.len() - 1].contains(['"', '\\'])
    };
    let is_number =
        |text: &str| is_plain(text) && text.len() <= 15 && text.bytes().all(|b| b.is_ascii_digit());
    let given: Vec<_> = tail
        .strip_prefix(';')?
        .split(';')
        .map(|parameter| parameter.split_once('='))
        .collect::<Option<_>>()?;
    let is_name = |name: &str| is_plain(name) && name.bytes().all(|b| b.is_ascii_lowercase());
    let is_well_formed = covered.iter().all(|name| is_plain(name))
        && given
            .iter()
            .all(|(name, value)| is_name(name) && (is_number(value) || is_string(value)));
    is_well_formed.then_some((covered, given))
}

/// verify-certbound KEYID KEYFILE [REQUEST...], requests as raw HTTP/1.1, else one on the standard input.
fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [keyid, key, files @ ..] = &arguments[..] else {
        return Err("KEYID KEYFILE [REQUEST...]".into());
    };
    let keys = HashMap::from([(keyid.clone(), Key::read(&fs::read_to_string(key)?)?)]);
    let mut verifier = Verify { keys, nonces: HashMap::new() };
    let mut requests = files.iter().map(fs::read).collect::<Result<Vec<_>, _>>()?;
    if files.is_empty() {
        requests.push(Vec::new());
        std::io::stdin().read_to_end(&mut requests[0])?;
    }
    let mut exit = ExitCode::SUCCESS;
    for request in requests {
        let end = request.windows(4).position(|bytes| bytes == b"\r\n\r\n").ok_or("no request")?;
        let head = String::from_utf8_lossy(&request[..end]);
        let mut lines = head.split("\r\n");
        let line: Vec<_> = lines.next().unwrap_or_default().split(' ').collect();
        let headers: Vec<_> = lines.filter_map(|line| line.split_once(':')).collect();
        let now = SystemTime::UNIX_EPOCH.elapsed()?.as_secs();
        let certificate = sole("host", &headers).and_then(|host| {
            verifier.verify(line[0], host, line[1], &headers, &request[end + 4..], now)
        });
        match certificate {
            Ok(der) => println!("verified {}", BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(der))),
            Err(reason) => {
                println!("refused: {reason}");
                exit = ExitCode::FAILURE;
            }
        }
    }
    Ok(exit)
}
