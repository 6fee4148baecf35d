// Servers that run beside the tests.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import tls from 'node:tls';
import { identity } from '../client.mjs';
import { root } from '../envoy.mjs';

function start(command, args, environment = {}) {
  const child = spawn(command, args, { cwd: root, env: { ...process.env, ...environment }, stdio: ['ignore', 'pipe', 'pipe'] });
  const exited = once(child, 'exit');
  process.once('exit', () => child.kill());
  let log = '';
  child.stderr.on('data', (data) => { log += data; });
  return {
    child,
    stopped: exited.then(() => { throw new Error(`${command} stopped:\n${log}`); }),
    async stop() {
      child.kill();
      await exited;
    },
  };
}

/** Starts a server whose first line of output is its port. */
export async function startServer(command, args, environment) {
  const { child, stopped, stop } = start(command, args, environment);
  const lines = createInterface({ input: child.stdout });
  const [port] = await Promise.race([once(lines, 'line'), stopped]);
  stopped.catch(() => {});
  return { port: Number(port), stop };
}

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

// Some listen before they have read what they serve, and have another certificate until then.
async function isServing(port) {
  const socket = tls.connect({ port, ...identity(null) });
  const serves = await new Promise((answer) =>
    socket.once('secureConnect', () => answer(true)).once('error', () => answer(false)));
  socket.destroy();
  return serves;
}

async function untilServing(port) {
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; await pause(20)) {
    if (await isServing(port)) return;
  }
  throw new Error(`nothing serves with the edge's certificate on ${port}`);
}

/** Starts a proxy that is told its port: `configure` takes the port and returns command, arguments and environment. */
export async function startProxy(configure) {
  const port = await freePort();
  const { stopped, stop } = start(...configure(port));
  await Promise.race([untilServing(port), stopped]);
  stopped.catch(() => {});
  return { port, stop };
}
