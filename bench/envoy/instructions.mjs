// How many instructions a request takes in Envoy: its worker is led through it, one by one (bench/steps).
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import tls from 'node:tls';
import { required, root, until } from '../../tests/envoy/envoy.mjs';
import { boundToken, pkiDirectory, registrations, tokenRequest } from './clients.mjs';
import { startEnvoy } from './envoy.mjs';
import { startLoad } from './load.mjs';
import { partition } from './partition.mjs';
import { envoyCore, start } from './processes.mjs';

const CLIENTS = 100;
// Answers until Envoy is warm, then requests on a new connection until that is, too.
const WARM = { answers: 2000, requests: 10 };
const COUNTED = 5;
// Lua collects garbage over dozens of requests, and then does not for as many: its figure is the mean over both.
const COUNTED_WITH_GARBAGE = 81;

const file = (name) => readFileSync(join(root, pkiDirectory, name));

/** What oha sends. */
function requestOf(traffic, port) {
  const [line, fields, body] = traffic === 'get'
    ? ['GET /api/accounts HTTP/1.1', [`authorization: Bearer ${boundToken(0)}`], '']
    : ['POST /oauth/token HTTP/1.1', ['content-type: application/x-www-form-urlencoded', `content-length: ${tokenRequest(0).length}`], tokenRequest(0)];
  return [line, 'user-agent: oha/1.14.0', 'accept: */*', ...fields, `host: 127.0.0.1:${port}`, '', body].join('\r\n');
}

/** A connection with the certificate of client 0. */
async function connect(port, traffic) {
  const socket = tls.connect({ port, cert: file('client-0.pem'), key: file('client-0.key'), rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  return {
    async ask() {
      socket.write(requestOf(traffic, port));
      const [response] = await once(socket, 'data');
      assert.match(response.toString(), /^HTTP\/1.1 200 .*}$/s, 'one segment must hold the whole response');
    },
    close: () => socket.destroy(),
  };
}

/** The names of the host calls of a request whose certificate is known, in order. Undefined without a wasm filter. */
async function callsOf({ traffic, envoy: settings }, upstream) {
  const envoy = await startEnvoy({ ...settings(registrations(CLIENTS)), upstream: upstream.port, tracesFilter: true });
  const { ask, close } = await connect(envoy.port, traffic);
  for (let request = 0; request < 3; request += 1) await ask();
  close();
  const [, ...contexts] = (await envoy.stop()).split(/\[host->vm\] proxy_on_context_create/);
  if (contexts.length === 0) return undefined;
  return [...contexts.at(-1).matchAll(/\[vm->host\] \w+\.(?:proxy_)?(\w+)\(/g)].map(([, call]) => call);
}

/** Follows the worker of this Envoy, until its end. */
function follow({ pid }) {
  const tasks = `/proc/${pid}/task`;
  const worker = readdirSync(tasks).find((task) => readFileSync(`${tasks}/${task}/comm`, 'utf8').startsWith('wrk:worker_0'));
  // They take turns with each step: on one core that is quickest.
  const child = start(envoyCore, required('build/bench/steps'), [pid, worker], { stdin: 'pipe', stdout: 'pipe' });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  // If it is gone, its output has ended, too.
  child.stdin.on('error', () => {});
  return {
    /** What the worker has done since this was asked last, or first. */
    async counted() {
      child.stdin.write('\n');
      const { value, done } = await lines.next();
      assert.ok(!done, 'build/bench/steps has ended, and should have said why');
      return JSON.parse(value);
    },
    async end() {
      child.stdin.end();
      await child.ended;
    },
  };
}

/** What the worker of a warm Envoy does for each of some requests, which come one at a time. */
async function requests({ traffic, envoy: settings }, upstream, count) {
  const envoy = await startEnvoy({ ...settings(registrations(CLIENTS)), upstream: upstream.port });
  const generator = startLoad(envoy.port, { traffic, clients: CLIENTS, protocol: 'http/1.1', bytes: 63 });
  await until('Envoy to be warm', async () => await envoy.answered() > WARM.answers || undefined);
  generator.kill('SIGKILL');
  await generator.ended;
  const { ask, close } = await connect(envoy.port, traffic);
  for (let request = 0; request < WARM.requests; request += 1) await ask();
  const { counted, end } = follow(envoy);
  const all = [];
  for (let request = 0; request <= count; request += 1) {
    await counted();
    await ask();
    all.push(await counted());
  }
  close();
  await end();
  await envoy.stop();
  // The first one may differ from those after it.
  return all.slice(1);
}

/**
 * How many instructions a request takes: in `all`, and with a wasm filter, in the filter's own code and in the host
 * calls that it makes. They are those of the middle one of some `requests` (for Lua, the mean), of which `least` and
 * `most` tell.
 */
export async function countInstructions(variant, upstream) {
  const hasGarbage = variant.name === 'lua';
  const count = hasGarbage ? COUNTED_WITH_GARBAGE : COUNTED;
  const counted = (await requests(variant, upstream, count)).toSorted((a, b) => a.instructions - b.instructions);
  const middle = counted[(count - 1) / 2];
  const names = await callsOf(variant, upstream);
  return {
    requests: count,
    all: hasGarbage ? Math.round(counted.reduce((sum, { instructions }) => sum + instructions, 0) / count) : middle.instructions,
    least: counted[0].instructions,
    most: counted.at(-1).instructions,
    ...(names && partition(middle, names)),
  };
}
