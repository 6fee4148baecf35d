//! `certbound verify` and `certbound keygen` as people and scripts use them. Requests are signed here, by hand.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a test may fail loudly"
)]

use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use demo_pki::{Key, Pki};
use hmac::{Hmac, KeyInit as _, Mac as _};
use p256::ecdsa::signature::Signer as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

static PKI: LazyLock<Pki> = LazyLock::new(Pki::new);

/// Runs the binary; returns status, standard output and standard error.
fn certbound(arguments: &[&str], input: &[u8]) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_certbound"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input may be gone.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn directory() -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cli_verify");
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// A file for the binary to read. Tests that share a name give it the same content; none sees it half written.
fn file(name: &str, content: &str) -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let path = directory().join(name);
    let draft = directory().join(format!("{name}.{}", COUNT.fetch_add(1, Ordering::Relaxed)));
    fs::write(&draft, content).unwrap();
    fs::rename(draft, &path).unwrap();
    path.into_os_string().into_string().unwrap()
}

/// A signer of one algorithm.
#[derive(Clone)]
enum Signer {
    Asymmetric(Key),
    Hmac(Vec<u8>),
}

impl Signer {
    fn all() -> [Self; 3] {
        let (ed25519, p256) = (Key::ed25519("verify"), Key::p256("verify"));
        [Self::Asymmetric(ed25519), Self::Asymmetric(p256), Self::Hmac(vec![7; 32])]
    }

    fn ed25519() -> Self {
        Self::Asymmetric(Key::ed25519("verify"))
    }

    /// Names in RFC 9421 and RFC 7518.
    fn algorithm(&self) -> (&'static str, &'static str) {
        match self {
            Self::Asymmetric(Key::Ed25519(_)) => ("ed25519", "EdDSA"),
            Self::Asymmetric(_) => ("ecdsa-p256-sha256", "ES256"),
            Self::Hmac(_) => ("hmac-sha256", "HS256"),
        }
    }

    fn sign(&self, message: &str) -> Vec<u8> {
        match self {
            Self::Asymmetric(Key::Ed25519(key)) => key.sign(message.as_bytes()).to_vec(),
            Self::Asymmetric(Key::P256(key)) => {
                let signature: p256::ecdsa::Signature = key.sign(message.as_bytes());
                signature.to_bytes().to_vec()
            }
            Self::Asymmetric(_) => unreachable!("certbound does not sign with these"),
            Self::Hmac(secret) => {
                let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
                mac.update(message.as_bytes());
                mac.finalize().into_bytes().to_vec()
            }
        }
    }

    fn jwk(&self, kid: &str) -> Value {
        let mut jwk = match self {
            Self::Asymmetric(key) => key.to_jwk(),
            Self::Hmac(secret) => {
                json!({ "kty": "oct", "k": BASE64_URL_SAFE_NO_PAD.encode(secret) })
            }
        };
        jwk["kid"] = kid.into();
        jwk
    }

    /// The key file of a verifier that needs no identifier.
    fn key_text(&self) -> String {
        match self {
            Self::Asymmetric(key) => key.to_public_key_pem(),
            Self::Hmac(secret) => BASE64_STANDARD.encode(secret),
        }
    }
}

const CREATED: u64 = 1_795_345_834;
const EXPIRES: u64 = CREATED + 60;
const AT: &str = "2026-11-22T11:10:44Z";
const BODY: &str = "grant_type=client_credentials&client_id=payments";
const COMPONENTS: [&str; 7] =
    ["client-cert", "x-client-id", "@method", "@authority", "@path", "@query", "content-digest"];

fn rfc9440(identity: &str) -> String {
    format!(":{}:", PKI.get(identity).x5c())
}

fn content_digest(body: &str) -> String {
    format!("sha-256=:{}:", BASE64_STANDARD.encode(Sha256::digest(body)))
}

/// A request and what it is signed with, each part to be changed before or after signing.
#[derive(Clone)]
struct Request {
    method: String,
    target: String,
    fields: Vec<(String, String)>,
    body: String,
}

impl Request {
    fn new() -> Self {
        let fields = [
            ("Host", "AS.example.com:443"),
            ("Client-Cert", &rfc9440("payments")),
            ("X-Client-Id", "payments"),
            ("Content-Digest", &content_digest(BODY)),
            ("Content-Length", &BODY.len().to_string()),
        ];
        Self {
            method: "POST".into(),
            target: "/oauth/token?a=b".into(),
            fields: fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            body: BODY.into(),
        }
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(field, _)| field != name);
        self
    }

    fn value(&self, name: &str) -> &str {
        let mut fields = self.fields.iter();
        let field = fields.find(|(field, _)| field.eq_ignore_ascii_case(name));
        &field.unwrap_or_else(|| panic!("{name}")).1
    }

    /// The fields that carry a signature, by RFC 9421 as written down for the reader.
    fn signature(
        &self,
        signer: &Signer,
        components: &[&str],
        parameters: &str,
    ) -> (String, String) {
        let mut base = String::new();
        for component in components {
            let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
            let value = match *component {
                "@method" => self.method.clone(),
                "@authority" => "as.example.com".to_owned(),
                "@path" => path.to_owned(),
                "@query" => format!("?{query}"),
                field => self.value(field).to_owned(),
            };
            base += &format!("\"{component}\": {value}\n");
        }
        let quoted: Vec<_> =
            components.iter().map(|component| format!("\"{component}\"")).collect();
        let input = format!("({}){parameters}", quoted.join(" "));
        base += &format!("\"@signature-params\": {input}");
        (input, format!(":{}:", BASE64_STANDARD.encode(signer.sign(&base))))
    }

    fn signed_with(
        self,
        signer: &Signer,
        label: &str,
        components: &[&str],
        parameters: &str,
    ) -> Self {
        let (input, signature) = self.signature(signer, components, parameters);
        self.with("Signature-Input", &format!("{label}={input}"))
            .with("Signature", &format!("{label}={signature}"))
    }

    fn signed(self, signer: &Signer) -> Self {
        self.signed_with(signer, "certbound", &COMPONENTS, &parameters(signer))
    }

    fn text(&self) -> String {
        let fields: String =
            self.fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("{} {} HTTP/1.1\r\n{fields}\r\n{}", self.method, self.target, self.body)
    }
}

