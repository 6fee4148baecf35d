//! Envoy as the filter sees it (`allow_on_headers_stop_iteration: true`): it loads the plugin, offers it requests part by
//! part, holds back what the filter pauses and sends on what it lets go.
//!
//! The order of calls and the meaning of each answer follow proxy-wasm-cpp-host and Envoy's HTTP filter manager. A trap
//! of the VM, a request that hangs, and a refusal of a request whose beginning has already gone on end the test.

use std::{collections::BTreeMap, path::PathBuf, sync::OnceLock};

use demo_pki::Identity;
use wasmi::{Config, Engine, Instance, Linker, Module, Store, WasmParams, WasmResults};

use super::{
    cases::certificate_forms::hex_digest,
    host::{self, Call, Host, LogLine, Metric, Status},
    stream::{Answered, Forwarded, HeaderMap, LocalResponse, Property, Stream},
};

/// The compiled filter.
fn module() -> &'static Module {
    static MODULE: OnceLock<Module> = OnceLock::new();
    MODULE.get_or_init(|| {
        let default = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("build/certbound.wasm");
        let path = std::env::var_os("CERTBOUND_WASM").map_or(default, PathBuf::from);
        let wasm = std::fs::read(&path);
        let wasm =
            wasm.unwrap_or_else(|error| panic!("{}: {error}; run `make wasm`", path.display()));
        let engine = Engine::new(Config::default().consume_fuel(true));
        Module::new(&engine, wasm).expect("the filter is valid WebAssembly")
    })
}

/// The TLS connection that a request comes on, as the filter can ask for it.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) properties: BTreeMap<String, Property>,
}

impl Connection {
    /// The client presented no certificate.
    pub(crate) fn without_certificate() -> Self {
        let connection = Self { properties: BTreeMap::new() };
        connection
            .with("source.address", "192.0.2.1:50000")
            .with("connection.mtls", [0])
            .with("connection.peer_certificate_valid", [0])
    }

    /// The client presented this certificate; `is_valid` is Envoy's verdict on it.
    pub(crate) fn with_certificate(identity: &Identity, is_valid: bool) -> Self {
        Self::without_certificate()
            .with("connection.mtls", [1])
            .with("connection.peer_certificate", identity.certificate_pem())
            .with("connection.peer_certificate_valid", [u8::from(is_valid)])
            .with("connection.sha256_peer_certificate_digest", hex_digest(identity))
            .with("connection.subject_peer_certificate", identity.subject())
    }

    /// The same, with this value of a property.
    pub(crate) fn with(mut self, property: &str, value: impl AsRef<[u8]>) -> Self {
        let value = Property::Value(value.as_ref().to_vec());
        self.properties.insert(property.to_owned(), value);
        self
    }

    /// The same, without the property: an older Envoy.
    pub(crate) fn without(mut self, property: &str) -> Self {
        self.properties.remove(property);
        self
    }

    /// The same, with an error for who asks for the property.
    pub(crate) fn failing(mut self, property: &str, status: Status) -> Self {
        self.properties.insert(property.to_owned(), Property::Unavailable(status));
        self
    }
}

/// A part of a request or response, as it arrives.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Headers(HeaderMap),
    Body(Vec<u8>),
    Trailers(HeaderMap),
}

/// A request, in the order in which its parts arrive.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) parts: Vec<Part>,
}

/// What became of a request.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// The filter's own response, if it refused the request.
    pub(crate) response: Option<LocalResponse>,
    /// What reached the server otherwise.
    pub(crate) forwarded: Option<Forwarded>,
    /// What the client got of the server's response.
    pub(crate) answered: Option<Answered>,
    pub(crate) filter_state: BTreeMap<String, String>,
    pub(crate) most_held: usize,
    /// What was logged meanwhile.
    pub(crate) log: Vec<LogLine>,
    /// What the filter called meanwhile, in order.
    pub(crate) host_calls: Vec<String>,
}

