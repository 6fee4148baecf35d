// certbound.schema.json against the filter's own reading of configurations, by a validator that is not ours: it refuses
// nothing that the filter takes, and much of what the filter refuses.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { topics } from './cases.mjs';
import { asJsonText, required, root } from './envoy.mjs';
import { Ajv, parseYaml } from './packages.mjs';
import { crls, pki } from './pki.mjs';

const read = (path) => readFileSync(join(root, path), 'utf8');
const schema = JSON.parse(read('certbound.schema.json'));

// Strict about the schema too: a keyword that is unknown or has no effect is an error.
const ajv = new Ajv({ strict: true, strictRequired: false, strictTypes: false });
ajv.addVocabulary(['errorMessage', 'patternErrorMessage']); // what language servers say
const isValid = ajv.compile(schema);

const assertValid = (configuration, name) =>
  assert.ok(isValid(configuration), `${name}: ${ajv.errorsText(isValid.errors)}\n${JSON.stringify(configuration, null, 1)}`);

const secrets = ['BATCH_SECRET', 'CERTBOUND_SIGNING_KEY', 'AS_API_KEY', 'INTROSPECTION_SECRET'];

/** Whether the filter takes each of these configurations, by `certbound check` on all of them at once. */
function filterTakes(configurations) {
  const filters = configurations.map((configuration) => ({
    '@type': 'type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm',
    config: {
      name: 'certbound',
      configuration: asJsonText(configuration),
      vm_config: { environment_variables: { host_env_keys: secrets } },
    },
  }));
  mkdirSync(join(root, 'build/log'), { recursive: true });
  const file = join(root, 'build/log/schema.test.json');
  writeFileSync(file, JSON.stringify(filters));
  const { stdout, stderr } = spawnSync(join(root, required('build/verify/certbound')), ['check', '--json', file], {
    encoding: 'utf8', maxBuffer: 1 << 28,
  });
  assert.notEqual(stdout, '', stderr);
  const refused = new Set(JSON.parse(stdout).errors.map(({ path }) => Number(/^\[(\d+)\]\.config\.configuration\.value/.exec(path)[1])));
  return configurations.map((_, i) => !refused.has(i));
}

const ca = pki['client-ca'].certificate;
const indented = (pem) => pem.trim().replaceAll('\n', '\n      ');

/** The example of docs/configuration.md, with PEM where it has ellipses. */
const example = (() => {
  const [, yaml] = /```yaml\n(.*?)```/s.exec(read('docs/configuration.md'));
  const pems = [ca, pki['intermediate-ca'].certificate, crls['client-ca']];
  const written = yaml.replaceAll(/-----BEGIN [^…]*…\n *-----END .*-----/g, () => indented(pems.shift()));
  assert.equal(pems.length, 0);
  return parseYaml(written);
})();

/** A copy with something else at a place. */
function changed(configuration, place, change) {
  const copy = structuredClone(configuration);
  const holder = place.slice(0, -1).reduce((value, step) => value[step], copy);
  change(holder, place.at(-1));
  return copy;
}

/** Every place in a value, as a list of steps. */
const places = (value, above = []) => (value === null || typeof value !== 'object' ? [] : Object.entries(value)
  .flatMap(([step, member]) => [[...above, step], ...places(member, [...above, step])]));

const remove = (holder, step) => (Array.isArray(holder) ? holder.splice(step, 1) : delete holder[step]);
const replaceBy = (replacement) => (holder, step) => { holder[step] = structuredClone(replacement); };
const changes = [
  remove,
  (holder, step) => { if (holder[step] !== null && typeof holder[step] === 'object') holder[step].surplus = 1; },
  (holder, step) => { if (Array.isArray(holder)) holder.push(structuredClone(holder[step])); },
  ...[null, true, 0, 1e9, '', 'x', [], {}].map(replaceBy),
];