fn parameters(signer: &Signer) -> String {
    let alg = signer.algorithm().0;
    format!(
        ";created={CREATED};expires={EXPIRES};nonce=\"n-0S6_WzA2Mj\";keyid=\"2026-11\";alg=\"{alg}\";tag=\"certbound\""
    )
}

/// What `certbound verify --json` says of a request.
fn verify_with(key: &str, request: &str, options: &[&str]) -> Value {
    let mut arguments = vec!["verify", "--json", "--key", key, "-"];
    if !options.contains(&"--at") {
        arguments.extend(["--at", AT]);
    }
    arguments.extend(options);
    let (status, output, problems) = certbound(&arguments, request.as_bytes());
    let json: Value = serde_json::from_str(&output)
        .unwrap_or_else(|error| panic!("{error}: {output} {problems}"));
    assert_eq!(status, i32::from(json["verified"] == false), "{json:#}");
    json
}

/// The reason for which a request is refused, with the key of the signer.
fn refusal(signer: &Signer, request: &str) -> String {
    let key = file(
        &format!("refusal-{}", signer.algorithm().0),
        &json!({ "keys": [signer.jwk("2026-11")] }).to_string(),
    );
    let json = verify_with(&key, request, &[]);
    json["reason"].as_str().unwrap_or_else(|| panic!("verified: {request}\n{json:#}")).to_owned()
}

#[test]
fn every_algorithm_is_verified_with_every_form_of_its_key() {
    for signer in Signer::all() {
        let request = Request::new().signed(&signer).text();
        let alg = signer.algorithm().0;
        let other = Signer::Hmac(vec![8; 32]).jwk("other");
        for (form, key) in [
            ("key", signer.key_text()),
            ("jwk", signer.jwk("2026-11").to_string()),
            ("jwks", json!({ "keys": [other, signer.jwk("2026-11")] }).to_string()),
        ] {
            let json = verify_with(&file(&format!("{alg}.{form}"), &key), &request, &[]);
            assert_eq!(json["verified"], true, "{alg} {form}: {json:#}");
            assert_eq!(json["certificate"]["x5t#S256"], PKI.get("payments").thumbprint());
            assert_eq!(json["certificate"]["subject"], "CN=payments,O=Example Bank,C=SE");
            assert_eq!(json["http_message_signature"]["components"], json!(COMPONENTS));
            assert_eq!(json["http_message_signature"]["alg"], alg);
            assert_eq!(json["http_message_signature"]["expires"], "2026-11-22T11:11:34Z");
            assert!(json["notes"].to_string().contains("cannot be seen here"), "{json:#}");
        }
    }
}

#[test]
fn people_are_told_what_is_covered_and_what_not() {
    let key = file("people.pub", &Signer::ed25519().key_text());
    let components = ["client-cert", "@method", "@authority", "@path", "content-digest"];
    let request = Request::new().without("X-Client-Id").signed_with(
        &Signer::ed25519(),
        "certbound",
        &components,
        &parameters(&Signer::ed25519()),
    );
    let path = file("people.http", &request.text());
    let (status, output, problems) = certbound(&["verify", "--key", &key, "--at", AT, &path], b"");
    assert_eq!((status, problems.as_str()), (0, ""));
    let thumbprint = PKI.get("payments").thumbprint();
    assert_eq!(
        output,
        format!(
            "verified\ncertbound signed this request, and it is unchanged\n\n\
             \x20 x5t#S256       {thumbprint}\n\
             \x20 subject        CN=payments,O=Example Bank,C=SE\n\
             \x20 RFC 9421       ed25519, key 2026-11\n\
             \x20 covers         client-cert @method @authority @path content-digest\n\
             \x20 valid          2026-11-22T11:10:34Z to 2026-11-22T11:11:34Z\n\
             \x20 nonce          n-0S6_WzA2Mj\n\
             \x20 at             {AT}\n\
             \x20 note           whether this nonce was used before cannot be seen here: the server must accept it once only\n\
             \x20                the query is not covered\n"
        )
    );
    let tampered = file("people-tampered.http", &request.text().replace("POST", "PUT"));
    let (status, output, _) = certbound(&["verify", "--key", &key, "--at", AT, &tampered], b"");
    assert_eq!(status, 1);
    assert_eq!(
        output,
        format!(
            "not verified: signature_mismatch\nthe signature is not the key's over this request\n\n  at             {AT}\n"
        )
    );
}

