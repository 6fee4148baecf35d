// One variant, measured: an Envoy of its own, probed, warmed up, then loaded.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { required } from '../../tests/envoy/envoy.mjs';
import { registrations } from './clients.mjs';
import { startEnvoy } from './envoy.mjs';
import { load } from './load.mjs';
import { probe } from './probe.mjs';
import { otherCores, output, startServer } from './processes.mjs';

// V8 compiles the hot code again, optimised, while it runs.
const WARM_UP_REQUESTS = 10_000;

export const startUpstream = () => startServer(required('build/bench/upstream'));

async function startService(protocol, clients) {
  const directory = mkdtempSync(join(tmpdir(), 'certbound-bench-'));
  writeFileSync(join(directory, 'clients'), clients.lines());
  const service = await startServer(required('build/bench/ext_authz'), [protocol, join(directory, 'clients')]);
  rmSync(directory, { recursive: true });
  return { protocol, ...service };
}

/** What a step does, and its figures: times in µs, of CPU per request. */
const steps = {
  /** As many requests as Envoy can answer: how many, and what each costs Envoy, and the ext_authz service. */
  async saturate({ envoy, service, settings, seconds }) {
    const before = [envoy.cpu(), service?.cpu(), performance.now()];
    const { requests, perSecond } = await load(envoy.port, { ...settings, seconds });
    const [cpu, serviceCpu, elapsed] = [envoy.cpu(), service?.cpu(), performance.now()].map((after, index) => after - before[index]);
    return {
      cpu: cpu / 1000 / requests, ...(service && { serviceCpu: serviceCpu / 1000 / requests }), busy: cpu / 1e6 / elapsed, perSecond,
    };
  },
  /** Latency at a rate, if that many can be answered. */
  async rate({ envoy, settings, seconds, rate, saturated }) {
    if (saturated < rate) return { rate };
    // As many as are due, not for a time: so those that are late at the end count, too.
    const { p50, p99 } = await load(envoy.port, { ...settings, requests: Math.round(seconds * rate), perSecond: rate });
    return { rate, p50, p99 };
  },
  /**
   * A certificate for each connection: connections that are kept for some seconds, or, without seconds, for one
   * request each.
   */
  async certificates({ envoy, settings, seconds, first = 0, count }) {
    const options = { port: envoy.port, pid: envoy.pid, first, count, seconds, bytes: settings.bytes };
    return JSON.parse(await output(otherCores, 'node', ['bench/envoy/many-certificates.mjs', JSON.stringify(options)]));
  },
};

/**
 * Measures each step in turn: { kind, ...of `steps` above, protocol, bytes }. Returns their figures, and how long Envoy
 * took to be ready.
 */
export async function measure(variant, upstream, { clients = 100, certificates = 1, warmUp = WARM_UP_REQUESTS, steps: wanted }) {
  const registered = registrations(clients, certificates);
  const service = variant.service && await startService(variant.service, registered);
  const envoy = await startEnvoy({ ...variant.envoy(registered), upstream: upstream.port, service });
  try {
    await probe(envoy.port, variant);
    let warm;
    let saturated;
    const figures = [];
    for (const { kind, protocol = 'http/1.1', bytes = 63, ...step } of wanted) {
      const settings = { traffic: variant.traffic, clients, protocol, bytes };
      if (warm !== protocol && kind !== 'certificates') {
        await load(envoy.port, { ...settings, requests: warmUp });
        warm = protocol;
      }
      const result = await steps[kind]({ envoy, service, settings, saturated, ...step });
      if (kind === 'saturate') saturated = result.perSecond;
      figures.push({ kind, protocol, bytes, ...step, ...result });
    }
    return figures;
  } finally {
    await envoy.stop();
    await service?.stop();
  }
}
