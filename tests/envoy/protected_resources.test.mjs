// Protected resources in Envoy: tokens that its jwt_authn filter verifies, tokens that an introspection endpoint is asked
// about, and bodies that must not wait.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { until } from './envoy.mjs';
import { client, startIntrospection } from './introspection.mjs';
import { jose } from './packages.mjs';
import { pki, rfc9440, token as unsigned } from './pki.mjs';
import { mayName } from './readings.mjs';
import { assertRefused, startTestbed } from './testbed.mjs';
import { bindingOf, field } from './upstream.mjs';

const protocols = ['http/1.1', 'h2'];
const thumbprintOf = (name) => pki[name]['x5t#S256'];
const cnfOf = (name) => ({ 'x5t#S256': thumbprintOf(name) });

const thumbprintHeader = 'x-client-cert-thumbprint';
const shared = { endpoints: [{ path: '/oauth/token' }], clients: [], thumbprint_header: thumbprintHeader };
const forward = ['certificate', 'thumbprint'];

/** Resources at /api/, which require a bound token, and at /open/, which do not. */
const resources = (settings) => ({
  ...shared,
  protected_resources: [
    { path_prefix: '/api/', forward, ...settings },
    { path_prefix: '/open/', forward, require: 'if_present', ...settings },
  ],
});

const introspected = (cluster, settings) => resources({
  token: 'introspection',
  introspection: {
    cluster,
    path: '/introspect',
    authority: 'as.internal',
    client_id: client.id,
    client_secret: { value: client.secret },
    ...settings,
  },
});

const issuer = 'https://as.example.com';
const { privateKey, publicKey } = await jose.generateKeyPair('ES256');
const { privateKey: otherKey } = await jose.generateKeyPair('ES256');
const jwks = { keys: [{ ...await jose.exportJWK(publicKey), kid: 'one', alg: 'ES256' }] };

const sign = (claims, key = privateKey) => new jose.SignJWT({ iss: issuer, aud: 'api', exp: 4102444800, ...claims })
  .setProtectedHeader({ alg: 'ES256', kid: 'one' }).sign(key);

/** Envoy's filter that verifies tokens, and lets requests without any through. */
const jwtAuthn = (provider) => ({
  name: 'envoy.filters.http.jwt_authn',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication',
    providers: {
      as: { issuer, audiences: ['api'], local_jwks: { inline_string: JSON.stringify(jwks) }, payload_in_metadata: 'jwt_payload', ...provider },
    },
    rules: [{
      match: { prefix: '/' },
      requires: { requires_any: { requirements: [{ provider_name: 'as' }, { allow_missing: {} }] } },
    }],
  },
});

const verified = { configuration: resources({ token: 'jwt_authn' }) };
const fromAuthorization = [{ name: 'Authorization', value_prefix: 'Bearer ' }];

let testbed;
let endpoint;
let stopped;

/** What opaque tokens stand for. */
const meanings = new Map();

before(async () => {
  endpoint = await startIntrospection();
  stopped = await startIntrospection();
  const nobody = await startIntrospection();
  await nobody.stop();
  const listeners = {
    bearer: { configuration: resources({ token: 'bearer' }), connectionManager: { upgrade_configs: [{ upgrade_type: 'websocket' }] } },
    verified: { ...verified, httpFilters: [jwtAuthn({ forward: true, from_headers: fromAuthorization })], resumption: true },
    taken: { ...verified, httpFilters: [jwtAuthn({ forward: false, from_headers: fromAuthorization })] },
    everywhere: { ...verified, httpFilters: [jwtAuthn({ forward: true })] },
    takenFromEverywhere: { ...verified, httpFilters: [jwtAuthn({ forward: false })] },
    elsewhere: { ...verified, httpFilters: [jwtAuthn({ forward: true, from_headers: [{ name: 'x-token' }] })] },
    unnamed: { ...verified, httpFilters: [jwtAuthn({ forward: true, payload_in_metadata: 'other' })] },
    missing: verified,
    introspection: { configuration: introspected('introspection'), bufferBytes: 65536 },
    asking: { configuration: introspected('introspection', { max_cache_seconds: 0 }), bufferBytes: 65536 },
    impatient: { configuration: introspected('introspection', { timeout_milliseconds: 200 }) },
    down: { configuration: introspected('nobody') },
    unknown: { configuration: introspected('no-such-cluster') },
    stopping: { configuration: introspected('stopped', { max_cache_seconds: 2 }) },
    phantom: { configuration: introspected('introspection', { replace_token_by: 'application/jwt' }) },
    signed: { configuration: introspected('introspection', { replace_token_by: 'application/token-introspection+jwt' }) },
  };
  testbed = await startTestbed('protected_resources', listeners, () => false, {
    clusters: { introspection: endpoint.port, nobody: nobody.port, stopped: stopped.port },
    answer,
    requires: ({ path }) => (mayName(path, 'api') ? 'bound' : mayName(path, 'open') ? 'if_present' : undefined),
    bindingOf: (token) => (meanings.has(token) ? meanings.get(token) : bindingOf(token)),
  });
});
after(async () => {
  await endpoint.stop();
  await stopped.stop();
  await testbed?.stop();
  assert.deepEqual(endpoint.problems.concat(stopped.problems), []);
});

/** The server: speaks gRPC, answers in two parts when it is told to, echoes what it was sent. */
let secondPart = Promise.resolve();
async function answer(received, response) {
  if (field(received, 'content-type') === 'application/grpc') {
    response.writeHead(200, { 'content-type': 'application/grpc' });
    response.write(received.body);
    response.addTrailers({ 'grpc-status': '0' });
  } else if (received.path.endsWith('/stream')) {
    response.write('first part,');
    await secondPart;
    response.write('second part');
  }
  response.end('.');
}

const authorization = (token, scheme = 'Bearer') => [['authorization', `${scheme} ${token}`]];

/** What a client sends; the last field tells the server's judge which token it was, also where a filter removes it. */
const asking = (token, { path = '/api/accounts', ...more } = {}) =>
  ({ method: 'GET', path, headers: [...authorization(token), ['x-sent-token', token]], ...more });

