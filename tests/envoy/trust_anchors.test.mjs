// Trust anchors over time, which only Envoy has: a certificate expires while its connection is open, and a changed
// configuration arrives by extension discovery (ECDS). A changed listener would leave open connections to the old one until
// Envoy has drained them. Which paths verify at all is in tests/cases.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { issueShortLived, resolve, rfc9440 } from './pki.mjs';
import { assertRefused, startTestbed } from './testbed.mjs';
import { field } from './upstream.mjs';

const pkiClient = (clientId, subject) =>
  ({ client_id: clientId, token_endpoint_auth_method: 'tls_client_auth', tls_client_auth_subject_dn: subject });

const withAnchors = (set) => resolve({
  endpoints: [{ path: '/oauth/token' }],
  trust_anchors: { 'client-ca': set },
  clients: [pkiClient('payments', 'CN=payments,O=Example Bank,C=SE'), pkiClient('via-intermediate', 'CN=via-intermediate')],
});

const clientCa = { certificates: '@pem:client-ca' };
const nobodyRevoked = withAnchors({ ...clientCa, crls: '@crl:client-ca-empty+intermediate-ca+revoked-intermediate-ca' });
const someRevoked = withAnchors({ ...clientCa, crls: '@crl:client-ca+intermediate-ca+revoked-intermediate-ca' });
const otherAnchor = withAnchors({ certificates: '@pem:partner-ca' });

// What each certificate is while the list of nobodyRevoked is in force.
const holders = {
  payments: ['payments', 'payments-revoked', 'short-lived'],
  'via-intermediate': ['via-intermediate', 'via-revoked-intermediate'],
};
const isHolder = ({ clientId, presented }) => holders[clientId]?.includes(presented) ?? false;

let testbed;
before(async () => {
  const common = { tellsChain: true, trustedCa: false };
  testbed = await startTestbed('trust_anchors', {
    anchored: { ...common, configuration: withAnchors(clientCa) },
    delivered: { ...common, configuration: nobodyRevoked, isDelivered: true, resumption: true },
  }, isHolder);
});
after(() => testbed?.stop());

const deliver = (configuration) => testbed.envoy.deliver('delivered', { configuration });

function assertAllowed({ outcome, reason, received }, certificate) {
  assert.deepEqual({ outcome, reason }, { outcome: 'allowed', reason: null }, certificate);
  assert.equal(field(received, 'client-cert'), rfc9440(certificate));
  assert.equal(field(received, 'x-forwarded-client-cert'), null);
}

function assertDenied(seen, reason) {
  assert.deepEqual({ outcome: seen.outcome, reason: seen.reason }, { outcome: 'denied', reason });
  assertRefused(seen, 401, 'invalid_client');
}

/** Opens a connection to a listener for each protocol and keeps them open. */
const withConnections = (listener, certificate, use) =>
  testbed.withConnection(listener, { certificate }, (http1) =>
    testbed.withConnection(listener, { certificate, protocol: 'h2' }, (http2) => use([http1, http2])));

test('a certificate that expires ends what its open connections may do', async () => {
  const notAfter = issueShortLived(6);
  await withConnections('anchored', 'short-lived', async (connections) => {
    const request = { form: 'client_id=payments' };
    for (const connection of connections) {
      assertAllowed(await connection.exchange(request), 'short-lived');
      assertAllowed(await connection.exchange(request), 'short-lived');
    }
    await pause(notAfter + 1000 - Date.now());
    for (const connection of connections) assertDenied(await connection.exchange(request), 'certificate_expired');
  });
});

describe('a changed configuration applies to open connections', () => {
  for (const [certificate, clientId] of [['payments-revoked', 'payments'], ['via-revoked-intermediate', 'via-intermediate']]) {
    test(`the list that revokes ${certificate}, and the one that does not`, async () => {
      const request = { form: `client_id=${clientId}` };
      await deliver(nobodyRevoked);
      await withConnections('delivered', certificate, async (connections) => {
        for (const connection of connections) assertAllowed(await connection.exchange(request), certificate);
        await deliver(someRevoked);
        for (const connection of connections) assertDenied(await connection.exchange(request), 'certificate_revoked');
        await deliver(nobodyRevoked);
        for (const connection of connections) assertAllowed(await connection.exchange(request), certificate);
      });
    });
  }

  for (const [certificate, clientId] of [['payments', 'payments'], ['via-intermediate', 'via-intermediate']]) {
    test(`another CA of the same name than that of ${certificate}, and the right one`, async () => {
      const request = { form: `client_id=${clientId}` };
      await deliver(someRevoked);
      await withConnections('delivered', certificate, async (connections) => {
        for (const connection of connections) assertAllowed(await connection.exchange(request), certificate);
        await deliver(otherAnchor);
        for (const connection of connections) assertDenied(await connection.exchange(request), 'certificate_untrusted');
        await deliver(someRevoked);
        for (const connection of connections) assertAllowed(await connection.exchange(request), certificate);
      });
    });
  }

  test('one that is refused leaves the one before in force', async () => {
    await deliver(someRevoked);
    await withConnections('delivered', 'payments-revoked', async (connections) => {
      await deliver(withAnchors({ ...clientCa, crls: '@crl:client-ca-delta' }));
      await testbed.envoy.logLines('it is a delta CRL');
      for (const connection of connections) {
        assertDenied(await connection.exchange({ form: 'client_id=payments' }), 'certificate_revoked');
      }
    });
  });
});

describe('a changed configuration applies to resumed sessions', () => {
  function post(connection, clientId) {
    const form = `client_id=${clientId}`;
    const { finish } = connection.begin([['content-length', form.length]]);
    connection.write(form);
    return finish();
  }

  for (const version of ['TLSv1.2', 'TLSv1.3']) {
    for (const [certificate, clientId] of [['payments-revoked', 'payments'], ['via-revoked-intermediate', 'via-intermediate']]) {
      test(`of ${certificate} over ${version}`, async () => {
        const options = { certificate, minVersion: version, maxVersion: version };
        await deliver(withAnchors(clientCa));
        const session = await testbed.withRawConnection('delivered', options, async (first) => {
          assertAllowed(await post(first, clientId), certificate);
          return first.socket.getSession();
        });
        const resumed = (check) => testbed.withRawConnection('delivered', { ...options, session }, async (connection) => {
          assert.ok(connection.socket.isSessionReused(), 'the session was not resumed');
          check(await post(connection, clientId));
        });
        await deliver(someRevoked);
        await resumed((seen) => assertDenied(seen, 'certificate_revoked'));
        // No verdict on these anchors and lists was reached before: the intermediate is known from the session.
        await deliver(withAnchors({ ...clientCa, crls: '@crl:client-ca-empty+revoked-intermediate-ca' }));
        await resumed((seen) => assertAllowed(seen, certificate));
      });
    }
  }
});