impl Exchange {
    pub(crate) fn state(&self, key: &str) -> Option<&str> {
        self.filter_state.get(key).map(String::as_str)
    }
}

/// An Envoy worker that runs the filter.
pub(crate) struct Envoy {
    store: Store<Host>,
    instance: Instance,
    /// The root context of the plugin that new streams belong to.
    plugin: u32,
    last_context: u32,
    /// What the server answers to every request.
    pub(crate) server_response: Vec<Part>,
}

impl Envoy {
    /// Loads the filter and configures it. Where Envoy would refuse to start, the error is what was logged.
    pub(crate) fn start(
        configuration: &[u8],
        environment: &[(String, String)],
    ) -> Result<Self, Vec<LogLine>> {
        let mut store = Store::new(module().engine(), Host::new(environment));
        let mut linker = Linker::new(module().engine());
        host::link(&mut linker, module()).expect("no function is defined twice");
        store.set_fuel(u64::MAX).expect("the engine consumes fuel");
        let instance = linker.instantiate_and_start(&mut store, module());
        let instance =
            instance.unwrap_or_else(|error| panic!("the filter cannot be loaded: {error}"));
        let mut envoy = Self {
            store,
            instance,
            plugin: 0,
            last_context: 0,
            server_response: vec![Part::Headers(HeaderMap::with_status(200))],
        };

        envoy.call::<_, ()>("_initialize", ());
        envoy.configure(configuration)?;
        Ok(envoy)
    }

    /// Configures the filter once more, as for another listener or after an update of the listener. Both use the same
    /// VM; streams that are under way keep their configuration.
    pub(crate) fn configure(&mut self, configuration: &[u8]) -> Result<(), Vec<LogLine>> {
        let is_first = self.last_context == 0;
        self.last_context += 1;
        let plugin = self.last_context;
        self.call_for::<_, ()>(plugin, "proxy_on_context_create", (plugin, 0_u32));
        let is_started =
            !is_first || self.call_for::<_, u32>(plugin, "proxy_on_vm_start", (plugin, 0_u32)) != 0;
        let size = configuration.len() as u32;
        self.host().configuration = Some(configuration.to_vec());
        let is_configured =
            self.call_for::<_, u32>(plugin, "proxy_on_configure", (plugin, size)) != 0;
        self.host().configuration = None;
        if !is_started || !is_configured {
            return Err(self.log().to_vec());
        }
        self.plugin = plugin;
        Ok(())
    }

    /// Sends a request through the filter, all of it before the next one.
    pub(crate) fn exchange(&mut self, connection: &Connection, request: &Request) -> Exchange {
        let log_start = self.log().len();
        self.host().host_calls.clear();
        let stream = self.open(connection);
        for (index, part) in request.parts.iter().enumerate() {
            self.deliver(stream, part.clone(), index + 1 == request.parts.len());
        }
        let mut exchange = self.close(stream);
        exchange.log = self.log()[log_start..].to_vec();
        exchange
    }

    /// Begins a stream.
    pub(crate) fn open(&mut self, connection: &Connection) -> u32 {
        self.last_context += 1;
        let (context, plugin) = (self.last_context, self.plugin);
        let stream = Stream { properties: connection.properties.clone(), ..Stream::default() };
        self.host().streams.insert(context, stream);
        self.call_for::<_, ()>(context, "proxy_on_context_create", (context, plugin));
        context
    }

    /// Delivers the next part of a stream's request.
    pub(crate) fn deliver(&mut self, context: u32, part: Part, is_last: bool) {
        let stream = self.stream(context);
        if stream.local_response.is_some() {
            return;
        }
        stream.is_sent = is_last;
        let end_of_stream = u32::from(is_last);
        let action = match part {
            Part::Headers(headers) => {
                let count = headers.iter().count() as u32;
                stream.request_headers = Some(headers);
                self.call_for(context, "proxy_on_request_headers", (context, count, end_of_stream))
            }
            Part::Body(bytes) => {
                let body = stream.request_body.get_or_insert_default();
                body.extend(bytes);
                let size = body.len() as u32;
                self.call_for(context, "proxy_on_request_body", (context, size, end_of_stream))
            }
            Part::Trailers(trailers) => {
                let count = trailers.iter().count() as u32;
                stream.request_trailers = Some(trailers);
                self.call_for(context, "proxy_on_request_trailers", (context, count))
            }
        };
        let goes_on = self.is_continue(action);
        self.settle(context, goes_on);
    }

