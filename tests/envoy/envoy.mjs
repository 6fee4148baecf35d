// Starts Envoy around the compiled filter, and builds the bootstraps it starts from.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));
const currentEnvoy = 'build/venv/bin/envoy';
const wasm = 'build/certbound.wasm';
const logs = 'build/log';

/** A path that a make target provides. Its absence fails the tests; nothing is ever skipped. */
export function required(path) {
  assert.ok(existsSync(join(root, path)), `${path} is missing: run \`make ${path}\``);
  return path;
}

export const asJsonText = (configuration) => ({
  '@type': 'type.googleapis.com/google.protobuf.StringValue',
  value: typeof configuration === 'string' ? configuration : JSON.stringify(configuration),
});

export const asStruct = (configuration) => ({
  '@type': 'type.googleapis.com/google.protobuf.Struct',
  value: configuration,
});

const loopback = (port) => ({ socket_address: { address: '127.0.0.1', port_value: port } });

const wasmFilterType = 'type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm';

const plugin = ({ configuration, encoding = asJsonText, environment = {} }) => ({
  '@type': wasmFilterType,
  config: {
    name: 'certbound',
    configuration: encoding(configuration),
    vm_config: {
      vm_id: 'certbound',
      runtime: 'envoy.wasm.runtime.v8',
      code: { local: { filename: required(wasm) } },
      environment_variables: { key_values: environment },
    },
    allow_on_headers_stop_iteration: true,
  },
});

/** Where a listener finds its filter that is delivered (ECDS) instead of standing in the bootstrap. */
const deliveryPath = (listenerName) => join(logs, `${listenerName}.filter.json`);

/** Puts the filter where Envoy looks for it. Envoy notices files that are moved into place. */
function deliver(listenerName, settings) {
  const path = join(root, deliveryPath(listenerName));
  const resource = {
    '@type': 'type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig',
    name: 'certbound',
    typed_config: plugin(settings),
  };
  writeFileSync(`${path}.new`, JSON.stringify({ resources: [resource] }));
  renameSync(`${path}.new`, path);
}

const filter = (listenerName, settings) => ({
  name: 'certbound',
  ...(settings.isDelivered
    ? { config_discovery: { config_source: { path_config_source: { path: deliveryPath(listenerName) } }, type_urls: [wasmFilterType] } }
    : { typed_config: plugin(settings) }),
});

// Envoy's own list is without ed25519: a client that has such a certificate would not present it.
const signatureAlgorithms = ['ecdsa_secp256r1_sha256', 'ecdsa_secp384r1_sha384', 'rsa_pss_rsae_sha256', 'ed25519'];

const downstreamTls = ({ resumption = false, trustedCa = true }) => ({
  name: 'envoy.transport_sockets.tls',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
    require_client_certificate: false,
    disable_stateless_session_resumption: !resumption,
    disable_stateful_session_resumption: !resumption,
    common_tls_context: {
      alpn_protocols: ['h2', 'http/1.1'],
      tls_params: { signature_algorithms: signatureAlgorithms },
      tls_certificates: [{
        certificate_chain: { filename: 'build/pki/edge.pem' },
        private_key: { filename: 'build/pki/edge.key' },
      }],
      validation_context: {
        ...(trustedCa && { trusted_ca: { filename: 'build/pki/client-ca.pem' } }),
        trust_chain_verification: 'ACCEPT_UNTRUSTED',
      },
    },
  },
});

const accessLog = (path) => ({
  name: 'envoy.access_loggers.file',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
    path,
    log_format: {
      json_format: {
        exchange: '%REQ(X-EXCHANGE)%',
        status: '%RESPONSE_CODE%',
        details: '%RESPONSE_CODE_DETAILS%',
        outcome: '%FILTER_STATE(wasm.certbound.outcome:PLAIN)%',
        reason: '%FILTER_STATE(wasm.certbound.reason:PLAIN)%',
        client_id: '%FILTER_STATE(wasm.certbound.client_id:PLAIN)%',
        thumbprint: '%FILTER_STATE(wasm.certbound.thumbprint:PLAIN)%',
      },
    },
  },
});

// What the client presented goes to the filter in x-forwarded-client-cert, or else whatever the client wrote there does.
const clientCertDetails = ({ tellsChain = false }) => (tellsChain
  ? { forward_client_cert_details: 'SANITIZE_SET', set_current_client_cert_details: { cert: true, chain: true } }
  : { forward_client_cert_details: 'ALWAYS_FORWARD_ONLY' });

