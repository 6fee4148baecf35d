//! `certbound keygen`.

use std::{
    fs::OpenOptions,
    io::Write as _,
    path::{Path, PathBuf},
};

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use certbound::{public_key::PublicKey, signing_key::SigningSecret};
use clap::ValueEnum;
use ed25519_dalek::pkcs8::KeypairBytes;
use p256::pkcs8::{EncodePrivateKey as _, LineEnding};
use serde_json::{Map, Value, json};

use super::Printout;

/// Make a key that certbound signs with
#[derive(clap::Args)]
#[command(after_help = "\
The private key goes to Envoy's environment, the public one to the servers, which verify with it.

Examples:
  certbound keygen --alg ed25519 --out signing
      signing.key (private, for its owner only to read) and signing.jwk (public); prints the entry of `signature.keys`.
  certbound keygen --alg ecdsa-p256-sha256 --kid 2026-11
      Everything on the standard output, under an identifier of your own.
  certbound keygen --alg hmac-sha256 --json | jq -r .private_key
      A secret, which certbound and the server share.

Exit status: 0, or 1 if there is no randomness or a file cannot be written. Files that exist are not overwritten.")]
pub(super) struct Arguments {
    /// The algorithm
    #[arg(long, value_name = "ALG")]
    alg: Algorithm,
    /// The key's identifier [default: the RFC 7638 thumbprint of the public key; random for hmac-sha256]
    #[arg(long, value_name = "KID", value_parser = kid)]
    kid: Option<String>,
    /// Write PREFIX.key and PREFIX.jwk instead of printing the keys
    #[arg(long, value_name = "PREFIX")]
    out: Option<PathBuf>,
    /// Print {"kid", "alg", "private_key", "public_jwk", "entry"}, with --out "files" instead of the private key
    #[arg(long)]
    json: bool,
}

/// The algorithms by their names in the registry of RFC 9421 §6.2.
#[derive(Clone, Copy, ValueEnum)]
enum Algorithm {
    /// Ed25519: fast, small; the one to take unless a server lacks it
    Ed25519,
    /// ECDSA on P-256, for servers without Ed25519
    EcdsaP256Sha256,
    /// A shared secret: whoever verifies can also sign
    HmacSha256,
}

impl Algorithm {
    /// Its name in `signature.keys`, and in a JWK (RFC 7518 §3.1, RFC 8037 §3.1).
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Ed25519 => ("ed25519", "EdDSA"),
            Self::EcdsaP256Sha256 => ("ecdsa-p256-sha256", "ES256"),
            Self::HmacSha256 => ("hmac-sha256", "HS256"),
        }
    }
}

/// As the configuration wants it.
fn kid(text: &str) -> Result<String, String> {
    if !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'!'..=b'~')) {
        Ok(text.to_owned())
    } else {
        Err("write visible ASCII characters".into())
    }
}

pub(super) fn run(arguments: &Arguments) -> Printout {
    let printout =
        Key::generate(arguments.alg, arguments.kid.clone()).and_then(|key| match &arguments.out {
            None => Ok(key.print(arguments.json)),
            Some(prefix) => key.write(prefix, arguments.json),
        });
    printout.unwrap_or_else(|problem| Printout::failure(1, &problem))
}

/// A new key.
struct Key {
    alg: &'static str,
    kid: String,
    /// PKCS#8 PEM, or base64 of a secret, as `signature.keys[].key` wants it.
    private: String,
    public_jwk: Option<Value>,
}