#[test]
fn a_change_to_any_covered_part_is_detected() {
    for signer in Signer::all() {
        let good = Request::new().signed(&signer);
        let text = good.text();
        let other_body = BODY.replace("payments", "paymentz");
        for (what, changed, reason) in [
            ("method", text.replace("POST", "PUT"), "signature_mismatch"),
            ("path", text.replace("/oauth/token", "/oauth/revoke"), "signature_mismatch"),
            ("query", text.replace("?a=b", "?a=c"), "signature_mismatch"),
            ("no query", text.replace("?a=b", ""), "signature_mismatch"),
            ("authority", text.replace("AS.example.com", "as2.example.com"), "signature_mismatch"),
            ("port", text.replace(":443", ":8443"), "signature_mismatch"),
            ("body", text.replace(BODY, &other_body), "content_digest_mismatch"),
            (
                "body and digest",
                text.replace(BODY, &other_body)
                    .replace(&content_digest(BODY), &content_digest(&other_body)),
                "signature_mismatch",
            ),
            (
                "client",
                text.replace("X-Client-Id: payments", "X-Client-Id: batch"),
                "signature_mismatch",
            ),
            (
                "certificate",
                text.replace(&rfc9440("payments"), &rfc9440("batch")),
                "signature_mismatch",
            ),
            (
                "created",
                text.replace(&format!("created={CREATED}"), "created=1795345840"),
                "signature_mismatch",
            ),
            (
                "expires",
                text.replace(&format!("expires={EXPIRES}"), "expires=4102444800"),
                "signature_mismatch",
            ),
            ("nonce", text.replace("n-0S6", "n-0S7"), "signature_mismatch"),
            (
                "order",
                text.replace("\"@method\" \"@authority\"", "\"@authority\" \"@method\""),
                "signature_mismatch",
            ),
            ("component", text.replace(" \"@query\"", ""), "signature_mismatch"),
            ("client not covered", text.replace(" \"x-client-id\"", ""), "signature_mismatch"),
            ("parameter", text.replace(";tag=", ";x=1;tag="), "signature_mismatch"),
            ("keyid", text.replace("2026-11", "2026-12"), "key_unknown"),
            ("tag", text.replace("tag=\"certbound\"", "tag=\"other\""), "tag_mismatch"),
            ("label", text.replace("certbound=", "other="), "tag_repeated"),
            ("label of the value", text.replace("certbound=:", "other=:"), "signature_incomplete"),
            ("no signature", good.clone().without("Signature").text(), "signature_incomplete"),
            ("no input", good.clone().without("Signature-Input").text(), "signature_incomplete"),
            (
                "neither",
                good.clone().without("Signature").without("Signature-Input").text(),
                "signature_missing",
            ),
            ("no digest", good.clone().without("Content-Digest").text(), "covered_field_absent"),
            ("no certificate", good.clone().without("Client-Cert").text(), "covered_field_absent"),
            (
                "other certificate as well",
                good.clone().with("Client-Cert", &rfc9440("batch")).text(),
                "signature_mismatch",
            ),
            (
                "other digest as well",
                good.clone().with("Content-Digest", &content_digest("x")).text(),
                "member_repeated",
            ),
            ("signed twice", good.clone().signed(&signer).text(), "member_repeated"),
            (
                "certificate of another dialect",
                good.clone().with("X-SSL-Client-Cert", "x").text(),
                "field_not_covered",
            ),
            (
                "certificate with underscore",
                good.clone().with("Client_Cert", &rfc9440("batch")).text(),
                "field_not_covered",
            ),
        ] {
            assert_ne!(changed, text, "{what}: the test changes nothing");
            assert_eq!(refusal(&signer, &changed), reason, "{what}");
        }
    }
}

#[test]
fn signatures_of_others_do_not_matter() {
    let signer = Signer::ed25519();
    let attacker = Signer::Asymmetric(Key::ed25519("attacker"));
    let key = file("others", &signer.key_text());
    let mut others = Request::new();
    others.fields[2].1 = "batch".into();
    let (input, signature) = others.signature(&attacker, &COMPONENTS, ";created=1;tag=\"app\"");
    // A string that holds a member of ours is none.
    let quoted = r#"quoted=("@method");x="\", certbound=(\"@method\")""#;
    for order in [false, true] {
        let mut request = Request::new().signed(&signer);
        let (ours, value) =
            (request.value("Signature-Input").to_owned(), request.value("Signature").to_owned());
        request = request.without("Signature").without("Signature-Input");
        let theirs =
            [format!("other={input}, {quoted}"), format!("other={signature}, quoted=:AA==:")];
        let [first, second] = if order { [[ours, value], theirs] } else { [theirs, [ours, value]] };
        for [input, value] in [first, second] {
            request = request.with("Signature-Input", &input).with("Signature", &value);
        }
        assert_eq!(verify_with(&key, &request.text(), &[])["verified"], true);
        // With our tag a verifier that goes by it could take this one.
        let tagged = request.text().replace("tag=\"app\"", "tag=\"certbound\"");
        assert_eq!(verify_with(&key, &tagged, &[])["reason"], "tag_repeated");
    }
    let only_theirs =
        Request::new().signed_with(&attacker, "certbound", &COMPONENTS, &parameters(&attacker));
    assert_eq!(verify_with(&key, &only_theirs.text(), &[])["reason"], "signature_mismatch");
}

