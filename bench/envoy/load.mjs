// The load: oha (github.com/hatoo/oha), with one client certificate on every connection.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { required, root } from '../../tests/envoy/envoy.mjs';
import { boundToken, pkiDirectory, tokenRequest } from './clients.mjs';
import { otherCores, output } from './processes.mjs';

const oha = 'build/oha/bin/oha';

/** Token requests of as many clients in turn, from a file, or of one. */
function tokenRequests(clients, bytes) {
  if (clients === 1) return ['-d', tokenRequest(0, bytes)];
  const file = join(root, 'build/bench/token-requests');
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

/**
 * Sends so many `requests`, or requests for some `seconds`, as fast as answers come on 16 connections or streams; or so
 * many `perSecond`: then the time of an answer counts from the moment at which the request was due, however late it
 * could be sent.
 */
export async function load(port, { traffic, protocol, clients, bytes, requests: count, seconds, perSecond }) {
  const request = requests[traffic](clients, bytes);
  const path = request.pop();
  const report = JSON.parse(await output(otherCores, required(oha), [
    '--no-tui', '--output-format', 'json', '--insecure', '--disable-compression',
    '--cert', `${pkiDirectory}/client-0.pem`, '--key', `${pkiDirectory}/client-0.key`,
    ...(seconds ? ['-z', `${seconds}s`, '--wait-ongoing-requests-after-deadline'] : ['-n', String(count)]), ...protocols[protocol],
    ...(perSecond ? ['-q', String(perSecond), '--latency-correction'] : []),
    ...request, `https://127.0.0.1:${port}${path}`,
  ]));
  const { summary, latencyPercentiles: { p50, p99 }, statusCodeDistribution, errorDistribution } = report;
  assert.deepEqual([Object.keys(statusCodeDistribution), errorDistribution], [['200'], {}], 'every request must be answered with 200');
  return { requests: statusCodeDistribution[200], perSecond: summary.requestsPerSec, p50: p50 * 1e6, p99: p99 * 1e6 };
}
