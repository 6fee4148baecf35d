// docs/benchmarks.md and its plots, from what was measured (docs/benchmarks/results.json and profile.json): `node
// bench/envoy/report.mjs` makes them again without measuring. Of the page only what stands between the two marks is made
// here.
import { readFileSync, writeFileSync } from 'node:fs';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';
import { bars, lines } from './plot.mjs';
import { readResults } from './results.mjs';
import { differences, median, ratio, summary, written } from './statistics.mjs';

const docs = new URL('../../docs/', import.meta.url);
export const page = new URL('benchmarks.md', docs);
export const plot = (name) => new URL(`benchmarks/${name}.svg`, docs);
const MARKS = ['<!-- from here made by bench/envoy/report.mjs -->', '<!-- to here -->'];

const MIB = 2 ** 20;
const count = (number) => number.toLocaleString('en-GB');
const percent = (share) => `${Math.round(100 * share)} %`;
const spread = (values) => written(summary(values));
const factor = (found) => (found ? `${written(found, 2)} ×` : 'lost in noise');
const isAtMost = (found, limit) => found !== undefined && found.median <= limit;
const size = (bytes) => (bytes < 1024 ? `${bytes} B` : `${bytes / 1024} KiB`);

const table = (head, rows) => [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');

/** Everything that is made from what was measured: the text between the marks, and the plots by name. */
export function report({ results, profile }) {
  const { samples, starts, memory, variants } = results;
  const titleOf = (name) => variants[name].title;
  const baselineOf = (name) => variants[name].baseline;

  const rowOf = (wanted) => samples.find((sample) => Object.entries(wanted).every(([key, value]) => sample[key] === value));
  /** What it adds to the CPU time of Envoy per request, in each cycle. */
  const added = (wanted) => {
    // Without a filter there is nobody to register clients with: that is measured with one.
    const counterpart = { ...wanted, variant: baselineOf(wanted.variant), ...(wanted.experiment === 'clients' && { clients: 1 }) };
    return differences(rowOf(wanted).cpu, rowOf(counterpart).cpu);
  };
  const ofRequest = (variant, protocol = 'http/1.1') => ({ experiment: 'request', variant, protocol });
  const toLua = (name, protocol) => ratio(added(ofRequest(name, protocol)), added(ofRequest('lua', protocol)));
  /** Undefined if the variant cannot answer that many. */
  const latencyOf = (variant, protocol, share) => rowOf({ experiment: 'latency', variant, protocol, share });
  const atMost = (name, protocol) => {
    const [own, without] = [name, baselineOf(name)].map((each) => rowOf(ofRequest(each, protocol)).perSecond);
    return `cannot be kept: ${percent(own / without)} at most`;
  };
  /** p99 beside that without a filter. */
  const latencyRatio = (name, protocol, share) => ratio(latencyOf(name, protocol, share).p99, latencyOf(baselineOf(name), protocol, share).p99);

  const requests = (protocol) => table(
    ['', 'added to Envoy, µs', '× Lua', 'service, µs', 'requests/s', 'Envoy\'s core busy'],
    Object.keys(variants).map((name) => {
      const { cpu, serviceCpu, perSecond, busy } = rowOf(ofRequest(name, protocol));
      return [
        titleOf(name),
        baselineOf(name) ? spread(added(ofRequest(name, protocol))) : `(${spread(cpu)})`,
        baselineOf(name) === 'none' ? factor(toLua(name, protocol)) : '',
        serviceCpu ? spread(serviceCpu) : '',
        count(Math.round(perSecond)),
        percent(busy),
      ];
    }),
  );

  const latencies = (protocol) => table(
    ['', ...results.settings.shares.flatMap((share) => [`p50 at ${percent(share)}, µs`, 'p99, µs', 'p99, × no filter'])],
    Object.keys(variants).map((name) => [titleOf(name), ...results.settings.shares.flatMap((share) => {
      const found = latencyOf(name, protocol, share);
      if (!found) return [atMost(name, protocol), '', ''];
      return [...[found.p50, found.p99].map((values) => Math.round(median(values))), baselineOf(name) ? factor(latencyRatio(name, protocol, share)) : ''];
    })]),
  );

  /** Rows and series of a dimension: variants and their added time at each of its places. */
  const dimension = (experiment, key, places) => {
    const names = [...new Set(samples.filter((sample) => sample.experiment === experiment).map(({ variant }) => variant))].filter(baselineOf);
    const at = (variant, place) => added({ experiment, variant, [key]: place });
    return {
      rows: names.map((name) => [titleOf(name), ...places.map((place) => spread(at(name, place)))]),
      series: names.map((name) => ({
        name: titleOf(name),
        points: places.map((place) => {
          const { median: value, low, high } = summary(at(name, place));
          return { value, low, high };
        }),
      })),
    };
  };
  const placesOf = (experiment, key) => [...new Set(samples.filter((sample) => sample.experiment === experiment).map((sample) => sample[key]))]
    .toSorted((a, b) => a - b);
  const registered = placesOf('clients', 'clients');
  const presented = placesOf('certificates', 'count');
  const bodies = placesOf('bodies', 'bytes');
  const byClients = dimension('clients', 'clients', registered);
  const byCertificates = dimension('certificates', 'count', presented);
  const byBody = dimension('bodies', 'bytes', bodies);

  const firstVerdict = added({ experiment: 'first verdict', variant: 'certbound-pki' });
  const handshake = rowOf({ experiment: 'first verdict', variant: 'none' }).cpu;

  const startOf = (variant, clients) => starts.filter((start) => start.variant === variant && start.clients === clients);
  const startCells = [...new Set(starts.map(({ variant, clients }) => `${variant} ${clients}`))].map((key) => {
    const [variant, clients] = [key.split(' ')[0], Number(key.split(' ')[1])];
    const those = startOf(variant, clients);
    const linear = memory.configured.find((row) => row.variant === variant && row.clients === clients);
    const each = (figure, scale = 1) => Math.round(median(those.map((start) => start[figure])) / scale);
    const configure = those.flatMap((start) => start.configure);
    return [
      titleOf(variant), count(clients), each('readyAfter'), configure.length > 0 ? `${median(configure)}, at most ${Math.max(...configure)}` : '',
      linear ? (linear.memory / MIB).toFixed(1) : '', each('memory', MIB), each('first'), each('second'), each('later'),
    ];
  });

  const grown = memory.growth.at(-1);
  const halfway = memory.growth[Math.floor(memory.growth.length / 2)];
  const lastGrown = memory.growth.find((at) => at.memory === grown.memory);

  return {
    text: `${[
      sections(), targets(), whereTimeGoes(), instructions(),
    ].join('\n\n')}\n`,
    plots: {
      request: bars(
        'CPU time that a request costs more than without a filter, µs (HTTP/1.1)',
        Object.keys(variants).filter(baselineOf).map((name) => {
          const { median: value, low, high } = summary(added(ofRequest(name)));
          const { serviceCpu } = rowOf(ofRequest(name));
          return { label: titleOf(name), parts: [{ value, low, high }, ...(serviceCpu ? [{ value: median(serviceCpu) }] : [])] };
        }),
        ['in Envoy', 'in the ext_authz service'],
      ),
      clients: lines('CPU time added to a request, µs', registered.map(count), 'registered clients', byClients.series),
      certificates: lines('CPU time added to a request, µs', presented.map(count), 'client certificates in use, each on its own connection', byCertificates.series),
      bodies: lines('CPU time added to a request, µs', bodies.map(size), 'body', byBody.series),
      memory: lines(
        'Linear memory of a VM, MiB', memory.growth.map(({ requests: sent }, index) => (index % 5 ? '' : count(sent))), 'requests, ten with each certificate',
        [{ name: titleOf('certbound-pki'), points: memory.growth.map(({ memory: bytes }) => ({ value: bytes / MIB, low: bytes / MIB, high: bytes / MIB })) }],
      ),
    },
  };

  function sections() {
    const { machine, versions, settings, date, minutes } = results;
    return `## Requests in Envoy

Measured on ${date}: ${machine.processor}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.kernel}; Envoy ${versions.Envoy}, certbound ${versions.certbound}, Rust ${versions.Rust}, Node ${versions.Node}, load
by [oha](https://github.com/hatoo/oha) ${versions.oha}. \`make bench\` repeats it (${minutes} minutes here).${machine.loadBefore > 0.5 ? `

**Other programs were running (a load of ${machine.loadBefore} before it began): these figures say little.**` : ''}

Each variant has an Envoy of its own, set up as [\`envoy.yaml\`](../envoy.yaml) but without access log and with timeouts of minutes, with one worker on one core; oha, the server behind Envoy, and the ext_authz service share the rest. 16
connections with mutual TLS and keep-alive, or 4 with 4 streams each for HTTP/2, post a form of 63 bytes for one of 100 clients in turn; the server behind Envoy speaks HTTP/1.1.

The speed of a virtual machine drifts, so all Envoys of a table run at once, and their load generators, which have made their connections before, are let go in turn for ${settings.milliseconds} ms, as fast as answers come: ${settings.cycles} cycles, each beginning with another
variant, after two that do not count. CPU time is the kernel's account of all threads of Envoy (\`schedstat\`). What is added is the median of the differences to no filter within a cycle [and between what half of them lie]. "× Lua" is the ratio of two such medians,
not the median of ratios, because Lua's difference is near nothing in some cycles [between what nine tenths of the ratios lie that 1,000 draws of as many of the cycles give].

- **Lua, equal work**: [\`equal-work.lua\`](../bench/envoy/equal-work.lua) compares the certificate's SHA-256 with that of the \`client_id\` that it finds by string search, and sets the same four header fields as certbound. It does
  not sign; verify paths, validity or revocation; decode the form; look at media type, other credentials or other spellings of headers; count or log.
- **ext_authz, equal work**: the same by [a service in Rust](../bench/services/src/bin/ext_authz) (hyper, tonic) on the same machine: no network in between. It does not sign either.
- **certbound** is measured with the same four fields; its signatures cover ${'`client-cert`, `@method`, `@authority`, `@path`, `content-digest`'}.

![CPU time per request](benchmarks/request.svg)

HTTP/1.1 (of variants without a filter: all of Envoy's time):

${requests('http/1.1')}

HTTP/2:

${requests('h2')}

### Latency

At a rate that is ${settings.shares.map(percent).join(' or ')} of the requests per second that go through without a filter, from the moment at which each request was due: medians of ${settings.latencyRuns.cycles} runs of each variant in turn, ${settings.latencyRuns.seconds} s each once all
connections are made and the requests that waited for them are answered. oha sends what is due once a millisecond, so several requests at a time, which wait for each other; it shares its core with the server behind Envoy. "Cannot be kept": that is how many
requests per second go through at best, of those without a filter.

HTTP/1.1:

${latencies('http/1.1')}

HTTP/2:

${latencies('h2')}

### Clients, certificates, bodies

Time added to Envoy per request, in µs, by the number of registered clients (HTTP/1.1; every client asks in turn):

${table(['', ...registered.map(count)], byClients.rows)}

![by registered clients](benchmarks/clients.svg)

By the number of client certificates in use, each on a connection of its own (1,000 clients; the load is [undici](https://github.com/nodejs/undici), which is slower than oha):

${table(['', ...presented.map(count)], byCertificates.rows)}

![by certificates](benchmarks/certificates.svg)

By the size of the body:

${table(['', ...bodies.map(size)], byBody.rows)}

![by size of the body](benchmarks/bodies.svg)

A path that is verified for the first time (P-256, issued by the anchor), each on a new connection, which itself costs ${spread(handshake)} µs with its handshake: ${spread(firstVerdict)} µs more.

### Memory and start

Time until Envoy is ready (ms), time of \`proxy_on_configure\` in one VM (ms; Envoy starts three with one worker), linear memory of one VM (MiB), resident memory of Envoy (MiB), and
how long the first request on an open connection takes, the second, and the median of the 101st to 200th (µs, one at a time, measured by a client that is warm):

${table(['', 'clients', 'ready', 'configured', 'linear', 'resident', 'first', 'second', 'later'], startCells)}

Linear memory over ${count(grown.requests)} requests with ${count(grown.requests / 10)} certificates, in a host in Node's V8: ${(memory.growth[0].memory / MIB).toFixed(2)} MiB before, ${(halfway.memory / MIB).toFixed(2)} after half of them, ${(grown.memory / MIB).toFixed(2)} at the end and since request ${count(lastGrown.requests)}.

![linear memory](benchmarks/memory.svg)`;
  }

  function targets() {
    const yes = (reached) => (reached === undefined ? 'compare with a signature alone, below' : reached ? 'yes' : '**no**');
    const perProtocol = (row) => ['http/1.1', 'h2'].map((protocol) => row(protocol, protocol === 'h2' ? 'HTTP/2' : 'HTTP/1.1'));
    const beyondLua = (name, limit) => perProtocol((protocol, label) => {
      const found = toLua(name, protocol);
      return [`${titleOf(name)}, added to Envoy: ≤ ${limit} × Lua (${label})`, factor(found), yes(isAtMost(found, limit))];
    });
    const toExtAuthz = (name) => perProtocol((protocol, label) => {
      const [service] = ['ext_authz-http', 'ext_authz-grpc'].map((kind) => added(ofRequest(kind, protocol))).toSorted((a, b) => median(a) - median(b));
      const found = ratio(added(ofRequest(name, protocol)), service);
      return [`${titleOf(name)}: ≤ 1/3 of what ext_authz adds in Envoy alone, the cheaper kind (${label})`, factor(found), yes(isAtMost(found, 1 / 3))];
    });
    const overHmac = (name) => {
      const more = differences(added(ofRequest(name)), added(ofRequest('certbound-hmac')));
      return [`${titleOf(name)}: the signature is the only addition`, `${spread(more)} µs more than hmac-sha256`, yes(undefined)];
    };
    const sameForAll = (name) => {
      const [few, many] = [registered[0], registered.at(-1)].map((clients) => added({ experiment: 'clients', variant: name, clients }));
      const more = differences(many, few);
      return [
        `${titleOf(name)}: the same cost with ${count(registered[0])} and ${count(registered.at(-1))} clients, within noise`,
        `${spread(few)} and ${spread(many)} µs: ${spread(more)} more`, yes(summary(more).low <= 0),
      ];
    };
    const configure = startOf('certbound-unsigned', 10_000).flatMap((start) => start.configure);
    const linear = Math.max(...memory.configured.filter(({ clients }) => clients === 10_000).map((row) => row.memory));
    const latency = (name) => perProtocol((protocol, label) => {
      const [share] = results.settings.shares;
      const target = `${titleOf(name)}: p99 at ${percent(share)} of the no-filter maximum < 1.2 × no filter (${label})`;
      if (!latencyOf(name, protocol, share)) return [target, atMost(name, protocol), yes(false)];
      const found = latencyRatio(name, protocol, share);
      return [target, factor(found), yes(isAtMost(found, 1.2))];
    });
    return `### What was to be reached

${table(['target', 'measured', 'reached'], [
  ...beyondLua('certbound-unsigned', 1), ...beyondLua('certbound-hmac', 1.5), ...toExtAuthz('certbound-unsigned'), ...toExtAuthz('certbound-hmac'),
  overHmac('certbound-ed25519'), overHmac('certbound-ecdsa'), sameForAll('certbound-unsigned'), sameForAll('certbound-hmac'),
  ['10,000 clients load in < 500 ms per VM', `${median(configure)} ms, at most ${Math.max(...configure)}`, yes(Math.max(...configure) < 500)],
  ['10,000 clients need < 32 MiB per VM', `${(linear / MIB).toFixed(1)} MiB`, yes(linear < 32 * MIB)],
  ...latency('certbound-unsigned'), ...latency('certbound-hmac'),
  [`memory is flat over ${count(grown.requests)} requests`, `${(halfway.memory / MIB).toFixed(2)} MiB after half of them, ${(grown.memory / MIB).toFixed(2)} at the end and since request ${count(lastGrown.requests)}`, yes(grown.memory === halfway.memory)],
])}`;
  }

  function whereTimeGoes() {
    const { settings } = profile;
    const of = (name) => profile.variants.find(({ variant }) => variant === name);
    const more = (values, counterparts) => median(differences(values, counterparts));
    const addedBy = (name) => more(of(name).cpu, of('none').cpu);
    const places = Object.keys(of('none').places);
    const total = (name) => median(of('none').cpu) + (name === 'none' ? 0 : addedBy(name));
    const inPlace = (name, place) => total(name) * of(name).places[place];
    const byPlace = profile.variants.map(({ variant: name }) => [
      titleOf(name),
      name === 'none' ? `(${median(of(name).cpu).toFixed(1)})` : addedBy(name).toFixed(1),
      ...places.map((place) => (name === 'none' ? `(${inPlace(name, place).toFixed(1)})` : (inPlace(name, place) - inPlace('none', place)).toFixed(1))),
    ]);

    const [nothing, holding, floors] = [of('no-op'), profile.held, profile.needed].map(({ cpu }) => differences(cpu, of('none').cpu));
    const floor = median(floors);
    const [script, own] = [addedBy('lua'), addedBy('certbound-unsigned')];
    return `### Where the time goes

\`make profile\` measures this (on ${profile.date}; ${settings.cycles} cycles of ${settings.milliseconds} ms as above, HTTP/1.1): CPU time of a request in µs, added to what it is without a filter, by the places at which \`perf\` finds Envoy in ${settings.seconds} s of full load. "Filter" is WebAssembly
compiled by V8, "Envoy" is all of its binary, with the host calls, V8's entries and exits, and the interpreter of Lua.

${table(['', 'all', 'filter', 'Envoy', 'libc, vdso', 'kernel'], byPlace)}

The floor of a wasm filter for this job is ${spread(floors)} µs: so much adds one that holds the request until its body is there, makes the host calls without which the job cannot be done (read the header fields, the certificate's digest,
the body and the time, set four fields), each once, and does nothing else. One that only holds the request adds ${spread(holding)}, one that does nothing ${spread(nothing)}.
The floor is ${(floor / script).toFixed(2)} × what the Lua script adds in the same cycles (${script.toFixed(1)} µs); certbound, unsigned, adds ${own.toFixed(1)} µs.`;
  }

  function instructions() {
    const of = (name) => profile.instructions.find(({ variant }) => variant === name);
    const more = (row) => row.all - of(row.baseline).all;
    const script = of('lua');
    const toLua = (row) => `${(more(row) / more(script)).toFixed(2)} ×`;
    const inHostCalls = ({ hostCalls }) => Object.values(hostCalls).reduce((sum, call) => sum + call.instructions, 0);
    const byVariant = profile.instructions.map((row) => [
      row.title,
      count(row.all),
      row.baseline ? count(more(row)) : '',
      row.baseline === 'none' ? toLua(row) : '',
      ...(row.hostCalls ? [row.filter, inHostCalls(row), more(row) - row.filter - inHostCalls(row)].map(count) : ['', '', '']),
    ]);

    const compared = ['needed', 'certbound-unsigned', 'certbound-hmac'].map(of);
    const calls = [...new Set(compared.flatMap(({ hostCalls }) => Object.keys(hostCalls)))];
    const byCall = calls.map((call) => [`\`${call}\``, ...compared.map(({ hostCalls }) => {
      const found = hostCalls[call];
      return found ? `${found.count} × ${count(Math.round(found.instructions / found.count))}` : '';
    })]);

    const needed = of('needed');
    const others = profile.instructions.filter((row) => row !== script);
    const farthest = (share) => `${(100 * Math.max(...others.map(share))).toFixed(2)} %`;
    return `### Instructions in Envoy

\`make profile\` counts these, too: [a program](../bench/steps/src/main.rs) leads the worker of a warm Envoy through a request, one instruction after the other (HTTP/1.1, 100 clients). Its clock stands still meanwhile: else what is due twice a second
would be due in each request. Counted is what runs outside of the kernel. That is not time, since an instruction that waits for memory takes far longer than one that does not, but it repeats: of ${others[0].requests} requests the middle one is told, the shortest was at
most ${farthest(({ all, least }) => (all - least) / all)} shorter, and the longest, in which something was due after all, ${farthest(({ all, most }) => (most - all) / all)} longer. So a change shows without the noise that times have.

"Filter" is the filter's own code, with what V8 does to copy memory for it; "host calls" is what Envoy does in those that the filter makes; "rest" is what else Envoy does because there is a filter: to call it, and to hold the request until it has answered.
"Added" is the sum of the three. What Lua's interpreter does is not told from the rest of Envoy; it collects garbage over dozens of requests, and then does not for as many, so its figure is the mean of ${script.requests} (${count(script.least)} to ${count(script.most)}).

${table(['', 'all', 'added', '× Lua', 'filter', 'host calls', 'rest'], byVariant)}

How many host calls there are for a certificate that is known, and what one takes (the mean of those of a name):

${table(['host call', ...compared.map(({ title }) => title)], [
  ...byCall,
  ['all of them', ...compared.map((row) => count(inHostCalls(row)))],
])}

The floor of a wasm filter for this job is ${count(more(needed))} instructions, ${toLua(needed)} what the Lua script adds; all but ${count(needed.filter)} of them are Envoy's.`;
  }
}

/** The page, with what is between the marks made from what was measured. */
export function withReport(text, measured) {
  const [from, to] = MARKS.map((mark) => text.indexOf(mark));
  if (from < 0 || to < from) throw new Error(`docs/benchmarks.md lacks the marks ${MARKS.join(' and ')}`);
  return `${text.slice(0, from + MARKS[0].length)}\n\n${report(measured).text}\n${text.slice(to)}`;
}

export const readMeasured = () => ({ results: readResults('results'), profile: readResults('profile') });

export function writePage() {
  const measured = readMeasured();
  writeFileSync(page, withReport(readFileSync(page, 'utf8'), measured));
  for (const [name, svg] of Object.entries(report(measured).plots)) writeFileSync(plot(name), svg);
}

if (argv[1] === fileURLToPath(import.meta.url)) writePage();
