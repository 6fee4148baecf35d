// The signature of the certificate header (RFC 9421), verified by a library that is not ours.
import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { signatures } from './packages.mjs';
import { rfc9440 } from './pki.mjs';
import { isHolder, registry } from './registry.mjs';
import { startTestbed } from './testbed.mjs';
import { field } from './upstream.mjs';

const ed25519 = generateKeyPairSync('ed25519');
const hmac = randomBytes(32);
const everything = [
  'client-cert', 'x-client-id', 'x-client-cert-thumbprint', '@method', '@authority', '@path', '@query', 'content-digest',
];
const byDefault = ['client-cert', 'x-client-id', 'x-client-cert-thumbprint', '@method', '@authority', '@path', 'content-digest'];

const signers = {
  'ed25519': {
    configuration: { http_message_signature: {}, keys: [{ kid: 'current', alg: 'ed25519', key: { env: 'SIGNING_KEY' } }] },
    environment: { SIGNING_KEY: ed25519.privateKey.export({ type: 'pkcs8', format: 'pem' }) },
    label: 'certbound', key: ed25519.publicKey, components: byDefault, lifetime: 60,
  },
  'hmac-sha256': {
    configuration: {
      http_message_signature: { label: 'proxy', components: everything, lifetime_seconds: 5 },
      keys: [{ kid: 'current', alg: 'hmac-sha256', key: { env: 'SHARED_SECRET' } }],
    },
    environment: { SHARED_SECRET: hmac.toString('base64') },
    label: 'proxy', key: hmac, components: everything, lifetime: 5,
  },
};

let testbed;
before(async () => {
  const listeners = Object.fromEntries(Object.entries(signers).map(([alg, { configuration, environment }]) =>
    [alg, { configuration: { ...registry, signature: configuration }, environment }]));
  testbed = await startTestbed('signature', listeners, isHolder);
});
after(() => testbed?.stop());

/** What an origin server does: only `true` is a valid signature, by the one key that it knows. */
async function verifies(alg, { method, path, headers, body }) {
  const { key, components, label } = signers[alg];
  const message = { method, url: `https://${headers[':authority'] ?? headers.host}${path}`, headers };
  if (!headers['signature-input']?.startsWith(`${label}=`)) return false;
  if (headers['content-digest'] !== digestOf(body)) return false; // the library leaves this to its caller
  try {
    return await signatures.httpbis.verifyMessage({
      keyLookup: async ({ keyid: id }) => (id === 'current' ? { id, algs: [alg], verify: signatures.createVerifier(key, alg) } : null),
      requiredFields: components,
      requiredParams: ['created', 'expires', 'nonce', 'keyid', 'alg', 'tag'],
      maxAge: 60,
      tolerance: 5,
    }, message) === true;
  } catch {
    return false;
  }
}

const digestOf = (body) => `sha-256=:${createHash('sha256').update(body).digest('base64')}:`;

async function forwarded(alg, request = {}, options = {}) {
  const { received, reason } = await testbed.exchange(
    alg,
    { form: 'client_id=payments', ...request },
    { certificate: 'payments', ...options },
  );
  assert.ok(received, reason);
  return { ...received, headers: Object.fromEntries(received.headers.map(([name]) => [name, field(received, name)])) };
}

/** A dictionary member's parameters as text, for what is simple enough to be split. */
function parametersOf({ headers }) {
  const [, ...parameters] = headers['signature-input'].replace(/^.*?\)/, '').split(';');
  return Object.fromEntries(parameters.map((parameter) => parameter.split('=')));
}

