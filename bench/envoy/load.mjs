// The load: oha (github.com/hatoo/oha), with one client certificate on every connection.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { required, root } from '../../tests/envoy/envoy.mjs';
import { boundToken, pkiDirectory, tokenRequest } from './clients.mjs';
import { otherCores, output, start } from './processes.mjs';

const oha = 'build/oha/bin/oha';

// Requests wait from the start until all connections are made, and some time longer until that is caught up with: this
// long, in seconds, latencies are not counted.
const SETTLING = 0.4;

/** Token requests of as many clients in turn, from a file, or of one. */
function tokenRequests(clients, bytes) {
  if (clients === 1) return ['-d', tokenRequest(0, bytes)];
  const file = join(root, `build/bench/token-requests-${clients}`);
  writeFileSync(file, Array.from({ length: clients }, (_, number) => tokenRequest(number, bytes)).join('\n'));
  return ['-Z', file];
}

const requests = {
  token: (clients, bytes) => [
    '--method', 'POST', '-T', 'application/x-www-form-urlencoded', ...tokenRequests(clients, bytes), '/oauth/token',
  ],
  get: () => ['-H', `Authorization: Bearer ${boundToken(0)}`, '/api/accounts'],
};

const protocols = {
  'http/1.1': ['-c', '16'],
  h2: ['--http2', '-c', '4', '-p', '4'],
};

function options(port, { traffic, protocol, clients, bytes }) {
  const request = requests[traffic](clients, bytes);
  const path = request.pop();
  return [
    '--no-tui', '--insecure', '--disable-compression', '--cert', `${pkiDirectory}/client-0.pem`, '--key', `${pkiDirectory}/client-0.key`,
    ...protocols[protocol], ...request, `https://127.0.0.1:${port}${path}`,
  ];
}

/** Sends requests as fast as answers come, on 16 connections or streams, until it is killed. */
export const startLoad = (port, settings) => start(otherCores, required(oha), ['-z', '1d', ...options(port, settings)]);

/**
 * Sends so many requests `perSecond`, for some `seconds`, and returns in µs how long each answer took: from the moment
 * at which the request was due, however late it could be sent.
 */
export async function latencies(port, { perSecond, seconds, ...settings }) {
  // As many as are due, not for a time: so those that are late at the end count, too.
  const count = Math.round((SETTLING + seconds) * perSecond);
  const csv = await output(otherCores, required(oha), [
    '-n', String(count), '-q', String(perSecond), '--latency-correction', '--output-format', 'csv', ...options(port, settings),
  ]);
  const rows = csv.trim().split('\n').slice(1).map((line) => line.split(','));
  assert.ok(rows.length === count && rows.every((row) => row[6] === '200'), 'every request must be answered with 200');
  return rows.filter(([sent]) => Number(sent) > SETTLING).map((row) => Number(row[4]) * 1e6);
}