const send = (listener, certificate, request, options) => testbed.exchange(listener, request, { certificate, ...options });

/** A promise that a test keeps. */
function deferred() {
  let resolve;
  const promise = new Promise((settle) => { resolve = settle; });
  return { promise, resolve };
}

let tokens = 0;
/** An opaque token with every character that one may have, and what is said of it. */
function opaque(answer, binding, says = endpoint) {
  tokens += 1;
  const token = `A-z._~+/${tokens}+/==`;
  meanings.set(token, binding);
  says.say(token, answer);
  return token;
}

const active = (name, more) => ({ body: { active: true, ...(name && { cnf: cnfOf(name) }), ...more } });
const opaqueOf = (name, more, says) => opaque(active(name, more), name ? thumbprintOf(name) : undefined, says);

function assertAllowed({ response, received, outcome, reason }, certificate) {
  assert.equal(response.status, 200, `${reason}: ${response.body}`);
  assert.equal(outcome, 'allowed');
  assert.equal(field(received, 'client-cert'), certificate && rfc9440(certificate));
  assert.equal(field(received, thumbprintHeader), certificate && thumbprintOf(certificate));
}

const challenges = {
  token_missing: [401, undefined, 'Bearer'],
  token_misplaced: [400, 'invalid_request', 'Bearer error="invalid_request"'],
  token_unreadable: [401, 'invalid_token', 'Bearer error="invalid_token"'],
  introspection_failed: [503, 'temporarily_unavailable', undefined],
  host_error: [500, 'server_error', undefined],
  body_too_large: [413, 'invalid_request', undefined],
};

function assertDenied(seen, reason) {
  assert.equal(seen.reason, reason, `${seen.response.status} ${seen.response.body}`);
  assert.equal(seen.outcome, 'denied');
  const [status, error, challenge] = challenges[reason] ?? [401, 'invalid_token', 'Bearer error="invalid_token"'];
  assertRefused(seen, status, error);
  assert.equal(seen.response.headers['www-authenticate'], challenge);
}

/** Envoy's own filter refused it; certbound never saw it. */
function assertRefusedByEnvoy({ response, received, outcome }) {
  assert.ok([401, 403].includes(response.status), response.body);
  assert.equal(outcome, null);
  assert.equal(received, undefined);
}

