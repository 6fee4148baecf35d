//! The functions that the filter imports: proxy-wasm 0.2.1 and WASI preview 1, answered as Envoy answers them.

use std::collections::{BTreeMap, BTreeSet};

use wasmi::{Caller, Error, Extern, ExternType, Linker, Module, Val};

use super::stream::{HeaderMap, LocalResponse, Property, Stream};

/// The results of proxy-wasm functions that Envoy gives here.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Status {
    Ok = 0,
    NotFound = 1,
    BadArgument = 2,
    SerializationFailure = 3,
    InternalFailure = 10,
}

/// proxy-wasm's `BufferType`.
const REQUEST_BODY: u32 = 0;
const RESPONSE_BODY: u32 = 1;
const CALL_RESPONSE_BODY: u32 = 4;
const PLUGIN_CONFIGURATION: u32 = 7;

/// proxy-wasm's `MapType`.
const REQUEST_HEADERS: u32 = 0;
const REQUEST_TRAILERS: u32 = 1;
const RESPONSE_HEADERS: u32 = 2;
const RESPONSE_TRAILERS: u32 = 3;
const CALL_RESPONSE_HEADERS: u32 = 6;

/// 2030-01-01T00:00:00Z: inside the validity of the demo PKI's certificates, whenever the tests run.
const NOW: u64 = 1_893_456_000_000_000_000;

/// A line that the filter wrote to Envoy's log.
#[derive(Clone, Debug)]
pub(crate) struct LogLine {
    pub(crate) level: u32,
    pub(crate) message: String,
}

impl LogLine {
    pub(crate) const INFO: u32 = 2;
    pub(crate) const WARN: u32 = 3;
    const ERROR: u32 = 4;
}

/// A counter, or a histogram of which nothing but the last value is kept.
pub(crate) struct Metric {
    pub(crate) kind: u32,
    pub(crate) name: String,
    pub(crate) value: u64,
}

impl Metric {
    pub(crate) const COUNTER: u32 = 0;
}

/// A request that the filter makes itself.
#[derive(Debug)]
pub(crate) struct Call {
    /// The context that made it.
    pub(crate) context: u32,
    pub(crate) cluster: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    pub(crate) timeout_milliseconds: u32,
}

/// Everything outside of the VM.
#[derive(Default)]
pub(crate) struct Host {
    environment: Vec<(String, String)>,
    /// The plugin's configuration, while the filter is asked to read it.
    pub(crate) configuration: Option<Vec<u8>>,
    pub(crate) streams: BTreeMap<u32, Stream>,
    /// The context on whose behalf the filter acts.
    pub(crate) context: u32,
    pub(crate) log: Vec<LogLine>,
    /// Metrics are known to the filter by their places here.
    pub(crate) metrics: Vec<Metric>,
    /// The clusters that can be called.
    pub(crate) clusters: BTreeSet<String>,
    /// The calls by their numbers, as long as they have no answer.
    pub(crate) calls: BTreeMap<u32, Call>,
    last_call: u32,
    /// The answer to a call, while the filter is told of it.
    pub(crate) call_response: Option<(HeaderMap, Vec<u8>)>,
    random_state: u64,
    /// By how much the clock has gone on since 2030.
    pub(crate) seconds_passed: u64,
    /// What the filter called, in order; properties with their paths.
    pub(crate) host_calls: Vec<String>,
}

impl Host {
    pub(crate) fn new(environment: &[(String, String)]) -> Self {
        Self { environment: environment.to_vec(), ..Self::default() }
    }

    /// In nanoseconds since the Unix epoch.
    fn now(&self) -> u64 {
        NOW + self.seconds_passed * 1_000_000_000
    }

    fn stream(&mut self) -> Option<&mut Stream> {
        self.streams.get_mut(&self.context)
    }