/// What the holder of the key signed, but not so that a server may rely on it.
#[test]
fn signatures_that_leave_something_open_are_refused() {
    let signer = Signer::ed25519();
    let good = parameters(&signer);
    let without = |name: &str| {
        let all = good.split(';').filter(|parameter| !parameter.starts_with(&format!("{name}=")));
        all.collect::<Vec<_>>().join(";")
    };
    let sign = |components: &[&str], parameters: &str| {
        Request::new().signed_with(&signer, "certbound", components, parameters).text()
    };
    for component in ["client-cert", "@method", "@authority", "@path", "content-digest"] {
        let fewer: Vec<_> = COMPONENTS.into_iter().filter(|name| *name != component).collect();
        assert_eq!(refusal(&signer, &sign(&fewer, &good)), "component_not_covered", "{component}");
    }
    let without_client: Vec<_> =
        COMPONENTS.into_iter().filter(|name| *name != "x-client-id").collect();
    assert_eq!(refusal(&signer, &sign(&without_client, &good)), "field_not_covered");
    for parameter in ["created", "expires", "nonce", "tag"] {
        let reason = refusal(&signer, &sign(&COMPONENTS, &without(parameter)));
        assert_eq!(reason, "parameter_missing", "{parameter}");
    }
    for (what, parameters, reason) in [
        (
            "created is text",
            good.replace(&CREATED.to_string(), "\"1795345834\""),
            "parameter_missing",
        ),
        ("created is negative", good.replace(&CREATED.to_string(), "-1"), "parameter_missing"),
        ("empty nonce", good.replace("n-0S6_WzA2Mj", ""), "parameter_missing"),
        ("nonce is a token", good.replace("\"n-0S6_WzA2Mj\"", "abc"), "parameter_missing"),
        ("no lifetime", good.replace(&EXPIRES.to_string(), &CREATED.to_string()), "lifetime_empty"),
        ("another algorithm", good.replace("ed25519", "hmac-sha256"), "algorithm_mismatch"),
        ("algorithm none", good.replace("ed25519", "none"), "algorithm_mismatch"),
        ("another key", good.replace("2026-11", "2026-10"), "key_unknown"),
        ("another tag", good.replace("\"certbound\"", "\"certbound2\""), "tag_mismatch"),
    ] {
        assert_eq!(refusal(&signer, &sign(&COMPONENTS, &parameters)), reason, "{what}");
    }
    let twice = [&COMPONENTS[..], &["@method"]].concat();
    assert_eq!(refusal(&signer, &sign(&twice, &good)), "component_repeated");
    let unknown = sign(&COMPONENTS, &good).replace("\"@query\"", "\"@status\"");
    assert_eq!(refusal(&signer, &unknown), "component_unsupported");
    let modified = sign(&COMPONENTS, &good).replace("\"@query\"", "\"@query\";req");
    assert_eq!(refusal(&signer, &modified), "component_unsupported");
    // The key is named by nothing: fine while there is one.
    let key = file("anonymous", &signer.jwk("2026-11").to_string());
    let anonymous = sign(&COMPONENTS, &without("keyid"));
    assert_eq!(verify_with(&key, &anonymous, &[])["verified"], true);
    let keys = json!({ "keys": [signer.jwk("2026-11"), Signer::Hmac(vec![1; 32]).jwk("2")] });
    let keys = file("anonymous-among-two", &keys.to_string());
    assert_eq!(verify_with(&keys, &anonymous, &[])["reason"], "key_unknown");
}

#[test]
fn times_count_to_the_second_with_leeway() {
    let signer = Signer::ed25519();
    let request = Request::new().signed(&signer).text();
    let key = file("times", &signer.key_text());
    for (at, leeway, expected) in [
        ("2026-11-22T11:10:29Z", "5", json!(null)),
        ("2026-11-22T11:10:28Z", "5", json!("not_yet_valid")),
        ("2026-11-22T11:10:34Z", "0", json!(null)),
        ("2026-11-22T11:10:33Z", "0", json!("not_yet_valid")),
        ("2026-11-22T11:11:39Z", "5", json!(null)),
        ("2026-11-22T11:11:40Z", "5", json!("expired")),
        ("2026-11-22T11:11:34Z", "0", json!(null)),
        ("2026-11-22T11:11:35Z", "0", json!("expired")),
        ("2126-11-22", "5", json!("expired")),
    ] {
        let json = verify_with(&key, &request, &["--at", at, "--leeway", leeway]);
        assert_eq!(json["reason"], expected, "{at} {leeway}");
    }
}

#[test]
fn a_public_key_is_never_a_secret() {
    for signer in Signer::all().into_iter().take(2) {
        let Signer::Asymmetric(key) = &signer else { panic!("the first two have public keys") };
        let pem = key.to_public_key_pem();
        // Signed with HMAC by someone who knows the public key, as PEM, DER or bare.
        let der = BASE64_STANDARD
            .decode(pem.lines().filter(|line| !line.starts_with('-')).collect::<String>())
            .unwrap();
        for secret in [pem.as_bytes(), pem.trim().as_bytes(), &der, &der[der.len() - 32..]] {
            let forger = Signer::Hmac(secret.into());
            let forged = |parameters: &str| {
                let request = Request::new();
                request.signed_with(&forger, "certbound", &COMPONENTS, parameters).text()
            };
            assert_eq!(refusal(&signer, &forged(&parameters(&forger))), "algorithm_mismatch");
            assert_eq!(refusal(&signer, &forged(&parameters(&signer))), "signature_mismatch");
            for (alg, reason) in [(&forger, "algorithm_mismatch"), (&signer, "signature_mismatch")]
            {
                let forged = with_jws(Request::new(), &forger, &jws_header(alg), &claims());
                assert_eq!(refusal(&signer, &forged), reason);
            }
        }
        // Nor does the operator get to give it as one.
        for (form, text) in [
            ("der", BASE64_STANDARD.encode(&der)),
            ("oct", json!({ "kty": "oct", "k": BASE64_URL_SAFE_NO_PAD.encode(&der) }).to_string()),
            (
                "oct-pem",
                json!({ "kty": "oct", "k": BASE64_URL_SAFE_NO_PAD.encode(&pem) }).to_string(),
            ),
        ] {
            let name = format!("public-as-secret-{}-{form}", signer.algorithm().0);
            let (status, _, problems) = certbound(
                &["verify", "--key", &file(&name, &text), "-"],
                Request::new().text().as_bytes(),
            );
            assert_eq!(status, 1);
            assert!(problems.contains("everyone could sign with it"), "{form}: {problems}");
        }
    }
}

