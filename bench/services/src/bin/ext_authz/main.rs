//! An ext_authz service that does the work of the script `equal-work.lua`: `ext_authz http|grpc CLIENTS`.
//!
//! It is written as a user would write it who wants it fast: one thread, keep-alive, nothing but the decision. Prints
//! its port.

mod grpc;
mod http;
mod registry;

use std::{env, error::Error, fs, rc::Rc};

use registry::Registry;
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [protocol, clients] = arguments.as_slice() else {
        return Err("usage: ext_authz http|grpc CLIENTS".into());
    };
    let registry = Registry::new(&fs::read_to_string(clients)?);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?.port());
    match protocol.as_str() {
        "http" => {
            tokio::task::LocalSet::new().run_until(http::serve(listener, Rc::new(registry))).await
        }
        "grpc" => grpc::serve(listener, registry).await,
        _ => Err("the protocol is http or grpc".into()),
    }
}