    fn buffer(&mut self, kind: u32) -> Option<&mut Vec<u8>> {
        match kind {
            REQUEST_BODY => self.stream()?.request_body.as_mut(),
            RESPONSE_BODY => self.stream()?.response_body.as_mut(),
            PLUGIN_CONFIGURATION => self.configuration.as_mut(),
            CALL_RESPONSE_BODY => self.call_response.as_mut().map(|(_, body)| body),
            _ => None,
        }
    }

    /// A header map that is at the filter: once it moved on, Envoy has none.
    fn header_map(&mut self, kind: u32) -> Option<&mut HeaderMap> {
        if kind == CALL_RESPONSE_HEADERS {
            return self.call_response.as_mut().map(|(headers, _)| headers);
        }
        let stream = self.stream()?;
        match kind {
            REQUEST_HEADERS => stream.request_headers.as_mut(),
            REQUEST_TRAILERS => stream.request_trailers.as_mut(),
            RESPONSE_HEADERS => stream.response_headers.as_mut(),
            RESPONSE_TRAILERS => stream.response_trailers.as_mut(),
            _ => None,
        }
    }

    fn record(&mut self, call: &str) {
        self.host_calls.push(call.to_owned());
    }

    /// SplitMix64: enough for nonces that differ, and the same in every run.
    fn random_byte(&mut self) -> u8 {
        self.random_state = self.random_state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random_state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as u8
    }
}

/// Access to the VM's memory from the functions it calls. An address outside of it traps.
trait GuestMemory {
    fn read(&self, address: u32, size: u32) -> Result<Vec<u8>, Error>;
    fn write(&mut self, address: u32, bytes: &[u8]) -> Result<(), Error>;
    /// Copies bytes into memory that the filter allocates; an empty value is a null pointer, as in Envoy.
    fn hand_over(&mut self, bytes: &[u8], data: u32, size: u32) -> Result<(), Error>;

    fn write_u32(&mut self, address: u32, value: usize) -> Result<(), Error> {
        self.write(address, &(value as u32).to_le_bytes())
    }

    fn write_u64(&mut self, address: u32, value: u64) -> Result<(), Error> {
        self.write(address, &value.to_le_bytes())
    }

    fn read_text(&self, address: u32, size: u32) -> Result<String, Error> {
        Ok(String::from_utf8_lossy(&self.read(address, size)?).into_owned())
    }
}

impl GuestMemory for Caller<'_, Host> {
    fn read(&self, address: u32, size: u32) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; size as usize];
        let memory =
            self.get_export("memory").and_then(Extern::into_memory).expect("the VM has a memory");
        memory.read(self, address as usize, &mut bytes)?;
        Ok(bytes)
    }

    fn write(&mut self, address: u32, bytes: &[u8]) -> Result<(), Error> {
        let memory =
            self.get_export("memory").and_then(Extern::into_memory).expect("the VM has a memory");
        Ok(memory.write(self, address as usize, bytes)?)
    }

    fn hand_over(&mut self, bytes: &[u8], data: u32, size: u32) -> Result<(), Error> {
        let mut address = 0;
        if !bytes.is_empty() {
            let allocate = self.get_export("proxy_on_memory_allocate").and_then(Extern::into_func);
            let allocate = allocate.expect("the filter can allocate").typed::<u32, u32>(&self)?;
            address = allocate.call(&mut *self, bytes.len() as u32)?;
            self.write(address, bytes)?;
        }
        self.write_u32(data, address as usize)?;
        self.write_u32(size, bytes.len())
    }
}

fn serialize_pairs(map: &HeaderMap) -> Vec<u8> {
    let mut bytes = (map.iter().count() as u32).to_le_bytes().to_vec();
    for (name, value) in map.iter() {
        bytes.extend((name.len() as u32).to_le_bytes());
        bytes.extend((value.len() as u32).to_le_bytes());
    }
    for part in map.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend(part);
        bytes.push(0);
    }
    bytes
}

