// A load with many client certificates, which load generators do not have: the HTTP client undici, one connection for
// each certificate.
//
//   node many-certificates.mjs '{"port", "pid", "first", "count", "seconds", "bytes"}'
//
// With `seconds` the connections are made first, and then used in turn for so long; without, each is made for one
// request. Prints the number of requests, and the CPU time that the process `pid` has had meanwhile.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { root } from '../../tests/envoy/envoy.mjs';
import { pkiDirectory, tokenRequest } from './clients.mjs';
import { cpuNanoseconds } from './cpu.mjs';

const { Client } = createRequire(new URL('../../tests/envoy/package.json', import.meta.url))('undici');

const IN_PARALLEL = 16;
const { port, pid, first, count, seconds, bytes } = JSON.parse(process.argv[2]);

const file = (name) => readFileSync(join(root, pkiDirectory, name));
const headers = { 'content-type': 'application/x-www-form-urlencoded' };

function clientWithCertificate(number) {
  const connect = { cert: file(`client-${number}.pem`), key: file(`client-${number}.key`), rejectUnauthorized: false };
  const connection = new Client(`https://127.0.0.1:${port}`, { connect, keepAliveTimeout: 60_000 });
  const body = tokenRequest(number, bytes);
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

const everyClientOnce = () => Promise.all(workers.map(async (clients) => {
  for (const client of clients) {
    await client.request();
    if (!seconds) await client.close();
  }
}));

if (seconds) await everyClientOnce();
const [cpuBefore, timeBefore] = [cpuNanoseconds(pid), performance.now()];
let requests = count;
if (seconds) {
  requests = 0;
  while (performance.now() - timeBefore < seconds * 1000) {
    await everyClientOnce();
    requests += count;
  }
} else {
  await everyClientOnce();
}
const elapsed = (performance.now() - timeBefore) / 1000;
console.log(JSON.stringify({ requests, perSecond: requests / elapsed, cpu: (cpuNanoseconds(pid) - cpuBefore) / 1000 / requests }));
await Promise.all(workers.flat().map((client) => client.close().catch(() => {})));
