// `make profile`: where the CPU time of a request goes, in docs/benchmarks/profile.json and what is made from it.
//
//   node bench/envoy/profile.mjs [--cycles 50] [--milliseconds 100] [--seconds 4]
//
// In instructions, which are counted: the filter's own, and those of each host call that it makes. And in time, by
// place, with perf: the filter's own code, Envoy, the C library, the kernel.
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root, until } from '../../tests/envoy/envoy.mjs';
import { countInstructions } from './instructions.mjs';
import { startLoad } from './load.mjs';
import { interleave, startUpstream, startVariant } from './measure.mjs';
import { otherCores, output } from './processes.mjs';
import { writePage } from './report.mjs';
import { rounded, writeResults } from './results.mjs';
import { floor, variant } from './variants.mjs';

const { values } = parseArgs({
  options: {
    cycles: { type: 'string', default: '50' },
    milliseconds: { type: 'string', default: '100' },
    seconds: { type: 'string', default: '4' },
  },
});
const [cycles, milliseconds, seconds] = [values.cycles, values.milliseconds, values.seconds].map(Number);

const SAMPLES_PER_SECOND = 4000;
const profiled = ['none', 'no-op', 'lua', 'certbound-unsigned', 'certbound-hmac', 'certbound-ed25519'].map(variant);
const counted = [
  ...['none', 'no-op'].map(variant), floor.held, floor.needed,
  ...['lua', 'certbound-unsigned', 'certbound-hmac', 'certbound-ed25519', 'certbound-pki', 'certbound-jws-reused', 'none-get', 'certbound-bearer'].map(variant),
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

const progress = (text) => console.error(text);
const upstream = await startUpstream();
const instructions = [];
for (const each of counted) {
  const { name, title, baseline } = each;
  instructions.push({ variant: name, title, baseline, ...await countInstructions(each, upstream) });
  progress(`${name}: ${instructions.at(-1).all} instructions`);
}

const all = [];
for (const each of [...profiled, floor.held, floor.needed]) all.push(await startVariant(each, upstream));
progress(`${all.length} Envoys are running`);
const figures = await interleave(all.map((running) => ({ running })), { cycles, milliseconds });
const cpu = (index) => rounded(figures[index].cpu);

const variants = [];
for (const [index, { name }] of profiled.entries()) {
  variants.push({ variant: name, cpu: cpu(index), places: await places(all[index]) });
  progress(`${name}: profiled`);
}
for (const { stop } of all) await stop();
await upstream.stop();

writeResults('profile', {
  date: new Date().toISOString().slice(0, 10),
  settings: { cycles, milliseconds, seconds },
  instructions,
  variants,
  held: { cpu: cpu(profiled.length) },
  needed: { cpu: cpu(profiled.length + 1) },
});
writePage();
progress('docs/benchmarks.md is written');