    /// Lets the filter call a cluster.
    pub(crate) fn add_cluster(&mut self, name: &str) {
        self.host().clusters.insert(name.to_owned());
    }

    /// The only call that has no answer yet, by its number.
    pub(crate) fn call_under_way(&mut self) -> Option<(u32, &Call)> {
        let calls = &self.host().calls;
        assert!(calls.len() < 2, "more than one call: {calls:?}");
        calls.first_key_value().map(|(number, call)| (*number, call))
    }

    /// The number of a stream's call.
    pub(crate) fn call_of(&mut self, context: u32) -> u32 {
        let mut calls = self.host().calls.iter();
        let (number, _) = calls.find(|(_, call)| call.context == context).expect("it calls");
        *number
    }

    /// Answers a call. No headers stand for a call that failed.
    pub(crate) fn answer_call(&mut self, number: u32, headers: HeaderMap, body: &str) {
        let call = self.host().calls.remove(&number).expect("the call is under way");
        let (context, size) = (call.context, body.len() as u32);
        let count = headers.iter().count() as u32;
        self.host().call_response = Some((headers, body.as_bytes().to_vec()));
        let parameters = (context, number, count, size, 0_u32);
        self.call_for::<_, ()>(context, "proxy_on_http_call_response", parameters);
        self.host().call_response = None;
        self.settle(context, false);
    }

    /// Does what the filter decided on a stream.
    fn settle(&mut self, context: u32, goes_on: bool) {
        let stream = self.stream(context);
        if stream.local_response.is_some() {
            let forwarded = &stream.forwarded;
            assert!(
                forwarded.is_none(),
                "LEAK: {forwarded:?} reached the server, then the request was refused"
            );
            self.respond(context);
        } else if goes_on || stream.is_resumed {
            stream.is_resumed = false;
            stream.forward(stream.is_sent);
        } else {
            let held = stream.request_body.as_ref().map_or(0, Vec::len);
            stream.most_held = stream.most_held.max(held);
        }
    }

    /// Ends a stream, of which every part was delivered.
    pub(crate) fn close(&mut self, context: u32) -> Exchange {
        let stream = self.stream(context);
        match (&stream.local_response, &stream.forwarded) {
            (Some(_), _) => {}
            (None, Some(forwarded)) if forwarded.is_complete => {
                // The access log still sees the headers.
                stream.request_headers = Some(forwarded.headers.clone());
                self.respond(context);
            }
            (None, partial) => {
                panic!("the request hangs at the filter; the server got {partial:?}")
            }
        }
        // As in Envoy, what the filter does not export is not called: certbound leaves these out.
        for function in ["proxy_on_log", "proxy_on_done"] {
            assert!(self.instance.get_func(&self.store, function).is_none(), "{function}");
        }
        self.call_for::<_, ()>(context, "proxy_on_delete", context);
        let stream = self.host().streams.remove(&context).expect("it was open");
        Exchange {
            response: stream.local_response,
            forwarded: stream.forwarded,
            answered: stream.answered,
            filter_state: stream.filter_state,
            most_held: stream.most_held,
            log: Vec::new(),
            host_calls: std::mem::take(&mut self.host().host_calls),
        }
    }

    /// Sets the clock to so many seconds after 2030-01-01, at which it stands.
    pub(crate) fn set_clock(&mut self, seconds_passed: u64) {
        self.host().seconds_passed = seconds_passed;
    }

    /// Everything that was logged since the start.
    pub(crate) fn log(&mut self) -> &[LogLine] {
        &self.host().log
    }

