//! A filter that does nothing: Envoy calls it for every request and response, and it lets everything pass.
//!
//! Configured with `<host call> <count>` it holds each request until its body is there, and then makes that call so
//! many times: what one costs is seen by comparison with a count of 0.

use proxy_wasm::{
    hostcalls,
    traits::{Context, HttpContext, RootContext},
    types::{Action, BufferType, ContextType, LogLevel, MapType, MetricType, Status},
};

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(Plugin { work: None }) });
}}

const REQUEST: MapType = MapType::HttpRequestHeaders;

/// Makes a host call; `number` is another one for each call in a request.
type Call = fn(number: usize, metrics: Metrics) -> Result<(), Status>;

/// The host calls that can be measured, by their names in the ABI.
const CALLS: [(&str, Call); 13] = [
    ("needed", |_, _| needed()),
    ("get_header_map_pairs", |_, _| hostcalls::get_map_bytes(REQUEST).map(drop)),
    ("get_header_map_value", |_, _| hostcalls::get_map_value_bytes(REQUEST, ":path").map(drop)),
    ("replace_header_map_value", |number, _| {
        hostcalls::set_map_value_bytes(REQUEST, NAMES[number % NAMES.len()], Some(b"value"))
    }),
    ("remove_header_map_value", |_, _| hostcalls::remove_map_value(REQUEST, "x-absent")),
    ("get_property", |_, _| {
        hostcalls::get_property(vec!["connection", "sha256_peer_certificate_digest"]).map(drop)
    }),
    ("set_property", |_, _| hostcalls::set_property(vec!["bench.outcome"], Some(b"allowed"))),
    ("get_buffer_bytes", |_, _| {
        hostcalls::get_buffer(BufferType::HttpRequestBody, 0, 63).map(drop)
    }),
    ("get_current_time_nanoseconds", |_, _| hostcalls::get_current_time().map(drop)),
    ("increment_metric", |_, metrics| hostcalls::increment_metric(metrics.counter, 1)),
    ("record_metric", |_, metrics| hostcalls::record_metric(metrics.gauge, 1)),
    ("random_get", |_, _| getrandom::fill(&mut [0; 16]).map_err(|_| Status::InternalFailure)),
    ("log", |_, _| hostcalls::log(LogLevel::Debug, "not written")),
];

/// What no filter for certbound's job can do without: reading header fields, the certificate's digest, the body and the
/// time, and setting four fields, as long as certbound's are.
fn needed() -> Result<(), Status> {
    hostcalls::get_map_bytes(REQUEST)?;
    hostcalls::get_property(vec!["connection", "sha256_peer_certificate_digest"])?;
    hostcalls::get_buffer(BufferType::HttpRequestBody, 0, 63)?;
    hostcalls::get_current_time()?;
    for (name, value) in [
        ("client-cert", &[b'a'; 582][..]),
        ("x-client-cert-thumbprint", &[b'a'; 43]),
        ("x-client-id", b"client-0"),
        ("x-client-verify", b"SUCCESS"),
    ] {
        hostcalls::set_map_value_bytes(REQUEST, name, Some(value))?;
    }
    Ok(())
}

/// Fields that are new to a request: to replace one that is there costs another time.
const NAMES: [&str; 16] = [
    "x-0", "x-1", "x-2", "x-3", "x-4", "x-5", "x-6", "x-7", "x-8", "x-9", "x-10", "x-11", "x-12",
    "x-13", "x-14", "x-15",
];

#[derive(Clone, Copy)]
struct Metrics {
    counter: u32,
    gauge: u32,
}

#[derive(Clone, Copy)]
struct Work {
    call: Call,
    count: usize,
    metrics: Metrics,
}

struct Plugin {
    work: Option<Work>,
}

impl Plugin {
    fn work(configuration: &str) -> Option<Work> {
        let (name, count) = configuration.split_once(' ')?;
        let (_, call) = CALLS.into_iter().find(|(known, _)| *known == name)?;
        let metrics = Metrics {
            counter: hostcalls::define_metric(MetricType::Counter, "bench.counter").ok()?,
            gauge: hostcalls::define_metric(MetricType::Gauge, "bench.gauge").ok()?,
        };
        Some(Work { call, count: count.parse().ok()?, metrics })
    }
}

impl Context for Plugin {}

impl RootContext for Plugin {
    fn on_configure(&mut self, _: usize) -> bool {
        let Some(configuration) = self.get_plugin_configuration() else { return true };
        self.work = str::from_utf8(&configuration).ok().and_then(Self::work);
        self.work.is_some()
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { work: self.work }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct Stream {
    work: Option<Work>,
}

impl Stream {
    fn on_part(&self, is_last: bool) -> Action {
        let Some(Work { call, count, metrics }) = self.work else { return Action::Continue };
        if !is_last {
            return Action::Pause;
        }
        for number in 0..count {
            call(number, metrics).expect("the host must do as it is asked");
        }
        Action::Continue
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, is_last: bool) -> Action {
        self.on_part(is_last)
    }

    fn on_http_request_body(&mut self, _: usize, is_last: bool) -> Action {
        self.on_part(is_last)
    }
}
