// Starts the authorization server, the resource and Envoy with envoy.yaml as it stands, and stops them when this process ends.

import { spawn } from 'node:child_process';
import { mkdirSync, openSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { Agent, fetch } from 'undici';
import { GATEWAY_SECRET } from './clients.mjs';

export const ORIGIN = 'https://localhost:8443';
export const RESOURCE = `${ORIGIN}/api/`; // the audience of its tokens, in envoy.yaml too
export const MTLS_ORIGIN = 'https://mtls.localhost:8443'; // discovery.mtls_origin in envoy.yaml
const LOGS = 'build/log';
const START_SECONDS = 60;
const PORTS = [8443, 9901, 9443, 9444]; // of Envoy and its admin interface, of the server and of the resource
const ENVOY_PARAMETERS = [
  ...['-c', 'envoy.yaml', '--disable-hot-restart', '--concurrency', '2', '--file-flush-interval-msec', '50'],
  ...['--log-level', 'warning', '--component-log-level', 'wasm:info'],
];

export class CannotStart extends Error {}

export async function startDeployment() {
  for (const port of PORTS) {
    if (!await isFree(port)) throw new CannotStart(`port ${port} of this machine is in use: by another \`make run\`?`);
  }
  mkdirSync(LOGS, { recursive: true });

  const server = start('server', process.execPath, ['demo/server.mjs'], { output: 'server.log', errors: 'server.log' });
  const resource = start('resource', process.execPath, ['demo/resource.mjs'], { output: 'resource.log', errors: 'resource.log' });
  const envoy = start('Envoy', 'build/venv/bin/envoy', ENVOY_PARAMETERS, {
    output: 'access.jsonl',
    errors: 'envoy.log',
    environment: {
      CERTBOUND_SIGNING_KEY: readFileSync('build/pki/signing.key', 'utf8'),
      CERTBOUND_INTROSPECTION_SECRET: GATEWAY_SECRET,
    },
  });
  const processes = [server, resource, envoy];
  process.on('exit', () => processes.forEach(({ child }) => child.kill('SIGKILL')));
  await ready(processes);
  for (const { name, child, log } of processes) {
    child.on('exit', () => {
      console.error(`${name} ended; see ${log}`);
      process.exit(1);
    });
  }
}

/** What Envoy's access log holds by now. */
export function accessLog() {
  return jsonLines(`${LOGS}/access.jsonl`);
}

/** What the authorization server has received by now. */
export function serverLog() {
  return jsonLines(`${LOGS}/server.jsonl`);
}

function jsonLines(path) {
  const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1); // the last one may be half written
  return lines.map((line) => JSON.parse(line));
}

function start(name, command, parameters, { output, errors, environment }) {
  const log = `${LOGS}/${errors}`;
  const stdout = openSync(`${LOGS}/${output}`, 'w');
  const stderr = errors === output ? stdout : openSync(log, 'w');
  const child = spawn(command, parameters, { stdio: ['ignore', stdout, stderr], env: { ...process.env, ...environment } });
  child.on('error', (error) => console.error(`${name}: ${error.message}`));
  return { name, child, log };
}

/** Whether nobody listens there. Asked before the logs of whoever does are emptied. */
function isFree(port) {
  return new Promise((resolve) => {
    const probe = createServer().once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
}

/** Both are ready when the server's metadata can be had through Envoy. */
async function ready(processes) {
  const dispatcher = new Agent({ connect: { ca: readFileSync('build/pki/infra-ca.pem') } });
  const deadline = Date.now() + START_SECONDS * 1000;
  while (Date.now() < deadline) {
    for (const { name, child, log } of processes) {
      const hasEnded = child.exitCode !== null || child.signalCode !== null || child.pid === undefined;
      if (hasEnded) throw new CannotStart(`${name} ended; the end of ${log}:\n${readFileSync(log, 'utf8').slice(-2000)}`);
    }
    const isUp = await fetch(`${ORIGIN}/.well-known/openid-configuration`, { dispatcher, signal: AbortSignal.timeout(2000) }).then(
      (response) => response.ok,
      () => false,
    );
    if (isUp) return dispatcher.close();
    await pause(100);
  }
  throw new CannotStart(`nothing answers on ${ORIGIN} after ${START_SECONDS} seconds; see ${LOGS}/`);
}
