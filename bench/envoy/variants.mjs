// What is measured side by side: for each variant its filters, and what its clients send.
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import { asJsonText, required, root } from '../../tests/envoy/envoy.mjs';
import { authority, issued, lines, selfSigned } from './clients.mjs';

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

const lua = (count) => ({
  name: 'lua',
  typed_config: typed('lua.v3.Lua', {
    default_source_code: {
      inline_string: readFileSync(new URL('equal-work.lua', import.meta.url), 'utf8').replace('CLIENTS', () => lines(count)),
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

const certbound = (settings) => ({
  filters: ({ clients, module }) => [wasm(module, atEndpoint(selfSigned(clients), settings))],
});

const withAnchors = () => ({ trust_anchors: { bench: { certificates: authority() } } });

/**
 * `filters` of a number of registered `clients`, and of certbound, a `module`. `traffic` says what the clients do: post for a
 * `token` (the default), or `get` a resource with a token that is bound. `baseline` is what the difference is taken to.
 */
const all = {
  none: { title: 'no filter', filters: () => [], checksNothing: true },
  'no-op': { title: 'wasm filter that does nothing', filters: () => [wasm(required('build/bench/no-op.wasm'))], checksNothing: true },
  lua: { title: 'Lua script, equal work, unsigned', filters: ({ clients }) => [lua(clients)] },
  'certbound-unsigned': { title: 'certbound, unsigned', ...certbound() },
  'certbound-hmac': { title: 'certbound, hmac-sha256', ...certbound(httpSignature('hmac-sha256')) },
  'certbound-ed25519': { title: 'certbound, ed25519', ...certbound(httpSignature('ed25519')) },
  'certbound-ecdsa': { title: 'certbound, ecdsa-p256-sha256', ...certbound(httpSignature('ecdsa-p256-sha256')) },
  'certbound-jws': { title: 'certbound, JWS with ES256', ...certbound(jws('ecdsa-p256-sha256')) },
  'certbound-pki': {
    title: 'certbound, PKI, path remembered',
    filters: ({ clients, module }) => [wasm(module, atEndpoint(issued(clients), withAnchors()))],
  },
  'none-get': { title: 'no filter, protected resource', filters: () => [], checksNothing: true, traffic: 'get' },
  'certbound-bearer': {
    title: 'certbound, bound token',
    filters: ({ module }) => [wasm(module, {
      endpoints: [{ path: '/oauth/token' }],
      protected_resources: [{ path_prefix: '/api/', token: 'bearer', require: 'bound' }],
    })],
    traffic: 'get',
    baseline: 'none-get',
  },
};

export const names = Object.keys(all);

/** The variant of a name; `<name>@<path>` is certbound from that module. */
export function variant(name) {
  const [kind, path] = name.split('@');
  const module = path ? relative(root, resolve(path)) : 'build/certbound.wasm';
  const found = all[kind];
  if (!found) throw new Error(`there is no variant ${kind}; there are ${names.join(', ')}`);
  const { filters, title, traffic = 'token', baseline = 'none', checksNothing = false } = found;
  return {
    name,
    title: path ? `${title} (${path})` : title,
    traffic,
    baseline: baseline === name || checksNothing && traffic === 'get' ? undefined : baseline,
    checksNothing,
    filters: (clients) => filters({ clients, module: required(module) }),
  };
}
