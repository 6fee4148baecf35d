// One request, to see that a variant does the work for which it is measured.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import { join } from 'node:path';
import { root } from '../../tests/envoy/envoy.mjs';
import { boundToken, certificates, pkiDirectory, tokenRequest } from './clients.mjs';

const file = (name) => readFileSync(join(root, pkiDirectory, name));

/** Sends what client 0 sends, with the certificate of another one if told so; the server echoes its header fields. */
export const exchange = (port, traffic, certificate) => new Promise((resolve, reject) => {
  const request = https.request({
    port,
    agent: false,
    rejectUnauthorized: false,
    cert: file(`client-${certificate}.pem`),
    key: file(`client-${certificate}.key`),
    ...(traffic === 'get'
      ? { path: '/api/accounts', headers: { 'x-echo': '1', authorization: `Bearer ${boundToken(0)}` } }
      : { path: '/oauth/token', method: 'POST', headers: { 'x-echo': '1', 'content-type': 'application/x-www-form-urlencoded' } }),
  });
  request.once('error', reject).once('response', async (response) => {
    let body = '';
    for await (const chunk of response.setEncoding('utf8')) body += chunk;
    resolve({ status: response.statusCode, body: JSON.parse(body || '{}') });
  });
  request.end(traffic === 'get' ? undefined : tokenRequest(0));
});

const clientCert = `:${file('client-0.pem').toString().replaceAll(/-----.*-----|\n/g, '')}:`;

export async function probe(port, { name, traffic, letsAllIn }) {
  const registered = await exchange(port, traffic, 0);
  assert.equal(registered.status, 200, `${name}: the registered certificate must be let in: ${JSON.stringify(registered)}`);
  const other = await exchange(port, traffic, 1);
  assert.equal(other.status, letsAllIn ? 200 : 401, `${name}: another certificate`);
  if (traffic === 'get' || letsAllIn) return;
  const fields = registered.body;
  assert.equal(fields['client-cert'], clientCert, `${name}: Client-Cert`);
  assert.equal(fields['x-client-id'], 'client-0', `${name}: X-Client-Id`);
  assert.equal(fields['x-client-cert-thumbprint'], certificates[0].thumbprint, `${name}: X-Client-Cert-Thumbprint`);
  assert.ok(fields['x-client-verify'], `${name}: X-Client-Verify`);
}
