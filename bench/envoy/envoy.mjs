// Envoy as envoy.yaml sets it up, without its access log, around the filters of one variant.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { required, until } from '../../tests/envoy/envoy.mjs';
import { cpuNanoseconds } from './cpu.mjs';
import { envoyCore, start, stop } from './processes.mjs';

const binary = 'build/venv/bin/envoy';

const loopback = (port) => ({ socket_address: { address: '127.0.0.1', port_value: port } });

const typed = (type, value) => ({ '@type': `type.googleapis.com/envoy.${type}`, ...value });

const downstreamTls = {
  name: 'envoy.transport_sockets.tls',
  typed_config: typed('extensions.transport_sockets.tls.v3.DownstreamTlsContext', {
    require_client_certificate: false,
    common_tls_context: {
      alpn_protocols: ['h2', 'http/1.1'],
      tls_params: { tls_minimum_protocol_version: 'TLSv1_2' },
      tls_certificates: [{ certificate_chain: { filename: 'build/pki/edge.pem' }, private_key: { filename: 'build/pki/edge.key' } }],
      validation_context: { trust_chain_verification: 'ACCEPT_UNTRUSTED' },
    },
  }),
};

const connectionManager = ({ filters, connectionManager: settings, removed = [] }) => typed('extensions.filters.network.http_connection_manager.v3.HttpConnectionManager', {
  stat_prefix: 'clients',
  forward_client_cert_details: 'SANITIZE',
  use_remote_address: true,
  server_name: 'envoy',
  normalize_path: true,
  merge_slashes: true,
  path_with_escaped_slashes_action: 'REJECT_REQUEST',
  max_request_headers_kb: 60,
  // Longer than in envoy.yaml: the clients are stopped between their turns, perhaps in the midst of a request.
  request_headers_timeout: '600s',
  request_timeout: '600s',
  stream_idle_timeout: '600s',
  common_http_protocol_options: { headers_with_underscores_action: 'REJECT_REQUEST', max_headers_count: 100, idle_timeout: '600s' },
  http2_protocol_options: { max_concurrent_streams: 100, initial_stream_window_size: 131072, initial_connection_window_size: 1048576 },
  route_config: {
    virtual_hosts: [{
      name: 'any', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'upstream' }, request_headers_to_remove: removed }],
    }],
  },
  http_filters: [...filters, { name: 'router', typed_config: typed('extensions.filters.http.router.v3.Router') }],
  ...settings,
});

const cluster = (name, port, protocol = {}) => ({
  name,
  load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address: loopback(port) } }] }] },
  ...protocol,
});

const http2 = {
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions':
      typed('extensions.upstreams.http.v3.HttpProtocolOptions', { explicit_http_config: { http2_protocol_options: {} } }),
  },
};

const bootstrap = ({ upstream, service, ...settings }) => ({
  admin: { address: loopback(0) },
  static_resources: {
    listeners: [{
      name: 'clients',
      address: loopback(0),
      per_connection_buffer_limit_bytes: 131072,
      filter_chains: [{
        transport_socket: downstreamTls,
        filters: [{ name: 'envoy.filters.network.http_connection_manager', typed_config: connectionManager(settings) }],
      }],
    }],
    clusters: [cluster('upstream', upstream), ...(service ? [cluster('ext-authz', service.port, service.protocol === 'grpc' ? http2 : {})] : [])],
  },
});

/**
 * Starts Envoy with one worker on its core: with these `filters`, changes to its `connectionManager`, and header fields
 * that are `removed` on the way to the server at the port `upstream`. `service`, if there is one, has the port and the
 * protocol of ext_authz. With `tracesFilter` its log has every call into and out of wasm filters.
 */
export async function startEnvoy({ tracesFilter, ...settings }) {
  const directory = mkdtempSync(join(tmpdir(), 'certbound-bench-'));
  const [config, adminPath, log] = ['bootstrap.json', 'admin', 'envoy.log'].map((file) => join(directory, file));
  writeFileSync(config, JSON.stringify(bootstrap(settings)));
  const began = performance.now();
  const child = start(envoyCore, required(binary), [
    '--config-path', config, '--admin-address-path', adminPath, '--log-path', log, '--log-level', 'warn',
    '--concurrency', '1', '--disable-hot-restart', ...(tracesFilter ? ['--component-log-level', 'wasm:trace'] : []),
  ], { stderr: 'ignore' });
  const alive = () => {
    if (child.exitCode !== null) throw new Error(`Envoy stopped:\n${readFileSync(log, 'utf8')}`);
  };
  const admin = await until('the admin address of Envoy', () => {
    alive();
    try {
      return readFileSync(adminPath, 'utf8') || undefined;
    } catch {
      return undefined;
    }
  });
  const ask = async (path, method = 'GET') => (await fetch(`http://${admin}${path}`, { method })).text();
  await until('Envoy to be live', async () => {
    alive();
    return (await ask('/ready')).startsWith('LIVE') || undefined;
  });
  const readyAfter = performance.now() - began;
  const { listener_statuses: [{ local_address: address }] } = JSON.parse(await ask('/listeners?format=json'));
  return {
    port: address.socket_address.port_value,
    pid: child.pid,
    /** Milliseconds. */
    readyAfter,
    cpu: () => cpuNanoseconds(child.pid),
    /** How many requests have been answered since that was forgotten last: with success, every one of them. */
    async answered() {
      const { stats } = JSON.parse(await ask('/stats?format=json&filter=^http.clients.downstream_rq_[1-5]xx$'));
      const counts = Object.fromEntries(stats.map(({ name, value }) => [name.slice(-3), value]));
      const { '2xx': success, ...others } = counts;
      assert.ok(Object.values(others).every((count) => count === 0), `every request must be answered with 200: ${JSON.stringify(counts)}`);
      return success;
    },
    forgetAnswers: () => ask('/reset_counters', 'POST'),
    /** Resident memory in bytes. */
    memory: () => Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))[1]) * 1024,
    /** Returns the log, which is complete then. */
    async stop() {
      await stop(child);
      const text = readFileSync(log, 'utf8');
      rmSync(directory, { recursive: true });
      return text;
    },
  };
}
