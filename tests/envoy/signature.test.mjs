// The signatures of what a certificate authenticated (RFC 9421 and JWS), verified by libraries that are not ours.
import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { jose } from './packages.mjs';
import { pki, resolve, rfc9440 } from './pki.mjs';
import { isHolder, registry } from './registry.mjs';
import { startTestbed } from './testbed.mjs';
import { field } from './upstream.mjs';
import { digestOf, jwsClaims, startPython, verdicts } from './verifiers.mjs';

const kid = 'current';
const issuer = 'https://proxy.example.com';
const audience = 'https://as.example.com';
const jwksPath = '/.well-known/certbound-jwks.json';
const pairs = {
  'ecdsa-p256-sha256': generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  'ed25519': generateKeyPairSync('ed25519'),
};
const shared = randomBytes(32);
const keyOf = {
  'ecdsa-p256-sha256': { verifies: pairs['ecdsa-p256-sha256'].publicKey, signs: pairs['ecdsa-p256-sha256'].privateKey.export({ type: 'pkcs8', format: 'pem' }) },
  'ed25519': { verifies: pairs.ed25519.publicKey, signs: pairs.ed25519.privateKey.export({ type: 'pkcs8', format: 'pem' }) },
  'hmac-sha256': { verifies: shared, signs: shared.toString('base64') },
};

const ours = ['client-cert', 'x-client-id', 'x-client-cert-thumbprint'];
const byDefault = [...ours, '@method', '@authority', '@path', 'content-digest'];
const ofOthers = ['"signature";key="sig1"', '"signature-input";key="sig1"'];
const everything = [...ours, '@method', '@authority', '@scheme', '@path', '@query', 'content-digest', 'content-type', 'x-request', ...ofOthers];
const rare = [
  'client-cert', '@target-uri', '@request-target', '"@query-param";name="resource"', '"x-request";bs', '"priority";sf', '"content-digest";key="sha-256"', 'content-digest',
  'authorization',
];

const signer = (alg, { http_message_signature, jws, components, ...rest }) => ({
  alg, kid, key: keyOf[alg].verifies, issuer, audience, label: 'certbound', components,
  environment: { SIGNING_KEY: keyOf[alg].signs },
  signature: { http_message_signature, jws, keys: [{ kid, alg, key: { env: 'SIGNING_KEY' } }], ...rest },
});

const signers = {
  'ecdsa-p256-sha256': {
    ...signer('ecdsa-p256-sha256', {
      http_message_signature: { components: everything }, components: everything, jws: { issuer, audience, x5c: true }, jwks_path: jwksPath,
    }),
    lifetime: 60, jwsName: 'client-cert-jwt', x5c: true,
  },
  'ed25519': {
    ...signer('ed25519', { http_message_signature: {}, components: byDefault, jws: { issuer, audience, name: 'X-Certbound-JWT', lifetime_seconds: 30 }, jwks_path: jwksPath }),
    lifetime: 60, jwsName: 'x-certbound-jwt', jwsLifetime: 30,
  },
  'hmac-sha256': {
    ...signer('hmac-sha256', {
      http_message_signature: { label: 'proxy', components: everything, lifetime_seconds: 5 }, components: everything, jws: { issuer, audience },
    }),
    label: 'proxy', lifetime: 5, jwsName: 'client-cert-jwt',
  },
};

// The user of upstream_authentication.basic.
const proxyUser = 'envoy';

// The library of Cloudflare takes none of sf, bs and @query-param.
const rareSigner = { ...signer('ed25519', { http_message_signature: { components: rare }, components: rare }), isForCloudflare: false };
const jwsOnly = signer('ed25519', { jws: { issuer, audience }, components: [] });
// For longer than the tests take.
const reusing = signer('ecdsa-p256-sha256', { jws: { issuer, audience, lifetime_seconds: 3600, reuse_seconds: 1800 }, components: [] });

