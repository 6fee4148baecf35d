// CPU time per request of some variants side by side: what to run after a change, before `make bench`.
//
//   node bench/envoy/compare.mjs [--cycles 50] [--milliseconds 100] [--protocol h2] [--clients 100] [--bytes 63] VARIANT...
//
// A variant is a name of variants.mjs, or `certbound-unsigned@other.wasm` for another build of the filter.
import { parseArgs } from 'node:util';
import { interleave, startUpstream, startVariant } from './measure.mjs';
import { differences, median, ratio, summary, written } from './statistics.mjs';
import { names, variant } from './variants.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    cycles: { type: 'string', default: '50' },
    milliseconds: { type: 'string', default: '100' },
    protocol: { type: 'string', default: 'http/1.1' },
    clients: { type: 'string', default: '100' },
    bytes: { type: 'string', default: '63' },
  },
});

const chosen = (positionals.length > 0 ? positionals : names).map(variant);
for (const { baseline } of [...chosen]) {
  if (baseline && chosen.every(({ name }) => name !== baseline)) chosen.unshift(variant(baseline));
}
const [cycles, milliseconds, clients, bytes] = [values.cycles, values.milliseconds, values.clients, values.bytes].map(Number);

const upstream = await startUpstream();
const started = [];
for (const each of chosen) started.push(await startVariant(each, upstream, { clients }));
const figures = await interleave(started.map((running) => ({ running, protocol: values.protocol, bytes })), { cycles, milliseconds });
for (const { stop } of started) await stop();
await upstream.stop();

const of = Object.fromEntries(chosen.map(({ name }, index) => [name, figures[index]]));
const added = (name, baseline) => differences(of[name].cpu, of[baseline].cpu);

console.log('\n| variant | CPU of Envoy, µs per request | added | added, of what Lua adds | requests/s |\n|---|---|---|---|---|');
for (const { name, baseline } of chosen) {
  const more = baseline && added(name, baseline);
  const script = more && of.lua && ratio(more, added('lua', 'none'));
  const cells = [
    name,
    written(summary(of[name].cpu)),
    more ? written(summary(more)) : '',
    script ? written(script, 2) : '',
    Math.round(median(of[name].perSecond)),
  ];
  console.log(`| ${cells.join(' | ')} |`);
}