#[test]
fn keys_that_cannot_be_used_are_explained() {
    let p256 = Key::p256("verify");
    let ed25519 = Key::ed25519("verify");
    let jwk = |change: &dyn Fn(&mut Value)| {
        let mut jwk = ed25519.to_jwk();
        change(&mut jwk);
        jwk.to_string()
    };
    for (name, text, message) in [
        ("nothing", String::new(), "too short"),
        ("prose", "the key is under the mat".into(), "neither a PEM public key"),
        ("private", p256.to_pkcs8_pem(), "private key"),
        ("private-jwk", jwk(&|jwk| jwk["d"] = "AA".into()), "private key"),
        ("certificate", PKI.get("payments").certificate_pem(), "neither a PEM public key"),
        ("two", ed25519.to_public_key_pem() + &p256.to_public_key_pem(), "neither a PEM public key"),
        ("rsa", Key::rsa_2048().to_public_key_pem(), "no type that certbound signs with"),
        ("p384", Key::p384("verify").to_jwk().to_string(), "no type that certbound signs with"),
        ("short", BASE64_STANDARD.encode([1; 31]), "too short"),
        ("no-keys", json!({ "keys": [] }).to_string(), "has no keys"),
        ("no-list", json!({ "keys": 1 }).to_string(), "neither a PEM public key"),
        ("no-kid", json!({ "keys": [ed25519.to_jwk(), p256.to_jwk()] }).to_string(), "`kid` of its own"),
        (
            "same-kid",
            json!({ "keys": [Signer::Hmac(vec![1; 32]).jwk("1"), Signer::Hmac(vec![2; 32]).jwk("1")] }).to_string(),
            "`kid` of its own",
        ),
        ("alg", jwk(&|jwk| jwk["alg"] = "HS256".into()), "`alg` of the JWK"),
        ("alg-number", jwk(&|jwk| jwk["alg"] = 1.into()), "`alg` of the JWK"),
        ("use", jwk(&|jwk| jwk["use"] = "enc".into()), "excludes verifying"),
        ("key_ops", jwk(&|jwk| jwk["key_ops"] = json!(["encrypt"])), "excludes verifying"),
        ("small-order", jwk(&|jwk| jwk["x"] = BASE64_URL_SAFE_NO_PAD.encode([0; 32]).into()), "no usable point"),
        (
            "off-curve",
            json!({ "kty": "EC", "crv": "P-256", "x": BASE64_URL_SAFE_NO_PAD.encode([1; 32]), "y": BASE64_URL_SAFE_NO_PAD.encode([1; 32]) }).to_string(),
            "no usable point",
        ),
    ] {
        let key = file(&format!("unusable-{name}"), &text);
        let (status, output, problems) =
            certbound(&["verify", "--key", &key, "-"], Request::new().text().as_bytes());
        assert_eq!((status, output.as_str()), (1, ""), "{name}");
        assert!(problems.starts_with("error: ") && problems.contains(message), "{name}: {problems}");
    }
    for accepted in [
        jwk(&|jwk| jwk["alg"] = "EdDSA".into()),
        jwk(&|jwk| jwk["alg"] = "Ed25519".into()),
        jwk(&|jwk| jwk["use"] = "sig".into()),
        jwk(&|jwk| jwk["key_ops"] = json!(["verify"])),
    ] {
        let key = file("usable", &accepted);
        assert_eq!(verify_with(&key, &Request::new().text(), &[])["reason"], "signature_missing");
    }
    let key = file("key-for-no-request", &ed25519.to_public_key_pem());
    let (status, _, problems) = certbound(&["verify", "--key", &key, "-"], b"no request");
    assert_eq!(status, 1);
    assert!(problems.contains("not a request line"), "{problems}");
    let (status, _, problems) = certbound(&["verify", "--key", "-", "-"], b"");
    assert_eq!(status, 1);
    assert!(problems.contains("give one as a file"), "{problems}");
}

#[test]
fn what_is_required_can_be_said() {
    let signer = Signer::ed25519();
    let key = file("require", &signer.key_text());
    let components = ["client-cert", "@method", "@path"];
    let request = Request::new().without("X-Client-Id").signed_with(
        &signer,
        "certbound",
        &components,
        &parameters(&signer),
    );
    let text = request.text();
    assert_eq!(verify_with(&key, &text, &[])["reason"], "component_not_covered");
    let enough = ["--require", "@method", "--require", "@path"];
    let json = verify_with(&key, &text, &enough);
    assert_eq!(json["verified"], true);
    for note in ["the body is not covered", "@authority is not covered", "the query is not covered"]
    {
        assert!(json["notes"].to_string().contains(note), "{note}: {json:#}");
    }
    let more = [&enough[..], &["--require", "X-Request-Id"]].concat();
    assert_eq!(verify_with(&key, &text, &more)["reason"], "component_not_covered");
    // A body that contradicts its digest is refused even so.
    let changed = text.replace(BODY, &BODY.replace("payments", "paymentz"));
    assert_eq!(verify_with(&key, &changed, &enough)["reason"], "content_digest_mismatch");
    // Another label, another certificate header.
    let mut renamed = Request::new().without("Client-Cert").without("X-Client-Id");
    renamed = renamed.with("X-My-Cert", &rfc9440("payments"));
    let components = ["x-my-cert", "@method", "@authority", "@path", "content-digest"];
    let renamed = renamed.signed_with(&signer, "proxy", &components, &parameters(&signer)).text();
    assert_eq!(
        verify_with(&key, &renamed, &["--certificate-header", "X-My-Cert"])["reason"],
        "tag_repeated"
    );
    let options = ["--certificate-header", "X-My-Cert", "--label", "proxy"];
    let json = verify_with(&key, &renamed, &options);
    assert_eq!(json["certificate"]["x5t#S256"], PKI.get("payments").thumbprint(), "{json:#}");
}