describe('tokens that jwt_authn verifies', () => {
  for (const protocol of protocols) {
    for (const listener of ['verified', 'taken', 'everywhere', 'takenFromEverywhere']) {
      test(`with the certificate they are bound to, another, and none (${listener}, ${protocol})`, async () => {
        const token = await sign({ cnf: cnfOf('payments') });
        const seen = await send(listener, 'payments', asking(token), { protocol });
        assertAllowed(seen, 'payments');
        assert.equal(field(seen.received, 'authorization'), listener.startsWith('taken') ? null : `Bearer ${token}`);
        assertDenied(await send(listener, 'batch', asking(token), { protocol }), 'token_not_bound');
        assertDenied(await send(listener, null, asking(token), { protocol }), 'certificate_missing');
      });
    }
  }

  test('over a resumed session', async () => {
    const token = await sign({ cnf: cnfOf('payments') });
    for (const [certificate, check] of [
      ['payments', (seen) => assertAllowed(seen, 'payments')],
      ['batch', (seen) => assert.equal(seen.reason, 'token_not_bound')],
      [null, (seen) => assert.equal(seen.reason, 'certificate_missing')],
    ]) {
      const get = (connection) => {
        const head = ['GET /api/accounts HTTP/1.1', 'Host: as.example.com', `Authorization: Bearer ${token}`, `X-Sent-Token: ${token}`];
        const { id, bytes } = connection.spell({ head });
        connection.write(bytes);
        return connection.response().then(async (response) => ({ response, ...await testbed.observe(id) }));
      };
      for (const version of ['TLSv1.2', 'TLSv1.3']) {
        const options = { certificate, minVersion: version, maxVersion: version };
        await testbed.withRawConnection('verified', options, async (first) => {
          check(await get(first));
          await testbed.withRawConnection('verified', { ...options, session: first.socket.getSession() }, async (second) => {
            assert.equal(second.socket.isSessionReused(), true);
            check(await get(second));
          });
        });
      }
    }
  });

  test('that are tampered with, expired, for others, or of another issuer', async () => {
    const token = await sign({ cnf: cnfOf('payments') });
    const [header, , signature] = token.split('.');
    const claims = Buffer.from(JSON.stringify({ iss: issuer, aud: 'api', exp: 4102444800, cnf: cnfOf('batch') })).toString('base64url');
    for (const [bad, certificate] of [
      [`${header}.${claims}.${signature}`, 'batch'],
      [unsigned({ iss: issuer, aud: 'api', cnf: cnfOf('batch') }), 'batch'],
      [await sign({ cnf: cnfOf('batch') }, otherKey), 'batch'],
      [await sign({ cnf: cnfOf('batch'), exp: 1 }), 'batch'],
      [await sign({ cnf: cnfOf('batch'), aud: 'other' }), 'batch'],
      [await sign({ cnf: cnfOf('batch'), iss: 'https://other.example.com' }), 'batch'],
      [`${token}, Bearer ${token}`, 'payments'],
    ]) {
      for (const listener of ['verified', 'taken', 'everywhere', 'takenFromEverywhere']) {
        assertRefusedByEnvoy(await send(listener, certificate, { method: 'GET', path: '/api/accounts', headers: authorization(bad) }));
      }
    }
  });

  // Envoy reads JSON as protocol buffers do, and tells of null that it cannot say.
  for (const [what, cnf] of [
    ['no cnf', undefined],
    ['cnf null', null],
    ['cnf empty', {}],
    ['cnf that is text', 'x5t#S256'],
    ['cnf that is empty text', ''],
    ['cnf that is a number', 7],
    ['cnf that is false', false],
    ['cnf that is a list', [cnfOf('payments')]],
    ['x5t#S256 null', { 'x5t#S256': null }],
    ['x5t#S256 empty', { 'x5t#S256': '' }],
    ['x5t#S256 that is a number', { 'x5t#S256': 7 }],
    ['x5t#S256 that is a list', { 'x5t#S256': [thumbprintOf('payments')] }],
    ['x5t#S256 that is an object', { 'x5t#S256': cnfOf('payments') }],
    ['only jkt', { jkt: '0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I' }],
    ['jkt beside x5t#S256', { jkt: 'a', ...cnfOf('payments') }],
    ['jkt null beside x5t#S256', { jkt: null, ...cnfOf('payments') }],
    ['another thumbprint', cnfOf('batch')],
    ['the thumbprint with padding', { 'x5t#S256': `${thumbprintOf('payments')}=` }],
  ]) {
    test(`with ${what}`, async () => {
      const token = await sign({ cnf });
      assertDenied(await send('taken', 'payments', asking(token)), 'token_not_bound');
      const seen = await send('verified', 'payments', asking(token));
      assert.equal(seen.outcome, 'denied');
      assert.ok(['token_not_bound', 'token_unreadable'].includes(seen.reason), seen.reason);
      assertDenied(seen, seen.reason);
      // Empty text is the one that looks like nothing, and nothing is let in there.
      const isUnbound = cnf === undefined || cnf === '';
      const open = await send('taken', 'payments', asking(token, { path: '/open/accounts' }));
      if (isUnbound) assertAllowed(open, null);
      else assertDenied(open, 'token_not_bound');
    });
  }

  test('with null in other claims', async () => {
    const token = await sign({ cnf: { ...cnfOf('payments'), kid: null }, email: null });
    assertAllowed(await send('taken', 'payments', asking(token)), 'payments');
    assertDenied(await send('taken', 'batch', asking(token)), 'token_not_bound');
    // Envoy does not tell such a payload, with which the token in Authorization would have to be compared.
    for (const certificate of ['payments', 'batch']) assertDenied(await send('verified', certificate, asking(token)), 'token_unreadable');
  });

  test('that are not sent', async () => {
    for (const listener of ['verified', 'taken', 'everywhere', 'takenFromEverywhere']) {
      assertDenied(await send(listener, 'payments', { method: 'GET', path: '/api/accounts' }), 'token_missing');
      assertAllowed(await send(listener, 'payments', { method: 'GET', path: '/open/accounts' }), null);
    }
  });

  test('in places where jwt_authn does not look', async () => {
    const token = await sign({ cnf: cnfOf('payments') });
    for (const listener of ['verified', 'taken']) {
      for (const path of ['/api/accounts', '/open/accounts']) {
        for (const request of [
          // It looks for the scheme in this case only.
          { headers: authorization(token, 'bearer') },
          { headers: authorization(token, 'BEARER') },
          { query: `?access_token=${token}` },
          { headers: authorization(token), query: `?access_token=${token}` },
          { headers: authorization(token), query: `?a=b&access%5ftoken=${token}` },
        ]) {
          const { headers = [], query = '' } = request;
          assertDenied(await send(listener, 'payments', { method: 'GET', path: path + query, headers }), query ? 'token_misplaced' : 'token_unreadable');
        }
      }
    }
  });

  test('of which there is a second one in the query', async () => {
    const own = await sign({ cnf: cnfOf('payments'), sub: 'payments' });
    const stolen = await sign({ cnf: cnfOf('batch'), sub: 'batch' });
    const unbound = await sign({ sub: 'anybody' });
    for (const [first, second] of [[own, stolen], [stolen, own], [own, own], [own, unbound], [unbound, own]]) {
      for (const listener of ['verified', 'taken', 'everywhere']) {
        const request = { method: 'GET', path: `/api/accounts?access_token=${second}`, headers: authorization(first) };
        assertDenied(await send(listener, 'payments', request), 'token_misplaced');
      }
    }
  });

  // It removes both before certbound sees them, and keeps the payload of the first: from_headers has to name the place.
  test('of which it removes a second one from the query', async () => {
    const own = await sign({ cnf: cnfOf('payments') });
    const stolen = await sign({ cnf: cnfOf('batch') });
    const both = (first, second) => asking(first, { path: `/api/accounts?access_token=${second}` });
    const seen = await send('takenFromEverywhere', 'payments', both(own, stolen));
    assertAllowed(seen, 'payments');
    assert.deepEqual([field(seen.received, 'authorization'), seen.received.path], [null, '/api/accounts']);
    assertDenied(await send('takenFromEverywhere', 'payments', both(stolen, own)), 'token_not_bound');
  });

  // Else the resource took for verified what the client made up.
  test('beside one in Authorization that nobody verified', async () => {
    const own = await sign({ sub: 'payments', cnf: cnfOf('payments') });
    const forged = unsigned({ sub: 'admin', cnf: cnfOf('payments') });
    for (const path of ['/api/accounts', '/open/accounts']) {
      for (const scheme of ['bearer', 'DPoP', 'dpop', 'BEARER']) {
        const request = { method: 'GET', path: `${path}?access_token=${own}`, headers: authorization(forged, scheme) };
        assertDenied(await send('takenFromEverywhere', 'payments', request), 'token_unreadable');
        assertDenied(await send('everywhere', 'payments', request), 'token_misplaced');
      }
      const request = { method: 'GET', path, headers: [['x-token', own], ...authorization(forged)] };
      assertDenied(await send('elsewhere', 'payments', request), 'token_unreadable');
      const same = { method: 'GET', path, headers: [['x-token', own], ...authorization(own), ['x-sent-token', own]] };
      assertAllowed(await send('elsewhere', 'payments', same), 'payments');
    }
  });

  for (const claims of [
    { aud: ['api', 'other'] },
    { iat: 1.5 },
    { scope: 'read "all" ü\u0001' },
    { flag: true, off: false },
    { none: '', empty: {}, list: [] },
    { list: [1, -2e-7, 'a', '', false] },
    { list: [[], {}, [''], { a: '' }] },
    { nested: { list: [{ deep: [true, { deeper: 9007199254740991 }] }] } },
  ]) {
    test(`with other claims: ${Object.keys(claims)}`, async () => {
      const token = await sign({ ...claims, cnf: cnfOf('payments') });
      for (const listener of ['verified', 'everywhere', 'taken']) assertAllowed(await send(listener, 'payments', asking(token)), 'payments');
    });
  }

  test('that are not the one in Authorization', async () => {
    const own = await sign({ cnf: cnfOf('payments') });
    const stolen = await sign({ cnf: cnfOf('batch') });
    for (const [inField, inAuthorization] of [[own, stolen], [stolen, own], [own, unsigned({ sub: 'a' })], [own, 'opaque']]) {
      const request = { method: 'GET', path: '/api/accounts', headers: [['x-token', inField], ...authorization(inAuthorization)] };
      assertDenied(await send('elsewhere', 'payments', request), 'token_unreadable');
    }
  });

  test('under another name, or without the filter: the log says what to do', async () => {
    const token = await sign({ cnf: cnfOf('payments') });
    for (const listener of ['unnamed', 'missing']) {
      for (const path of ['/api/accounts', '/open/accounts']) {
        assertDenied(await send(listener, 'payments', asking(token, { path })), 'token_unreadable');
      }
    }
    const lines = await testbed.envoy.logLines('jwt_authn left no payload in its dynamic metadata');
    assert.match(lines[0], /it needs payload_in_metadata, and to come before certbound/);
  });
});

