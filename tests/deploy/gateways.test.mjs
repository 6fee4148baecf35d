// deploy/istio and deploy/envoy-gateway in real Envoy: their patches, applied as the control planes document it to
// listeners of the form that these make (stand-ins.mjs). No control plane runs here.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { root, startBootstrap } from '../envoy/envoy.mjs';
import { document, object } from './recipes.mjs';
import { assertGuarded, environment, startServer } from './server.mjs';
import { bootstrap, envoyGatewayListener, istioListener } from './stand-ins.mjs';

const { default: jsonPatch } = await import('fast-json-patch');

const module = 'build/certbound.wasm';
const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

/** What a merge of protobuf messages does: messages are merged, lists are appended to, anything else is replaced. */
function merge(target, source) {
  for (const [key, value] of Object.entries(source)) {
    if (isObject(target[key]) && isObject(value)) merge(target[key], value);
    else if (Array.isArray(target[key]) && Array.isArray(value)) target[key].push(...value);
    else target[key] = structuredClone(value);
  }
  return target;
}

/** Applies an EnvoyFilter to a listener of a gateway, for what ours uses of it; returns the filters to be delivered. */
function applyEnvoyFilter({ spec: { configPatches } }, listener) {
  const delivered = [];
  const [chain] = listener.filter_chains;
  const [connectionManager] = chain.filters;
  for (const { applyTo, match, patch: { operation, value } } of configPatches) {
    assert.equal(match.context, 'GATEWAY');
    const filter = match.listener?.filterChain.filter;
    if (filter) assert.equal(filter.name, connectionManager.name);
    const { http_filters: httpFilters } = connectionManager.typed_config;
    const at = httpFilters.findIndex(({ name }) => name === filter?.subFilter?.name);
    const operations = {
      'EXTENSION_CONFIG ADD': () => delivered.push(structuredClone(value)),
      'FILTER_CHAIN MERGE': () => merge(chain, value),
      'HTTP_FILTER INSERT_BEFORE': () => httpFilters.splice(at, 0, structuredClone(value)),
      'LISTENER MERGE': () => merge(listener, value),
      'NETWORK_FILTER MERGE': () => merge(connectionManager, value),
    };
    if (applyTo === 'HTTP_FILTER') assert.notEqual(at, -1, `no filter ${filter.subFilter.name}`);
    operations[`${applyTo} ${operation}`]();
  }
  return delivered;
}

/** What a resource's Envoy has in the place of a module that was pulled: a file. */
const withModule = (value, code) => JSON.parse(JSON.stringify(value), (key, inner) => (key === 'code' ? code(inner) : inner));

/** Runs Envoy with a listener, and sees whether certbound is in front of the server. */
async function assertGuards(name, listener) {
  const server = await startServer({ isTls: false });
  try {
    const envoy = await startBootstrap(name, bootstrap(listener, server.port), { environment });
    try {
      await assertGuarded(envoy.ports[listener.name]);
    } finally {
      await envoy.stop();
    }
  } finally {
    server.stop();
  }
}

/** The server gets a client's request without the certificate that certbound would have added. */
const isNotGuarded = { code: 'ERR_ASSERTION', actual: undefined };

/** The settings of the reference that matter, in another listener. */
function assertAsInReference(listener) {
  const [reference] = document('envoy.yaml').static_resources.listeners;
  const settings = (listener) => {
    const [{ transport_socket: socket, filters: [{ typed_config: manager }] }] = listener.filter_chains;
    const { validation_context, tls_params: { signature_algorithms } } = socket.typed_config.common_tls_context;
    const { stat_prefix, server_name, access_log, http_filters, route_config, ...rest } = manager;
    return { ...rest, validation_context, signature_algorithms, per_connection_buffer_limit_bytes: listener.per_connection_buffer_limit_bytes };
  };
  const [expected, actual] = [settings(reference), settings(listener)];
  for (const [key, value] of Object.entries(expected)) {
    const found = isObject(value) ? Object.fromEntries(Object.keys(value).map((inner) => [inner, actual[key]?.[inner]])) : actual[key];
    assert.deepEqual(found, value, key);
  }
}

