// Starting Envoy: how long until it is ready, what it occupies, how long the filter's configuration takes, and the
// first request.
import { registrations } from './clients.mjs';
import { startEnvoy } from './envoy.mjs';
import { otherCores, output } from './processes.mjs';
import { median } from './statistics.mjs';

/** How long each call of proxy_on_configure took, in ms: one for each VM. The log tells the time, and the thread. */
function configureTimes(log) {
  const lines = log.matchAll(/^\[([^\]]+)\]\[(\d+)\].*\] proxy_on_configure( return)?/gm);
  const begun = new Map();
  const times = [];
  for (const [, time, thread, isReturn] of lines) {
    if (isReturn) times.push(Date.parse(`${time}Z`) - begun.get(thread));
    else begun.set(thread, Date.parse(`${time}Z`));
  }
  return times;
}

/**
 * `practice` is an Envoy on which the client practises. Times are in ms, those of requests in µs, memory is in bytes.
 */
export async function measureStart(variant, upstream, practice, clients) {
  const settings = { ...variant.envoy(registrations(clients)), upstream: upstream.port };
  const traced = await startEnvoy({ ...settings, tracesFilter: true });
  const configure = configureTimes(await traced.stop());

  const envoy = await startEnvoy(settings);
  try {
    const { readyAfter } = envoy;
    const [readyCpu, memory] = [envoy.cpu() / 1e6, envoy.memory()];
    const options = { port: envoy.port, practicePort: practice.port, count: 200 };
    const times = JSON.parse(await output(otherCores, 'node', ['bench/envoy/first-request.mjs', JSON.stringify(options)]));
    return { readyAfter, readyCpu, memory, configure, first: times[0], second: times[1], later: median(times.slice(100)) };
  } finally {
    await envoy.stop();
  }
}
