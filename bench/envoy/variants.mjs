// What is measured side by side: for each variant what it adds to Envoy, and what its clients send.
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import { asJsonText, required, root } from '../../tests/envoy/envoy.mjs';
import { authority } from './clients.mjs';

const typed = (type, value) => ({ '@type': `type.googleapis.com/envoy.extensions.filters.http.${type}`, ...value });

const wasm = (filename, configuration) => ({
  name: 'wasm',
  typed_config: typed('wasm.v3.Wasm', {
    config: {
      name: 'bench',
      allow_on_headers_stop_iteration: true,
      vm_config: { runtime: 'envoy.wasm.runtime.v8', code: { local: { filename } } },
      ...(configuration && { configuration: asJsonText(configuration) }),
    },
  }),
});

const noOp = (configuration) => ({ filters: [wasm(required('build/bench/no-op.wasm'), configuration)] });

const lua = (clients) => ({
  name: 'lua',
  typed_config: typed('lua.v3.Lua', {
    default_source_code: {
      inline_string: readFileSync(new URL('equal-work.lua', import.meta.url), 'utf8').replace('CLIENTS', () => clients.lines()),
    },
  }),
});

const privatePem = (type, options) => generateKeyPairSync(type, options).privateKey.export({ type: 'pkcs8', format: 'pem' });

const keys = {
  'hmac-sha256': Buffer.alloc(32, 'bench').toString('base64'),
  ed25519: privatePem('ed25519'),
  'ecdsa-p256-sha256': privatePem('ec', { namedCurve: 'P-256' }),
};

const key = (alg) => [{ kid: '2026-11', alg, key: { value: keys[alg] } }];

const components = ['client-cert', '@method', '@authority', '@path', 'content-digest'];
const httpSignature = (alg) => ({ signature: { http_message_signature: { components }, keys: key(alg) } });
const jws = (alg, settings) => ({
  signature: { jws: { issuer: 'https://proxy.example.com', audience: 'https://as.example.com', ...settings }, keys: key(alg) },
});

// The header fields that the script sets, too.
const atEndpoint = (clients, settings) => ({
  endpoints: [{ path: '/oauth/token' }],
  clients,
  certificate_header: { name: 'Client-Cert', verify_name: 'X-Client-Verify' },
  client_id_header: 'X-Client-Id',
  thumbprint_header: 'X-Client-Cert-Thumbprint',
  ...settings,
});

/** Clients of either TLS method, unsigned. */
export const certboundConfigurations = {
  'certbound-unsigned': (clients) => atEndpoint(clients.selfSigned()),
  'certbound-pki': (clients) => atEndpoint(clients.issued(), { trust_anchors: { bench: { certificates: authority() } } }),
};

const certbound = (settings) => ({ clients, module }) => ({ filters: [wasm(module, atEndpoint(clients.selfSigned(), settings))] });

const set = (...names) => ({ patterns: names.map((exact) => ({ exact })) });
const setByService = set('client-cert', 'x-client-verify', 'x-client-cert-thumbprint', 'x-client-id');

const extAuthz = (settings) => ({
  name: 'ext-authz',
  typed_config: typed('ext_authz.v3.ExtAuthz', {
    transport_api_version: 'V3', with_request_body: { max_request_bytes: 65536, allow_partial_message: false }, ...settings,
  }),
});

const extAuthzOverHttp = extAuthz({
  http_service: {
    server_uri: { uri: 'http://ext-authz', cluster: 'ext-authz', timeout: '1s' },
    authorization_response: { allowed_upstream_headers: setByService, allowed_client_headers: set('content-type', 'cache-control', 'pragma') },
  },
  allowed_headers: set('x-forwarded-client-cert'),
});

const extAuthzOverGrpc = extAuthz({
  grpc_service: { envoy_grpc: { cluster_name: 'ext-authz' }, timeout: '1s' },
  include_peer_certificate: true,
});

