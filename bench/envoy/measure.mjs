// Variants, measured side by side: each in an Envoy of its own, all of which run at once, and one of which is loaded.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { required, until } from '../../tests/envoy/envoy.mjs';
import { registrations } from './clients.mjs';
import { startEnvoy } from './envoy.mjs';
import { startLoad } from './load.mjs';
import { probe } from './probe.mjs';
import { otherCores, start, startServer } from './processes.mjs';

// Cycles that do not count: caches fill, the script is compiled.
export const WARM_UP_CYCLES = 2;
// After a load generator is stopped, Envoy still answers what it has been sent: until it needs less than so many
// nanoseconds in so many milliseconds.
const IDLE = { nanoseconds: 200_000, milliseconds: 8 };

export const startUpstream = () => startServer(required('build/bench/upstream'));

async function startService(protocol, clients) {
  const directory = mkdtempSync(join(tmpdir(), 'certbound-bench-'));
  writeFileSync(join(directory, 'clients'), clients.lines());
  const service = await startServer(required('build/bench/ext_authz'), [protocol, join(directory, 'clients')]);
  rmSync(directory, { recursive: true });
  return { protocol, ...service };
}

/** Starts the Envoy of a variant, and sees that it does its work. */
export async function startVariant(variant, upstream, { clients = 100, certificates = 1 } = {}) {
  const registered = registrations(clients, certificates);
  const service = variant.service && await startService(variant.service, registered);
  const envoy = await startEnvoy({ ...variant.envoy(registered), upstream: upstream.port, service });
  await probe(envoy.port, variant);
  await envoy.forgetAnswers();
  return {
    variant,
    clients,
    envoy,
    service,
    async stop() {
      await envoy.stop();
      await service?.stop();
    },
  };
}

// A program that was stopped may need longer than a turn, if its memory was given to others.
const TURNS_WITHOUT_ANSWER = 20;

/** CPU time in µs and answers of Envoy and its service between two moments. */
async function during({ envoy, service }, action, turn = 1) {
  const before = [await envoy.answered(), envoy.cpu(), service?.cpu(), performance.now()];
  await action();
  const elapsed = performance.now() - before[3];
  for (let last = 0; envoy.cpu() - last > IDLE.nanoseconds; await pause(IDLE.milliseconds)) last = envoy.cpu();
  const [cpu, serviceCpu] = [envoy.cpu() - before[1], service && service.cpu() - before[2]];
  const requests = await envoy.answered() - before[0];
  if (requests === 0 && turn < TURNS_WITHOUT_ANSWER) return during({ envoy, service }, action, turn + 1);
  assert.ok(requests > 0, 'no request was answered');
  return {
    cpu: cpu / 1000 / requests,
    ...(service && { serviceCpu: serviceCpu / 1000 / requests }),
    busy: cpu / 1e6 / elapsed,
    perSecond: requests / elapsed * 1000,
  };
}

/**
 * Runs each cell in turn, beginning with another one each time, and returns lists of its figures, one for each cycle
 * after `warmUp` more of them.
 */
export async function inCycles(cells, cycles, run, warmUp = WARM_UP_CYCLES) {
  const figures = cells.map(() => ({}));
  for (let cycle = 0; cycle < warmUp + cycles; cycle += 1) {
    for (let step = 0; step < cells.length; step += 1) {
      const index = (step + cycle) % cells.length;
      const result = await run(cells[index], cycle);
      if (cycle < warmUp) continue;
      for (const [name, value] of Object.entries(result)) (figures[index][name] ??= []).push(value);
    }
  }
  return figures;
}

/**
 * Loads each lane in turn, for some milliseconds at a time, with requests as fast as answers come. A lane is a started
 * variant, as `running`, and its load: `protocol` and `bytes`, or the `count` of certificates in use. Its load generator
 * lives from the beginning to the end and is stopped in between: handshakes are made before anything is measured.
 */
export async function interleave(lanes, { cycles, milliseconds }) {
  const loaded = [];
  try {
    for (const { running, protocol = 'http/1.1', bytes = 63, count } of lanes) {
      const { envoy, clients, variant: { traffic } } = running;
      const before = await envoy.answered();
      const generator = count
        ? start(otherCores, 'node', ['bench/envoy/many-certificates.mjs', JSON.stringify({ port: envoy.port, count })])
        : startLoad(envoy.port, { traffic, clients, protocol, bytes });
      loaded.push({ running, generator });
      await until('all connections to be in use', async () => await envoy.answered() - before > 2 * (count ?? 16) || undefined);
      generator.kill('SIGSTOP');
    }
    return await inCycles(loaded, cycles, ({ running, generator }) => during(running, async () => {
      generator.kill('SIGCONT');
      await pause(milliseconds);
      generator.kill('SIGSTOP');
    }));
  } finally {
    for (const { generator } of loaded) {
      generator.kill('SIGKILL');
      await generator.ended;
    }
  }
}

/** What a request costs that is the first one with its certificate, on a new connection: `count` of them at a time. */
export function firstRequests(cells, { cycles, count }) {
  return inCycles(cells, cycles, (running, cycle) => during(running, async () => {
    const options = { port: running.envoy.port, first: cycle * count, count, isOnce: true };
    const [code] = await start(otherCores, 'node', ['bench/envoy/many-certificates.mjs', JSON.stringify(options)]).ended;
    assert.equal(code, 0, 'every request must be answered with 200');
  }));
}
