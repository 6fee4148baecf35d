// A load with many client certificates, which load generators do not have: the HTTP client undici, one connection for
// each certificate.
//
//   node many-certificates.mjs '{"port", "first", "count", "isOnce"}'
//
// The connections are made first, and then used in turn until the process is killed; with `isOnce` each is made for one
// request.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { root } from '../../tests/envoy/envoy.mjs';
import { pkiDirectory, tokenRequest } from './clients.mjs';

const { Client } = createRequire(new URL('../../tests/envoy/package.json', import.meta.url))('undici');

const IN_PARALLEL = 16;
const { port, first = 0, count, isOnce } = JSON.parse(process.argv[2]);

const file = (name) => readFileSync(join(root, pkiDirectory, name));
const headers = { 'content-type': 'application/x-www-form-urlencoded' };

function clientWithCertificate(number) {
  const connect = { cert: file(`client-${number}.pem`), key: file(`client-${number}.key`), rejectUnauthorized: false };
  const connection = new Client(`https://127.0.0.1:${port}`, { connect, keepAliveTimeout: 600_000 });
  const body = tokenRequest(number);
  return {
    async request() {
      const response = await connection.request({ method: 'POST', path: '/oauth/token', headers, body });
      await response.body.dump();
      assert.equal(response.statusCode, 200, `client-${number}`);
    },
    close: () => connection.close(),
  };
}

// Each worker has clients of its own: no connection is used by two at once.
const workers = Array.from({ length: Math.min(IN_PARALLEL, count) }, () => []);
for (let index = 0; index < count; index += 1) workers[index % IN_PARALLEL].push(clientWithCertificate(first + index));

await Promise.all(workers.map(async (clients) => {
  do {
    for (const client of clients) {
      await client.request();
      if (isOnce) await client.close();
    }
  } while (!isOnce);
}));
