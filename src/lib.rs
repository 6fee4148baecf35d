#![doc = "certbound makes Envoy the mutual-TLS front door of any OAuth 2.0 authorization server (RFC 8705)."]
//!
//! The crate is layered; a module uses its own layer and those above it in this list, never one below:
//!
//! 1. formats, bytes to values and back: [`basic`], [`certificate`], [`distinguished_name`], [`form`],
//!    [`headers`], [`json_object`], [`jwt`], [`pem`], [`public_key`], [`thumbprint`], [`verified_payload`], [`xfcc`]; and `generations`, a
//!    bounded memory
//! 2. meaning: [`client`] (registered clients and their rules), [`client_cert`] (the certificate header),
//!    [`endpoint`] (where clients authenticate), [`signing_key`], [`verification_key`], [`http_signature`], [`jws`],
//!    [`jwk_set`], [`discovery`] (the server's metadata), [`response`] (the filter's own), [`sanitise`] (which headers go),
//!    [`trust`] (anchors, path validation, revocation), [`upstream_authentication`], [`config`]
//! 3. decision: [`request`] (what the filter was told), [`known_certificate`] (what it need not be told again), `identify`
//!    (who it is from), `presented` (with which certificate), [`authenticate`], [`protected_resource`], `forward` and `sign`
//!    (what goes to the server), [`rejection`] (the one table from reason to answer); for servers, [`verification`] (did
//!    certbound sign this request)
//! 4. the edges: `filter`, compiled for wasm32 only, the only code that names the host; and the command line (src/cli)
//!
//! Layers 1 to 3 do no I/O and take time and randomness as arguments.

pub mod authenticate;
pub mod basic;
pub mod certificate;
pub mod client;
pub mod client_cert;
pub mod config;
pub mod discovery;
pub mod distinguished_name;
pub mod endpoint;
pub mod form;
mod forward;
mod generations;
pub mod headers;
pub mod http_signature;
mod identify;
pub mod json_object;
pub mod jwk_set;
pub mod jws;
pub mod jwt;
pub mod known_certificate;
pub mod pem;
mod presented;
pub mod protected_resource;
pub mod public_key;
pub mod rejection;
pub mod request;
pub mod response;
pub mod sanitise;
mod sign;
pub mod signing_key;
pub mod thumbprint;
pub mod trust;
pub mod upstream_authentication;
pub mod verification;
pub mod verification_key;
pub mod verified_payload;
pub mod xfcc;

#[cfg(target_arch = "wasm32")]
mod filter;