/// Claims of a JWS for the request of these tests.
fn claims() -> Value {
    json!({
        "iss": "https://proxy.example.com",
        "aud": "https://as.example.com",
        "iat": CREATED,
        "exp": EXPIRES,
        "jti": "n-0S6_WzA2Mj",
        "client_id": "payments",
        "cnf": { "x5t#S256": PKI.get("payments").thumbprint() },
        "htm": "POST",
        "htu": "https://as.example.com/oauth/token",
        "content_digest": content_digest(BODY),
    })
}

fn jws_header(signer: &Signer) -> Value {
    json!({ "alg": signer.algorithm().1, "typ": "certbound+jwt", "kid": "2026-11" })
}

fn jws(signer: &Signer, header: &str, claims: &str) -> String {
    let [header, claims] = [header, claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
    let input = format!("{header}.{claims}");
    format!("{input}.{}", BASE64_URL_SAFE_NO_PAD.encode(signer.sign(&input)))
}

fn with_jws(request: Request, signer: &Signer, header: &Value, claims: &Value) -> String {
    request.with("Client-Cert-JWT", &jws(signer, &header.to_string(), &claims.to_string())).text()
}

#[test]
fn a_jws_is_verified_with_every_algorithm() {
    for signer in Signer::all() {
        let key =
            file(&format!("jws-{}", signer.algorithm().0), &signer.jwk("2026-11").to_string());
        let request = with_jws(Request::new(), &signer, &jws_header(&signer), &claims());
        let expected =
            ["--issuer", "https://proxy.example.com", "--audience", "https://as.example.com"];
        let json = verify_with(&key, &request, &expected);
        assert_eq!(json["verified"], true, "{json:#}");
        assert_eq!(json["certificate"]["x5t#S256"], PKI.get("payments").thumbprint());
        assert_eq!(json["jws"]["client_id"], "payments");
        assert_eq!(json["jws"]["bound_by"], json!(["htm", "htu", "content_digest", "cnf"]));
        assert_eq!(json["http_message_signature"], json!(null));
        // Beside the other signature, of which each is checked.
        let both =
            with_jws(Request::new().signed(&signer), &signer, &jws_header(&signer), &claims());
        assert_eq!(verify_with(&key, &both, &[])["verified"], true);
        let one_bad = both.replace("certbound=:", "certbound=:AAAA");
        assert_eq!(verify_with(&key, &one_bad, &[])["verified"], false);
        let mut other = claims();
        other["htm"] = "PUT".into();
        let other_bad =
            with_jws(Request::new().signed(&signer), &signer, &jws_header(&signer), &other);
        assert_eq!(verify_with(&key, &other_bad, &[])["reason"], "claim_mismatch");
        // With the certificate in it instead of the header.
        let mut header = jws_header(&signer);
        header["x5c"] = json!([PKI.get("payments").x5c()]);
        let alone = with_jws(Request::new().without("Client-Cert"), &signer, &header, &claims());
        let json = verify_with(&key, &alone, &[]);
        assert_eq!(json["certificate"]["subject"], "CN=payments,O=Example Bank,C=SE", "{json:#}");
        let unchecked = json["notes"].to_string();
        assert!(unchecked.contains("`iss`") && unchecked.contains("`aud`"), "{unchecked}");
    }
}

#[test]
fn a_jws_for_anything_else_is_refused() {
    let signer = Signer::ed25519();
    let key = file("jws-else", &json!({ "keys": [signer.jwk("2026-11")] }).to_string());
    let options = ["--issuer", "https://proxy.example.com", "--audience", "https://as.example.com"];
    let refused = |request: &str| {
        let json = verify_with(&key, request, &options);
        json["reason"].as_str().unwrap_or("verified").to_owned()
    };
    let with_claim = |name: &str, value: Value| {
        let mut claims = claims();
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value,
        }
        with_jws(Request::new(), &signer, &jws_header(&signer), &claims)
    };
    for (name, value, reason) in [
        ("iss", json!("https://evil.example.com"), "issuer_mismatch"),
        ("iss", json!(null), "issuer_mismatch"),
        ("aud", json!("https://other.example.com"), "audience_mismatch"),
        ("aud", json!(["https://other.example.com"]), "audience_mismatch"),
        ("aud", json!(null), "audience_mismatch"),
        ("iat", json!(null), "field_malformed"),
        ("iat", json!("1795345834"), "field_malformed"),
        ("iat", json!(CREATED + 100), "not_yet_valid"),
        ("exp", json!(null), "field_malformed"),
        ("exp", json!(CREATED), "lifetime_empty"),
        ("jti", json!(null), "field_malformed"),
        ("jti", json!(""), "claim_mismatch"),
        ("cnf", json!(null), "field_malformed"),
        ("cnf", json!({ "x5t#S256": PKI.get("batch").thumbprint() }), "claim_mismatch"),
        ("cnf", json!({ "x5t#S256": "" }), "claim_mismatch"),
        ("cnf", json!({ "jkt": "x" }), "field_malformed"),
        ("htm", json!("PUT"), "claim_mismatch"),
        ("htm", json!("post"), "claim_mismatch"),
        ("htm", json!(null), "field_malformed"),
        ("htu", json!("https://as.example.com/oauth/revoke"), "claim_mismatch"),
        ("htu", json!("https://as.example.com/oauth/token?a=b"), "claim_mismatch"),
        ("htu", json!("https://as2.example.com/oauth/token"), "claim_mismatch"),
        ("htu", json!("http://as.example.com/oauth/token"), "claim_mismatch"),
        ("htu", json!(null), "field_malformed"),
        ("content_digest", json!(content_digest("other")), "claim_mismatch"),
        ("content_digest", json!(null), "claim_mismatch"),
        ("client_id", json!("batch"), "field_not_covered"),
        ("client_id", json!(null), "field_not_covered"),
    ] {
        assert_eq!(refused(&with_claim(name, value.clone())), reason, "{name} {value}");
    }
    assert_eq!(
        refused(&with_claim("aud", json!(["https://x", "https://as.example.com"]))),
        "verified"
    );

    let with_header = |name: &str, value: Value| {
        let mut header = jws_header(&signer);
        header[name] = value;
        with_jws(Request::new(), &signer, &header, &claims())
    };
    for (name, value, reason) in [
        ("alg", json!("none"), "algorithm_mismatch"),
        ("alg", json!("HS256"), "algorithm_mismatch"),
        ("alg", json!("ES256"), "algorithm_mismatch"),
        ("alg", json!(null), "field_malformed"),
        ("typ", json!("JWT"), "type_mismatch"),
        ("typ", json!("dpop+jwt"), "type_mismatch"),
        ("typ", json!(null), "type_mismatch"),
        ("kid", json!("2026-12"), "key_unknown"),
        ("crit", json!(["exp"]), "field_malformed"),
        ("x5c", json!([]), "field_malformed"),
        ("x5c", json!([PKI.get("batch").x5c()]), "claim_mismatch"),
    ] {
        assert_eq!(refused(&with_header(name, value.clone())), reason, "{name} {value}");
    }
    assert_eq!(refused(&with_header("alg", json!("Ed25519"))), "verified");

    let good = jws(&signer, &jws_header(&signer).to_string(), &claims().to_string());
    let of = |text: &str| refused(&Request::new().with("Client-Cert-JWT", text).text());
    assert_eq!(of(&good), "verified");
    assert_eq!(of(&good.replace(".e", ".f")), "signature_mismatch");
    assert_eq!(of(good.rsplit_once('.').unwrap().0), "field_malformed");
    assert_eq!(of(&format!("{}.", good.rsplit_once('.').unwrap().0)), "signature_mismatch");
    assert_eq!(of(&format!("{good}=")), "field_malformed");
    assert_eq!(of(""), "field_malformed");
    let claims_twice = claims().to_string().replacen('{', "{\"htm\":\"PUT\",", 1);
    assert_eq!(
        of(&jws(&signer, &jws_header(&signer).to_string(), &claims_twice)),
        "field_malformed"
    );
    let list = r#"["EdDSA","certbound+jwt","2026-11",null,null]"#;
    assert_eq!(of(&jws(&signer, list, &claims().to_string())), "field_malformed");
    let twice = Request::new().with("Client-Cert-JWT", &good).with("Client-Cert-JWT", &good).text();
    assert_eq!(refused(&twice), "field_repeated");
    // The attacker's key in the header changes nothing.
    let attacker = Signer::Asymmetric(Key::ed25519("attacker"));
    let mut header = jws_header(&attacker);
    header["jwk"] = attacker.jwk("2026-11");
    assert_eq!(
        of(&jws(&attacker, &header.to_string(), &claims().to_string())),
        "signature_mismatch"
    );
    // Tampering with the request.
    let request = Request::new().with("Client-Cert-JWT", &good);
    for (what, changed, reason) in [
        (
            "certificate",
            request.text().replace(&rfc9440("payments"), &rfc9440("batch")),
            "claim_mismatch",
        ),
        ("client", request.text().replace("Id: payments", "Id: batch"), "field_not_covered"),
        (
            "body",
            request.text().replace(BODY, &BODY.replace("payments", "paymentz")),
            "content_digest_mismatch",
        ),
        (
            "two certificates",
            request.clone().with("Client-Cert", &rfc9440("batch")).text(),
            "field_repeated",
        ),
        (
            "chain",
            request.clone().with("Client-Cert-Chain", &rfc9440("batch")).text(),
            "field_not_covered",
        ),
        (
            "unreadable certificate",
            request.text().replace(&rfc9440("payments"), "Subject=\"CN=batch\""),
            "field_not_covered",
        ),
        (
            "body without its digest",
            request
                .clone()
                .without("Content-Digest")
                .text()
                .replace(BODY, &BODY.replace("payments", "paymentz")),
            "claim_mismatch",
        ),
    ] {
        assert_eq!(refused(&changed), reason, "{what}");
    }
}

