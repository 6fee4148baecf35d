// What certbound writes beside what other proxies write for the same client certificate, byte by byte.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, describe, test } from 'node:test';
import { connect } from './client.mjs';
import { startEnvoy } from './envoy.mjs';
import { pki } from './pki.mjs';

const certificates = ['payments', 'via-intermediate', 'via-two-intermediates', 'partner-app'];

// partner-app is self-signed, the others have a path to client-ca.
const clients = certificates.map((clientId) => (clientId === 'partner-app'
  ? {
    client_id: clientId,
    token_endpoint_auth_method: 'self_signed_tls_client_auth',
    certificate_thumbprints: [pki[clientId]['x5t#S256']],
  }
  : {
    client_id: clientId,
    token_endpoint_auth_method: 'tls_client_auth',
    tls_client_auth_subject_dn: clientId === 'payments' ? 'CN=payments,O=Example Bank,C=SE' : `CN=${clientId}`,
  }));

const listener = (certificateHeader) => ({
  tellsChain: true,
  configuration: {
    endpoints: [{ path: '/' }],
    trust_anchors: { 'client-ca': { certificates: pki['client-ca'].certificate } },
    clients,
    certificate_header: certificateHeader,
  },
});

// How proxies write that there is nothing, which certbound does not write at all.
const nothing = ['', '(null)', undefined];

async function receivedFrom(port, certificate) {
  const connection = await connect(port, { certificate });
  try {
    const { status, body } = await connection.send({
      method: 'POST',
      path: '/',
      headers: [['content-type', 'application/x-www-form-urlencoded']],
      body: Buffer.from(`client_id=${certificate}`),
    });
    assert.equal(status, 200, body);
    return JSON.parse(body);
  } finally {
    await connection.close();
  }
}

/**
 * Declares the tests. Of each proxy: `start`, which is given the port of its server and returns port and stop; the
 * `certificateHeader` that makes certbound write the same; and the fields of both, by name.
 */
export function declareForms(name, proxies) {
  describe('certbound writes what the proxy writes', () => {
    const started = {};
    let echo;
    let envoy;
    before(async () => {
      const server = http.createServer((request, response) => response.end(JSON.stringify(request.headers)));
      echo = await new Promise((listening) => { server.listen(0, '127.0.0.1', () => listening(server)); });
      const listeners = Object.entries(proxies).map(([proxy, { certificateHeader }]) => [proxy, listener(certificateHeader)]);
      envoy = await startEnvoy(name, Object.fromEntries(listeners), echo.address().port);
      for (const [proxy, { start }] of Object.entries(proxies)) started[proxy] = await start(echo.address().port);
    });
    after(async () => {
      for (const proxy of Object.values(started)) await proxy.stop();
      await envoy?.stop();
      echo?.closeAllConnections();
      echo?.close();
    });

    for (const [proxy, { fields }] of Object.entries(proxies)) {
      for (const certificate of certificates) {
        test(`${proxy}: ${certificate}`, async () => {
          const theirs = await receivedFrom(started[proxy].port, certificate);
          const ours = await receivedFrom(envoy.ports[proxy], certificate);
          for (const field of fields) {
            const value = nothing.includes(theirs[field]) ? undefined : theirs[field];
            assert.equal(ours[field], value, field);
          }
          assert.ok(ours[fields[0]], 'the certificate is there');
        });
      }
    }
  });
}
