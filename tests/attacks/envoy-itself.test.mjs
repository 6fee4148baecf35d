// What Envoy does to a request by itself (redirects, retries, mirrors, rewrites, routing, upgrades): no header gets through by
// it, and no decision counts for another request than the one that was judged.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { rfc9440 } from '../envoy/pki.mjs';
import { isHolder, registry } from '../envoy/registry.mjs';
import { assertRefused, startTestbed } from '../envoy/testbed.mjs';
import { field } from '../envoy/upstream.mjs';

const configuration = { ...registry, endpoints: [{ path: '/oauth/token' }, { path: '/oauth/introspect' }, { path: '/served/token' }] };

const route = (path, action, match = {}) => ({ match: { prefix: path, ...match }, route: { cluster: 'upstream', ...action } });

const routes = [
  { ...route('/served/', {}, { headers: [{ name: 'client-cert', present_match: true }] }), request_headers_to_add: [{ header: { key: 'x-route', value: 'by certificate' } }] },
  route('/rewritten', { prefix_rewrite: '/oauth/token' }),
  route('/oauth/introspect', { prefix_rewrite: '/introspect' }),
  route('/chat', { upgrade_configs: [{ upgrade_type: 'websocket' }] }),
  {
    ...route('/oauth/token', {
      internal_redirect_policy: { max_internal_redirects: 2, redirect_response_codes: [302, 303, 307], allow_cross_scheme_redirect: true },
      retry_policy: { retry_on: '5xx', num_retries: 2 },
      request_mirror_policies: [{ cluster: 'upstream' }],
      upgrade_configs: [{ upgrade_type: 'websocket' }],
    }),
    request_headers_to_add: [{ header: { key: 'x-peer-subject', value: '%DOWNSTREAM_PEER_SUBJECT%' } }],
  },
  route('/', { internal_redirect_policy: { max_internal_redirects: 2, redirect_response_codes: [302, 303, 307], allow_cross_scheme_redirect: true } }),
];

/** The client's header says what the server does: answer 503 that many times, or point elsewhere once. */
function answer({ exchange, headers, path }, response) {
  const [, wanted] = headers.find(([name]) => name === 'x-server') ?? [];
  const [kind, detail, target] = wanted?.split(' ') ?? [];
  const count = testbed.upstream.everyReceived(exchange).filter(({ headers: seen }) => !isMirrored(seen)).length;
  if (kind === 'fails' && count <= Number(detail)) response.statusCode = 503;
  if (kind === 'redirects' && path !== target) {
    response.statusCode = Number(detail);
    response.setHeader('location', `https://as.example.com${target}`);
  }
  response.end('reached the server');
}

const isMirrored = (headers) => headers.some(([name, value]) => name === 'host' && value.includes('-shadow'));

let testbed;
before(async () => {
  const common = { configuration, routes };
  testbed = await startTestbed('envoy-itself', { lax: common, strict: { ...common, strict: true } }, isHolder, { answer });
});
after(() => testbed?.stop());

const formOf = (clientId) => `grant_type=client_credentials&client_id=${clientId}`;
const forged = ['client-cert', rfc9440('payments')];

/** Every request that reached the server for one of the client's, apart from mirrors. */
const reached = (received) => testbed.upstream.everyReceived(received.exchange).filter(({ headers }) => !isMirrored(headers));
const certificates = (received) => received.headers.filter(([name]) => name === 'client-cert').map(([, value]) => value);