describe('tokens that the introspection endpoint is asked about', () => {
  for (const protocol of protocols) {
    test(`active, with the certificate they are bound to, another, and none (${protocol})`, async () => {
      for (const listener of ['introspection', 'asking']) {
        const token = opaqueOf('payments');
        const seen = await send(listener, 'payments', asking(token), { protocol });
        assertAllowed(seen, 'payments');
        assert.equal(field(seen.received, 'authorization'), `Bearer ${token}`);
        // The answer that is remembered is compared with each connection's certificate, too.
        assertDenied(await send(listener, 'batch', asking(token), { protocol }), 'token_not_bound');
        assertDenied(await send(listener, null, asking(token), { protocol }), 'certificate_missing');
        assertAllowed(await send(listener, 'payments', asking(token), { protocol }), 'payments');
        assert.equal(endpoint.timesAsked(token), listener === 'asking' ? 4 : 1);
        assert.equal(endpoint.accepted(token), 'application/json');
      }
    });

    test(`for each its own question (${protocol})`, async () => {
      const bound = ['payments', 'batch', 'payments', 'partner-app'].map((name) => ({ name, token: opaqueOf(name) }));
      for (const { name, token } of [...bound, ...bound]) {
        assertAllowed(await send('introspection', name, asking(token), { protocol }), name);
        assertDenied(await send('introspection', name === 'batch' ? 'payments' : 'batch', asking(token), { protocol }), 'token_not_bound');
        assert.equal(endpoint.timesAsked(token), 1);
      }
    });
  }

  test('that are not active, or bound to nothing', async () => {
    const inactive = opaque({ body: { active: false, cnf: cnfOf('payments') } }, undefined);
    const unbound = opaqueOf(null);
    const sent = (token, path) => send('introspection', 'payments', asking(token, { path }));
    assertDenied(await sent(inactive, '/api/accounts'), 'token_inactive');
    assertDenied(await sent(inactive, '/open/accounts'), 'token_inactive');
    assert.equal(endpoint.timesAsked(inactive), 2, 'what is not active may become so');
    assertDenied(await sent(unbound, '/api/accounts'), 'token_not_bound');
    assertAllowed(await sent(unbound, '/open/accounts'), null);
  });

  test('without which nobody is asked', async () => {
    for (const listener of ['introspection', 'down']) {
      const nothing = (path) => ({ method: 'GET', path });
      assertDenied(await send(listener, 'payments', nothing('/api/accounts')), 'token_missing');
      assertAllowed(await send(listener, 'payments', nothing('/open/accounts')), null);
    }
  });

  const inOneHour = () => Math.floor(Date.now() / 1000) + 3600;
  for (const [what, reason, answer] of [
    ['an error', 'introspection_failed', { status: 500, ...active('payments') }],
    ['that certbound is not authorised', 'introspection_failed', { status: 401, ...active('payments') }],
    ['a redirect', 'introspection_failed', { status: 302, ...active('payments') }],
    ['nothing (204)', 'introspection_failed', { status: 204, body: '' }],
    ['another success (201)', 'introspection_failed', { status: 201, ...active('payments') }],
    ['an empty body', 'introspection_failed', { body: '' }],
    ['half of an answer', 'introspection_failed', { body: '{"active":true,"cnf":{' }],
    ['HTML', 'introspection_failed', { type: 'text/html', body: '<html>' }],
    ['a list', 'introspection_failed', { body: '[{"active":true}]' }],
    ['not whether it is active', 'introspection_failed', { body: { cnf: cnfOf('payments') } }],
    ['text for whether it is active', 'introspection_failed', { body: { active: 'true', cnf: cnfOf('payments') } }],
    ['twice whether it is active', 'introspection_failed', { body: '{"active":false,"active":true}' }],
    ['two confirmations', 'introspection_failed', { body: `{"active":true,"cnf":${JSON.stringify(cnfOf('payments'))},"cnf":{}}` }],
    ['a confirmation that is none', 'introspection_failed', { body: { active: true, cnf: thumbprintOf('payments') } }],
    ['text for exp', 'introspection_failed', { body: { active: true, exp: String(inOneHour()), cnf: cnfOf('payments') } }],
    ['exp in the past', 'token_inactive', active('payments', { exp: 1 })],
    ['exp before 1970', 'token_inactive', active('payments', { exp: -1 })],
    ['the binding to a DPoP key', 'token_not_bound', { body: { active: true, cnf: { jkt: 'a' } } }],
  ]) {
    test(`about which it says ${what}`, async () => {
      for (const path of ['/api/accounts', '/open/accounts']) {
        const token = opaque(answer, undefined);
        assertDenied(await send('introspection', 'payments', asking(token, { path })), reason);
        // It may say something better the next time.
        endpoint.say(token, active('payments'));
        meanings.set(token, thumbprintOf('payments'));
        const next = await send('introspection', 'payments', asking(token, { path }));
        if (reason === 'token_not_bound') assertDenied(next, reason);
        else assertAllowed(next, 'payments');
      }
    });
  }

  for (const type of ['application/json;charset=utf-8', 'text/plain', null]) {
    test(`in an answer of type ${type}`, async () => {
      const token = opaque({ ...active('payments'), type }, thumbprintOf('payments'));
      assertAllowed(await send('introspection', 'payments', asking(token)), 'payments');
    });
  }

  test('while it cannot be reached', async () => {
    for (const listener of ['down', 'unknown']) {
      for (const protocol of protocols) {
        for (const path of ['/api/accounts', '/open/accounts']) {
          assertDenied(await send(listener, 'payments', asking(opaqueOf('payments'), { path }), { protocol }), 'introspection_failed');
        }
        const form = { method: 'POST', form: 'a=b', headers: asking(opaqueOf('payments')).headers, path: '/api/accounts' };
        assertDenied(await send(listener, 'payments', form, { protocol }), 'introspection_failed');
      }
    }
    const [line] = await testbed.envoy.logLines('introspection: Envoy does not send it to cluster');
    assert.match(line, /no-such-cluster/);
  });

  test('while it is slower than timeout_milliseconds', async () => {
    const answered = deferred();
    const token = opaque({ ...active('payments'), until: answered.promise }, thumbprintOf('payments'));
    assertDenied(await send('impatient', 'payments', asking(token)), 'introspection_failed');
    answered.resolve();
    assertAllowed(await send('impatient', 'payments', asking(token)), 'payments');
  });

  test('asked again after max_cache_seconds and after exp', async () => {
    const asked = async (token, listener = 'stopping') => {
      assertAllowed(await send(listener, 'payments', asking(token)), 'payments');
      return stopped.timesAsked(token);
    };
    const remembered = opaqueOf('payments', {}, stopped);
    const expiring = opaqueOf('payments', { exp: Date.now() / 1000 + 1.5 }, stopped);
    assert.equal(await asked(remembered), 1);
    assertAllowed(await send('stopping', 'payments', asking(expiring)), 'payments');
    await until('the token to be refused', async () => {
      const { outcome, reason } = await send('stopping', 'payments', asking(expiring));
      return outcome === 'denied' ? assert.equal(reason, 'token_inactive') ?? true : undefined;
    });
    await until('another question', async () => (await asked(remembered) > 1) || undefined);
  });

  test('while it stops: what is remembered holds until its time', async () => {
    const known = opaqueOf('payments', {}, stopped);
    const asked = (token, certificate) => send('stopping', certificate, asking(token));
    assertAllowed(await asked(known, 'payments'), 'payments');
    await stopped.stop();
    assertAllowed(await asked(known, 'payments'), 'payments');
    assertDenied(await asked(known, 'batch'), 'token_not_bound');
    assertDenied(await asked(opaqueOf('payments', {}, stopped), 'payments'), 'introspection_failed');
    const last = await until('what is remembered to be too old', async () => {
      const seen = await asked(known, 'payments');
      return seen.outcome === 'denied' ? seen : undefined;
    });
    assertDenied(last, 'introspection_failed');
  });

  test('by many requests at once', async () => {
    const names = ['payments', 'batch', 'partner-app'];
    const bound = Array.from({ length: 60 }, (_, i) => ({ name: names[i % 3], token: opaqueOf(names[i % 3]) }));
    await Promise.all(names.map((certificate) => testbed.withConnection('asking', { certificate, protocol: 'h2' }, (connection) =>
      Promise.all(bound.map(async ({ name, token }) => {
        const seen = await connection.exchange(asking(token));
        if (name === certificate) assertAllowed(seen, name);
        else assertDenied(seen, 'token_not_bound');
      })))));
    assert.ok(bound.every(({ token }) => endpoint.timesAsked(token) === 3));
  });

  test('answered in another order than asked, over HTTP/2', async () => {
    const waits = [deferred(), deferred(), deferred()];
    const answers = ['payments', 'batch', 'payments'];
    const held = answers.map((name, i) => opaque({ ...active(name), until: waits[i].promise }, thumbprintOf(name)));
    await testbed.withConnection('asking', { certificate: 'payments', protocol: 'h2' }, async (connection) => {
      const responding = held.map((token) => connection.exchange(asking(token)));
      await Promise.all(held.map((token) => until('the question', () => endpoint.timesAsked(token) || undefined)));
      // Others are served meanwhile.
      assertAllowed(await connection.exchange(asking(opaqueOf('payments'))), 'payments');
      for (const wait of waits.toReversed()) wait.resolve();
      const [first, second, third] = await Promise.all(responding);
      assertAllowed(first, 'payments');
      assertDenied(second, 'token_not_bound');
      assertAllowed(third, 'payments');
    });
  });

  test('for pipelined requests', async () => {
    const names = ['payments', 'batch'];
    await testbed.withRawConnection('asking', { certificate: 'payments' }, async (connection) => {
      for (const pair of [names, names.toReversed(), ['payments', 'payments']]) {
        const begun = pair.map((name) => {
          const token = opaqueOf(name);
          return { name, ...connection.spell({ head: ['GET /api/accounts HTTP/1.1', 'Host: as.example.com', `Authorization: Bearer ${token}`] }) };
        });
        connection.write(Buffer.concat(begun.map(({ bytes }) => bytes)));
        for (const { name, id } of begun) {
          const response = await connection.response();
          const seen = await testbed.observe(id);
          assert.equal(seen.reason ?? null, name === 'payments' ? null : 'token_not_bound');
          assert.equal(response.status, name === 'payments' ? 200 : 401);
        }
      }
    });
  });

  for (const protocol of protocols) {
    test(`when the client is gone before the answer (${protocol})`, async () => {
      const wait = deferred();
      const token = opaque({ ...active('payments'), until: wait.promise }, thumbprintOf('payments'));
      let id;
      await testbed.withConnection('asking', { certificate: 'payments', protocol }, async (connection) => {
        const attempt = connection.attempt(asking(token), (begun) => { id = begun; });
        await until('the question', () => endpoint.timesAsked(token) || undefined);
        if (protocol === 'h2') connection.destroy();
        else connection.close();
        await attempt;
      });
      const { outcome, received } = await testbed.observe(id);
      assert.deepEqual([outcome, received], [null, undefined]);
      wait.resolve();
      assertAllowed(await send('asking', 'payments', asking(token), { protocol }), 'payments');
      assert.equal(testbed.upstream.received(id), undefined);
    });
  }

  // What comes while the question is out is held: 64 KiB are this listener's per_connection_buffer_limit_bytes, which count
  // over HTTP/1.1 only; over HTTP/2 it is the window of the stream.
  for (const protocol of protocols) {
    for (const [what, length] of [['small', 20], ['as long as the limit', 65536], ['longer than the limit', 200_000]]) {
      test(`while a body comes that is ${what} (${protocol})`, async () => {
        for (const [name, type] of [['payments', 'application/json'], ['batch', 'application/json']]) {
          const wait = deferred();
          const token = opaque({ ...active(name), until: wait.promise }, thumbprintOf(name));
          const request = asking(token, { method: 'POST', body: 'x'.repeat(length) });
          request.headers.push(['content-type', type]);
          await testbed.withConnection('asking', { certificate: 'payments', protocol }, async (connection) => {
            let id;
            const attempt = connection.attempt(request, (begun) => { id = begun; });
            await until('the question', () => endpoint.timesAsked(token) || undefined);
            await pause(50);
            assert.equal(testbed.upstream.received(id), undefined, 'nothing goes on before the answer');
            wait.resolve();
            const { response } = await attempt;
            const seen = { response, ...await testbed.observe(id) };
            if (length > 65536 && protocol === 'http/1.1') {
              assert.ok(response === null || response.status === 413, response?.status);
              assert.equal(seen.received, undefined);
            } else if (name === 'batch') {
              assertDenied(seen, 'token_not_bound');
            } else {
              assertAllowed(seen, 'payments');
              assert.equal(seen.received.body.length, length);
            }
          });
        }
      });
    }
  }

  test('while body and trailers come, over HTTP/2', async () => {
    for (const name of ['payments', 'batch']) {
      const wait = deferred();
      const token = opaque({ ...active(name), until: wait.promise }, thumbprintOf(name));
      const request = asking(token, { method: 'POST', body: 'part', trailers: [['x-after', 'body'], ['client-cert', rfc9440('batch')]] });
      await testbed.withConnection('asking', { certificate: 'payments', protocol: 'h2' }, async (connection) => {
        let id;
        const attempt = connection.attempt(request, (begun) => { id = begun; });
        await until('the question', () => endpoint.timesAsked(token) || undefined);
        await pause(50);
        assert.equal(testbed.upstream.received(id), undefined, 'nothing goes on before the answer');
        wait.resolve();
        const { response } = await attempt;
        const seen = { response, ...await testbed.observe(id) };
        if (name === 'batch') return assertDenied(seen, 'token_not_bound');
        assertAllowed(seen, 'payments');
        assert.equal(seen.received.body.toString(), 'part');
        assert.deepEqual(seen.received.trailers, [['x-after', 'body']]);
      });
    }
  });

  test('replaced by the JWT that they stand for (phantom tokens)', async () => {
    const jwt = await sign({ cnf: cnfOf('payments') });
    const token = opaque({ type: 'application/jwt', body: jwt }, thumbprintOf('payments'));
    for (let time = 0; time < 2; time += 1) {
      const seen = await send('phantom', 'payments', { method: 'GET', path: '/api/accounts', headers: authorization(token) });
      assertAllowed(seen, 'payments');
      assert.equal(field(seen.received, 'authorization'), `Bearer ${jwt}`);
      assert.ok(!JSON.stringify(seen.received).includes(token), 'the client\'s token reached the resource');
    }
    assert.equal(endpoint.timesAsked(token), 1);
    assert.equal(endpoint.accepted(token), 'application/jwt');
    assertDenied(await send('phantom', 'batch', asking(token)), 'token_not_bound');
    assertDenied(await send('phantom', null, asking(token)), 'certificate_missing');
    const unbound = opaque({ type: 'application/jwt', body: await sign({}) }, undefined);
    assertDenied(await send('phantom', 'payments', asking(unbound)), 'token_not_bound');
    const open = await send('phantom', null, asking(unbound, { path: '/open/accounts' }));
    assertAllowed(open, null);
    assert.notEqual(field(open.received, 'authorization'), `Bearer ${unbound}`);
    for (const [reason, answer] of [
      ['token_inactive', { status: 204, type: null, body: '' }],
      ['token_inactive', { body: { active: false } }],
      ['token_inactive', { type: 'application/jwt', body: await sign({ cnf: cnfOf('payments'), exp: 1 }) }],
      ['introspection_failed', active('payments')],
      ['introspection_failed', { type: 'application/jwt', body: 'opaque' }],
      ['introspection_failed', { type: 'application/jwt', body: '' }],
      ['introspection_failed', { type: 'application/jwt', body: `${jwt}\r\nx: y` }],
      ['introspection_failed', { type: 'text/plain', body: jwt }],
    ]) {
      assertDenied(await send('phantom', 'payments', asking(opaque(answer, undefined))), reason);
    }
  });

  test('replaced by a signed introspection response (RFC 9701)', async () => {
    const type = 'application/token-introspection+jwt';
    const respond = (introspection) => new jose.SignJWT({ iss: issuer, aud: 'api', token_introspection: introspection })
      .setProtectedHeader({ alg: 'ES256', typ: 'token-introspection+jwt' }).sign(privateKey);
    const jwt = await respond({ active: true, cnf: cnfOf('payments') });
    const token = opaque({ type, body: jwt }, thumbprintOf('payments'));
    const seen = await send('signed', 'payments', { method: 'GET', path: '/api/accounts', headers: authorization(token) });
    assertAllowed(seen, 'payments');
    assert.equal(field(seen.received, 'authorization'), `Bearer ${jwt}`);
    assert.equal(endpoint.accepted(token), type);
    assertDenied(await send('signed', 'batch', asking(token)), 'token_not_bound');
    for (const [reason, body] of [
      ['token_inactive', await respond({ active: false })],
      ['token_not_bound', await respond({ active: true })],
      ['introspection_failed', await respond({ cnf: cnfOf('payments') })],
      ['introspection_failed', await sign({ active: true, cnf: cnfOf('payments') })],
    ]) {
      assertDenied(await send('signed', 'payments', asking(opaque({ type, body }, undefined))), reason);
    }
  });
});

