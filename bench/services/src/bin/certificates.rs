//! Writes a CA and as many client certificates as are asked for: `certificates DIRECTORY COUNT`.
//!
//! As everything of demo-pki they are derived from names: worthless anywhere else.

use std::{env, error::Error, fs, path::Path};

use demo_pki::{CertificateTemplate, Identity, Key};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [directory, count] = arguments.as_slice() else {
        return Err("usage: certificates DIRECTORY COUNT".into());
    };
    let directory = Path::new(directory);
    fs::create_dir_all(directory)?;
    let key = Key::p256("bench CA");
    fs::write(directory.join("ca.key"), key.to_pkcs8_pem())?;
    let authority = CertificateTemplate::authority("CN=bench CA").self_signed(key);
    fs::write(directory.join("ca.pem"), authority.certificate_pem())?;
    let clients = (0..count.parse()?)
        .map(|number: usize| client(number, &authority).write_to(directory, number))
        .collect::<Result<Vec<Value>, _>>()?;
    fs::write(directory.join("clients.json"), serde_json::to_vec(&clients)?)?;
    Ok(())
}

fn client(number: usize, authority: &Identity) -> Client {
    let subject = format!("CN=client-{number},O=Example Bank,C=SE");
    let key = Key::p256(&format!("bench client {number}"));
    let key_pem = key.to_pkcs8_pem();
    let identity = CertificateTemplate::client(&subject, []).issued_by(authority, key);
    Client { identity, key_pem }
}

struct Client {
    identity: Identity,
    key_pem: String,
}

impl Client {
    /// Load generators take files; what a configuration needs goes to the list.
    fn write_to(&self, directory: &Path, number: usize) -> Result<Value, Box<dyn Error>> {
        let certificate = directory.join(format!("client-{number}.pem"));
        fs::write(certificate, self.identity.certificate_pem())?;
        fs::write(directory.join(format!("client-{number}.key")), &self.key_pem)?;
        Ok(json!({ "subject": self.identity.subject(), "thumbprint": self.identity.thumbprint() }))
    }
}