describe('Kubernetes', () => {
  test('the listener has the settings of envoy.yaml', () => {
    const [clients] = document('deploy/kubernetes/envoy.yaml').static_resources.listeners;
    assertAsInReference(clients);
    assert.throws(() => assertAsInReference({ ...clients, per_connection_buffer_limit_bytes: 1 }), /per_connection_buffer_limit_bytes/);
  });
  test('the metrics have the labels and buckets of envoy.yaml, which rules and dashboard expect', () => {
    const { stats_config: expected } = document('envoy.yaml');
    assert.ok(expected);
    assert.deepEqual(document('deploy/kubernetes/envoy.yaml').stats_config, expected);
  });
});

describe('Istio', () => {
  const envoyFilter = object('deploy/istio/envoyfilter.yaml', 'EnvoyFilter');

  // What Istio delivers stands in a file here, with the module that the gateway's agent would have pulled.
  function patched() {
    const listener = istioListener();
    const [certbound, ...others] = applyEnvoyFilter(envoyFilter, listener);
    assert.deepEqual(others, []);
    const file = 'build/log/istio.filter.json';
    mkdirSync(join(root, 'build/log'), { recursive: true });
    const resource = withModule(certbound, ({ remote }) => {
      assert.match(remote.http_uri.uri, /^oci:\/\//);
      return { local: { filename: module } };
    });
    writeFileSync(join(root, file), JSON.stringify({
      resources: [{ '@type': 'type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig', ...resource }],
    }));
    const filter = listener.filter_chains[0].filters[0].typed_config.http_filters.find(({ name }) => name === certbound.name);
    assert.deepEqual(filter.config_discovery.config_source, { ads: {}, initial_fetch_timeout: '0s' });
    filter.config_discovery.config_source = { path_config_source: { path: file } };
    return listener;
  }

  test('the patched listener has the settings of envoy.yaml', () => assertAsInReference(patched()));
  test('the patched listener authenticates clients in Envoy', () => assertGuards('istio', patched()));
  test('an Envoy without the patches does not', () => assert.rejects(assertGuards('istio-unpatched', istioListener()), isNotGuarded));
});

describe('Envoy Gateway', () => {
  const { spec } = object('deploy/envoy-gateway/envoypatchpolicy.yaml', 'EnvoyPatchPolicy');

  function patched() {
    const listener = envoyGatewayListener();
    const operations = spec.jsonPatches.map(({ type, name, operation }) => {
      assert.equal(type, 'type.googleapis.com/envoy.config.listener.v3.Listener');
      assert.equal(name, listener.name);
      return operation;
    });
    return jsonPatch.applyPatch(listener, structuredClone(operations), true).newDocument;
  }
  const withFile = (listener) => withModule(listener, ({ local }) => {
    const { mountPath } = object('deploy/envoy-gateway/gateway.yaml', 'EnvoyProxy').spec.provider.kubernetes.envoyDeployment.container.volumeMounts[0];
    assert.equal(local.filename, `${mountPath}/plugin.wasm`);
    return { local: { filename: module } };
  });

  test('the patched listener authenticates clients in Envoy', () => assertGuards('envoy-gateway', withFile(patched())));
  test('an Envoy without the patch does not', () => assert.rejects(assertGuards('envoy-gateway-unpatched', envoyGatewayListener()), isNotGuarded));
  test('the policy is for the listener of the Gateway', () => {
    const { metadata, spec: { listeners: [{ name }] } } = object('deploy/envoy-gateway/gateway.yaml', 'Gateway');
    assert.deepEqual(spec.targetRef, { group: 'gateway.networking.k8s.io', kind: 'Gateway', name: metadata.name });
    assert.equal(envoyGatewayListener().name, `${metadata.namespace}/${metadata.name}/${name}`);
  });
});