fn parse_pairs(bytes: &[u8]) -> HeaderMap {
    let number = |index: usize| {
        let bytes = bytes[index * 4..][..4].try_into().expect("four bytes");
        u32::from_le_bytes(bytes) as usize
    };
    let count = if bytes.is_empty() { 0 } else { number(0) };
    let mut rest = &bytes[if bytes.is_empty() { 0 } else { 4 + count * 8 }..];
    let mut part = |size: usize| {
        let (part, after) = rest.split_at(size);
        rest = &after[1..];
        part.to_vec()
    };
    (0..count).map(|index| (part(number(1 + 2 * index)), part(number(2 + 2 * index)))).collect()
}

/// Makes the functions available to the filter. The SDK imports more than the filter calls: the others trap.
pub(crate) fn link(linker: &mut Linker<Host>, module: &Module) -> Result<(), Error> {
    linker.allow_shadowing(true);
    for import in module.imports() {
        if let ExternType::Func(signature) = import.ty() {
            let trap = format!("{} is not emulated", import.name());
            let function =
                move |_: Caller<_>, _: &[Val], _: &mut [Val]| Err(Error::new(trap.clone()));
            linker.func_new(import.module(), import.name(), signature.clone(), function)?;
        }
    }
    linker.func_wrap("env", "proxy_log", proxy_log)?;
    linker.func_wrap(
        "env",
        "proxy_get_current_time_nanoseconds",
        proxy_get_current_time_nanoseconds,
    )?;
    linker.func_wrap("env", "proxy_get_buffer_bytes", proxy_get_buffer_bytes)?;
    linker.func_wrap("env", "proxy_set_buffer_bytes", proxy_set_buffer_bytes)?;
    linker.func_wrap("env", "proxy_get_header_map_pairs", proxy_get_header_map_pairs)?;
    linker.func_wrap("env", "proxy_get_header_map_value", proxy_get_header_map_value)?;
    linker.func_wrap("env", "proxy_set_header_map_pairs", proxy_set_header_map_pairs)?;
    linker.func_wrap("env", "proxy_replace_header_map_value", proxy_replace_header_map_value)?;
    linker.func_wrap("env", "proxy_add_header_map_value", proxy_add_header_map_value)?;
    linker.func_wrap("env", "proxy_remove_header_map_value", proxy_remove_header_map_value)?;
    linker.func_wrap("env", "proxy_get_property", proxy_get_property)?;
    linker.func_wrap("env", "proxy_set_property", proxy_set_property)?;
    linker.func_wrap("env", "proxy_send_local_response", proxy_send_local_response)?;
    linker.func_wrap("env", "proxy_continue_stream", proxy_continue_stream)?;
    linker.func_wrap("env", "proxy_http_call", proxy_http_call)?;
    linker.func_wrap("env", "proxy_set_effective_context", proxy_set_effective_context)?;
    linker.func_wrap("env", "proxy_define_metric", proxy_define_metric)?;
    linker.func_wrap("env", "proxy_increment_metric", proxy_increment_metric)?;
    linker.func_wrap("env", "proxy_record_metric", proxy_record_metric)?;
    linker.func_wrap("wasi_snapshot_preview1", "environ_sizes_get", environ_sizes_get)?;
    linker.func_wrap("wasi_snapshot_preview1", "environ_get", environ_get)?;
    linker.func_wrap("wasi_snapshot_preview1", "clock_time_get", clock_time_get)?;
    linker.func_wrap("wasi_snapshot_preview1", "random_get", random_get)?;
    linker.func_wrap("wasi_snapshot_preview1", "fd_write", fd_write)?;
    linker.func_wrap("wasi_snapshot_preview1", "proc_exit", proc_exit)?;
    Ok(())
}

const OK: Result<u32, Error> = Ok(Status::Ok as u32);

fn status(status: Status) -> Result<u32, Error> {
    Ok(status as u32)
}

