// A server behind Envoy that tells what reached it, and the requests that show whether certbound is in front of it.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { join } from 'node:path';
import { connect } from '../envoy/client.mjs';
import { root } from '../envoy/envoy.mjs';
import { pki } from '../envoy/pki.mjs';

/** What the recipes give Envoy's environment. */
export const environment = { CERTBOUND_SIGNING_KEY: readFileSync(join(root, 'build/pki/signing.key'), 'utf8') };

const tell = (request, response) => response.end(JSON.stringify(request.headers));

// As the recipes demand: nobody but Envoy gets in.
const mutualTls = { cert: pki.as.chain, key: pki.as.key, ca: pki['infra-ca'].certificate, requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.3' };

/** Starts the server, for mutual TLS or without TLS. */
export async function startServer({ isTls }) {
  const server = (isTls ? https.createServer(mutualTls, tell) : http.createServer(tell)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: server.address().port,
    stop: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** A client's request to the token endpoint. */
export const form = (clientId, ...headers) => ({
  method: 'POST',
  path: '/token',
  headers: [['content-type', 'application/x-www-form-urlencoded'], ...headers],
  body: Buffer.from(`client_id=${clientId}`),
  writeBody: (stream, whole) => stream.end(whole),
});

/** A client's connection to Envoy, closed after `use`. */
export async function withConnection(port, options, use) {
  const connection = await connect(port, options);
  try {
    return await use(connection);
  } finally {
    await connection.close();
  }
}

const send = (port, options, request) => withConnection(port, options, (connection) => connection.send(request));

/** That clients get in with their certificates, over both protocols, signed, and that nobody else does. */
export async function assertGuarded(port) {
  for (const protocol of ['http/1.1', 'h2']) {
    for (const name of ['payments', 'partner-app']) {
      const { status, body } = await send(port, { certificate: name, protocol }, form(name));
      assert.equal(status, 200, `${name}: ${body}`);
      const headers = JSON.parse(body);
      assert.equal(headers['client-cert'], `:${pki[name].x5c}:`);
      assert.match(headers['signature-input'], /^certbound=\("client-cert" "@method" "@authority" "@path" "content-digest"\)/);
      assert.equal(headers['x-forwarded-client-cert'], undefined);
    }
    for (const [certificate, clientId] of [['batch', 'payments'], [null, 'payments'], ['payments-rogue', 'payments'], ['payments', 'nobody']]) {
      const { status, body } = await send(port, { certificate, protocol }, form(clientId));
      assert.equal(status, 401, `${certificate} as ${clientId}: ${body}`);
    }
    const { status, body } = await send(port, { protocol }, form('portal', ['Client-Cert', `:${pki.payments.x5c}:`]));
    assert.equal(status, 200, body);
    assert.equal(JSON.parse(body)['client-cert'], undefined, 'a forged certificate reached the server');
  }
}