describe('bodies that do not wait', () => {
  /** A token for either way of knowing one. */
  const bound = { bearer: (name) => unsigned({ cnf: cnfOf(name) }), introspection: (name) => opaqueOf(name) };

  for (const [listener, tokenOf] of Object.entries(bound)) {
    test(`upload in chunks over HTTP/1.1 (${listener})`, () =>
      testbed.withRawConnection(listener, { certificate: 'payments' }, async (connection) => {
        const head = ['POST /api/upload HTTP/1.1', 'Host: as.example.com', 'Transfer-Encoding: chunked', `Authorization: Bearer ${tokenOf('payments')}`];
        const { id, bytes } = connection.spell({ head });
        connection.write(bytes);
        connection.write('6\r\nfirst,\r\n');
        await until('the first chunk', () => testbed.upstream.received(id)?.body.includes('first,') || undefined);
        connection.write('6\r\nsecond\r\n0\r\n\r\n');
        const response = await connection.response();
        const seen = { response, ...await testbed.observe(id) };
        assertAllowed(seen, 'payments');
        assert.equal(seen.received.body.toString(), 'first,second');
      }));

    test(`upload, larger than any limit, over HTTP/2 (${listener})`, () =>
      testbed.withConnection(listener, { certificate: 'payments', protocol: 'h2' }, async (connection) => {
        const length = 20_000_000;
        let id;
        const request = asking(tokenOf('payments'), { method: 'POST', body: 'x'.repeat(length) });
        request.writeBody = async (stream, whole) => {
          stream.write(whole.subarray(0, 10));
          await until('the first bytes', () => testbed.upstream.received(id)?.body.length === 10 || undefined);
          stream.end(whole.subarray(10));
        };
        const { response } = await connection.attempt(request, (begun) => { id = begun; });
        const seen = { response, ...await testbed.observe(id) };
        assertAllowed(seen, 'payments');
        assert.equal(seen.received.body.length, length);
      }));

    for (const protocol of protocols) {
      test(`response in parts (${listener}, ${protocol})`, async () => {
        const wait = deferred();
        secondPart = wait.promise;
        const token = tokenOf('payments');
        if (protocol === 'h2') {
          await testbed.withConnection(listener, { certificate: 'payments', protocol }, async (connection) => {
            const stream = connection.open({ method: 'GET', path: '/api/stream', headers: [...authorization(token), ['x-presented', 'payments']] });
            const [first] = await once(stream, 'data');
            assert.equal(first.toString(), 'first part,');
            wait.resolve();
            let rest = '';
            for await (const chunk of stream) rest += chunk;
            assert.equal(rest, 'second part.');
          });
        } else {
          await testbed.withRawConnection(listener, { certificate: 'payments' }, async (connection) => {
            const head = ['GET /api/stream HTTP/1.1', 'Host: as.example.com', `Authorization: Bearer ${token}`];
            connection.write(connection.spell({ head }).bytes);
            assert.match(await connection.until('first part,'), /^HTTP\/1.1 200 OK\r\n/);
            wait.resolve();
            await connection.until('second part');
          });
        }
      });
    }

    test(`gRPC (${listener})`, async () => {
      for (const [name, certificate] of [['payments', 'payments'], ['payments', 'batch'], ['payments', null]]) {
        await testbed.withConnection(listener, { certificate, protocol: 'h2' }, async (connection) => {
          const headers = [...authorization(tokenOf(name)), ['content-type', 'application/grpc'], ['te', 'trailers'], ['x-exchange', `grpc-${listener}-${certificate}`], ...(certificate ? [['x-presented', certificate]] : [])];
          const stream = connection.open({ method: 'POST', path: '/api/bank.Accounts/List', headers }, { waitForTrailers: true });
          stream.on('wantTrailers', () => stream.sendTrailers({ 'x-checksum': '1', 'x-client-cert-thumbprint': 'forged' }));
          stream.end(Buffer.from([0, 0, 0, 0, 1, 7]));
          const [response] = await once(stream, 'response');
          if (certificate !== 'payments') {
            // So Envoy writes 401 for clients of gRPC: UNAUTHENTICATED.
            assert.deepEqual([response[':status'], response['grpc-status'], response['www-authenticate']], [200, '16', 'Bearer error="invalid_token"']);
            assert.equal(testbed.upstream.received(`grpc-${listener}-${certificate}`), undefined);
            return stream.close();
          }
          stream.resume();
          const [trailers] = await once(stream, 'trailers');
          assert.equal(trailers['grpc-status'], '0');
          const received = testbed.upstream.received(`grpc-${listener}-${certificate}`);
          assert.deepEqual(received.trailers, [['x-checksum', '1']]);
          assert.equal(field(received, thumbprintHeader), thumbprintOf('payments'));
        });
      }
    });
  }

  for (const [certificate, token, status] of [
    ['payments', unsigned({ cnf: cnfOf('payments') }), 101],
    ['batch', unsigned({ cnf: cnfOf('payments') }), 401],
    [null, unsigned({ cnf: cnfOf('payments') }), 401],
    ['payments', unsigned({}), 401],
    ['payments', null, 401],
  ]) {
    test(`WebSocket with ${certificate ?? 'no certificate'}: ${status}`, () =>
      testbed.withRawConnection('bearer', { certificate }, async (connection) => {
        const head = [
          'GET /api/socket HTTP/1.1', 'Host: as.example.com', 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13',
          'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', ...(token === null ? [] : [`Authorization: Bearer ${token}`]),
        ];
        const { id, bytes } = connection.spell({ head });
        connection.write(bytes);
        const response = await connection.response();
        assert.equal(response.status, status);
        if (status !== 101) return assert.equal(testbed.upstream.received(id), undefined);
        for (const text of ['one', 'two']) {
          connection.write(text);
          assert.equal(await connection.until(text), text);
        }
        assert.equal(field(testbed.upstream.received(id), thumbprintHeader), thumbprintOf('payments'));
      }));
  }

  // They may hold a second token.
  for (const protocol of protocols) {
    test(`except forms, up to max_body_bytes (${protocol})`, async () => {
      const token = unsigned({ cnf: cnfOf('payments') });
      const form = (text) => asking(token, { method: 'POST', form: text });
      const formOfLength = (length) => form(`a=${'x'.repeat(length - 2)}`);
      const sent = (request) => send('bearer', 'payments', request, { protocol });
      assertAllowed(await sent(formOfLength(65536)), 'payments');
      assertDenied(await sent(formOfLength(65537)), 'body_too_large');
      assertDenied(await sent(form(`a=b&access_token=${token}`)), 'token_misplaced');
      assertDenied(await sent(form('a=b&%61ccess_token=x')), 'token_misplaced');
    });
  }
});

