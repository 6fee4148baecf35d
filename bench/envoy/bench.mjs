// `make bench`: measures everything, and writes docs/benchmarks/results.json and what is made from it.
//
//   node bench/envoy/bench.mjs [--cycles 50] [--milliseconds 100] [--starts 2] [--requests 1000000]
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root } from '../../tests/envoy/envoy.mjs';
import { startEnvoy } from './envoy.mjs';
import { latencies } from './load.mjs';
import { firstRequests, inCycles, interleave, startUpstream, startVariant, WARM_UP_CYCLES } from './measure.mjs';
import { otherCores, output } from './processes.mjs';
import { writePage } from './report.mjs';
import { rounded, writeResults } from './results.mjs';
import { measureStart } from './start.mjs';
import { median, quantile } from './statistics.mjs';
import { names, variant, variants } from './variants.mjs';

const { values } = parseArgs({
  options: {
    cycles: { type: 'string', default: '50' },
    milliseconds: { type: 'string', default: '100' },
    starts: { type: 'string', default: '2' },
    requests: { type: 'string', default: '1000000' },
  },
});
const [cycles, milliseconds, startCount, requests] = [values.cycles, values.milliseconds, values.starts, values.requests].map(Number);

const protocols = ['http/1.1', 'h2'];
const registered = [1, 100, 10_000, 100_000];
const presented = [1, 10, 100, 1000];
const bodies = [100, 1024, 16_384, 65_536];
const script = ['none', 'lua', 'certbound-unsigned', 'certbound-hmac'];
// Of the requests per second that go through without a filter: the rates at which latency is measured.
const shares = [0.7, 0.3];
// Latency, and connections with new certificates, need longer measurements than CPU time, so there are fewer of them.
const latencyRuns = { cycles: Math.ceil(cycles / 12), seconds: 1 };
const newCertificates = { cycles: Math.ceil(cycles / 3), count: 50 };

const began = performance.now();
const progress = (text) => console.error(`${String(Math.round((performance.now() - began) / 1000)).padStart(5)} s  ${text}`);

const loadBefore = Number(loadavg()[0].toFixed(1));
if (loadBefore > 0.5) progress(`other programs are running (load ${loadBefore}): the figures will say little, and the page will say so`);

const upstream = await startUpstream();

const toRow = (row) => Object.fromEntries(Object.entries(row).map(([key, value]) => [key, rounded(value)]));

const samples = [];
const keep = (experiment, rows) => samples.push(...rows.map((row) => toRow({ experiment, ...row })));

/** Starts an Envoy for each cell, { name, ...settings of startVariant }, for as long as `measured` takes. */
async function withAll(experiment, cells, measured) {
  const all = [];
  for (const { name, ...settings } of cells) all.push(await startVariant(variant(name), upstream, settings));
  progress(`${experiment}: ${all.length} Envoys are running`);
  await measured(all);
  for (const { stop } of all) await stop();
  progress(`${experiment}: done`);
}

/** Measures lanes, { running, ...load }, side by side. */
async function lanes(experiment, all) {
  const figures = await interleave(all, { cycles, milliseconds });
  const rows = all.map(({ running, ...load }, index) => {
    const { busy, perSecond, ...times } = figures[index];
    return { variant: running.variant.name, clients: running.clients, ...load, ...times, busy: median(busy), perSecond: median(perSecond) };
  });
  keep(experiment, rows);
  return rows;
}

