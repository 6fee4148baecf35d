// CPU time per request of some variants, interleaved: what to run after a change, before `make bench`.
//
//   node bench/envoy/compare.mjs [--rounds 3] [--seconds 2] [--protocol h2] [--clients 100] [--bytes 63] VARIANT...
//
// A variant is a name of variants.mjs, or `certbound-unsigned@other.wasm` for another build of the filter.
import { parseArgs } from 'node:util';
import { measure, startUpstream } from './measure.mjs';
import { differences, median, ratios, written } from './statistics.mjs';
import { names, variant } from './variants.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '2' },
    protocol: { type: 'string', default: 'http/1.1' },
    clients: { type: 'string', default: '100' },
    bytes: { type: 'string', default: '63' },
  },
});

const chosen = (positionals.length > 0 ? positionals : names).map(variant);
for (const { baseline } of [...chosen]) {
  if (baseline && chosen.every(({ name }) => name !== baseline)) chosen.unshift(variant(baseline));
}
const [seconds, clients, bytes] = [values.seconds, values.clients, values.bytes].map(Number);

const upstream = await startUpstream();
const rounds = [];
for (let round = 0; round < Number(values.rounds); round += 1) {
  const start = round % chosen.length;
  const samples = {};
  for (const each of [...chosen.slice(start), ...chosen.slice(0, start)]) {
    [samples[each.name]] = await measure(each, upstream, { clients, steps: [{ kind: 'saturate', protocol: values.protocol, bytes, seconds }] });
    const { cpu, perSecond, busy } = samples[each.name];
    console.error(`round ${round + 1}: ${each.name} ${cpu.toFixed(1)} µs, ${Math.round(perSecond)}/s, core ${Math.round(busy * 100)} % busy`);
  }
  rounds.push(samples);
}
await upstream.stop();

const all = (name, figure = 'cpu') => rounds.map((samples) => samples[name][figure]);
const added = (name, baseline) => differences(all(name), all(baseline));

console.log('\n| variant | CPU of Envoy, µs per request | added | added, of what Lua adds | requests/s |\n|---|---|---|---|---|');
for (const { name, baseline } of chosen) {
  const more = baseline && added(name, baseline);
  const script = more && rounds[0].lua && ratios(more, added('lua', 'none'));
  const cells = [
    name,
    written(all(name)),
    more ? written(more) : '',
    script ? written(script, 2) : '',
    Math.round(median(all(name, 'perSecond'))),
  ];
  console.log(`| ${cells.join(' | ')} |`);
}