// Over HTTP the service learns of the certificate in a header field, which is not for the server.
const tellsCertificate = {
  connectionManager: { forward_client_cert_details: 'SANITIZE_SET', set_current_client_cert_details: { cert: true } },
  removed: ['x-forwarded-client-cert', 'client-cert-chain'],
};

/**
 * `envoy` is what startEnvoy is told, of `clients` (their registrations), and of certbound, a `module`. `traffic` says
 * what the clients do: ask for a `token` (the default), or `get` a resource with a token that is bound. `baseline` is
 * what the difference is taken to.
 */
export const variants = {
  none: { title: 'no filter', isBaseline: true },
  'no-op': { title: 'wasm filter that does nothing', envoy: () => noOp(), letsAllIn: true },
  lua: { title: 'Lua, equal work, unsigned', envoy: ({ clients }) => ({ filters: [lua(clients)] }) },
  'ext_authz-http': {
    title: 'ext_authz over HTTP, equal work, unsigned',
    envoy: () => ({ filters: [extAuthzOverHttp], ...tellsCertificate }),
    service: 'http',
  },
  'ext_authz-grpc': {
    title: 'ext_authz over gRPC, equal work, unsigned', envoy: () => ({ filters: [extAuthzOverGrpc] }), service: 'grpc',
  },
  'certbound-unsigned': { title: 'certbound, unsigned', envoy: certbound() },
  'certbound-hmac': { title: 'certbound, hmac-sha256', envoy: certbound(httpSignature('hmac-sha256')) },
  'certbound-ed25519': { title: 'certbound, ed25519', envoy: certbound(httpSignature('ed25519')) },
  'certbound-ecdsa': { title: 'certbound, ecdsa-p256-sha256', envoy: certbound(httpSignature('ecdsa-p256-sha256')) },
  'certbound-jws': { title: 'certbound, JWS (ES256)', envoy: certbound(jws('ecdsa-p256-sha256')) },
  'certbound-jws-reused': { title: 'certbound, JWS (ES256), reused', envoy: certbound(jws('ecdsa-p256-sha256', { reuse_seconds: 30 })) },
  'certbound-pki': {
    title: 'certbound, PKI, path remembered',
    envoy: ({ clients, module }) => ({ filters: [wasm(module, certboundConfigurations['certbound-pki'](clients))] }),
  },
  'none-get': { title: 'no filter, protected resource', isBaseline: true, traffic: 'get' },
  'certbound-bearer': {
    title: 'certbound, bound token',
    envoy: ({ module }) => ({
      filters: [wasm(module, {
        endpoints: [{ path: '/oauth/token' }], protected_resources: [{ path_prefix: '/api/', token: 'bearer', require: 'bound' }],
      })],
    }),
    traffic: 'get',
    baseline: 'none-get',
  },
};

export const names = Object.keys(variants);

const atLeast = (name, title) => ({ name, title, traffic: 'token', baseline: 'none', letsAllIn: true, envoy: () => noOp(name) });

/** What a wasm filter for the job costs at least, as `variant` gives it: of bench/no-op, by how it is configured. */
export const floor = {
  held: atLeast('held', 'wasm filter that only waits for the body'),
  needed: atLeast('needed', 'wasm filter that only makes the host calls needed'),
};

/** The variant of a name; `<name>@<path>` is certbound from that module. */
export function variant(name) {
  const [kind, path] = name.split('@');
  const found = variants[kind];
  if (!found) throw new Error(`there is no variant ${kind}; there are ${names.join(', ')}`);
  const module = path ? relative(root, resolve(path)) : 'build/certbound.wasm';
  const { title, isBaseline, traffic = 'token', service } = found;
  return {
    name,
    title: path ? `${title} (${path})` : title,
    traffic,
    baseline: isBaseline ? undefined : found.baseline ?? 'none',
    letsAllIn: isBaseline || found.letsAllIn,
    service,
    envoy: (clients) => found.envoy?.({ clients, module: required(module) }) ?? { filters: [] },
  };
}
