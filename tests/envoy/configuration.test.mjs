// A faulty plugin configuration stops Envoy and says where it is wrong; a sound one does not, in JSON text or as a Struct.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { GATEWAY_SECRET } from '../../demo/clients.mjs';
import { asJsonText, asStruct, root, validate, validateFile } from './envoy.mjs';
import { crls, pki } from './pki.mjs';

const endpoints = [{ path: '/oauth/token' }];
const pkiClient = { client_id: 'payments', token_endpoint_auth_method: 'tls_client_auth' };
const selfSignedClient = { client_id: 'partner-app', token_endpoint_auth_method: 'self_signed_tls_client_auth' };
const subject = 'CN=payments,O=Example Bank,C=SE';
const secret = 'a-secret-that-nobody-may-log';
const key = { kid: 'current', alg: 'hmac-sha256', key: { value: Buffer.alloc(32, secret).toString('base64') } };

const client = (metadata) => ({ endpoints, clients: [metadata] });
const pems = (...names) => names.map((name) => pki[name].certificate).join('');
const clientCa = { certificates: pems('client-ca') };
const anchors = (set) => ({ endpoints, trust_anchors: { 'client-ca': set } });
const signature = (http_message_signature, ...keys) => ({ endpoints, signature: { http_message_signature, keys } });

const privatePem = ({ privateKey }, options) => privateKey.export({ type: 'pkcs8', format: 'pem', ...options });
const pemKey = (kid, alg, value) => ({ kid, alg, key: { value } });
const p256 = privatePem(generateKeyPairSync('ec', { namedCurve: 'P-256' }));
const jws = (changes, jwks_path, pem) => ({
  endpoints,
  signature: { jws: { issuer: 'a', audience: 'b', ...changes }, keys: [pem ? pemKey('current', 'ecdsa-p256-sha256', pem) : key], jwks_path },
});

const introspection = (settings) => ({
  cluster: 'as', path: '/oauth/introspect', authority: 'as.internal', client_id: 'gateway', client_secret: { value: secret }, ...settings,
});

// [what is wrong, the configuration, the path of the key, a part of what to write instead]
const single = [
  ['text that is no JSON', 'endpoints: []', '', 'JSON in a google.protobuf.StringValue'],
  ['a key twice', '{"endpoints": [{"path": "/oauth/token"}], "endpoints": []}', '', '`endpoints`'],
  ['no endpoints', { clients: [] }, '', '`endpoints`'],
  ['an unknown key', { endpoints, unregistered_client: 'pass' }, 'unregistered_client', '`unregistered_clients`'],
  ['an empty list of endpoints', { endpoints: [] }, 'endpoints', '/oauth/token'],
  ['an unknown choice', { endpoints, unregistered_clients: 'allow' }, 'unregistered_clients', '`pass`'],
  ['an unknown enforcement', { endpoints, enforcement: 'off' }, 'enforcement', '`report`'],
  ['an unknown header format', { endpoints, certificate_header: { format: 'der' } }, 'certificate_header.format', '`rfc9440`'],
  ['an unknown key of an object', { endpoints, certificate_header: { header: 'Client-Cert' } }, 'certificate_header.header', '`name`'],
  ['a limit that is no number', { endpoints, limits: { max_body_bytes: '64k' } }, 'limits.max_body_bytes', 'expected a number'],
  ['a set of trust anchors without any', anchors({ intermediates: pems('intermediate-ca') }), 'trust_anchors.client-ca', '`certificates`'],
  ['a set of trust anchors without a name', { endpoints, trust_anchors: { '': clientCa } }, 'trust_anchors', 'a name'],
  ['a set of trust anchors whose name ends a line', { endpoints, trust_anchors: { 'client\nca': clientCa } }, 'trust_anchors', 'client\\nca'],
  ['an unknown key of a set of trust anchors', anchors({ ...clientCa, crl: crls['client-ca'] }), 'trust_anchors.client-ca.crl', '`crls`'],
  ['an unknown choice of a set of trust anchors', anchors({ ...clientCa, unknown_revocation_status: 'ignore' }),
    'trust_anchors.client-ca.unknown_revocation_status', '`allow`'],
  ['discovery without an origin', { endpoints, discovery: { paths: ['/metadata'] } }, 'discovery', '`mtls_origin`'],
  ['discovery of no document', { endpoints, discovery: { paths: [], mtls_origin: 'https://a' } }, 'discovery.paths', 'openid-configuration'],
  ['an unknown key of discovery', { endpoints, discovery: { path: '/metadata', paths: [] } }, 'discovery.path', '`paths`'],
  ['nothing to sign', { endpoints, signature: { keys: [key] } }, 'signature', '`jws`'],
  ['a JWS without issuer', { endpoints, signature: { jws: { audience: 'a' }, keys: [key] } }, 'signature.jws', '`issuer`'],
  ['a JWS that might expire on the way', jws({ reuse_seconds: 31 }), 'signature.jws.reuse_seconds', 'write at most 30'],
  ['a JWS in the header of the certificate', jws({ name: 'Client-Cert' }), 'signature.jws.name', 'name of its own'],
  ['a signature over itself', signature({ components: ['client-cert', '"signature";key="certbound"'] }, key),
    'signature.http_message_signature.components[1]', 'label of another'],
  ['a digest that certbound does not make', signature({ components: ['client-cert', '"content-digest";key="sha-512"'] }, key),
    'signature.http_message_signature.components[1]', '`sha-256` only'],
  ['a JWK set of shared keys only', jws({}, '/jwks'), 'signature.jwks_path', '`ed25519`'],
  ['a JWK set at no normal path', jws({}, '/%6awks', p256), 'signature.jwks_path', '`/jwks`'],
  ['a JWK set at no path', jws({}, 'jwks', p256), 'signature.jwks_path', 'first `/`'],
  ['a JWK set below a prefix of endpoints', { ...jws({}, '/oauth/jwks', p256), endpoints: [{ path_prefix: '/oauth/', methods: ['PUT'] }] },
    'signature.jwks_path', 'an endpoint'],
  ['no signing key', signature({}), 'signature.keys', 'at least one key'],
  ['a key that the environment lacks', signature({}, { ...key, key: { env: 'NOT_THERE' } }), 'signature.keys[0].key', 'host_env_keys'],
  ['an unknown signature algorithm', signature({}, { ...key, alg: 'rsa-pss-sha512' }), 'signature.keys[0].alg', '`ed25519`'],
];

