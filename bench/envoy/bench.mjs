// `make bench`: measures everything, in interleaved rounds, and writes docs/benchmarks/results.json and what is made
// from it.
//
//   node bench/envoy/bench.mjs [--rounds 3] [--seconds 2] [--requests 1000000] [--results FILE]
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { root } from '../../tests/envoy/envoy.mjs';
import { startEnvoy } from './envoy.mjs';
import { measure, startUpstream } from './measure.mjs';
import { otherCores, output } from './processes.mjs';
import { writePage } from './report.mjs';
import { measureStart } from './start.mjs';
import { variant, variants } from './variants.mjs';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '2' },
    requests: { type: 'string', default: '1000000' },
    'warm-up': { type: 'string', default: '10000' },
    results: { type: 'string', default: join(root, 'docs/benchmarks/results.json') },
  },
});
const [rounds, seconds, requests, warmUp] = [values.rounds, values.seconds, values.requests, values['warm-up']].map(Number);

const OF_MAXIMUM = 0.7;
const CALIBRATIONS = 3;
const protocols = ['http/1.1', 'h2'];
const registered = [1, 100, 10_000, 100_000];
const presented = [1, 10, 100, 1000];
const bodies = [100, 1024, 16_384, 65_536];
const script = ['none', 'lua', 'certbound-unsigned', 'certbound-hmac'];

const began = performance.now();
const progress = (text) => console.error(`${String(Math.round((performance.now() - began) / 1000)).padStart(5)} s  ${text}`);

const loadBefore = Number(loadavg()[0].toFixed(1));
if (loadBefore > 0.5) progress(`other programs are running (load ${loadBefore}): the figures will say little, and the page will say so`);

const upstream = await startUpstream();

/** Requests per second without a filter at best, by traffic and protocol; the rates for latency are taken from it. */
const maximum = {};
for (const name of ['none', 'none-get']) {
  const { traffic } = variant(name);
  maximum[traffic] = {};
  for (const protocol of protocols) {
    const steps = Array.from({ length: CALIBRATIONS }, () => ({ kind: 'saturate', protocol, seconds }));
    const figures = await measure(variant(name), upstream, { warmUp, steps });
    maximum[traffic][protocol] = Math.round(Math.max(...figures.map(({ perSecond }) => perSecond)));
  }
  progress(`${name}: ${JSON.stringify(maximum[traffic])}`);
}

const withLatency = ({ traffic }) => protocols.flatMap((protocol) => [
  { kind: 'saturate', protocol, seconds },
  { kind: 'rate', protocol, seconds, rate: Math.round(maximum[traffic][protocol] * OF_MAXIMUM) },
]);

/**
 * What is run in each round, in this order, shifted from round to round: a variant, its clients, and what is measured
 * of it.
 */
const experiments = {
  request: Object.keys(variants).map((name) => ({ name, clients: 100, steps: withLatency(variant(name)) })),
  clients: script.flatMap((name) => registered.map((clients) => ({ name, clients, steps: [{ kind: 'saturate', seconds }] })))
    .filter(({ name, clients }) => name !== 'none' || clients === 1),
  certificates: script.map((name) => ({
    name,
    clients: 1000,
    certificates: 1000,
    steps: [{ kind: 'certificates', count: 16, seconds, isWarmUp: true }, ...presented.map((count) => ({ kind: 'certificates', count, seconds }))],
  })),
  'first verdict': ['none', 'certbound-pki'].map((name) => ({
    name,
    clients: 2000,
    certificates: 2000,
    steps: [{ kind: 'certificates', first: 0, count: 500, isWarmUp: true }, { kind: 'certificates', first: 500, count: 1000 }],
  })),
  bodies: ['none', 'lua', 'ext_authz-grpc', 'certbound-unsigned', 'certbound-hmac'].map((name) => ({
    name, clients: 1, steps: bodies.map((bytes) => ({ kind: 'saturate', bytes, seconds })),
  })),
};

const shifted = (list, by) => [...list.slice(by % list.length), ...list.slice(0, by % list.length)];
const rounded = (value) => (typeof value === 'number' ? Number(value.toPrecision(6)) : value);
const toRow = (row) => Object.fromEntries(Object.entries(row).map(([key, value]) => [key, rounded(value)]));

const samples = [];
for (let round = 1; round <= rounds; round += 1) {
  for (const [experiment, cells] of Object.entries(experiments)) {
    for (const { name, clients, certificates = 1, steps } of shifted(cells, round - 1)) {
      const figures = await measure(variant(name), upstream, { clients, certificates, warmUp, steps });
      for (const { isWarmUp, ...figure } of figures) {
        if (!isWarmUp) samples.push(toRow({ experiment, round, variant: name, clients, certificates, ...figure }));
      }
      progress(`round ${round} of ${rounds}, ${experiment}: ${name}, ${clients} clients, ${figures[0].cpu.toFixed(1)} µs`);
    }
  }
}

const starts = [];
const practice = await startEnvoy({ filters: [], upstream: upstream.port });
for (let round = 1; round <= rounds; round += 1) {
  for (const [name, clients] of [
    ['none', 1], ['lua', 1], ['certbound-hmac', 1], ...[1, 10_000, 100_000].map((clients) => ['certbound-unsigned', clients]), ['certbound-pki', 1],
  ]) {
    starts.push({ round, variant: name, clients, ...toRow(await measureStart(variant(name), upstream, practice, clients)) });
    progress(`round ${round} of ${rounds}, start: ${name}, ${clients} clients, ready after ${Math.round(starts.at(-1).readyAfter)} ms`);
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
  settings: { rounds, seconds },
  variants: Object.fromEntries(Object.keys(variants).map((name) => [name, { title: variant(name).title, baseline: variant(name).baseline }])),
  maximum,
  samples,
  starts,
  memory,
};

/** JSON with a line for each row of a list, so that a change can be read. */
const inLines = (object, indent = '') => (Array.isArray(object)
  ? `[\n${object.map((row) => `${indent}  ${JSON.stringify(row)}`).join(',\n')}\n${indent}]`
  : typeof object === 'object'
    ? `{\n${Object.entries(object).filter(([, value]) => value !== undefined).map(([key, value]) => `${indent}  ${JSON.stringify(key)}: ${inLines(value, `${indent}  `)}`).join(',\n')}\n${indent}}`
    : JSON.stringify(object));

writeFileSync(resolve(values.results), `${inLines(results)}\n`);
writePage(results);
progress('docs/benchmarks.md is written');