fn proxy_log(mut host: Caller<Host>, level: u32, data: u32, size: u32) -> Result<u32, Error> {
    host.data_mut().record("proxy_log");
    let message = host.read_text(data, size)?;
    host.data_mut().log.push(LogLine { level, message });
    OK
}

fn proxy_get_current_time_nanoseconds(mut host: Caller<Host>, time: u32) -> Result<u32, Error> {
    host.data_mut().record("proxy_get_current_time_nanoseconds");
    let now = host.data().now();
    host.write_u64(time, now)?;
    OK
}

fn proxy_get_buffer_bytes(
    mut host: Caller<Host>,
    kind: u32,
    start: u32,
    length: u32,
    data: u32,
    size: u32,
) -> Result<u32, Error> {
    host.data_mut().record("proxy_get_buffer_bytes");
    let Some(buffer) = host.data_mut().buffer(kind) else {
        return status(Status::NotFound);
    };
    let bytes: Vec<u8> =
        buffer.iter().skip(start as usize).take(length as usize).copied().collect();
    // Envoy leaves the pointer alone when there is nothing to give.
    if !bytes.is_empty() {
        host.hand_over(&bytes, data, size)?;
    }
    OK
}

fn proxy_set_buffer_bytes(
    mut host: Caller<Host>,
    kind: u32,
    start: u32,
    length: u32,
    data: u32,
    size: u32,
) -> Result<u32, Error> {
    host.data_mut().record("proxy_set_buffer_bytes");
    let bytes = host.read(data, size)?;
    match host.data_mut().buffer(kind) {
        // Envoy replaces from the start or appends; more than there is cannot be drained.
        Some(buffer) if start == 0 && length as usize <= buffer.len() => {
            buffer.splice(..length as usize, bytes);
            OK
        }
        _ => status(Status::BadArgument),
    }
}

fn proxy_get_header_map_pairs(
    mut host: Caller<Host>,
    kind: u32,
    data: u32,
    size: u32,
) -> Result<u32, Error> {
    host.data_mut().record("proxy_get_header_map_pairs");
    let pairs = host.data_mut().header_map(kind).map(|map| serialize_pairs(map));
    host.hand_over(&pairs.unwrap_or_default(), data, size)?;
    OK
}

fn proxy_get_header_map_value(
    mut host: Caller<Host>,
    kind: u32,
    name: u32,
    name_size: u32,
    data: u32,
    size: u32,
) -> Result<u32, Error> {
    host.data_mut().record("proxy_get_header_map_value");
    let name = host.read(name, name_size)?;
    let Some(map) = host.data_mut().header_map(kind) else {
        return status(Status::BadArgument);
    };
    let Some(value) = map.first(&name).map(<[u8]>::to_vec) else {
        return status(Status::NotFound);
    };
    host.hand_over(&value, data, size)?;
    OK
}

fn change_header_map(
    host: &mut Caller<Host>,
    kind: u32,
    change: impl FnOnce(&mut HeaderMap),
) -> Result<u32, Error> {
    match host.data_mut().header_map(kind) {
        Some(map) => {
            change(map);
            OK
        }
        None => status(Status::BadArgument),
    }
}

fn proxy_set_header_map_pairs(
    mut host: Caller<Host>,
    kind: u32,
    data: u32,
    size: u32,
) -> Result<u32, Error> {
    host.data_mut().record("proxy_set_header_map_pairs");
    let pairs = parse_pairs(&host.read(data, size)?);
    change_header_map(&mut host, kind, |map| *map = pairs)
}

fn proxy_replace_header_map_value(
    mut host: Caller<Host>,
    kind: u32,
    name: u32,
    name_size: u32,
    value: u32,
    value_size: u32,
) -> Result<u32, Error> {
    host.data_mut().record("proxy_replace_header_map_value");
    let (name, value) = (host.read(name, name_size)?, host.read(value, value_size)?);
    change_header_map(&mut host, kind, |map| map.set(&name, &value))
}