let testbed;
let python;
before(async () => {
  python = startPython();
  const listener = ({ signature, environment }, rest) => ({ configuration: { ...registry, signature, ...rest }, environment });
  testbed = await startTestbed('signature', {
    ...Object.fromEntries(Object.entries(signers).map(([alg, of]) => [alg, listener(of)])),
    rare: listener(rareSigner, { upstream_authentication: { basic: { username: proxyUser, password: { value: 'open sesame' } } } }),
    'jws only': listener(jwsOnly),
    'reusing': listener(reusing, { endpoints: [{ path: '/oauth/token' }, { path: '/oauth/revoke' }] }),
    'resource': listener(signers.ed25519, {
      protected_resources: [
        { path_prefix: '/api/', token: 'bearer', forward: ['certificate', 'signature'] },
        { path_prefix: '/unsigned/', token: 'bearer', forward: ['certificate'] },
      ],
    }),
    'report': listener(signers.ed25519, { enforcement: 'report' }),
    'small': listener(signers['ecdsa-p256-sha256'], { certificate_header: { max_bytes: 900 } }),
  }, isHolder, { proxyUser, requires: ({ path }) => (/^\/(api|unsigned)\//.test(path) ? 'bound' : undefined) });
});
after(async () => {
  python?.stop();
  await testbed?.stop();
});

/** A message as the server received it: each line, and what libraries want, the lines of a field as one. */
function message({ lines, ...rest }) {
  const names = lines.map(([name]) => name);
  return { ...rest, lines: lines.filter(([name]) => !name.startsWith(':')), headers: Object.fromEntries(names.map((name) => [name, field({ headers: lines, trailers: [] }, name)])) };
}

const withHeader = ({ lines, headers, ...rest }, name, value) => message({
  ...rest,
  lines: [...lines.filter(([known]) => known !== name), ...(headers[':authority'] ? [[':authority', headers[':authority']]] : []), [name, value]],
});

async function forwarded(listener, request = {}, options = {}) {
  const { received, reason } = await testbed.exchange(
    listener,
    { form: 'client_id=payments', ...request },
    { certificate: 'payments', ...options },
  );
  assert.ok(received, reason);
  return message({ ...received, lines: received.headers });
}

/** A request that has everything that is covered. */
const complete = {
  headers: [
    ['x-request', 'one'], ['x-request', 'two'],
    ['signature-input', 'sig1=("@method"  "@path");created=1;keyid="client"'], ['signature', 'sig1=:AQEB:'],
  ],
};

async function assertVerifies(of, received) {
  const said = await verdicts(python, of, received);
  assert.ok(Object.values(said).every((verdict) => verdict === true), JSON.stringify({ said, headers: received.headers }));
}

async function assertDetected(of, received, what) {
  const said = await verdicts(python, of, received);
  assert.ok(Object.values(said).every((verdict) => verdict === false), `${what}: ${JSON.stringify(said)}`);
}

/** A dictionary member's parameters as text, for what is simple enough to be split. */
function parametersOf({ headers }) {
  const [, ...parameters] = headers['signature-input'].replace(/^.*\)/, '').split(';');
  return Object.fromEntries(parameters.map((parameter) => parameter.split('=')));
}

for (const [alg, of] of Object.entries(signers)) {
  const { label, components, lifetime, jwsName } = of;
  describe(`${alg}, RFC 9421`, () => {
    for (const protocol of ['http/1.1', 'h2']) {
      test(`a forwarded certificate is signed over ${protocol}`, async () => {
        await assertVerifies(of, await forwarded(alg, complete, { protocol }));
      });
    }

    for (const path of ['/oauth/token?', '/oauth/token?a=b&c=%20&d=/?', '/oauth/token?a=%C3%A4']) {
      test(`a forwarded certificate is signed at ${path}`, async () => {
        await assertVerifies(of, await forwarded(alg, { ...complete, path }));
      });
    }

    // RFC 9421 section 2.2.3: in lower case, without the default port.
    for (const authority of ['AS.Example.COM', 'as.example.com:443', 'as.example.com:8443']) {
      test(`a forwarded certificate is signed for ${authority}`, async () => {
        await assertVerifies(of, await forwarded(alg, complete, { authority }));
      });
    }

    test('the parameters are those of RFC 9421 and the components those of the configuration', async () => {
      const { headers } = await forwarded(alg, complete);
      const covered = components.map((component) => (component.startsWith('"') ? component : `"${component}"`)).join(' ');
      assert.ok(headers['signature-input'].includes(`${label}=(${covered});`), headers['signature-input']);
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

    test('what a request lacks is left out', async () => {
      const received = await forwarded(alg);
      const present = components.filter((component) => component !== 'x-request' && !ofOthers.includes(component));
      await assertVerifies({ ...of, components: present }, received);
      assert.ok(!received.headers['signature-input'].includes('sig1'));
    });

    test('tampering is detected', async () => {
      const received = await forwarded(alg, complete);
      await assertVerifies(of, received);
      const input = received.headers['signature-input'];
      const body = Buffer.from('client_id=batch');
      const tampered = {
        'another certificate': withHeader(received, 'client-cert', rfc9440('batch')),
        'another client': withHeader(received, 'x-client-id', 'batch'),
        'another thumbprint': withHeader(received, 'x-client-cert-thumbprint', pki.batch['x5t#S256']),
        'another authority': withHeader(received, 'host', 'evil.example.com'),
        'another path': { ...received, path: '/oauth/revoke' },
        'another method': { ...received, method: 'PUT' },
        'another body': { ...received, body },
        'another body and digest': { ...withHeader(received, 'content-digest', digestOf(body)), body },
        'another lifetime': withHeader(received, 'signature-input', input.replace(/expires=\d+/, 'expires=4102444800')),
        'another nonce': withHeader(received, 'signature-input', input.replace(/nonce="./, 'nonce="~')),
        'another key': withHeader(received, 'signature-input', input.replace('current', 'other')),
        'another tag': withHeader(received, 'signature-input', input.replace('tag="certbound"', 'tag="certbound2"')),
        'another signature': withHeader(received, 'signature', (await forwarded(alg, complete)).headers.signature),
        ...(components === everything && {
          'another query': { ...received, path: '/oauth/token?a=b' },
          'another media type': withHeader(received, 'content-type', 'text/plain'),
          'another value of a header of the client': withHeader(received, 'x-request', 'one, three'),
          'another signature of another': withHeader(received, 'signature', received.headers.signature.replace('AQEB', 'AQEC')),
          'another input of another': withHeader(received, 'signature-input', input.replace('created=1;', 'created=2;')),
        }),
      };
      for (const [what, changed] of Object.entries(tampered)) await assertDetected(of, changed, what);
    });

    test('another label is not found', async () => {
      const received = await forwarded(alg, complete);
      const rename = (name, changed) => withHeader(changed, name, changed.headers[name].replace(`${label}=`, 'other='));
      const changed = rename('signature', rename('signature-input', received));
      const { python: inPython, cloudflare } = await verdicts(python, of, changed);
      assert.deepEqual({ inPython, cloudflare }, { inPython: false, cloudflare: false });
    });

    test('signatures of others stay beside it, a forged one of ours does not', async () => {
      const { headers, lines, ...rest } = await forwarded(alg, {
        headers: [
          ['signature-input', `other=("@method");created=1, ${label}=("client-cert")`],
          ['signature', `${label}=:AAAA:, other=:AQEB:`],
        ],
      });
      const [othersInput, others] = ['other=("@method");created=1, ', 'other=:AQEB:, '];
      assert.ok(headers['signature-input'].startsWith(othersInput), headers['signature-input']);
      assert.ok(headers.signature.startsWith(others), headers.signature);
      assert.equal(headers['signature-input'].split(`${label}=`).length, 2, 'one of ours');
      const present = components.filter((component) => component !== 'x-request' && !ofOthers.includes(component));
      await assertVerifies({ ...of, components: present }, { ...rest, headers, lines });
    });

    test('headers nominated in Connection arrive and verify', async () => {
      const nominated = 'client-cert, x-client-id, x-client-cert-thumbprint, signature, signature-input, content-digest';
      const present = components.filter((component) => component !== 'x-request' && !ofOthers.includes(component));
      await assertVerifies({ ...of, components: present }, await forwarded(alg, { headers: [['connection', nominated]] }));
    });

    test('a body in pieces and trailers does not matter', async () => {
      const request = { ...complete, form: `client_id=payments&scope=${'x'.repeat(40_000)}`, trailers: [['x-checksum', '1']] };
      await assertVerifies(of, await forwarded(alg, request, { protocol: 'h2' }));
    });
  });

  describe(`${alg}, JWS`, () => {
    const claimsOf = async ({ headers }, changes) => jwsClaims(python, { ...of, ...changes }, headers[jwsName]);

    for (const protocol of ['http/1.1', 'h2']) {
      test(`says whose certificate it is and for which request over ${protocol}`, async () => {
        const received = await forwarded(alg, { path: '/oauth/token?a=b' }, { protocol, authority: 'AS.example.com:443' });
        const { jose: claims, PyJWT } = await claimsOf(received);
        assert.deepEqual(PyJWT, claims);
        assert.deepEqual(Object.keys(claims), ['iss', 'aud', 'iat', 'exp', 'jti', 'client_id', 'cnf', 'htm', 'htu', 'content_digest']);
        const { iat, exp, jti, ...rest } = claims;
        assert.equal(exp - iat, of.jwsLifetime ?? 60);
        assert.ok(Math.abs(iat - Date.now() / 1000) < 60, 'iat is now');
        assert.match(jti, /^[\w-]{22}$/);
        assert.deepEqual(rest, {
          iss: issuer, aud: audience, client_id: 'payments', cnf: { 'x5t#S256': pki.payments['x5t#S256'] },
          htm: 'POST', htu: 'https://as.example.com/oauth/token', content_digest: digestOf('client_id=payments'),
        });
      });
    }

    test('names algorithm, type and key, and the certificate on demand', async () => {
      const header = jose.decodeProtectedHeader((await forwarded(alg)).headers[jwsName]);
      const algorithm = { 'ecdsa-p256-sha256': 'ES256', 'ed25519': 'EdDSA', 'hmac-sha256': 'HS256' }[alg];
      assert.deepEqual(header, { alg: algorithm, typ: 'certbound+jwt', kid, ...(of.x5c && { x5c: [pki.payments.x5c] }) });
    });

    test('names no client that certbound did not authenticate', async () => {
      const { jose: claims, PyJWT } = await claimsOf(await forwarded(alg, { form: 'client_id=mobile' }));
      assert.deepEqual(PyJWT, claims);
      assert.equal('client_id' in claims, false);
      assert.equal(claims.cnf['x5t#S256'], pki.payments['x5t#S256']);
    });

    test('goes with no request that has no certificate, and a client cannot write it', async () => {
      const forged = (await forwarded(alg)).headers[jwsName];
      for (const name of [jwsName, jwsName.replaceAll('-', '_')]) {
        const request = { form: 'client_id=portal&client_secret=x', headers: [[name, forged]] };
        const received = await forwarded(alg, request, { certificate: null });
        assert.deepEqual(received.lines.filter(([known]) => /jwt/.test(known)), []);
      }
      const own = await forwarded(alg, { headers: [[jwsName, forged]] });
      assert.equal(own.lines.filter(([known]) => known === jwsName).length, 1);
      assert.notEqual(own.headers[jwsName], forged);
    });

    test('tampering is detected', async () => {
      const received = await forwarded(alg);
      const [header, payload, signature] = received.headers[jwsName].split('.');
      const changed = (part, change) => Buffer.from(JSON.stringify({ ...JSON.parse(Buffer.from(part, 'base64url')), ...change })).toString('base64url');
      const other = (await forwarded(alg)).headers[jwsName].split('.')[2];
      const tampered = {
        'another client': [header, changed(payload, { client_id: 'batch' }), signature],
        'another certificate': [header, changed(payload, { cnf: { 'x5t#S256': pki.batch['x5t#S256'] } }), signature],
        'another lifetime': [header, changed(payload, { exp: 4102444800 }), signature],
        'another type': [changed(header, { typ: 'jwt' }), payload, signature],
        'no algorithm': [changed(header, { alg: 'none' }), payload, ''],
        'another signature': [header, payload, other],
      };
      for (const [what, parts] of Object.entries(tampered)) {
        const said = await claimsOf({ headers: { [jwsName]: parts.join('.') } });
        assert.deepEqual(said, { jose: null, PyJWT: null }, what);
      }
      for (const wrong of [{ audience: 'https://other.example.com' }, { issuer: 'https://other.example.com' }]) {
        assert.deepEqual(await claimsOf(received, wrong), { jose: null, PyJWT: null }, JSON.stringify(wrong));
      }
    });
  });
}

test('a JWS goes with every request of which it says the same, and with no other', async () => {
  const sent = async (certificate, form, path) => (await forwarded('reusing', { form, path }, { certificate })).headers['client-cert-jwt'];
  const requests = [
    ['payments', 'client_id=payments', '/oauth/token'],
    ['payments', 'client_id=payments&scope=pay', '/oauth/token'],
    ['payments', 'client_id=mobile', '/oauth/token'],
    ['payments', 'client_id=payments', '/oauth/revoke'],
    ['payments-rotated', 'client_id=payments', '/oauth/token'],
    ['batch', 'client_id=batch', '/oauth/token'],
  ];
  const first = [];
  for (const request of requests) first.push(await sent(...request));
  assert.equal(new Set(first).size, requests.length);
  for (const [index, [certificate, form, path]] of requests.entries()) {
    const again = await sent(certificate, form, path);
    assert.equal(again, first[index]);
    const { jose: claims, PyJWT } = await jwsClaims(python, reusing, again);
    assert.deepEqual(PyJWT, claims);
    assert.equal(claims.client_id, form.includes('mobile') ? undefined : certificate.replace('-rotated', ''));
    assert.equal(claims.cnf['x5t#S256'], pki[certificate]['x5t#S256']);
    assert.deepEqual([claims.htu, claims.content_digest], [`https://as.example.com${path}`, digestOf(form)]);
  }
  const { received, reason } = await testbed.exchange('reusing', { form: 'client_id=payments' }, { certificate: 'batch' });
  assert.equal(received, undefined);
  assert.equal(reason, 'subject_mismatch');
});

describe('less usual components', () => {
  const request = {
    path: '/oauth/token?x=1&resource=%2a+c',
    headers: [['x-request', 'one, two'], ['x-request', 'three'], ['priority', 'u=3,   i']],
  };

  for (const protocol of ['http/1.1', 'h2']) {
    test(`are covered as they go to the server over ${protocol}`, async () => {
      const received = await forwarded('rare', request, { protocol });
      assert.equal(received.headers.authorization, `Basic ${Buffer.from('envoy:open sesame').toString('base64')}`);
      await assertVerifies(rareSigner, received);
    });
  }

  test('tampering with each is detected', async () => {
    const received = await forwarded('rare', request);
    const tampered = {
      'target': { ...received, path: received.path.replace('x=1', 'x=2') },
      'parameter': { ...received, path: received.path.replace('+c', '+d') },
      'lines of a header': withHeader(received, 'x-request', 'one, two, three'),
      'structured field': withHeader(received, 'priority', 'u=2, i'),
      'digest': { ...withHeader(received, 'content-digest', digestOf('')), body: '' },
      'credentials of the proxy': withHeader(received, 'authorization', 'Basic AAAA'),
    };
    for (const [what, changed] of Object.entries(tampered)) await assertDetected(rareSigner, changed, what);
  });

  test('a parameter that is there twice is refused', async () => {
    const { response, received, reason } = await testbed.exchange(
      'rare', { form: 'client_id=payments', path: '/oauth/token?resource=1&%72esource=2' }, { certificate: 'payments' });
    assert.equal(response.status, 400, response.body);
    assert.deepEqual({ received, reason }, { received: undefined, reason: 'body_unreadable' });
  });
});

describe('a protected resource', () => {
  const of = { ...signers.ed25519, components: ['client-cert', '@method', '@authority', '@path'] };
  const bearer = ['authorization', resolve('@bearer:payments')];
  const request = (path, more = []) => ({ method: 'GET', form: undefined, path, headers: [bearer, ...more] });

  test('gets the signature where it is to, without the body', async () => {
    const received = await forwarded('resource', request('/api/accounts'));
    assert.match(received.headers['signature-input'], /^certbound=\("client-cert" "@method" "@authority" "@path"\);/);
    await assertVerifies(of, received);
    await assertDetected(of, withHeader(received, 'client-cert', rfc9440('batch')), 'another certificate');
    await assertDetected(of, { ...received, path: '/api/other' }, 'another path');
  });

  test('is told by the JWS of the certificate, and of no client and no body', async () => {
    const { headers } = await forwarded('resource', request('/api/accounts'));
    const claims = JSON.parse(Buffer.from(headers['x-certbound-jwt'].split('.')[1], 'base64url'));
    assert.equal(claims.cnf['x5t#S256'], pki.payments['x5t#S256']);
    assert.equal(claims.htu, 'https://as.example.com/api/accounts');
    assert.deepEqual([claims.client_id, claims.content_digest], [undefined, undefined]);
  });

  test('gets none where it is not to', async () => {
    const { headers } = await forwarded('resource', request('/unsigned/accounts', [['signature', 'certbound=:AAAA:']]));
    assert.equal(headers['client-cert'], rfc9440('payments'));
    assert.deepEqual([headers.signature, headers['signature-input'], headers['x-certbound-jwt']], [undefined, undefined, undefined]);
  });
});

describe('JWS alone', () => {
  test('leaves the fields of HTTP message signatures alone', async () => {
    const { headers } = await forwarded('jws only', complete);
    assert.deepEqual([headers['signature-input'], headers.signature], complete.headers.slice(2).map(([, value]) => value));
    assert.equal(headers['content-digest'], undefined);
    assert.equal((await jwsClaims(python, jwsOnly, headers['client-cert-jwt'])).jose.client_id, 'payments');
  });

  test('is refused where it is too long', async () => {
    const { response, received, reason } = await testbed.exchange('small', { form: 'client_id=payments' }, { certificate: 'payments' });
    assert.deepEqual({ status: response.status, received, reason }, { status: 401, received: undefined, reason: 'header_too_large' });
  });
});

describe('the JWK set', () => {
  const get = (listener, options = {}, request = {}) =>
    testbed.exchange(listener, { method: 'GET', path: jwksPath, ...request }, options);

  for (const protocol of ['http/1.1', 'h2']) {
    for (const listener of ['ecdsa-p256-sha256', 'ed25519', 'report']) {
      test(`holds the public key of ${listener}, for anyone, over ${protocol}`, async () => {
        for (const certificate of [null, 'payments', 'payments-rogue']) {
          const { response, received } = await get(listener, { protocol, certificate });
          assert.equal(response.status, 200);
          assert.equal(response.headers['content-type'], 'application/jwk-set+json');
          assert.equal(response.headers['cache-control'], 'max-age=300');
          assert.equal(received, undefined);
          const alg = listener === 'ecdsa-p256-sha256' ? 'ES256' : 'EdDSA';
          const key = pairs[alg === 'ES256' ? 'ecdsa-p256-sha256' : 'ed25519'].publicKey.export({ format: 'jwk' });
          assert.deepEqual(JSON.parse(response.body), { keys: [{ ...key, kid, alg, use: 'sig' }] });
        }
      });
    }

    test(`HEAD gets no body over ${protocol}`, async () => {
      const whole = await get('ed25519', { protocol });
      const { response } = await get('ed25519', { protocol }, { method: 'HEAD' });
      assert.deepEqual([response.status, response.body], [200, '']);
      assert.equal(response.headers['content-length'], whole.response.headers['content-length']);
      assert.equal(response.headers['content-type'], 'application/jwk-set+json');
    });

    test(`other methods are not allowed over ${protocol}`, async () => {
      for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
        const { response, received } = await get('ed25519', { protocol }, { method });
        assert.deepEqual([response.status, response.headers.allow, received], [405, 'GET, HEAD', undefined], method);
      }
    });
  }

  test('is at every spelling of its path and at no other', async () => {
    for (const path of [`${jwksPath}?a=b`, '/.well-known/%63ertbound-jwks.json', `/x/..${jwksPath}`]) {
      assert.equal((await get('ed25519', {}, { path })).response.status, 200, path);
    }
    for (const path of [`${jwksPath}/`, jwksPath.toUpperCase(), `/${jwksPath}`]) {
      assert.ok((await get('ed25519', {}, { path })).received, path);
    }
  });

  test('verifies what the key signed', async () => {
    const { response } = await get('ecdsa-p256-sha256');
    const keys = jose.createLocalJWKSet(JSON.parse(response.body));
    const { headers } = await forwarded('ecdsa-p256-sha256');
    const { payload } = await jose.jwtVerify(headers['client-cert-jwt'], keys, { issuer, audience, typ: 'certbound+jwt' });
    assert.equal(payload.client_id, 'payments');
  });

  test('is not there unless it is configured', async () => {
    assert.ok((await get('hmac-sha256')).received);
  });
});