for (const setting of ['lax', 'strict']) {
  const exchange = (request, certificate = 'batch') => testbed.exchange(setting, request, { certificate });

  describe(`internal redirects (${setting})`, () => {
    for (const status of [302, 307]) {
      test(`from an endpoint to elsewhere by ${status}: the certificate stays behind`, async () => {
        const { response, received } = await exchange({ form: formOf('batch'), headers: [['x-server', `redirects ${status} /elsewhere`]] });
        assert.equal(response.status, 200);
        const seen = reached(received);
        assert.deepEqual(seen.map(({ path }) => path), ['/oauth/token', '/elsewhere']);
        assert.deepEqual(seen.map(certificates), [[rfc9440('batch')], []]);
      });

      test(`from elsewhere to an endpoint by ${status}: the request is judged there`, async () => {
        const headers = [['x-server', `redirects ${status} /oauth/token`], forged];
        const refused = await exchange({ path: '/elsewhere', form: formOf('payments'), headers });
        assert.equal(refused.response.status, 401);
        assert.equal(JSON.parse(refused.response.body).error, 'invalid_client');
        assert.deepEqual(reached(refused.received).map(({ path }) => path), ['/elsewhere']);
        const allowed = await exchange({ path: '/elsewhere', form: formOf('batch'), headers });
        assert.deepEqual(reached(allowed.received).map(certificates), [[], [rfc9440('batch')]]);
      });

      test(`from one endpoint to another by ${status}: judged again, one header`, async () => {
        const { received } = await exchange({ form: formOf('batch'), headers: [['x-server', `redirects ${status} /oauth/introspect`]] });
        const seen = reached(received);
        assert.deepEqual(seen.map(({ path }) => path), ['/oauth/token', '/introspect', '/introspect'].slice(0, seen.length));
        assert.ok(seen.length > 1);
        assert.deepEqual(seen.map(certificates), Array(seen.length).fill([rfc9440('batch')]));
      });
    }

    test('a request that is refused is not redirected', async () => {
      const seen = await exchange({ form: formOf('payments'), headers: [['x-server', 'redirects 302 /elsewhere']] });
      assertRefused(seen, 401, 'invalid_client');
    });
  });

  describe(`retries and mirrors (${setting})`, () => {
    test('a retried request has each header once, by one decision', async () => {
      const before = await testbed.envoy.counter('wasmcustom.certbound.allowed');
      const { response, received } = await exchange({ form: formOf('batch'), headers: [['x-server', 'fails 2'], forged] });
      assert.equal(response.status, 200);
      assert.deepEqual(reached(received).map(certificates), Array(3).fill([rfc9440('batch')]));
      assert.deepEqual(reached(received).map(({ body }) => body.toString()), Array(3).fill(formOf('batch')));
      assert.equal(await testbed.envoy.counter('wasmcustom.certbound.allowed'), before + 1);
    });

    test('a mirror gets what the server gets, and nothing of a refused request', async () => {
      const { received } = await exchange({ form: formOf('batch'), headers: [forged] });
      await exchange({ form: formOf('batch') }); // the mirror of the first has come by now
      const mirrored = testbed.upstream.everyReceived(received.exchange).filter(({ headers }) => isMirrored(headers));
      assert.deepEqual(mirrored.map(certificates), [[rfc9440('batch')]]);
      const refused = await exchange({ form: formOf('payments'), headers: [forged] });
      assertRefused(refused, 401, 'invalid_client');
    });

    test("a client's own retry instructions change nothing", async () => {
      const headers = [['x-envoy-retry-on', '5xx'], ['x-envoy-max-retries', '5'], ['x-envoy-hedge-on-per-try-timeout', 'true'], ['x-server', 'fails 1']];
      const seen = await exchange({ form: formOf('payments'), headers });
      assertRefused(seen, 401, 'invalid_client');
    });
  });

  describe(`paths and routes (${setting})`, () => {
    for (const name of ['x-envoy-original-path', 'x-original-url', 'x-rewrite-url', 'x-envoy-original-dst-host', 'x-forwarded-uri']) {
      test(`${name} moves no decision`, async () => {
        const elsewhere = await exchange({ path: '/userinfo', form: formOf('payments'), headers: [[name, '/oauth/token'], forged] });
        assert.deepEqual(certificates(elsewhere.received), []);
        assert.equal(elsewhere.outcome, null);
        assertRefused(await exchange({ form: formOf('payments'), headers: [[name, '/userinfo'], forged] }), 401, 'invalid_client');
      });
    }

    // README: no rewriting on the routes of endpoints. An endpoint that comes out of a rewrite was not judged, and has nothing.
    test('a path that a route rewrites to an endpoint carries no certificate', async () => {
      const { received } = await exchange({ path: '/rewritten', form: formOf('batch'), headers: [forged] });
      assert.equal(received.path, '/oauth/token');
      assert.deepEqual(certificates(received), []);
    });

    test('an endpoint that a route rewrites is judged by what the client asked for', async () => {
      const { received } = await exchange({ path: '/oauth/introspect', form: formOf('batch') });
      assert.equal(received.path, '/introspect');
      assert.deepEqual(certificates(received), [rfc9440('batch')]);
      assertRefused(await exchange({ path: '/oauth/introspect', form: formOf('payments') }), 401, 'invalid_client');
    });

    // Envoy chooses the route before any filter runs, and again when certbound has changed a header.
    test('a forged certificate header selects no route', async () => {
      const { received } = await exchange({ path: '/served/x', form: formOf('payments'), headers: [forged] });
      assert.deepEqual(certificates(received), []);
      assert.equal(field(received, 'x-route'), null);
    });

    test('a genuine one does', async () => {
      const { received } = await exchange({ path: '/served/token', form: formOf('batch') });
      assert.equal(field(received, 'x-route'), 'by certificate');
    });

    test("what the operator's own route says of the connection is of the connection", async () => {
      const { received } = await exchange({ form: formOf('batch'), headers: [['x-peer-subject', 'CN=payments']] });
      assert.match(field(received, 'x-peer-subject'), /CN=batch$/);
    });
  });

  describe(`upgrades (${setting})`, () => {
    const upgrade = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=='];
    const hidden = ['POST /oauth/token HTTP/1.1', 'Host: as.example.com', 'x-exchange: hidden', 'Content-Type: application/x-www-form-urlencoded',
      `Client-Cert: ${rfc9440('payments')}`, 'x-presented: batch', 'Content-Length: 18', '', 'client_id=payments'].join('\r\n');

    test('an upgrade that the server does not take opens no tunnel for a forged request', () =>
      testbed.withRawConnection(setting, { certificate: 'batch' }, async (connection) => {
        const { id, bytes } = connection.spell({ head: ['GET /chat HTTP/1.1', 'Host: as.example.com', ...upgrade, `Client-Cert: ${rfc9440('payments')}`] });
        connection.write(bytes);
        connection.write(hidden);
        await connection.response().catch(() => null);
        await exchange({ form: formOf('batch') });
        assert.deepEqual(testbed.upstream.everyReceived(id).flatMap(certificates), []);
        assert.deepEqual(testbed.upstream.everyReceived('hidden'), []);
      }));

    test('an upgrade of a POST to an endpoint does not reach the server unjudged', () =>
      testbed.withRawConnection(setting, { certificate: 'batch' }, async (connection) => {
        const { id, bytes } = connection.spell({
          head: ['POST /oauth/token HTTP/1.1', 'Host: as.example.com', ...upgrade, 'Content-Type: application/x-www-form-urlencoded', `Client-Cert: ${rfc9440('payments')}`, 'Content-Length: 18'],
          body: 'client_id=payments',
        });
        connection.write(bytes);
        await exchange({ form: formOf('batch') });
        assert.deepEqual(testbed.upstream.everyReceived(id), []);
      }));
  });
}