impl Key {
    fn generate(algorithm: Algorithm, kid: Option<String>) -> Result<Self, String> {
        let (alg, jwk_alg) = algorithm.names();
        let unencodable = |_| "the key cannot be encoded".to_owned();
        let (private, public) = match algorithm {
            Algorithm::Ed25519 => {
                let secret_key = random()?;
                let key = ed25519_dalek::SigningKey::from_bytes(&secret_key);
                let x = key.verifying_key().as_bytes().to_vec();
                // With the public key in it, as the crate would write it, OpenSSL 3.0 cannot read it.
                let pem =
                    KeypairBytes { secret_key, public_key: None }.to_pkcs8_pem(LineEnding::LF);
                (pem.map_err(unencodable)?.to_string(), PublicKey::Okp { curve: "Ed25519", x })
            }
            Algorithm::EcdsaP256Sha256 => {
                // Nearly every number is a key.
                let key = loop {
                    let candidate = random::<32>()?;
                    if let Ok(key) = p256::SecretKey::from_slice(&candidate) {
                        break key;
                    }
                };
                let point = key.public_key().to_sec1_bytes();
                let coordinates = point.get(1..).and_then(|both| both.split_at_checked(32));
                let (x, y) = coordinates.ok_or("the key has no coordinates")?;
                let public = PublicKey::Ec { curve: "P-256", x: x.into(), y: y.into() };
                (key.to_pkcs8_pem(LineEnding::LF).map_err(unencodable)?.to_string(), public)
            }
            Algorithm::HmacSha256 => {
                // A thumbprint of the secret would let others try guesses (RFC 7638 §7).
                let kid = kid.map_or_else(
                    || Ok(BASE64_URL_SAFE_NO_PAD.encode(random::<9>()?)),
                    Ok::<_, String>,
                )?;
                let secret = random::<{ SigningSecret::HMAC_MINIMUM_BYTES }>()?;
                let private = BASE64_STANDARD.encode(secret) + "\n";
                return Ok(Self { alg, kid, private, public_jwk: None });
            }
        };
        let kid = kid.unwrap_or_else(|| public.jwk_thumbprint());
        let mut jwk: Map<String, Value> = public
            .to_jwk()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        for (name, value) in [("alg", jwk_alg), ("kid", &kid), ("use", "sig")] {
            jwk.insert(name.to_owned(), value.into());
        }
        Ok(Self { alg, kid, private, public_jwk: Some(jwk.into()) })
    }

    /// The entry of `signature.keys`.
    fn entry(&self) -> Value {
        json!({ "kid": self.kid, "alg": self.alg, "key": { "env": VARIABLE } })
    }

    /// The entry as YAML. JSON's strings of visible ASCII are YAML's.
    fn entry_yaml(&self) -> String {
        let (kid, alg) = (Value::from(self.kid.as_str()), self.alg);
        format!(
            "# of `signature` in the configuration; Envoy has the private key in this variable\nkeys:\n  - {{ kid: {kid}, alg: {alg}, key: {{ env: {VARIABLE} }} }}\n"
        )
    }

    fn to_json(&self) -> Value {
        json!({
            "kid": self.kid,
            "alg": self.alg,
            "public_jwk": self.public_jwk,
            "entry": self.entry(),
        })
    }

    fn print(&self, as_json: bool) -> Printout {
        if as_json {
            let mut json = self.to_json();
            if let Some(members) = json.as_object_mut() {
                members.insert("private_key".into(), self.private.clone().into());
            }
            return Printout::json(0, &json);
        }
        let public = self.public_jwk.as_ref().map_or_else(
            || "# the secret is the server's key, too: there is no public one\n".to_owned(),
            |jwk| format!("# public key (JWK), for the servers\n{jwk}\n"),
        );
        let output =
            format!("# private key, for Envoy only\n{}{public}{}", self.private, self.entry_yaml());
        Printout { output, ..Printout::default() }
    }

    fn write(&self, prefix: &Path, as_json: bool) -> Result<Printout, String> {
        let named = |extension: &str| {
            let mut name = prefix.as_os_str().to_owned();
            name.push(extension);
            PathBuf::from(name)
        };
        let mut files = vec![named(".key")];
        create(&named(".key"), &self.private, PRIVATE)?;
        if let Some(jwk) = &self.public_jwk {
            create(&named(".jwk"), &format!("{jwk}\n"), PUBLIC)?;
            files.push(named(".jwk"));
        }
        let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        if as_json {
            let mut json = self.to_json();
            if let Some(members) = json.as_object_mut() {
                members.insert("files".into(), files.into());
            }
            return Ok(Printout::json(0, &json));
        }
        let output = format!("# written: {}\n{}", files.join(", "), self.entry_yaml());
        Ok(Printout { output, ..Printout::default() })
    }
}

/// Where envoy.yaml expects the key.
const VARIABLE: &str = "CERTBOUND_SIGNING_KEY";

const PRIVATE: u32 = 0o600;
const PUBLIC: u32 = 0o644;

/// Writes a file that was not there, so that nobody else can have opened it, and no key in use is lost.
fn create(file: &Path, content: &str, mode: u32) -> Result<(), String> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    let written = options.open(file).and_then(|mut file| file.write_all(content.as_bytes()));
    written.map_err(|error| format!("{} cannot be written: {error}", file.display()))
}

fn random<const LENGTH: usize>() -> Result<[u8; LENGTH], String> {
    let mut bytes = [0; LENGTH];
    getrandom::fill(&mut bytes).map_err(|error| format!("there is no randomness: {error}"))?;
    Ok(bytes)
}