fn proxy_add_header_map_value(
    mut host: Caller<Host>,
    kind: u32,
    name: u32,
    name_size: u32,
    value: u32,
    value_size: u32,
) -> Result<u32, Error> {
    host.data_mut().record("proxy_add_header_map_value");
    let (name, value) = (host.read(name, name_size)?, host.read(value, value_size)?);
    change_header_map(&mut host, kind, |map| map.add(&name, &value))
}

fn proxy_remove_header_map_value(
    mut host: Caller<Host>,
    kind: u32,
    name: u32,
    name_size: u32,
) -> Result<u32, Error> {
    host.data_mut().record("proxy_remove_header_map_value");
    let name = host.read(name, name_size)?;
    change_header_map(&mut host, kind, |map| map.remove(&name))
}

fn proxy_get_property(
    mut host: Caller<Host>,
    path: u32,
    path_size: u32,
    data: u32,
    size: u32,
) -> Result<u32, Error> {
    let path = host.read_text(path, path_size)?.replace('\0', ".");
    host.data_mut().record(&format!("proxy_get_property {path}"));
    let Some(stream) = host.data_mut().stream() else {
        return status(Status::NotFound);
    };
    match stream.properties.get(&path).cloned() {
        None => status(Status::NotFound),
        Some(Property::Unavailable(reason)) => status(reason),
        Some(Property::Value(value)) => {
            host.hand_over(&value, data, size)?;
            OK
        }
    }
}

fn proxy_set_property(
    mut host: Caller<Host>,
    path: u32,
    path_size: u32,
    value: u32,
    value_size: u32,
) -> Result<u32, Error> {
    let (path, value) = (host.read_text(path, path_size)?, host.read_text(value, value_size)?);
    host.data_mut().record(&format!("proxy_set_property {path}"));
    match host.data_mut().stream() {
        Some(stream) => {
            stream.filter_state.insert(path, value);
            OK
        }
        None => status(Status::NotFound),
    }
}

#[allow(clippy::too_many_arguments, reason = "proxy-wasm has that many")]
fn proxy_send_local_response(
    mut host: Caller<Host>,
    code: u32,
    _details: u32,
    _details_size: u32,
    body: u32,
    body_size: u32,
    headers: u32,
    headers_size: u32,
    _grpc_status: i32,
) -> Result<u32, Error> {
    host.data_mut().record("proxy_send_local_response");
    let response = LocalResponse {
        status: code,
        headers: parse_pairs(&host.read(headers, headers_size)?),
        body: host.read_text(body, body_size)?,
    };
    match host.data_mut().stream() {
        Some(stream) if stream.local_response.is_none() => {
            stream.local_response = Some(response);
            OK
        }
        _ => status(Status::BadArgument),
    }
}

fn proxy_continue_stream(mut host: Caller<Host>, _kind: u32) -> Result<u32, Error> {
    host.data_mut().record("proxy_continue_stream");
    match host.data_mut().stream() {
        Some(stream) => {
            stream.is_resumed = true;
            OK
        }
        None => status(Status::BadArgument),
    }
}

#[allow(clippy::too_many_arguments, reason = "proxy-wasm has that many")]
fn proxy_http_call(
    mut host: Caller<Host>,
    cluster: u32,
    cluster_size: u32,
    headers: u32,
    headers_size: u32,
    body: u32,
    body_size: u32,
    _trailers: u32,
    _trailers_size: u32,
    timeout_milliseconds: u32,
    number: u32,
) -> Result<u32, Error> {
    host.data_mut().record("proxy_http_call");
    let cluster = host.read_text(cluster, cluster_size)?;
    if !host.data().clusters.contains(&cluster) {
        return status(Status::BadArgument);
    }
    let headers = parse_pairs(&host.read(headers, headers_size)?);
    let body = host.read_text(body, body_size)?;
    let data = host.data_mut();
    data.last_call += 1;
    let (last_call, context) = (data.last_call, data.context);
    data.calls.insert(last_call, Call { context, cluster, headers, body, timeout_milliseconds });
    host.write_u32(number, last_call as usize)?;
    OK
}