    /// The instructions of the interpreter that were executed since the start.
    pub(crate) fn instructions(&self) -> u64 {
        u64::MAX - self.store.get_fuel().expect("the engine consumes fuel")
    }

    /// The size of the VM's linear memory, which never shrinks.
    pub(crate) fn memory_bytes(&self) -> usize {
        let memory = self.instance.get_memory(&self.store, "memory").expect("the VM has a memory");
        memory.data_size(&self.store)
    }

    /// The counters' values by name.
    pub(crate) fn counters(&mut self) -> BTreeMap<String, u64> {
        let metrics = self.host().metrics.iter();
        let counters = metrics.filter(|metric| metric.kind == Metric::COUNTER);
        counters.map(|counter| (counter.name.clone(), counter.value)).collect()
    }

    /// Shows the filter the response, its own or the server's, and sends on what it lets go.
    fn respond(&mut self, context: u32) {
        let local = self.stream(context).local_response.clone();
        let is_local = local.is_some();
        let parts = match local {
            Some(response) => {
                let mut headers = response.headers;
                headers.set(b":status", response.status.to_string().as_bytes());
                vec![Part::Headers(headers), Part::Body(response.body.into_bytes())]
            }
            None => self.server_response.clone(),
        };
        let count = parts.len();
        for (index, part) in parts.into_iter().enumerate() {
            let is_last = index + 1 == count;
            let goes_on = self.show(context, part, is_last);
            let stream = self.stream(context);
            if is_local {
                assert!(goes_on, "the filter holds its own response back");
            } else if goes_on {
                stream.answer(is_last);
            } else {
                let held = stream.response_body.as_ref().map_or(0, Vec::len);
                stream.most_held = stream.most_held.max(held);
            }
        }
        let answered = &self.stream(context).answered;
        let is_complete = answered.as_ref().is_some_and(|answered| answered.is_complete);
        assert!(is_local || is_complete, "the response hangs at the filter: {answered:?}");
    }

    /// Shows the filter the next part of a response, and says whether it lets it go.
    fn show(&mut self, context: u32, part: Part, is_last: bool) -> bool {
        let stream = self.stream(context);
        let end_of_stream = u32::from(is_last);
        let action = match part {
            Part::Headers(headers) => {
                let count = headers.iter().count() as u32;
                stream.response_headers = Some(headers);
                self.call_for(context, "proxy_on_response_headers", (context, count, end_of_stream))
            }
            Part::Body(bytes) => {
                let body = stream.response_body.get_or_insert_default();
                body.extend(bytes);
                let size = body.len() as u32;
                self.call_for(context, "proxy_on_response_body", (context, size, end_of_stream))
            }
            Part::Trailers(trailers) => {
                let count = trailers.iter().count() as u32;
                stream.response_trailers = Some(trailers);
                self.call_for(context, "proxy_on_response_trailers", (context, count))
            }
        };
        self.is_continue(action)
    }

    fn is_continue(&self, action: u32) -> bool {
        match action {
            0 => true,
            1 => false,
            other => panic!("{other} is no proxy-wasm action"),
        }
    }

    fn host(&mut self) -> &mut Host {
        self.store.data_mut()
    }

    fn stream(&mut self, context: u32) -> &mut Stream {
        self.host().streams.get_mut(&context).expect("the stream is open")
    }

    fn call_for<P: WasmParams, R: WasmResults>(
        &mut self,
        context: u32,
        function: &str,
        parameters: P,
    ) -> R {
        self.host().context = context;
        self.call(function, parameters)
    }

    fn call<P: WasmParams, R: WasmResults>(&mut self, function: &str, parameters: P) -> R {
        let typed = self.instance.get_typed_func::<P, R>(&self.store, function);
        let typed = typed.unwrap_or_else(|error| panic!("{function}: {error}"));
        let result = typed.call(&mut self.store, parameters);
        result.unwrap_or_else(|error| panic!("TRAP in {function}: {error}\n{:#?}", self.host().log))
    }
}
