// `make profile`: where the CPU time of a request goes, in docs/benchmarks/profile.json and what is made from it.
//
//   node bench/envoy/profile.mjs [--cycles 50] [--milliseconds 100] [--seconds 4]
//
// By place, with perf: the filter's own code, Envoy, the C library, the kernel. And by host call: how many a filter
// makes, and what each costs.
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root, until } from '../../tests/envoy/envoy.mjs';
import { registrations } from './clients.mjs';
import { startEnvoy } from './envoy.mjs';
import { startLoad } from './load.mjs';
import { interleave, startUpstream, startVariant } from './measure.mjs';
import { exchange } from './probe.mjs';
import { otherCores, output } from './processes.mjs';
import { writePage } from './report.mjs';
import { rounded, writeResults } from './results.mjs';
import { hostCall, variant } from './variants.mjs';

const { values } = parseArgs({
  options: {
    cycles: { type: 'string', default: '50' },
    milliseconds: { type: 'string', default: '100' },
    seconds: { type: 'string', default: '4' },
  },
});
const [cycles, milliseconds, seconds] = [values.cycles, values.milliseconds, values.seconds].map(Number);

const SAMPLES_PER_SECOND = 4000;
const IN_A_REQUEST = 16;
const profiled = ['none', 'no-op', 'lua', 'certbound-unsigned', 'certbound-hmac', 'certbound-ed25519'];
const calls = [
  'get_header_map_pairs', 'get_header_map_value', 'replace_header_map_value', 'remove_header_map_value', 'get_buffer_bytes', 'get_property', 'set_property',
  'get_current_time_nanoseconds', 'increment_metric', 'record_metric', 'random_get', 'log',
];

try {
  execFileSync('perf', ['--version'], { stdio: 'ignore' });
} catch {
  throw new Error('perf is missing: install linux-perf (Debian) or linux-tools-generic (Ubuntu)');
}

const placeOf = (object) => (object.startsWith('[JIT]') ? 'filter'
  : object.startsWith('[kernel') ? 'kernel'
    : /^\[vdso\]|^lib/.test(object) ? 'library'
      : 'envoy');

/** Shares of the CPU time of a loaded Envoy, by place. */
async function places({ envoy, clients, variant: { traffic } }) {
  const file = join(root, 'build/bench/perf.data');
  const before = await envoy.answered();
  const generator = startLoad(envoy.port, { traffic, clients, protocol: 'http/1.1', bytes: 63 });
  await until('all connections to be in use', async () => await envoy.answered() - before > 1000 || undefined);
  const record = ['record', '--quiet', '--freq', String(SAMPLES_PER_SECOND), '--output', file, '--pid', String(envoy.pid)];
  await output(otherCores, 'perf', [...record, '--', 'sleep', String(seconds)]);
  generator.kill('SIGKILL');
  await generator.ended;
  const shares = { filter: 0, envoy: 0, library: 0, kernel: 0 };
  const lines = execFileSync('perf', ['report', '--input', file, '--sort', 'dso', '--field-separator', ',', '--quiet'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  for (const [, percent, object] of lines.matchAll(/^\s*([\d.]+)%?\s*,(.*\S)/gm)) shares[placeOf(object)] += Number(percent) / 100;
  rmSync(file);
  return shares;
}

/** How often a filter makes each host call, for a request whose certificate it knows already. */
async function callsOf(each, upstream) {
  const envoy = await startEnvoy({ ...each.envoy(registrations(1)), upstream: upstream.port, tracesFilter: true });
  for (let request = 0; request < 3; request += 1) await exchange(envoy.port, each.traffic, 0);
  const log = await envoy.stop();
  const [last] = log.split(/\[host->vm\] proxy_on_context_create/).slice(-1);
  const counts = {};
  for (const [, call] of last.matchAll(/\[vm->host\] \w+\.(?:proxy_)?(\w+)\(/g)) counts[call] = (counts[call] ?? 0) + 1;
  return counts;
}

const progress = (text) => console.error(text);
const upstream = await startUpstream();
const all = [];
for (const each of [...profiled.map(variant), hostCall('needed', 0), hostCall('needed', 1), ...calls.map((call) => hostCall(call, IN_A_REQUEST))]) {
  all.push(await startVariant(each, upstream));
}
progress(`${all.length} Envoys are running`);
const figures = await interleave(all.map((running) => ({ running })), { cycles, milliseconds });
const cpu = (index) => rounded(figures[index].cpu);

const variants = [];
for (const [index, name] of profiled.entries()) {
  variants.push({ variant: name, cpu: cpu(index), places: await places(all[index]), calls: await callsOf(variant(name), upstream) });
  progress(`${name}: profiled`);
}
for (const { stop } of all) await stop();
await upstream.stop();

writeResults('profile', {
  date: new Date().toISOString().slice(0, 10),
  settings: { cycles, milliseconds, seconds, inARequest: IN_A_REQUEST },
  variants,
  held: { cpu: cpu(profiled.length) },
  needed: { cpu: cpu(profiled.length + 1) },
  hostCalls: calls.map((call, index) => ({ call, cpu: cpu(profiled.length + 2 + index) })),
});
writePage();
progress('docs/benchmarks.md is written');