// Envoy is at its most permissive here (no path normalisation, underscores and x-forwarded-client-cert let through,
// trailers, HTTP/1.0 and Content-Length beside chunks taken), so that whatever is refused or removed is the filter's own doing.
const lax = (settings) => ({
  ...clientCertDetails(settings),
  http_protocol_options: { enable_trailers: true, accept_http_10: true, default_host_for_http_10: 'as.example.com', allow_chunked_length: true },
});

// As envoy.yaml has it, and stricter.
const strict = {
  forward_client_cert_details: 'SANITIZE',
  use_remote_address: true,
  normalize_path: true,
  merge_slashes: true,
  path_with_escaped_slashes_action: 'REJECT_REQUEST',
  common_http_protocol_options: { headers_with_underscores_action: 'REJECT_REQUEST', max_headers_count: 100 },
  http2_protocol_options: { initial_stream_window_size: 131072, initial_connection_window_size: 1048576 },
};

const toServer = { match: { prefix: '/' }, route: { cluster: 'upstream' } };

const listener = (name, settings, accessLogPath) => ({
  name,
  address: loopback(0),
  ...(settings.bufferBytes && { per_connection_buffer_limit_bytes: settings.bufferBytes }),
  filter_chains: [{
    transport_socket: downstreamTls(settings),
    filters: [{
      name: 'envoy.filters.network.http_connection_manager',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
        stat_prefix: name,
        request_timeout: '20s',
        ...(settings.strict ? strict : lax(settings)),
        ...settings.connectionManager,
        access_log: [accessLog(accessLogPath)],
        route_config: { virtual_hosts: [{ name: 'any', domains: ['*'], routes: [...settings.routes ?? [], toServer] }] },
        http_filters: [
          ...settings.httpFilters ?? [],
          ...(settings.configuration === undefined ? [] : [filter(name, settings)]),
          { name: 'router', typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' } },
        ],
      },
    }],
  }],
});

const cluster = (name, port) => ({
  name,
  load_assignment: {
    cluster_name: name,
    endpoints: [{ lb_endpoints: [{ endpoint: { address: loopback(port) } }] }],
  },
});

const upstreamCluster = (port) => ({
  ...cluster('upstream', port),
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      use_downstream_protocol_config: { http_protocol_options: { enable_trailers: true }, http2_protocol_options: {} },
    },
  },
});

/**
 * `listeners` maps a name to { bufferBytes, configuration, encoding, environment, isDelivered, resumption, tellsChain, trustedCa, strict }, and
 * what a test adds to Envoy's own part: `connectionManager`, an object, `httpFilters`, before certbound, and `routes`, before
 * the one for everything. Without configuration it is Envoy alone. `clusters` maps the names of further clusters to ports.
 */
const bootstrap = (listeners, upstreamPort, accessLogPath, clusters = {}) => ({
  node: { id: 'tests', cluster: 'tests' },
  admin: { address: loopback(0) },
  static_resources: {
    listeners: Object.entries(listeners).map(([name, settings]) => listener(name, settings, accessLogPath)),
    clusters: [upstreamCluster(upstreamPort), ...Object.entries(clusters).map(([name, port]) => cluster(name, port))],
  },
});

function emptyLog(file) {
  mkdirSync(join(root, logs), { recursive: true });
  const path = join(logs, file);
  rmSync(join(root, path), { force: true });
  return path;
}

// No hot restart: it is the only thing that Envoys on one machine would share.
const run = (args, { binary = currentEnvoy, environment = {} } = {}) => spawn(
  join(root, required(binary)),
  ['--disable-hot-restart', ...args],
  { cwd: root, env: { ...process.env, ...environment } },
);

const exit = (child) => new Promise((resolve) => child.once('close', resolve));

export async function until(what, attempt) {
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; await pause(10)) {
    const result = await attempt();
    if (result !== undefined) return result;
  }
  assert.fail(`waited in vain for ${what}`);
}

const deliveries = 'extension_config_discovery.http_filter.certbound';

/** Starts Envoy from a bootstrap, with these variables in its environment; `yaml` is a part of a bootstrap that is added,
 * and `name` names its files in build/log. */