for (const [alg, { label, components, lifetime }] of Object.entries(signers)) {
  describe(alg, () => {
    for (const protocol of ['http/1.1', 'h2']) {
      test(`a forwarded certificate is signed over ${protocol}`, async () => {
        assert.ok(await verifies(alg, await forwarded(alg, {}, { protocol })));
      });
    }

    for (const path of ['/oauth/token?', '/oauth/token?a=b&c=%20&d=/?', '/oauth/token?a=%C3%A4']) {
      test(`a forwarded certificate is signed at ${path}`, async () => {
        assert.ok(await verifies(alg, await forwarded(alg, { path })));
      });
    }

    // RFC 9421 section 2.2.3: in lower case, without the default port.
    for (const authority of ['AS.Example.COM', 'as.example.com:443', 'as.example.com:8443']) {
      test(`a forwarded certificate is signed for ${authority}`, async () => {
        assert.ok(await verifies(alg, await forwarded(alg, {}, { authority })));
      });
    }

    test('the parameters are those of RFC 9421 and the components those of the configuration', async () => {
      const { headers } = await forwarded(alg);
      const covered = components.map((component) => `"${component}"`).join(' ');
      assert.ok(headers['signature-input'].startsWith(`${label}=(${covered});`), headers['signature-input']);
      const { created, expires, nonce, keyid, alg: algorithm, tag, ...others } = parametersOf({ headers });
      assert.equal(expires - created, lifetime);
      assert.ok(Math.abs(created - Date.now() / 1000) < 60, 'created is now');
      assert.match(nonce, /^"[\w-]{20,}"$/);
      assert.deepEqual({ keyid, algorithm, tag, others }, { keyid: '"current"', algorithm: `"${alg}"`, tag: '"certbound"', others: {} });
    });

    test('every request has a nonce of its own', async () => {
      const nonces = new Set();
      for (let i = 0; i < 5; i += 1) nonces.add(parametersOf(await forwarded(alg)).nonce);
      assert.equal(nonces.size, 5);
    });

    test('tampering is detected', async () => {
      const message = await forwarded(alg);
      assert.ok(await verifies(alg, message));
      const input = message.headers['signature-input'];
      const withHeader = (name, value) => ({ ...message, headers: { ...message.headers, [name]: value } });
      const body = Buffer.from('client_id=batch');
      const tampered = {
        'another certificate': withHeader('client-cert', rfc9440('batch')),
        'another authority': withHeader('host', 'evil.example.com'),
        'another path': { ...message, path: '/oauth/revoke' },
        'another method': { ...message, method: 'PUT' },
        'another body': { ...message, body },
        'another body and digest': { ...withHeader('content-digest', digestOf(body)), body },
        'another lifetime': withHeader('signature-input', input.replace(/expires=\d+/, 'expires=4102444800')),
        'another key': withHeader('signature-input', input.replace('current', 'other')),
        'another signature': withHeader('signature', (await forwarded(alg)).headers.signature),
      };
      for (const [what, changed] of Object.entries(tampered)) assert.ok(!await verifies(alg, changed), what);
    });

    test('signatures of others stay beside it, a forged one of ours does not', async () => {
      const { headers, ...message } = await forwarded(alg, {
        headers: [
          ['signature-input', `other=("@method");created=1, ${label}=("client-cert")`],
          ['signature', `${label}=:AAAA:, other=:AQEB:`],
        ],
      });
      const [othersInput, others] = ['other=("@method");created=1, ', 'other=:AQEB:, '];
      assert.ok(headers['signature-input'].startsWith(othersInput), headers['signature-input']);
      assert.ok(headers.signature.startsWith(others), headers.signature);
      const ours = {
        'signature-input': headers['signature-input'].slice(othersInput.length),
        signature: headers.signature.slice(others.length),
      };
      assert.ok(await verifies(alg, { ...message, headers: { ...headers, ...ours } }));
    });

    test('headers nominated in Connection arrive and verify', async () => {
      const nominated = 'client-cert, x-client-id, x-client-cert-thumbprint, signature, signature-input, content-digest';
      const message = await forwarded(alg, { headers: [['connection', nominated]] });
      assert.ok(await verifies(alg, message));
    });

    test('a body in pieces and trailers does not matter', async () => {
      const request = { form: `client_id=payments&scope=${'x'.repeat(40_000)}`, trailers: [['x-checksum', '1']] };
      const message = await forwarded(alg, request, { protocol: 'h2' });
      assert.ok(await verifies(alg, message));
    });
  });
}