describe('the schema takes', () => {
  test('the configuration of every case, which the filter takes', () => {
    assert.ok(topics.length > 40);
    topics.forEach(({ topic, configuration }) => assertValid(configuration, topic));
  });

  test('the example with every key', () => {
    assert.deepEqual(filterTakes([example]), [true]);
    assertValid(example, 'docs/configuration.md');
  });

  test('the configuration in envoy.yaml', () => {
    const find = (value) => (value?.['@type'] === 'type.googleapis.com/google.protobuf.Struct' ? [value.value]
      : value !== null && typeof value === 'object' ? Object.values(value).flatMap(find) : []);
    const found = find(parseYaml(read('envoy.yaml')));
    assert.equal(found.length, 1);
    assertValid(found[0], 'envoy.yaml');
  });

  test('the YAML in the documents, key by key', () => {
    const documents = ['README.md', ...readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`)];
    let taken = 0;
    for (const document of documents) {
      for (const [, block] of read(document).matchAll(/```yaml\n(.*?)```/gs)) {
        // Some show two alternatives of a key.
        const members = block.split(/\n(?=\w+:)/).map((text) => parseYaml(text));
        const isConfiguration = members.every((member) => member && Object.keys(member).every((key) => key in schema.properties));
        if (!isConfiguration) continue;
        for (const member of members) {
          const { trust_anchors: sets, ...others } = member;
          assertValid({ endpoints: example.endpoints, ...others }, document);
          for (const set of Object.values(sets ?? {})) {
            assert.ok(Object.keys(set).every((key) => key in schema.properties.trust_anchors.additionalProperties.properties));
          }
          taken += 1;
        }
      }
    }
    assert.ok(taken > 40, `only ${taken}`);
  });

  test('every input of the fuzzing corpus that the filter takes', () => {
    const directory = join(root, 'fuzz/corpus/configuration');
    const texts = readdirSync(directory).map((name) => readFileSync(join(directory, name), 'utf8'));
    const parsed = texts.flatMap((text) => {
      try {
        return [JSON.parse(text)];
      } catch {
        return []; // a serialised Struct, or no configuration at all
      }
    });
    const taken = filterTakes(parsed);
    assert.ok(taken.filter(Boolean).length > 20, `only ${taken.filter(Boolean).length}`);
    parsed.forEach((configuration, i) => taken[i] && assertValid(configuration, 'the corpus'));
  });

  test('whatever the filter takes when a value of the example is removed, repeated or replaced', () => {
    const variants = places(example).flatMap((place) => changes.map((change) => changed(example, place, change)));
    const taken = filterTakes(variants);
    variants.forEach((variant, i) => taken[i] && assertValid(variant, `variant ${i}`));
    const refused = variants.filter((_, i) => !taken[i]);
    const marked = refused.filter((variant) => !isValid(variant));
    assert.ok(taken.filter(Boolean).length > 200, `the filter takes ${taken.filter(Boolean).length} of ${variants.length}`);
    assert.ok(marked.length / refused.length > 0.9, `the schema refuses ${marked.length} of the ${refused.length} that the filter refuses`);
  });
});

const endpoints = [{ path: '/oauth/token' }];
const pkiClient = { client_id: 'payments', token_endpoint_auth_method: 'tls_client_auth' };
const dn = { tls_client_auth_subject_dn: 'CN=payments' };
const selfSigned = { client_id: 'partner', token_endpoint_auth_method: 'self_signed_tls_client_auth' };
const thumbprints = { certificate_thumbprints: [pki['partner-app']['x5t#S256']] };
const portal = { client_id: 'portal', token_endpoint_auth_method: 'client_secret_basic' };
const key = { kid: '1', alg: 'hmac-sha256', key: { value: Buffer.alloc(32, 'a key').toString('base64') } };
const resource = (members) => ({ endpoints, protected_resources: [{ path: '/api', token: 'bearer', ...members }] });
const client = (...members) => ({ endpoints, clients: [Object.assign({}, ...members)] });
const header = (members) => ({ endpoints, certificate_header: members });
const upstream = (members) => ({ endpoints, upstream_authentication: members });
const sets = (members) => ({ endpoints, trust_anchors: { ca: { certificates: ca, ...members } } });
const introspection = {
  cluster: 'as', path: '/introspect', authority: 'as', client_id: 'gateway', client_secret: { value: 'secret' },
};

// [what it is about, a configuration that is taken, one that is not]
const pairs = [
  ['a key of the configuration', { endpoints, clients: [] }, { endpoints, client: [] }],
  ['the one that is required', { endpoints }, {}],
  ['an endpoint', { endpoints: [{ path: '/a', path_prefix: null }] }, { endpoints: [{ path: '/a', path_prefix: '/b' }] }],
  ['a path', { endpoints: [{ path_prefix: '/a%20b' }] }, { endpoints: [{ path_prefix: 'a' }] }],
  ['methods', { endpoints: [{ path: '/a', methods: ['GET'] }] }, { endpoints: [{ path: '/a', methods: ['get'] }] }],
  ['a choice', { endpoints, unregistered_clients: 'pass' }, { endpoints, unregistered_clients: 'allow' }],
  ['a number', { endpoints, limits: { max_body_bytes: 1048576 } }, { endpoints, limits: { max_body_bytes: 1048577 } }],
  ['the least number', header({ max_bytes: 1 }), header({ max_bytes: 0 })],
  ['a number and no text', resource({ token: 'introspection', introspection: { ...introspection, max_cache_seconds: 0 } }),
    resource({ token: 'introspection', introspection: { ...introspection, max_cache_seconds: '0' } })],
  ['a header name', header({ name: 'Client-Cert', chain_name: 'Chain_%d' }), header({ name: 'Client Cert' })],
  ['a subject value', client(pkiClient, dn, { tls_client_auth_san_dns: null }), client(pkiClient)],
  ['one subject value', client(pkiClient, dn), client(pkiClient, dn, { tls_client_auth_san_dns: 'a.example.com' })],
  ['subject values of other clients', client(portal), client(portal, dn)],
  ['a DNS name', client(pkiClient, { tls_client_auth_san_dns: 'a.example.com' }), client(pkiClient, { tls_client_auth_san_dns: '*.example.com' })],
  ['an address', client(pkiClient, { tls_client_auth_san_ip: '::1' }), client(pkiClient, { tls_client_auth_san_ip: '192.0.2.0/24' })],
  ['a registered certificate', client(selfSigned, thumbprints), client(selfSigned, { jwks_uri: 'https://a/' })],
  ['a registered key', client(selfSigned, { jwks: { keys: [pki['partner-app'].jwk] } }), client(selfSigned, { jwks: [pki['partner-app'].jwk] })],
  ['a thumbprint', client(selfSigned, { certificate_thumbprints: ['AB:'.repeat(31) + 'CD'] }), client(selfSigned, { certificate_thumbprints: ['c0ffee'] })],
  ['thumbprints of other clients', client(pkiClient, dn), client(pkiClient, dn, thumbprints)],
  ['trust anchors of clients', { ...client(pkiClient, dn, { trust_anchors: ['ca'] }), ...sets() },
    { ...client(selfSigned, thumbprints, { trust_anchors: ['ca'] }), ...sets() }],
  ['a method', client(portal), client(portal, { token_endpoint_auth_method: 'mutual_tls' })],
  ['other metadata', client(portal, { 'client_name#de': 'Portal', grant_types: [] }), client(portal, { client_nam: 'Portal' })],
  ['secrets in metadata', client(portal, { client_secret_expires_at: 0 }), client(portal, { client_secret: 'secret' })],
  ['a secret for the server', client(pkiClient, dn, { upstream_client_secret: { value: 'a' } }), client(portal, { upstream_client_secret: { value: 'a' } })],
  ['a secret', upstream({ header: { name: 'X-Key', value: { env: 'AS_API_KEY' } } }), upstream({ header: { name: 'X-Key', value: { env: 'AS_API_KEY', value: 'a' } } })],
  ['a secret in its object', upstream({ header: { name: 'X-Key', value: { value: 'a' } } }), upstream({ header: { name: 'X-Key', value: 'a' } })],
  ['one kind of credentials', upstream({ basic: { username: 'a', password: { value: 'b' } } }),
    upstream({ basic: { username: 'a', password: { value: 'b' } }, header: { name: 'X-Key', value: { value: 'a' } } })],
  ['credentials', upstream(null), upstream({})],
  ['something to sign', { endpoints, signature: { http_message_signature: {}, keys: [key] } }, { endpoints, signature: { keys: [key] } }],
  ['a key', { endpoints, signature: { http_message_signature: {}, keys: [key] } }, { endpoints, signature: { http_message_signature: {}, keys: [] } }],
  ['a label', { endpoints, signature: { http_message_signature: { label: '*a' }, keys: [key] } }, { endpoints, signature: { http_message_signature: { label: 'A' }, keys: [key] } }],
  ['a resource', resource({ forward: ['certificate', 'certificate'] }), resource({ path_prefix: '/api/' })],
  ['an introspection endpoint', resource({ token: 'introspection', introspection }), resource({ token: 'introspection' })],
  ['no introspection endpoint', resource({ introspection: null }), resource({ introspection })],
  ['a provider', resource({ token: 'jwt_authn', payload_in_metadata: 'a' }), resource({ payload_in_metadata: 'a' })],
  ['CRLs', sets({ crls: crls['client-ca'] }), sets({ crls: ca })],
  ['a set of trust anchors', sets(), sets({ crl: crls['client-ca'] })],
  ['an origin', { endpoints, discovery: { paths: ['/a'], mtls_origin: 'https://a:8443' } }, { endpoints, discovery: { paths: ['/a'], mtls_origin: 'https://a/' } }],
];

describe('the schema and the filter', () => {
  const taken = filterTakes(pairs.flatMap(([, good, bad]) => [good, bad]));
  pairs.forEach(([name, good, bad], i) => test(`take and refuse ${name}`, () => {
    assert.deepEqual(taken.slice(2 * i, 2 * i + 2), [true, false], 'the filter');
    assertValid(good, 'taken');
    assert.ok(!isValid(bad), JSON.stringify(bad));
  }));
});