describe('attacks', () => {
  const stolen = unsigned({ cnf: cnfOf('payments') });
  const refusedWith = async (certificate, request, reason) => {
    for (const protocol of protocols) {
      const seen = await send('bearer', certificate, { method: 'GET', path: '/api/accounts', ...request }, { protocol });
      assert.equal(seen.received, undefined);
      assertDenied(seen, reason);
    }
  };

  for (const path of [
    '/api', '/api/', '/API/accounts', '//api/accounts', '/./api/accounts', '/x/../api/accounts', '/%61pi/accounts', '/%41PI/accounts', '/%2561pi/x',
    '/api%2faccounts', '/api%252faccounts', '/%2fapi/accounts', '/api;a=b/accounts', '/;/api/accounts', '/api\\accounts', '\\api\\accounts',
    '/x/..%2fapi/accounts', '/x/%2e%2e/api/accounts', '/x/..;/api/accounts', '/api/../x', '/api/..%2fx', '/api/%2e%2e%2fx', '/x/..\\api',
  ]) {
    test(`a stolen token at ${path}`, async () => {
      const attempts = path.startsWith('/') ? protocols : ['h2'];
      for (const protocol of attempts) {
        for (const certificate of ['batch', null]) {
          await testbed.withConnection('bearer', { certificate, protocol }, async (connection) => {
            const { response, id } = await connection.attempt({ method: 'GET', path, headers: authorization(stolen) });
            assert.ok(response === null || response.status >= 400, `${response?.status}`);
            assert.equal(testbed.upstream.received(id), undefined);
          });
        }
      }
    });
  }

  test('certificate fields that the client forges', async () => {
    const forged = ['Client-Cert', 'client_cert', 'X-Forwarded-Client-Cert', 'X-Client-Cert-Thumbprint', 'x_client_cert_thumbprint', 'X-SSL-Client-Cert']
      .map((name) => [name, /humbprint/.test(name) ? thumbprintOf('payments') : rfc9440('payments')]);
    await refusedWith('batch', { headers: [...authorization(stolen), ...forged] }, 'token_not_bound');
    await refusedWith(null, { headers: [...authorization(stolen), ...forged] }, 'certificate_missing');
    for (const protocol of protocols) {
      const own = unsigned({ cnf: cnfOf('batch') });
      const seen = await send('bearer', 'batch', { method: 'GET', path: '/api/accounts', headers: [...authorization(own), ...forged] }, { protocol });
      assertAllowed(seen, 'batch');
      const open = { method: 'GET', path: '/open/accounts', headers: forged };
      assertAllowed(await send('bearer', 'batch', open, { protocol }), null);
    }
  });

  test('a second token in another place', async () => {
    const own = unsigned({ cnf: cnfOf('batch') });
    const both = authorization(own);
    await refusedWith('batch', { path: `/api/accounts?access_token=${stolen}`, headers: both }, 'token_misplaced');
    await refusedWith('batch', { path: `/api/accounts?Access-Token[]=${stolen}`, headers: both }, 'token_misplaced');
    await refusedWith('batch', { method: 'POST', form: `access_token=${stolen}`, headers: both }, 'token_misplaced');
    await refusedWith('batch', { headers: authorization(`${own}, Bearer ${stolen}`) }, 'token_unreadable');
    const request = { method: 'GET', path: '/api/accounts', headers: [...both, ...authorization(stolen)] };
    assertDenied(await send('bearer', 'batch', request), 'token_unreadable');
  });

  // RFC 9113 section 8.2.3 lets only Cookie be split; Envoy joins other fields by commas, or does not.
  test('a second Authorization in a trailer', async () => {
    const own = unsigned({ cnf: cnfOf('batch') });
    const request = asking(own, { method: 'POST', body: 'x', trailers: [['authorization', `Bearer ${stolen}`]] });
    const seen = await send('bearer', 'batch', request, { protocol: 'h2' });
    assert.equal(field({ ...seen.received, headers: [] }, 'authorization'), null);
  });
});

describe('what the operator sees', () => {
  test('a refusal in log, access log and counters, and no token in any', async () => {
    const token = unsigned({ cnf: cnfOf('payments'), jti: 'secret-of-a-token' });
    const { counter } = testbed.envoy;
    const name = 'wasmcustom.certbound.denied.token_not_bound';
    const before = await counter(name);
    const seen = await send('bearer', 'batch', asking(token));
    assert.deepEqual([seen.outcome, seen.reason, seen.clientId, seen.thumbprint], ['denied', 'token_not_bound', null, thumbprintOf('batch')]);
    assert.equal(await counter(name), before + 1);
    const lines = await testbed.envoy.logLines('token_not_bound');
    assert.ok(lines.some((line) => line.includes(thumbprintOf('batch'))), lines[0]);
    const opaqueToken = opaqueOf('payments');
    await send('introspection', 'batch', asking(opaqueToken));
    await send('phantom', 'payments', asking(opaqueToken));
    const everything = testbed.envoy.logs();
    for (const secret of [token, token.split('.')[1], opaqueToken, client.secret, 'Z2F0ZXdheSUzQTE6', await sign({}).then((jwt) => jwt.split('.')[0])]) {
      assert.ok(!everything.includes(secret), secret);
    }
  });
});
