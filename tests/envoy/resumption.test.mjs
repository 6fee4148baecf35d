// Resumed TLS sessions. Envoy keeps over a resumption what the client presented, but not its verdict on it: certbound
// reaches its own where it has trust anchors. Where it has none, resumption has to be switched off.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { isHolder, registry, verdict } from './registry.mjs';
import { startTestbed } from './testbed.mjs';
import { field } from './upstream.mjs';
import { resolve, rfc9440 } from './pki.mjs';

const clientIds = ['payments', 'batch', 'partner-app', 'portal', 'mobile', 'stranger'];

let testbed;
before(async () => {
  const anchored = resolve({ ...registry, trust_anchors: { 'client-ca': { certificates: '@pem:client-ca' } } });
  const listeners = {
    anchored: { configuration: anchored, resumption: true, tellsChain: true, trustedCa: false },
    resuming: { configuration: registry, resumption: true },
    notResuming: { configuration: registry },
  };
  testbed = await startTestbed('resumption', listeners, isHolder);
});
after(() => testbed?.stop());

/** Connects twice, the second time with the first connection's session; `use` gets the second connection. */
function withSecondConnection(listener, { certificate, version }, use) {
  const options = { certificate, minVersion: version, maxVersion: version };
  return testbed.withRawConnection(listener, options, async (first) => {
    await post(first, 'payments'); // TLS 1.3 sends its tickets along with the response
    return testbed.withRawConnection(listener, { ...options, session: first.socket.getSession() }, use);
  });
}

function post(connection, clientId) {
  const form = `client_id=${clientId}`;
  const { finish } = connection.begin([['content-length', form.length]]);
  connection.write(form);
  return finish();
}

/** Envoy has no verdict on any certificate of a resumed session. */
function verdictOnResumption(clientId, certificate) {
  const isPki = ['payments', 'batch'].includes(clientId);
  return isPki && certificate !== null ? { outcome: 'denied', reason: 'certificate_untrusted' } : verdict(clientId, certificate);
}

for (const version of ['TLSv1.2', 'TLSv1.3']) {
  describe(version, () => {
    for (const certificate of ['payments', 'payments-rogue', 'batch', 'partner-app', null]) {
      const whose = certificate ?? 'a client without certificate';
      for (const [title, listener, isReused, expected] of [
        [`resumed session of ${whose} where there are trust anchors`, 'anchored', true, verdict],
        [`resumed session of ${whose} where there are none`, 'resuming', true, verdictOnResumption],
        [`second connection of ${whose} where sessions are not resumed`, 'notResuming', false, verdict],
      ]) {
        test(title, () => withSecondConnection(listener, { certificate, version }, async (connection) => {
          assert.equal(connection.socket.isSessionReused(), isReused, 'whether the session was resumed');
          for (const clientId of clientIds) {
            const { outcome, reason, received } = await post(connection, clientId);
            assert.deepEqual({ outcome, reason }, expected(clientId, certificate), clientId);
            if (received) {
              const carries = isHolder({ clientId, presented: certificate });
              assert.equal(field(received, 'client-cert'), carries ? rfc9440(certificate) : null);
            }
          }
        }));
      }
    }
  });
}