await withAll('request', names.map((name) => ({ name })), async (all) => {
  for (const protocol of protocols) {
    const saturated = await lanes('request', all.map((running) => ({ running, protocol })));
    const maximum = (name) => saturated.find((row) => row.variant === name).perSecond;
    progress(`request: ${protocol}, ${Math.round(maximum('none'))}/s without a filter`);
    const cells = shares.flatMap((share) => all
      .map((running) => ({ running, share, rate: Math.round(share * maximum(running.variant.baseline ?? running.variant.name)) }))
      .filter(({ running, rate }) => maximum(running.variant.name) > rate));
    const figures = await inCycles(cells, latencyRuns.cycles, async ({ running: { envoy, clients, variant: { traffic } }, rate }) => {
      const times = await latencies(envoy.port, { traffic, clients, protocol, bytes: 63, perSecond: rate, seconds: latencyRuns.seconds });
      return { p50: median(times), p99: quantile(times, 0.99) };
    }, 0);
    keep('latency', cells.map(({ running, ...at }, index) => ({ variant: running.variant.name, protocol, ...at, ...figures[index] })));
    progress(`request: ${protocol}, latency`);
  }
});

await withAll(
  'clients',
  script.flatMap((name) => (name === 'none' ? [1] : registered).map((clients) => ({ name, clients }))),
  (all) => lanes('clients', all.map((running) => ({ running }))),
);

await withAll(
  'certificates',
  script.map((name) => ({ name, clients: 1000, certificates: 1000 })),
  (all) => lanes('certificates', all.flatMap((running) => presented.map((count) => ({ running, count })))),
);

await withAll(
  'bodies',
  ['none', 'lua', 'ext_authz-grpc', 'certbound-unsigned', 'certbound-hmac'].map((name) => ({ name, clients: 1 })),
  (all) => lanes('bodies', all.flatMap((running) => bodies.map((bytes) => ({ running, bytes })))),
);

const certificates = (newCertificates.cycles + WARM_UP_CYCLES) * newCertificates.count;
await withAll('first verdict', ['none', 'certbound-pki'].map((name) => ({ name, clients: certificates, certificates })), async (all) => {
  const figures = await firstRequests(all, newCertificates);
  keep('first verdict', all.map((running, index) => ({ variant: running.variant.name, cpu: figures[index].cpu })));
});

const starts = [];
const practice = await startEnvoy({ filters: [], upstream: upstream.port });
for (let round = 1; round <= startCount; round += 1) {
  for (const [name, clients] of [
    ['none', 1], ['lua', 1], ['certbound-hmac', 1], ...[1, 10_000, 100_000].map((clients) => ['certbound-unsigned', clients]), ['certbound-pki', 1],
  ]) {
    starts.push({ round, variant: name, clients, ...toRow(await measureStart(variant(name), upstream, practice, clients)) });
    progress(`round ${round} of ${startCount}, start: ${name}, ${clients} clients, ready after ${Math.round(starts.at(-1).readyAfter)} ms`);
  }
}
await practice.stop();
await upstream.stop();

progress(`memory, over ${requests} requests`);
const memory = JSON.parse(await output(otherCores, 'node', ['bench/envoy/memory.mjs', String(requests)]));

const run = (command, ...args) => execFileSync(command, args, { cwd: root, encoding: 'utf8' }).trim();
const results = {
  date: new Date().toISOString().slice(0, 10),
  minutes: Math.round((performance.now() - began) / 60_000),
  machine: {
    processor: cpus()[0].model, cores: availableParallelism(), kernel: `Linux ${release()}`, memoryGiB: Math.round(totalmem() / 2 ** 30), loadBefore,
  },
  versions: {
    certbound: /^version = "(.*)"/m.exec(readFileSync(join(root, 'Cargo.toml'), 'utf8'))[1],
    Envoy: /version: \w+\/([\d.]+)/.exec(run('build/venv/bin/envoy', '--version'))[1],
    Rust: run('rustc', '--version').split(' ')[1],
    Node: process.versions.node,
    oha: run('build/oha/bin/oha', '--version').split(' ')[1],
  },
  settings: { cycles, milliseconds, latencyRuns, starts: startCount, shares },
  variants: Object.fromEntries(Object.keys(variants).map((name) => [name, { title: variant(name).title, baseline: variant(name).baseline }])),
  samples,
  starts,
  memory,
};

writeResults('results', results);
writePage();
progress('docs/benchmarks.md is written');
