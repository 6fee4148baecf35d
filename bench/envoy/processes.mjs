// Processes on cores of their own.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { createInterface } from 'node:readline';
import { root } from '../../tests/envoy/envoy.mjs';
import { cpuNanoseconds } from './cpu.mjs';

const cores = availableParallelism();
assert.ok(cores > 1, 'Envoy needs a core of its own: run this where there are two');

/** Envoy has the first core to itself; all else shares the others. */
export const envoyCore = '0';
export const otherCores = cores === 2 ? '1' : `1-${cores - 1}`;

// oha would start a thread for every core of the machine, and they would take turns on its own.
process.env.TOKIO_WORKER_THREADS = String(cores - 1);

const running = new Set();
process.once('exit', () => running.forEach((child) => child.kill('SIGKILL')));
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

/** Starts a command of the repository on these cores. */
export function start(onCores, command, args, { stdin = 'ignore', stdout = 'ignore', stderr = 'inherit' } = {}) {
  const child = spawn('taskset', ['--cpu-list', onCores, command, ...args], { cwd: root, stdio: [stdin, stdout, stderr] });
  running.add(child);
  child.ended = once(child, 'close').finally(() => running.delete(child));
  return child;
}

export async function stop(child) {
  child.kill();
  await child.ended;
}

/** Starts a server that writes its port as its first line. */
export async function startServer(command, args = []) {
  const child = start(otherCores, command, args, { stdout: 'pipe' });
  const [line] = await once(createInterface(child.stdout), 'line');
  return { child, port: Number(line), cpu: () => cpuNanoseconds(child.pid), stop: () => stop(child) };
}

/** What a command writes to its standard output; it must succeed. */
export async function output(onCores, command, args) {
  const child = start(onCores, command, args, { stdout: 'pipe' });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (data) => { text += data; });
  const [code] = await child.ended;
  assert.equal(code, 0, `${command} ${args.join(' ')} ended with ${code}`);
  return text;
}