// [what is wrong, the configuration, the path of each faulty key and a part of what to write instead]
const several = [
  ['every faulty endpoint', {
    endpoints: [
      { path: '/oauth/token', path_prefix: '/oauth/' },
      { path: 'oauth/token' },
      { path: '/oauth/./token' },
      { path: '/oauth/token?a=b' },
      { path: '/oauth/token', methods: [] },
      { path: '/oauth/token', methods: ['post'] },
      { path: '/oauth/token', method: 'POST' },
      {},
    ],
  }, {
    'endpoints[0]': 'exactly one',
    'endpoints[1].path': 'first `/`',
    'endpoints[2].path': '`/oauth/token`',
    'endpoints[3].path': 'without query',
    'endpoints[4].methods': '[POST]',
    'endpoints[5].methods': 'upper case',
    'endpoints[6].method': '`methods`',
    'endpoints[7]': 'exactly one',
  }],
  ['every faulty key of discovery', {
    endpoints: [...endpoints, { path_prefix: '/held/', methods: ['GET'] }],
    discovery: {
      paths: ['/held/metadata', '.well-known/x', '/a/../metadata', '/metadata?x', '/oauth/token'],
      mtls_origin: 'https://mtls.as.example.com/',
    },
  }, {
    'discovery.paths[0]': 'leave GET and HEAD',
    'discovery.paths[1]': 'first `/`',
    'discovery.paths[2]': '`/metadata`',
    'discovery.paths[3]': 'without query',
    'discovery.mtls_origin': 'without path',
  }],
  ['every faulty client', {
    endpoints,
    clients: [
      { token_endpoint_auth_method: 'none' },
      { client_id: '', token_endpoint_auth_method: 'none' },
      { client_id: 'portal', token_endpoint_auth_method: 'none' },
      { client_id: 'portal', token_endpoint_auth_method: 'none' },
      { client_id: 'a', token_endpoint_auth_method: 'mutual_tls' },
      { client_id: 'b', token_endpoint_auth_method: 'client_secret_basic', client_secret: secret },
      { client_id: 'c', token_endpoint_auth_method: 'none', tls_client_certificate_bound: true },
      { client_id: 'd', token_endpoint_auth_method: 'none', tls_client_certificate_bound_access_tokens: 'yes' },
    ],
  }, {
    'clients[0]': '`client_id`',
    'clients[1].client_id': 'ASCII',
    'clients[3].client_id': 'twice',
    'clients[4].token_endpoint_auth_method': '`tls_client_auth`',
    'clients[5].client_secret': 'remove it',
    'clients[6].tls_client_certificate_bound': '`tls_client_certificate_bound_access_tokens`',
    'clients[7].tls_client_certificate_bound_access_tokens': 'boolean',
  }],
  ['every faulty subject value', {
    endpoints,
    clients: [
      {},
      { tls_client_auth_subject_dn: subject, tls_client_auth_san_dns: 'payments.example.com' },
      { tls_client_auth_subject_dn: '/C=SE/O=Example Bank/CN=payments' },
      { tls_client_auth_subject_dn: 'C = SE, O = Example Bank, CN = payments' },
      { tls_client_auth_subject_dn: 'payments' },
      { tls_client_auth_san_dns: '*.example.com' },
      { tls_client_auth_san_uri: 'payments' },
      { tls_client_auth_san_ip: '192.0.2.0/24' },
      { tls_client_auth_san_email: 'ops' },
      { tls_client_auth_subject_dn: subject, certificate_thumbprints: [pki['partner-app']['x5t#S256']] },
      { ...selfSignedClient, tls_client_auth_subject_dn: subject, certificate_thumbprints: [pki['partner-app']['x5t#S256']] },
    ].map((metadata, i) => ({ ...pkiClient, ...metadata, client_id: `client-${i}` })),
  }, {
    'clients[0]': 'exactly one subject value',
    'clients[1]': 'exactly one subject value',
    'clients[2].tls_client_auth_subject_dn': subject,
    'clients[3].tls_client_auth_subject_dn': subject,
    'clients[4].tls_client_auth_subject_dn': 'type=value',
    'clients[5].tls_client_auth_san_dns': 'without wildcard',
    'clients[6].tls_client_auth_san_uri': 'scheme',
    'clients[7].tls_client_auth_san_ip': 'without port and prefix length',
    'clients[8].tls_client_auth_san_email': 'ops@example.com',
    'clients[9].certificate_thumbprints': 'self_signed_tls_client_auth',
    'clients[10].tls_client_auth_subject_dn': 'tls_client_auth',
  }],
  ['every faulty self-signed registration', {
    endpoints,
    clients: [
      {},
      { jwks_uri: 'https://partner.example.com/jwks' },
      { certificate_thumbprints: [] },
      { certificate_thumbprints: ['c0ffee'] },
      { certificate_thumbprints: [pki['partner-app']['x5t#S256'], '00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33'] },
      { jwks: { keys: [{ kty: 'oct', k: 'AAAA' }] } },
      { jwks: { keys: [pki['partner-app'].jwk, { ...pki['partner-app'].jwk, x: 'AAAA' }] } },
      { jwks: { keys: [{ ...pki['partner-app'].jwk, x5c: ['AAAA'] }] } },
      { jwks: { keys: [{ ...pki['partner-app'].jwk, x5c: [pki['partner-next'].x5c] }] } },
      { jwks: { keys: [{ ...pki['partner-app'].jwk, use: 'enc' }] } },
    ].map((metadata, i) => ({ ...selfSignedClient, ...metadata, client_id: `client-${i}` })),
  }, {
    'clients[0]': '`jwks`',
    'clients[1]': 'jwks_uri',
    'clients[2]': '`certificate_thumbprints`',
    'clients[3].certificate_thumbprints[0]': 'x5t#S256',
    'clients[4].certificate_thumbprints[1]': 'x5t#S256',
    'clients[5].jwks.keys[0]': 'public key only',
    'clients[6].jwks.keys[1]': '`x`',
    'clients[7].jwks.keys[0]': 'x5c',
    'clients[8].jwks.keys[0]': 'another key',
    'clients[9]': '`jwks`',
  }],
  ['every faulty set of trust anchors', {
    endpoints,
    trust_anchors: {
      'no-pem': { certificates: 'build/pki/client-ca.pem' },
      'damaged-pem': { certificates: pems('client-ca').replace('MII', '!!!') },
      'private-key': { certificates: pki['client-ca'].key },
      'end-entity': { certificates: pems('client-ca', 'payments') },
      'self-signed-client': { certificates: pems('partner-app') },
      'same-key': { certificates: pems('partner-ca', 'rogue-ca', 'partner-ca') },
      'end-entity-as-intermediate': { certificates: pems('infra-ca'), intermediates: pems('intermediate-ca', 'batch') },
      'no-crl': { certificates: pems('issuing-ca'), crls: pems('client-ca') },
      'damaged-crl': { certificates: pems('issuing-ca'), crls: crls['client-ca'].replace('MII', 'MIJ') },
      'delta-crl': { certificates: pems('issuing-ca'), crls: crls['client-ca'] + crls['client-ca-delta'] },
      'indirect-crl': { certificates: pems('issuing-ca'), crls: crls['client-ca-indirect'] },
      'client-ca': clientCa,
      'same-ca': clientCa,
    },
  }, {
    'trust_anchors.no-pem.certificates': '-----BEGIN CERTIFICATE-----',
    'trust_anchors.damaged-pem.certificates': 'damaged',
    'trust_anchors.private-key.certificates': '-----BEGIN CERTIFICATE-----',
    'trust_anchors.end-entity.certificates': 'certificate 2',
    'trust_anchors.self-signed-client.certificates': 'self_signed_tls_client_auth',
    'trust_anchors.same-key.certificates': 'certificates 1 and 3',
    'trust_anchors.end-entity-as-intermediate.intermediates': 'certificate 2',
    'trust_anchors.no-crl.crls': '-----BEGIN X509 CRL-----',
    'trust_anchors.damaged-crl.crls': 'not the DER encoding',
    'trust_anchors.delta-crl.crls': 'CRL 2 cannot be used: it is a delta CRL',
    'trust_anchors.indirect-crl.crls': 'an indirect CRL',
    'trust_anchors.same-ca': '`client-ca`',
  }],
  ['every client with faulty trust anchors', {
    endpoints,
    trust_anchors: { 'client-ca': clientCa, 'partner-ca': { certificates: pems('partner-ca') } },
    clients: [
      {},
      { trust_anchors: [] },
      { trust_anchors: ['rogue-ca'] },
      { trust_anchors: ['client-ca', 'client-ca'] },
      { trust_anchors: 'client-ca' },
      { token_endpoint_auth_method: 'client_secret_basic', trust_anchors: ['client-ca'] },
    ].map((metadata, i) => ({
      ...pkiClient,
      ...(metadata.token_endpoint_auth_method ? {} : { tls_client_auth_subject_dn: subject }),
      ...metadata,
      client_id: `client-${i}`,
    })).concat({
      ...selfSignedClient, certificate_thumbprints: [pki['partner-app']['x5t#S256']], trust_anchors: ['client-ca'],
    }),
  }, {
    'clients[0].trust_anchors': 'of `client-ca`, `partner-ca`',
    'clients[1].trust_anchors': 'at least one set',
    'clients[2].trust_anchors': 'one of `client-ca`, `partner-ca`',
    'clients[3].trust_anchors': 'twice',
    'clients[4].trust_anchors': 'sequence',
    'clients[5].trust_anchors': 'only for `token_endpoint_auth_method: tls_client_auth`',
    'clients[6].trust_anchors': 'only for `token_endpoint_auth_method: tls_client_auth`',
  }],
  ['trust anchors of a client where there are none', client({
    ...pkiClient, tls_client_auth_subject_dn: subject, trust_anchors: ['client-ca'],
  }), {
    'clients[0].trust_anchors': 'write it under `trust_anchors`',
  }],
  ['every faulty header and limit', {
    endpoints,
    certificate_header: { name: 'Client Cert', max_bytes: 0 },
    client_id_header: 'Authorization',
    thumbprint_header: '',
    limits: { max_body_bytes: 0, max_chain_certificates: 6 },
  }, {
    'certificate_header.name': 'hyphens',
    'certificate_header.max_bytes': 'a number from',
    client_id_header: 'name of its own',
    thumbprint_header: 'hyphens',
    'limits.max_body_bytes': 'a number from',
    'limits.max_chain_certificates': 'a number from 1 to 5',
  }],
  ['every faulty name of a certificate header', {
    endpoints,
    certificate_source: 'xfcc',
    certificate_header: { format: 'rfc9440', name: 'Client-Cert', chain_name: 'client_cert', verify_name: 'Authorization' },
    upstream_authentication: { header: { name: 'Client-Cert', value: { value: secret } } },
  }, {
    'certificate_header.chain_name': 'name of its own',
    'certificate_header.verify_name': 'another meaning',
    'upstream_authentication.header.name': 'name of its own',
  }],
  ['a number that is not at the end of a name', { endpoints, certificate_header: { chain_name: 'Chain-%d-Cert' } }, {
    'certificate_header.chain_name': '`SSL_CLIENT_CERT_CHAIN_%d`',
  }],
  ['faulty credentials of the proxy', {
    endpoints,
    upstream_authentication: { basic: { username: 'en:voy', password: { value: `${secret}\n` } } },
  }, {
    'upstream_authentication.basic.username': 'without colon',
    'upstream_authentication.basic.password': 'line end',
  }],
  ['secrets that stand where their object should', {
    endpoints,
    trust_anchors: { 'client-ca': clientCa },
    clients: [
      { ...pkiClient, tls_client_auth_subject_dn: subject, upstream_client_secret: secret },
      { ...pkiClient, client_id: 'batch', tls_client_auth_subject_dn: subject, upstream_client_secret: { value: secret, vlaue: secret } },
    ],
    signature: { http_message_signature: {}, keys: [{ ...key, key: secret }, { ...key, key: { value: 12345678 } }] },
  }, {
    'clients[0].upstream_client_secret': 'not a secret',
    'clients[1].upstream_client_secret': 'not a secret',
    'signature.keys[0].key': 'not a secret',
    'signature.keys[1].key': 'quotation marks',
  }],
  ['a password that stands where its object should', {
    endpoints, upstream_authentication: { basic: { username: 'envoy', password: secret } },
  }, { 'upstream_authentication.basic.password': 'not a secret' }],
  ['names that the sanitiser takes for fields of HTTP', { endpoints, client_id_header: 'content.type', thumbprint_header: 'X_Forwarded_For' }, {
    client_id_header: 'another meaning',
    thumbprint_header: 'another meaning',
  }],
  ['paths that servers read differently', {
    endpoints: [{ path: '/oauth;v=1/token' }, { path: '/oauth%2ftoken' }, { path_prefix: '//oauth/' }],
  }, {
    'endpoints[0].path': 'servers differ',
    'endpoints[1].path': 'servers differ',
    'endpoints[2].path_prefix': 'servers differ',
  }],
  ['clients that servers may take for each other', {
    endpoints,
    clients: ['a+b', 'a b', 'c%20d', 'a-b'].map((client_id) => ({ client_id, token_endpoint_auth_method: 'none' })),
  }, { clients: '`a+b` in Authorization as `a b`' }],
  ['two kinds of credentials of the proxy', {
    endpoints,
    upstream_authentication: {
      basic: { username: 'envoy', password: { value: secret } },
      header: { name: 'X-Proxy-Key', value: { value: secret } },
    },
  }, { upstream_authentication: 'exactly one' }],
  ['faulty secrets for the server', {
    endpoints,
    trust_anchors: { 'client-ca': clientCa },
    clients: [
      { ...pkiClient, tls_client_auth_subject_dn: subject, upstream_client_secret: { env: 'NOT_THERE' } },
      { ...selfSignedClient, certificate_thumbprints: [pki['partner-app']['x5t#S256']], upstream_client_secret: { value: '' } },
      { client_id: 'portal', token_endpoint_auth_method: 'client_secret_basic', upstream_client_secret: { value: secret } },
      { ...pkiClient, client_id: 'batch', tls_client_auth_subject_dn: subject, upstream_client_secret: { value: `${secret}é` } },
    ],
  }, {
    'clients[0].upstream_client_secret': 'host_env_keys',
    'clients[1].upstream_client_secret': 'empty',
    'clients[2].upstream_client_secret': 'clients that certbound authenticates',
    'clients[3].upstream_client_secret': 'printable ASCII',
  }],
  ['one Authorization for two', {
    endpoints,
    trust_anchors: { 'client-ca': clientCa },
    clients: [{ ...pkiClient, tls_client_auth_subject_dn: subject, upstream_client_secret: { value: secret } }],
    upstream_authentication: { basic: { username: 'envoy', password: { value: secret } } },
  }, { 'upstream_authentication.basic': '`header`' }],
  ['every faulty protected resource', {
    endpoints: [{ path: '/oauth/token' }, { path_prefix: '/device/' }],
    protected_resources: [
      { token: 'bearer' },
      { path: '/a', path_prefix: '/a/', token: 'bearer' },
      { path: 'api', token: 'bearer' },
      { path_prefix: '/%61pi/', token: 'bearer' },
      { path_prefix: '/oauth/', token: 'bearer' },
      { path: '/device/codes', token: 'bearer' },
      { path: '/b', token: 'jwt' },
      { path: '/c', token: 'bearer', payload_in_metadata: 'x' },
      { path: '/d', token: 'bearer', introspection: introspection({}) },
      { path: '/e', token: 'introspection' },
      { path: '/f', token: 'introspection', introspection: introspection({ timeout_milliseconds: 0, max_cache_seconds: 3601, client_secret: { env: 'NOT_THERE' } }) },
      { path: '/g', token: 'introspection', introspection: introspection({ cluster: '', path: 'introspect', replace_token_by: 'application/json' }) },
      { path: '/h', token: 'introspection', introspection: introspection({ cluster: '', path: 'introspect', authority: 'a b', client_id: '' }) },
      { path: '/i', token: 'bearer', forward: ['thumbprint'] },
      { path: '/j', token: 'bearer', require: 'maybe' },
      { path: '/k', token: 'bearer', methods: ['GET'] },
      { path: '/l', token: 'bearer', forward: ['certificate', 'signature'] },
    ],
  }, {
    'protected_resources[0]': 'exactly one',
    'protected_resources[1]': 'exactly one',
    'protected_resources[2].path': 'not a plain path',
    'protected_resources[3].path_prefix': 'without query, escapes',
    'protected_resources[4].path_prefix': 'shares paths',
    'protected_resources[5].path': 'shares paths',
    'protected_resources[6].token': '`jwt_authn`',
    'protected_resources[7].payload_in_metadata': 'jwt_authn',
    'protected_resources[8].introspection': 'only for',
    'protected_resources[9].introspection': 'missing',
    'protected_resources[10].introspection.timeout_milliseconds': 'a number from',
    'protected_resources[10].introspection.max_cache_seconds': 'a number from',
    'protected_resources[10].introspection.client_secret': 'host_env_keys',
    'protected_resources[11].introspection.replace_token_by': '`application/jwt`',
    'protected_resources[12].introspection.cluster': 'visible ASCII',
    'protected_resources[12].introspection.path': 'first `/`',
    'protected_resources[12].introspection.authority': 'visible ASCII',
    'protected_resources[12].introspection.client_id': 'visible ASCII',
    'protected_resources[13].forward': '`thumbprint_header`',
    'protected_resources[14].require': '`if_present`',
    'protected_resources[15].methods': '`path_prefix`',
    'protected_resources[16].forward': 'made with a key',
  }],
  ['a header used twice', { endpoints, client_id_header: 'X-Client', thumbprint_header: 'x_client' }, {
    thumbprint_header: 'name of its own',
  }],
  ['every faulty signature setting', signature(
    {
      label: 'Certbound',
      components: [
        '@method', '@targeturi', '@method', '@status', 'Accept', 'host', 'connection', 'signature', '"signature";key="Certbound"',
        '"x";sf', '@query-param', '"@query-param";name="a b"', '"x";tr', '"x";bs;key="a"', '"client-cert";key="a"',
      ],
      lifetime_seconds: 0,
    },
    key,
    key,
    { ...key, kid: 'both', key: { ...key.key, env: 'SIGNING_KEY' } },
    { ...key, kid: 'short', key: { value: secret } },
    { ...key, kid: 'pem', alg: 'ed25519', key: { value: secret } },
  ), {
    'signature.http_message_signature.label': 'lower-case',
    'signature.http_message_signature.components': '`client-cert`',
    'signature.http_message_signature.components[1]': '`@authority`',
    'signature.http_message_signature.components[2]': 'twice',
    'signature.http_message_signature.components[3]': 'certbound signs requests',
    'signature.http_message_signature.components[4]': 'lower case',
    'signature.http_message_signature.components[5]': '`@authority`',
    'signature.http_message_signature.components[6]': 'ends there',
    'signature.http_message_signature.components[7]': 'key="sig1"',
    'signature.http_message_signature.components[8]': 'parameters',
    'signature.http_message_signature.components[9]': '`;bs`',
    'signature.http_message_signature.components[10]': 'name="…"',
    'signature.http_message_signature.components[11]': 'name="a%20b"',
    'signature.http_message_signature.components[12]': 'trailer',
    'signature.http_message_signature.components[13]': '`bs`',
    'signature.http_message_signature.lifetime_seconds': 'a number from',
    'signature.keys[1].kid': 'the same kid',
    'signature.keys[2].key': 'exactly one',
    'signature.keys[3].key': 'base64',
    'signature.keys[4].key': 'PKCS#8',
  }],
  ['every faulty signing key', {
    endpoints,
    signature: {
      jws: { issuer: ' ', audience: '', lifetime_seconds: 3601, reuse_seconds: 1801, name: 'Signature' },
      keys: [
        pemKey('good', 'ecdsa-p256-sha256', p256),
        pemKey('good-again', 'ecdsa-p256-sha256', p256),
        pemKey('p-384', 'ecdsa-p256-sha256', privatePem(generateKeyPairSync('ec', { namedCurve: 'P-384' }))),
        pemKey('ed25519', 'ecdsa-p256-sha256', privatePem(generateKeyPairSync('ed25519'))),
        pemKey('sec1', 'ecdsa-p256-sha256', privatePem(generateKeyPairSync('ec', { namedCurve: 'P-256' }), { type: 'sec1' })),
        pemKey('public', 'ed25519', generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' })),
        pemKey('encrypted', 'ed25519', privatePem(generateKeyPairSync('ed25519'), { cipher: 'aes-256-cbc', passphrase: secret })),
        { kid: 'zero', alg: 'hmac-sha256', key: { value: Buffer.alloc(32).toString('base64') } },
        { kid: 'short', alg: 'hmac-sha256', key: { value: Buffer.from(secret).toString('base64') } },
      ],
      jwks_path: '/oauth/token',
    },
  }, {
    'signature.jws.issuer': 'https://proxy.example.com',
    'signature.jws.audience': 'https://as.example.com',
    'signature.jws.lifetime_seconds': 'a number from',
    'signature.jws.reuse_seconds': 'a number from',
    'signature.jws.name': 'another meaning',
    'signature.keys[1].key': '`good`',
    'signature.keys[2].key': 'P-256',
    'signature.keys[3].key': 'P-256',
    'signature.keys[4].key': 'openssl pkcs8 -topk8',
    'signature.keys[5].key': 'private key',
    'signature.keys[6].key': '-nocrypt',
    'signature.keys[7].key': 'random',
    'signature.keys[8].key': 'at least 32',
    'signature.jwks_path': 'an endpoint',
  }],
];

const sound = {
  minimum: { endpoints },
  'every key': {
    endpoints: [{ path: '/oauth/token' }, { path_prefix: '/oauth/device/', methods: ['POST', 'PUT'] }],
    unregistered_clients: 'forward',
    enforcement: 'report',
    clients: [
      { ...pkiClient, tls_client_auth_subject_dn: subject, trust_anchors: ['client-ca', 'partner-ca'], upstream_client_secret: { value: secret } },
      { ...selfSignedClient, jwks: { keys: [pki['partner-app'].jwk] }, certificate_thumbprints: [pki['partner-next']['x5t#S256']] },
      { client_id: 'mobile', token_endpoint_auth_method: 'none', tls_client_certificate_bound_access_tokens: true },
    ],
    trust_anchors: {
      'client-ca': {
        certificates: pems('client-ca'),
        intermediates: pems('intermediate-ca', 'issuing-ca'),
        crls: crls['client-ca'] + crls['intermediate-ca'],
        unknown_revocation_status: 'allow',
      },
      'partner-ca': { certificates: pems('partner-ca') },
      'both and another': { certificates: pems('client-ca', 'partner-ca', 'rogue-ca'), crls: crls['client-ca-stale'] },
    },
    certificate_source: 'connection',
    certificate_header: {
      format: 'rfc9440', name: 'Client-Cert', chain_name: 'Client-Cert-Chain', verify_name: 'Client-Verify', max_bytes: 16384,
    },
    client_id_header: 'X-Client-Id',
    thumbprint_header: 'X-Client-Cert-Thumbprint',
    signature: {
      http_message_signature: {
        label: 'certbound',
        components: [
          'client-cert', '@method', '@target-uri', '"@query-param";name="a%20b"', '"signature";key="sig1"', '"x-request";bs', '"priority";sf',
          'accept', 'client-cert-jwt',
        ],
        lifetime_seconds: 60,
      },
      jws: {
        name: 'Client-Cert-JWT', issuer: 'https://proxy.example.com', audience: 'https://as.example.com', lifetime_seconds: 60, reuse_seconds: 30, x5c: true,
      },
      keys: [key, pemKey('next', 'ecdsa-p256-sha256', p256), pemKey('after', 'ed25519', privatePem(generateKeyPairSync('ed25519')))],
      jwks_path: '/.well-known/certbound-jwks.json',
    },
    limits: { max_body_bytes: 65536, max_chain_certificates: 5 },
    upstream_authentication: { header: { name: 'X-Proxy-Key', value: { value: secret } } },
    protected_resources: [
      { path_prefix: '/api/', token: 'bearer' },
      { path: '/me', token: 'jwt_authn', payload_in_metadata: 'claims', require: 'if_present', forward: ['certificate', 'thumbprint', 'signature'] },
      { path_prefix: '/opaque/', token: 'introspection', introspection: introspection({
        timeout_milliseconds: 500, max_cache_seconds: 0, replace_token_by: 'application/token-introspection+jwt',
      }) },
    ],
  },
  'a registration as RFC 7591 has it': client({
    ...pkiClient,
    tls_client_auth_subject_dn: subject,
    client_id_issued_at: 1767225600,
    client_name: 'Payments',
    'client_name#sv': 'Betalningar',
    contacts: ['ops@example.com'],
    grant_types: ['client_credentials'],
    redirect_uris: [],
    scope: 'payments',
  }),
};

const encodings = { 'JSON text': asJsonText, 'a Struct': asStruct };

const complaints = (log) => log.split('\n').filter((line) => line.includes('configuration: '));

function assertComplaint(log, path, advice) {
  const start = path === '' ? 'configuration: ' : `configuration: ${path}: `;
  const lines = complaints(log).filter((line) => line.includes(start));
  const said = complaints(log).join('\n') || log;
  assert.ok(lines.some((line) => line.includes(advice)), `no complaint about ${path} with ${advice} in\n${said}`);
}

// Two at a time: loading the filter is what takes the time.
describe('a faulty configuration stops Envoy', { concurrency: 2 }, () => {
  for (const [fault, configuration, path, advice] of single) {
    test(fault, async () => {
      const { code, log } = await validate({ configuration });
      assert.notEqual(code, 0);
      assertComplaint(log, path, advice);
      assert.ok(!log.includes(secret), 'a secret was logged');
    });
  }

  for (const [faults, configuration, advices] of several) {
    for (const [encoding, encode] of Object.entries(encodings)) {
      test(`${faults}, in ${encoding}`, async () => {
        const { code, log } = await validate({ configuration, encoding: encode });
        assert.notEqual(code, 0);
        for (const [path, advice] of Object.entries(advices)) assertComplaint(log, path, advice);
        assert.equal(complaints(log).length, Object.keys(advices).length, complaints(log).join('\n'));
        assert.ok(!log.includes(secret), 'a secret was logged');
      });
    }
  }
});

describe('a sound configuration loads', { concurrency: 2 }, () => {
  for (const [name, configuration] of Object.entries(sound)) {
    for (const [encoding, encode] of Object.entries(encodings)) {
      test(`${name}, in ${encoding}`, async () => {
        const { code, log } = await validate({ configuration, encoding: encode });
        assert.equal(code, 0, log);
      });
    }
  }
});

describe('envoy.yaml', { concurrency: 2 }, () => {
  const secrets = () => ({
    CERTBOUND_SIGNING_KEY: readFileSync(join(root, 'build/pki/signing.key'), 'utf8'),
    CERTBOUND_INTROSPECTION_SECRET: GATEWAY_SECRET,
  });

  test('loads with its secrets', async () => {
    const { code, log } = await validateFile('envoy.yaml', secrets());
    assert.equal(code, 0, log);
  });

  for (const [key, variable] of [
    ['signature.keys[0].key', 'CERTBOUND_SIGNING_KEY'],
    ['protected_resources[1].introspection.client_secret', 'CERTBOUND_INTROSPECTION_SECRET'],
  ]) {
    test(`does not load without ${variable}`, async () => {
      const { code, log } = await validateFile('envoy.yaml', { ...secrets(), [variable]: undefined });
      assert.notEqual(code, 0);
      assertComplaint(log, key, variable);
    });
  }
});
