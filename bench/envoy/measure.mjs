// One variant, measured: an Envoy of its own, probed, warmed up, then loaded.
import { required } from '../../tests/envoy/envoy.mjs';
import { startEnvoy } from './envoy.mjs';
import { load } from './load.mjs';
import { probe } from './probe.mjs';
import { startServer } from './processes.mjs';

export const startUpstream = () => startServer(required('build/bench/upstream'));

// V8 compiles the hot code again, optimised, while it runs.
const WARM_UP_REQUESTS = 10_000;

/** CPU time of Envoy per request in µs, and requests per second, at as many requests as Envoy can answer. */
export async function measure(variant, upstream, { protocol, clients, bytes, seconds }) {
  const envoy = await startEnvoy({ filters: variant.filters(clients), upstream: upstream.port });
  try {
    await probe(envoy.port, variant);
    const settings = { traffic: variant.traffic, protocol, bytes };
    await load(envoy.port, { ...settings, requests: WARM_UP_REQUESTS });
    const [cpuBefore, timeBefore] = [envoy.cpu(), performance.now()];
    const { requests, perSecond } = await load(envoy.port, { ...settings, seconds });
    const [cpu, time] = [(envoy.cpu() - cpuBefore) / 1000, (performance.now() - timeBefore) * 1000];
    return { cpu: cpu / requests, busy: cpu / time, perSecond };
  } finally {
    await envoy.stop();
  }
}
