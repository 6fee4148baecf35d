// Resumed TLS sessions. Envoy keeps the client's certificate over a resumption but not its verdict on it, and it has no
// trust anchors that certbound could use instead. See envoy.yaml for the settings that switch resumption off.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { isHolder, registry, verdict } from './registry.mjs';
import { startTestbed } from './testbed.mjs';
import { field } from './upstream.mjs';
import { rfc9440 } from './pki.mjs';

const clientIds = ['payments', 'batch', 'partner-app', 'portal', 'mobile', 'stranger'];

let testbed;
before(async () => {
  const listeners = { resuming: { configuration: registry, resumption: true }, asShipped: { configuration: registry } };
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

/** On a resumed session nobody's certificate is known to be trusted. */
function verdictOnResumption(clientId, certificate) {
  const isPki = ['payments', 'batch'].includes(clientId);
  return isPki && certificate !== null ? { outcome: 'denied', reason: 'certificate_untrusted' } : verdict(clientId, certificate);
}

for (const version of ['TLSv1.2', 'TLSv1.3']) {
  describe(version, () => {
    for (const certificate of ['payments', 'batch', 'partner-app', null]) {
      test(`resumed session of ${certificate ?? 'a client without certificate'}`, () =>
        withSecondConnection('resuming', { certificate, version }, async (connection) => {
          assert.ok(connection.socket.isSessionReused(), 'the session was not resumed');
          for (const clientId of clientIds) {
            const { outcome, reason, received } = await post(connection, clientId);
            assert.deepEqual({ outcome, reason }, verdictOnResumption(clientId, certificate), clientId);
            if (received) {
              const carries = isHolder({ clientId, presented: certificate });
              assert.equal(field(received, 'client-cert'), carries ? rfc9440(certificate) : null);
            }
          }
        }));

      test(`second connection of ${certificate ?? 'a client without certificate'} where sessions are not resumed`, () =>
        withSecondConnection('asShipped', { certificate, version }, async (connection) => {
          assert.ok(!connection.socket.isSessionReused(), 'the session was resumed');
          for (const clientId of clientIds) {
            const { outcome, reason } = await post(connection, clientId);
            assert.deepEqual({ outcome, reason }, verdict(clientId, certificate), clientId);
          }
        }));
    }
  });
}