fn proxy_set_effective_context(mut host: Caller<Host>, context: u32) -> Result<u32, Error> {
    host.data_mut().record("proxy_set_effective_context");
    host.data_mut().context = context;
    OK
}

fn proxy_define_metric(
    mut host: Caller<Host>,
    kind: u32,
    name: u32,
    name_size: u32,
    number: u32,
) -> Result<u32, Error> {
    host.data_mut().record("proxy_define_metric");
    let name = host.read_text(name, name_size)?;
    let metrics = &mut host.data_mut().metrics;
    metrics.push(Metric { kind, name, value: 0 });
    let index = metrics.len() - 1;
    host.write_u32(number, index)?;
    OK
}

fn proxy_increment_metric(mut host: Caller<Host>, number: u32, offset: i64) -> Result<u32, Error> {
    host.data_mut().record("proxy_increment_metric");
    match host.data_mut().metrics.get_mut(number as usize) {
        Some(metric) => {
            metric.value = metric.value.wrapping_add_signed(offset);
            OK
        }
        None => status(Status::NotFound),
    }
}

fn proxy_record_metric(mut host: Caller<Host>, number: u32, value: u64) -> Result<u32, Error> {
    host.data_mut().record("proxy_record_metric");
    match host.data_mut().metrics.get_mut(number as usize) {
        Some(metric) => {
            metric.value = value;
            OK
        }
        None => status(Status::NotFound),
    }
}

fn environ_sizes_get(mut host: Caller<Host>, count: u32, size: u32) -> Result<u32, Error> {
    host.data_mut().record("environ_sizes_get");
    let variables = environment(&host);
    host.write_u32(count, variables.len())?;
    host.write_u32(size, variables.iter().map(Vec::len).sum())?;
    OK
}

fn environ_get(mut host: Caller<Host>, mut pointers: u32, mut buffer: u32) -> Result<u32, Error> {
    host.data_mut().record("environ_get");
    for variable in environment(&host) {
        host.write_u32(pointers, buffer as usize)?;
        host.write(buffer, &variable)?;
        pointers += 4;
        buffer += variable.len() as u32;
    }
    OK
}

fn environment(host: &Caller<Host>) -> Vec<Vec<u8>> {
    let variables = host.data().environment.iter();
    variables.map(|(name, value)| format!("{name}={value}\0").into_bytes()).collect()
}

fn clock_time_get(
    mut host: Caller<Host>,
    _clock: u32,
    _precision: u64,
    time: u32,
) -> Result<u32, Error> {
    host.data_mut().record("clock_time_get");
    let now = host.data().now();
    host.write_u64(time, now)?;
    OK
}

fn random_get(mut host: Caller<Host>, data: u32, size: u32) -> Result<u32, Error> {
    host.data_mut().record("random_get");
    let bytes: Vec<u8> = (0..size).map(|_| host.data_mut().random_byte()).collect();
    host.write(data, &bytes)?;
    OK
}

/// Envoy logs what is written to standard output and error.
fn fd_write(
    mut host: Caller<Host>,
    _descriptor: u32,
    vectors: u32,
    count: u32,
    written: u32,
) -> Result<u32, Error> {
    host.data_mut().record("fd_write");
    let mut bytes = Vec::new();
    for vector in host.read(vectors, count * 8)?.chunks_exact(8) {
        let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes"));
        bytes.extend(host.read(number(&vector[..4]), number(&vector[4..]))?);
    }
    host.write_u32(written, bytes.len())?;
    let message = String::from_utf8_lossy(&bytes).trim_end().to_owned();
    host.data_mut().log.push(LogLine { level: LogLine::ERROR, message });
    OK
}

fn proc_exit(_host: Caller<Host>, code: i32) -> Result<(), Error> {
    Err(Error::i32_exit(code))
}