#[test]
fn certificates_in_the_forms_of_other_servers_are_compared_with_cnf() {
    let signer = Signer::ed25519();
    let key = file("jws-forms", &signer.key_text());
    let good = jws(&signer, &jws_header(&signer).to_string(), &claims().to_string());
    let pem = |name: &str| {
        PKI.get(name).certificate_pem().replace(' ', "%20").replace('\n', "%0A").replace('+', "%2B")
    };
    for (own, other) in
        [(pem("payments"), pem("batch")), (PKI.get("payments").x5c(), PKI.get("batch").x5c())]
    {
        let with = |value: &str| {
            let request = Request::new().without("Client-Cert").with("ssl-client-cert", value);
            verify_with(
                &key,
                &request.with("Client-Cert-JWT", &good).text(),
                &["--certificate-header", "SSL-Client-Cert"],
            )
        };
        assert_eq!(with(&own)["verified"], true);
        assert_eq!(with(&other)["reason"], "claim_mismatch");
    }
}

#[test]
fn a_new_key_signs_what_its_public_key_verifies() {
    for (alg, names) in
        [("ed25519", "EdDSA"), ("ecdsa-p256-sha256", "ES256"), ("hmac-sha256", "HS256")]
    {
        let (status, output, problems) = certbound(&["keygen", "--alg", alg, "--json"], b"");
        assert_eq!((status, problems.as_str()), (0, ""));
        let json: Value = serde_json::from_str(&output).unwrap();
        let private = json["private_key"].as_str().unwrap();
        let kid = json["kid"].as_str().unwrap();
        assert_eq!(
            json["entry"],
            json!({ "kid": kid, "alg": alg, "key": { "env": "CERTBOUND_SIGNING_KEY" } })
        );
        let (signer, public) = match alg {
            "ed25519" => {
                use ed25519_dalek::pkcs8::DecodePrivateKey as _;
                let key = ed25519_dalek::SigningKey::from_pkcs8_pem(private).unwrap();
                (Signer::Asymmetric(Key::Ed25519(key.into())), json["public_jwk"].to_string())
            }
            "ecdsa-p256-sha256" => {
                use p256::pkcs8::DecodePrivateKey as _;
                let key = p256::ecdsa::SigningKey::from_pkcs8_pem(private).unwrap();
                (Signer::Asymmetric(Key::P256(key.into())), json["public_jwk"].to_string())
            }
            _ => {
                assert_eq!(json["public_jwk"], json!(null), "{json:#}");
                let secret = BASE64_STANDARD.decode(private.trim()).unwrap();
                (Signer::Hmac(secret), private.to_owned())
            }
        };
        assert_eq!(signer.algorithm(), (alg, names));
        let parameters = parameters(&signer).replace("2026-11", kid);
        let request =
            Request::new().signed_with(&signer, "certbound", &COMPONENTS, &parameters).text();
        assert_eq!(
            verify_with(&file(&format!("new-{alg}"), &public), &request, &[])["verified"],
            true
        );
        let (_, again, _) = certbound(&["keygen", "--alg", alg, "--json"], b"");
        let again: Value = serde_json::from_str(&again).unwrap();
        assert_ne!(again["private_key"], json["private_key"]);
        assert_ne!(again["kid"], json["kid"]);
    }
}