export async function startBootstrap(name, configuration, { binary, environment, yaml } = {}) {
  const logPath = emptyLog(`${name}.envoy.log`);
  const adminPath = emptyLog(`${name}.admin`);
  const bootstrapPath = emptyLog(`${name}.bootstrap.json`);
  writeFileSync(join(root, bootstrapPath), JSON.stringify(configuration, null, 1));

  const child = run([
    '--config-path', bootstrapPath, '--admin-address-path', adminPath, '--log-path', logPath,
    '--concurrency', '1', '--file-flush-interval-msec', '10',
    ...(yaml === undefined ? [] : ['--config-yaml', yaml]),
  ], { binary, environment });
  const exited = exit(child);
  process.once('exit', () => child.kill());
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

  const log = () => readFileSync(join(root, logPath), 'utf8');
  const alive = () => assert.equal(child.exitCode, null, `Envoy stopped:\n${existsSync(join(root, logPath)) ? log() : ''}`);
  const admin = await until('the admin address of Envoy', () => {
    alive();
    return existsSync(join(root, adminPath)) ? readFileSync(join(root, adminPath), 'utf8') || undefined : undefined;
  });
  const ask = async (path) => (await fetch(`http://${admin}${path}`)).text();
  await until('Envoy to be live', async () => {
    alive();
    return (await ask('/ready')).startsWith('LIVE') || undefined;
  });

  async function counter(name) {
    const { stats } = JSON.parse(await ask(`/stats?format=json&usedonly&filter=^${name}$`));
    return stats.find((stat) => stat.name === name)?.value ?? 0;
  }

  const { listener_statuses: statuses } = JSON.parse(await ask('/listeners?format=json'));
  return {
    ports: Object.fromEntries(statuses.map((status) => [status.name, status.local_address.socket_address.port_value])),

    /** The lines of Envoy's log that hold a text, once there are any. */
    logLines: (text) => until(`${text} in the log of Envoy`, () => {
      const lines = log().split('\n').filter((line) => line.includes(text));
      return lines.length > 0 ? lines : undefined;
    }),

    /** Everything that Envoy logged so far. */
    log,

    /** What the admin interface answers. */
    ask,

    /** What Prometheus gets. */
    scrape: () => ask('/stats/prometheus'),

    /** A counter's value; 0 while nothing has counted. */
    counter,

    async stop() {
      child.kill();
      await exited;
    },
  };
}

/** Starts Envoy, of another release if `binary` says so, with these listeners before the server at `upstreamPort`, and with
 * further `clusters`; the other options are those of `startBootstrap`. */
export async function startEnvoy(name, listeners, upstreamPort, { clusters, ...options } = {}) {
  const accessLogPath = emptyLog(`${name}.access.json`);
  for (const [listenerName, settings] of Object.entries(listeners)) {
    if (settings.isDelivered) deliver(listenerName, settings);
  }
  const envoy = await startBootstrap(name, bootstrap(listeners, upstreamPort, accessLogPath, clusters), options);
  return {
    ...envoy,

    /** Everything that was logged so far. */
    logs: () => envoy.log() + readFileSync(join(root, accessLogPath), 'utf8'),

    /** The access log's entry for a request, once Envoy has written it: when the request is over. */
    accessLogEntry: (exchange) => until(`the access log of ${exchange}`, () => {
      if (!existsSync(join(root, accessLogPath))) return undefined;
      const lines = readFileSync(join(root, accessLogPath), 'utf8').split('\n').slice(0, -1);
      const line = lines.findLast((entry) => entry.includes(`"${exchange}"`));
      return line && JSON.parse(line);
    }),

    /** Delivers another filter to a listener whose filter is delivered, and waits until Envoy has taken or refused it. */
    async deliver(listenerName, settings) {
      const answers = async () => await envoy.counter(`${deliveries}.update_success`) + await envoy.counter(`${deliveries}.update_rejected`);
      const before = await answers();
      deliver(listenerName, settings);
      await until('Envoy to notice the delivery', async () => (await answers() > before) || undefined);
    },
  };
}

/** What `envoy --mode validate` makes of a bootstrap, given by Envoy's options: its exit code and its log. */
async function validation(options, environment) {
  const child = run(['--mode', 'validate', ...options], { environment });
  let log = '';
  child.stdout.on('data', (data) => { log += data; });
  child.stderr.on('data', (data) => { log += data; });
  const code = await exit(child);
  return { code, log };
}

export const validateFile = (path, environment) => validation(['--config-path', path], environment);

/** Validates a bootstrap with one listener of `startEnvoy`'s settings. */
export const validate = (settings) =>
  validation(['--config-yaml', JSON.stringify(bootstrap({ validated: settings }, 9, '/dev/null'))]);
