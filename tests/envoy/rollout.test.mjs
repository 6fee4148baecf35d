// docs/rollout.md, walked through under continuous requests: no step refuses what the server accepts.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { pki, resolve } from './pki.mjs';
import { assertRefused, startTestbed } from './testbed.mjs';
import { field } from './upstream.mjs';

const endpoints = [{ path: '/oauth/token' }];
const trust_anchors = { 'client-ca': { certificates: '@pem:client-ca' } };
const payments = {
  client_id: 'payments', token_endpoint_auth_method: 'tls_client_auth', tls_client_auth_subject_dn: 'CN=payments,O=Example Bank,C=SE',
};
const withSecret = { client_id: 'payments', token_endpoint_auth_method: 'client_secret_basic' };
const delivered = (configuration) => ({ isDelivered: true, configuration: resolve({ endpoints, ...configuration }) });

/** Requests without pause until `whenOver`, each checked; `some` waits until some more have been answered. */
function continuously(send) {
  let isOver = false;
  let answered = 0;
  const requests = (async () => {
    while (!isOver) {
      await send();
      answered += 1;
    }
  })();
  return {
    async some() {
      for (const target = answered + 5; answered < target;) await Promise.race([pause(10), requests]);
    },
    whenOver() {
      isOver = true;
      return requests;
    },
  };
}

const said = ({ outcome, reason }) => (reason ? `${outcome} ${reason}` : outcome);

describe('from secrets to certificates', () => {
  const secret = 'the-secret-of-payments';
  const basic = `Basic ${Buffer.from(`payments:${secret}`).toString('base64')}`;

  // The server knows secrets, from the first step to the last. What it lets in is what matters.
  const answer = (received, response) => {
    response.statusCode = field(received, 'authorization') === basic ? 200 : 401;
    response.end();
  };
  const isHolder = ({ clientId, presented }) => clientId === 'payments' && presented === 'payments';
  const oldWay = { headers: [['Authorization', basic]], form: 'grant_type=client_credentials' };
  const newWay = { form: 'client_id=payments' };

  const steps = {
    observed: delivered({ enforcement: 'report', clients: [withSecret] }),
    registered: delivered({ enforcement: 'report', trust_anchors, clients: [{ ...payments, upstream_client_secret: { value: secret } }] }),
    enforced: delivered({ trust_anchors, clients: [{ ...payments, upstream_client_secret: { value: secret } }] }),
  };

  let testbed;
  before(async () => {
    testbed = await startTestbed('rollout', { rollout: steps.observed }, isHolder, { answer });
  });
  after(() => testbed?.stop());

  test('no request that the server accepts is refused', async () => {
    await testbed.withConnection('rollout', { certificate: null }, async (before) => {
      await testbed.withConnection('rollout', { certificate: 'payments' }, async (migrated) => {
        const seen = { observed: new Set(), registered: new Set(), migrated: new Set() };
        let step = 'observed';
        let [connection, request] = [before, oldWay];
        const traffic = continuously(async () => {
          const at = step;
          const exchange = await connection.exchange(request);
          assert.equal(exchange.response.status, 200, `${at}: ${said(exchange)}`);
          seen[at]?.add(said(exchange));
        });

        await traffic.some();
        step = 'between';
        await testbed.envoy.deliver('rollout', steps.registered);
        step = 'registered';
        await traffic.some();
        // The client changes when it likes: nothing is delivered for it.
        step = 'between';
        [connection, request] = [migrated, newWay];
        await traffic.some();
        step = 'migrated';
        await traffic.some();
        step = 'between';
        await testbed.envoy.deliver('rollout', steps.enforced);
        await traffic.some();
        await traffic.whenOver();

        assert.deepEqual(Object.fromEntries(Object.entries(seen).map(([at, all]) => [at, [...all]])), {
          observed: ['allowed'],
          registered: ['reported multiple_authentication_methods'],
          migrated: ['allowed'],
        });
        assertRefused(await before.exchange(oldWay), 400, 'invalid_request');
      });
    });
  });

  test('back to reporting, at once and on open connections', async () => {
    await testbed.envoy.deliver('rollout', steps.enforced);
    await testbed.withConnection('rollout', { certificate: null }, async (connection) => {
      assertRefused(await connection.exchange(oldWay), 400, 'invalid_request');
      await testbed.envoy.deliver('rollout', steps.registered);
      const exchange = await connection.exchange(oldWay);
      assert.deepEqual([exchange.response.status, said(exchange)], [200, 'reported multiple_authentication_methods']);
    });
  });
});

describe('from a certificate header that Envoy writes itself', () => {
  const header = 'ssl-client-cert';
  const certificateHeader = { certificate_header: { format: 'urlencoded_pem', name: header } };
  // Added after all filters, so also where certbound would have forwarded nothing.
  const ownHeader = {
    match: { prefix: '/' },
    route: { cluster: 'upstream' },
    request_headers_to_add: [{ header: { key: header, value: '%DOWNSTREAM_PEER_CERT%' }, append_action: 'ADD_IF_ABSENT' }],
  };
  const partner = { client_id: 'partner-app', token_endpoint_auth_method: 'self_signed_tls_client_auth', certificate_thumbprints: ['@x5t#S256:partner-app'] };
  const clients = [payments, partner];
  const reporting = { routes: [ownHeader], ...delivered({ ...certificateHeader, enforcement: 'report', trust_anchors, clients }) };
  const enforcing = delivered({ ...certificateHeader, trust_anchors, clients });

  // The certificates that the server takes for each client's: it knows one that certbound has not been told of.
  const holders = { payments: ['payments'], 'partner-app': ['partner-app', 'partner-next'] };
  const isHolder = ({ clientId, presented }) => holders[clientId]?.includes(presented) ?? false;
  const answer = (received, response) => {
    response.statusCode = field(received, header) === null ? 401 : 200;
    response.end();
  };

  let testbed;
  before(async () => {
    testbed = await startTestbed('rollout-header', { reporting, enforcing }, isHolder, { answer });
  });
  after(() => testbed?.stop());

  const cases = [
    ['payments', 'payments', 'allowed', 'allowed'],
    ['partner-app', 'partner-app', 'allowed', 'allowed'],
    ['partner-app', 'partner-next', 'reported certificate_not_registered', 'denied certificate_not_registered'],
  ];
  for (const [clientId, certificate, whileReporting, whenEnforced] of cases) {
    test(`${clientId} with ${certificate}`, async () => {
      const request = { form: `client_id=${clientId}` };
      const reported = await testbed.exchange('reporting', request, { certificate });
      assert.deepEqual([reported.response.status, said(reported)], [200, whileReporting]);
      assert.equal(field(reported.received, header), encodeURIComponent(pki[certificate].certificate));
      const enforced = await testbed.exchange('enforcing', request, { certificate });
      assert.equal(said(enforced), whenEnforced);
      if (whenEnforced === 'allowed') assert.equal(enforced.response.status, 200);
      else assertRefused(enforced, 401, 'invalid_client');
    });
  }

  test('nobody else writes the header', async () => {
    const forged = [[header, encodeURIComponent(pki.payments.certificate)]];
    const request = { form: 'client_id=payments', headers: forged };
    const { response, received } = await testbed.exchange('reporting', request, { certificate: null });
    assert.deepEqual([response.status, field(received, header)], [401, null]);
  });
});