#[test]
fn new_keys_are_written_for_their_owner_only_and_never_over_others() {
    for (alg, has_public) in
        [("ed25519", true), ("ecdsa-p256-sha256", true), ("hmac-sha256", false)]
    {
        let prefix = directory().join(format!("written-{alg}"));
        let prefix = prefix.to_str().unwrap();
        for extension in ["key", "jwk"] {
            let _ = fs::remove_file(format!("{prefix}.{extension}"));
        }
        let arguments = ["keygen", "--alg", alg, "--kid", "2026-11", "--out", prefix];
        let (status, output, problems) = certbound(&arguments, b"");
        assert_eq!((status, problems.as_str()), (0, ""));
        assert!(
            output.ends_with(&format!(
                "keys:\n  - {{ kid: \"2026-11\", alg: {alg}, key: {{ env: CERTBOUND_SIGNING_KEY }} }}\n"
            )),
            "{output}"
        );
        let private = fs::read_to_string(format!("{prefix}.key")).unwrap();
        assert!(
            !output.contains(private.lines().nth(usize::from(has_public)).unwrap()),
            "{output}"
        );
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(format!("{prefix}.key")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert_eq!(fs::exists(format!("{prefix}.jwk")).unwrap(), has_public);
        if has_public {
            let jwk: Value =
                serde_json::from_slice(&fs::read(format!("{prefix}.jwk")).unwrap()).unwrap();
            assert_eq!(jwk["kid"], "2026-11");
            assert_eq!(jwk["use"], "sig");
            assert_eq!(jwk["d"], json!(null));
        }
        let (status, _, problems) = certbound(&arguments, b"");
        assert_eq!(status, 1);
        assert!(problems.contains("cannot be written"), "{problems}");
        assert_eq!(fs::read_to_string(format!("{prefix}.key")).unwrap(), private);
    }
    let (status, _, problems) =
        certbound(&["keygen", "--alg", "ed25519", "--kid", "with space"], b"");
    assert_eq!(status, 2);
    assert!(problems.contains("visible ASCII"), "{problems}");
}

/// The entry that is printed is one that the configuration takes.
#[test]
fn the_printed_entry_can_be_pasted() {
    for alg in ["ed25519", "ecdsa-p256-sha256", "hmac-sha256"] {
        let (_, output, _) = certbound(&["keygen", "--alg", alg], b"");
        let entry: String = output
            .lines()
            .skip_while(|line| *line != "keys:")
            .map(|line| format!("  {line}\n"))
            .collect();
        let configuration = format!(
            "endpoints: [{{ path: /token }}]\nsignature:\n  http_message_signature: {{}}\n{entry}"
        );
        let (status, _, problems) = certbound(&["check", "-"], configuration.as_bytes());
        assert_eq!(status, 0, "{configuration}\n{problems}");
    }
}
