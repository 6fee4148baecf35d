// docs/benchmarks.md and its plots, from docs/benchmarks/results.json: `node bench/envoy/report.mjs` makes them again
// without measuring. Of the page only what stands between the two marks is made here.
import { readFileSync, writeFileSync } from 'node:fs';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';
import { bars, lines } from './plot.mjs';
import { differences, median, ratios, summary, written } from './statistics.mjs';

const docs = new URL('../../docs/', import.meta.url);
export const page = new URL('benchmarks.md', docs);
export const plot = (name) => new URL(`benchmarks/${name}.svg`, docs);
const resultsFile = new URL('benchmarks/results.json', docs);
const MARKS = ['<!-- from here made by bench/envoy/report.mjs -->', '<!-- to here -->'];

const MIB = 2 ** 20;
const count = (number) => number.toLocaleString('en-GB');
const factor = (values) => (values ? `${written(values, 2)} ×` : 'lost in noise');
const isAtMost = (values, limit) => values !== undefined && median(values) <= limit;
const size = (bytes) => (bytes < 1024 ? `${bytes} B` : `${bytes / 1024} KiB`);

const table = (head, rows) => [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');

/** Everything that is made from results: the text between the marks, and the plots by name. */
export function report(results) {
  const { samples, starts, memory, variants } = results;
  const titleOf = (name) => variants[name].title;
  const baselineOf = (name) => variants[name].baseline;

  /** A figure in each round of what was measured so. */
  const figures = (figure, wanted) => samples
    .filter((sample) => Object.entries(wanted).every(([key, value]) => sample[key] === value))
    .toSorted((a, b) => a.round - b.round)
    .map((sample) => sample[figure]);
  /** What it adds to the CPU time of Envoy per request, in each round. */
  const added = (wanted) => {
    // Without a filter there is nobody to register clients with: that is measured with one.
    const counterpart = { ...wanted, variant: baselineOf(wanted.variant), ...(wanted.experiment === 'clients' && { clients: 1 }) };
    return differences(figures('cpu', wanted), figures('cpu', counterpart));
  };
  const ofRequest = (variant, protocol = 'http/1.1') => ({ experiment: 'request', kind: 'saturate', variant, protocol, clients: 100 });
  const atRate = (variant, protocol) => ({ experiment: 'request', kind: 'rate', variant, protocol });
  const isKept = (name, protocol) => figures('p99', atRate(name, protocol)).every((value) => value !== undefined);
  /** p99 beside that without a filter, in each round; undefined if either could not keep the rate. */
  const latencyRatios = (name, protocol) => (isKept(name, protocol) && isKept(baselineOf(name), protocol)
    ? ratios(figures('p99', atRate(name, protocol)), figures('p99', atRate(baselineOf(name), protocol)))
    : undefined);

  const requests = (protocol) => table(
    ['', 'added to Envoy, µs', '× Lua', 'service, µs', 'requests/s', 'Envoy\'s core busy', 'p50, µs', 'p99, µs', 'p99, × no filter'],
    Object.keys(variants).map((name) => {
      const baseline = baselineOf(name);
      const service = figures('serviceCpu', ofRequest(name, protocol));
      const more = baseline && added(ofRequest(name, protocol));
      const kept = isKept(name, protocol);
      const ratio = baseline && latencyRatios(name, protocol);
      return [
        titleOf(name),
        more ? written(more) : `(${written(figures('cpu', ofRequest(name, protocol)))})`,
        more ? factor(ratios(more, added(ofRequest('lua', protocol)))) : '',
        service.some((value) => value !== undefined) ? written(service) : '',
        count(Math.round(median(figures('perSecond', ofRequest(name, protocol))))),
        `${Math.round(100 * median(figures('busy', ofRequest(name, protocol))))} %`,
        kept ? Math.round(median(figures('p50', atRate(name, protocol)))) : 'rate not kept',
        kept ? Math.round(median(figures('p99', atRate(name, protocol)))) : '',
        ratio ? factor(ratio) : '',
      ];
    }),
  );

  /** Rows and series of a dimension: variants and their added time at each of its places. */
  const dimension = (experiment, key, places) => {
    const names = [...new Set(samples.filter((sample) => sample.experiment === experiment).map(({ variant }) => variant))].filter(baselineOf);
    const at = (variant, place) => added({ experiment, variant, [key]: place });
    return {
      rows: names.map((name) => [titleOf(name), ...places.map((place) => written(at(name, place)))]),
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
  const handshake = figures('cpu', { experiment: 'first verdict', variant: 'none' });

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

  return {
    text: `${[
      sections(), targets(),
    ].join('\n\n')}\n`,
    plots: {
      request: bars(
        'CPU time that a request costs more than without a filter, µs (HTTP/1.1)',
        Object.keys(variants).filter(baselineOf).map((name) => {
          const { median: value, low, high } = summary(added(ofRequest(name)));
          const [service] = figures('serviceCpu', ofRequest(name));
          return { label: titleOf(name), parts: [{ value, low, high }, ...(service ? [{ value: median(figures('serviceCpu', ofRequest(name))) }] : [])] };
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
    const { machine, versions, settings, date, minutes, maximum } = results;
    return `## Requests in Envoy

Measured on ${date}: ${machine.processor}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.kernel}; Envoy ${versions.Envoy}, certbound ${versions.certbound}, Rust ${versions.Rust}, Node ${versions.Node}, load
by [oha](https://github.com/hatoo/oha) ${versions.oha}. \`make bench\` repeats it (${minutes} minutes here, ${settings.rounds} rounds): figures are medians [least–most] of the rounds, in each of which everything runs once, in another order.
Differences and ratios are taken within a round.${machine.loadBefore > 0.5 ? `

**Other programs were running (a load of ${machine.loadBefore} before it began): these figures say little.**` : ''}

Each variant has an Envoy of its own, set up as [\`envoy.yaml\`](../envoy.yaml) but without access log, with one worker on one core; oha, the server behind Envoy, and the ext_authz service share the rest. 16
connections with mutual TLS and keep-alive, or 4 with 4 streams each for HTTP/2, post a form of 63 bytes for one of 100 clients in turn; the server behind Envoy speaks HTTP/1.1. CPU time is the kernel's account of all threads of Envoy (\`schedstat\`), while it answers as many requests as it can. Latency is
measured at 70 % of the requests per second that go through without a filter (${Object.values(maximum.token).map((rate) => count(Math.round(rate))).join(' with HTTP/1.1 and ')} with HTTP/2), from the moment at which each request was due. "Rate not kept": that many cannot be answered.

- **Lua, equal work**: [\`equal-work.lua\`](../bench/envoy/equal-work.lua) compares the certificate's SHA-256 with that of the \`client_id\` that it finds by string search, and sets the same four header fields as certbound. It does
  not sign; verify paths, validity or revocation; decode the form; look at media type, other credentials or other spellings of headers; count or log.
- **ext_authz, equal work**: the same by [a service in Rust](../bench/services/src/bin/ext_authz) (hyper, tonic) on the same machine: no network in between. It does not sign either.
- **certbound** is measured with the same four fields; its signatures cover ${'`client-cert`, `@method`, `@authority`, `@path`, `content-digest`'}.

![CPU time per request](benchmarks/request.svg)

HTTP/1.1 (of variants without a filter: all of Envoy's time):

${requests('http/1.1')}

HTTP/2:

${requests('h2')}

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

A path that is verified for the first time (P-256, issued by the anchor), each on a new connection, which itself costs ${written(handshake)} µs with its handshake: ${written(firstVerdict)} µs more.

### Memory and start

Time until Envoy is ready (ms), time of \`proxy_on_configure\` in one VM (ms; Envoy starts three with one worker), linear memory of one VM (MiB), resident memory of Envoy (MiB), and
how long the first request on an open connection takes, the second, and the median of the 101st to 200th (µs, one at a time, measured by a client that is warm):

${table(['', 'clients', 'ready', 'configured', 'linear', 'resident', 'first', 'second', 'later'], startCells)}

Linear memory over ${count(grown.requests)} requests with ${count(grown.requests / 10)} certificates, in a host in Node's V8: ${(memory.growth[0].memory / MIB).toFixed(2)} MiB before, ${(halfway.memory / MIB).toFixed(2)} after half of them, ${(grown.memory / MIB).toFixed(2)} at the end.

![linear memory](benchmarks/memory.svg)`;
  }

  function targets() {
    const yes = (reached) => (reached === undefined ? 'compare with a signature alone, below' : reached ? 'yes' : '**no**');
    const perProtocol = (row) => ['http/1.1', 'h2'].map((protocol) => row(protocol, protocol === 'h2' ? 'HTTP/2' : 'HTTP/1.1'));
    const toLua = (name, limit) => perProtocol((protocol, label) => {
      const ratio = ratios(added(ofRequest(name, protocol)), added(ofRequest('lua', protocol)));
      return [`${titleOf(name)}, added to Envoy: ≤ ${limit} × Lua (${label})`, factor(ratio), yes(isAtMost(ratio, limit))];
    });
    const toExtAuthz = (name) => perProtocol((protocol, label) => {
      const service = ['ext_authz-http', 'ext_authz-grpc'].toSorted((a, b) => median(added(ofRequest(a, protocol))) - median(added(ofRequest(b, protocol))))[0];
      const ratio = ratios(added(ofRequest(name, protocol)), added(ofRequest(service, protocol)));
      return [`${titleOf(name)}: ≤ 1/3 of what ext_authz adds in Envoy alone, the cheaper kind (${label})`, factor(ratio), yes(isAtMost(ratio, 1 / 3))];
    });
    const overHmac = (name) => {
      const more = differences(added(ofRequest(name)), added(ofRequest('certbound-hmac')));
      return [`${titleOf(name)}: the signature is the only addition`, `${written(more)} µs more than hmac-sha256`, yes(undefined)];
    };
    const sameForAll = (name) => {
      const [few, many] = [registered[0], registered.at(-1)].map((clients) => added({ experiment: 'clients', variant: name, clients }));
      const [a, b] = [summary(few), summary(many)];
      return [
        `${titleOf(name)}: the same cost with ${count(registered[0])} and ${count(registered.at(-1))} clients, within noise`,
        `${written(few)} and ${written(many)} µs`, yes(b.median <= a.high || b.low <= a.median),
      ];
    };
    const configure = startOf('certbound-unsigned', 10_000).flatMap((start) => start.configure);
    const linear = Math.max(...memory.configured.filter(({ clients }) => clients === 10_000).map((row) => row.memory));
    const latency = (name) => perProtocol((protocol, label) => {
      const target = `${titleOf(name)}: p99 at 70 % of the no-filter maximum < 1.2 × no filter (${label})`;
      const ratio = latencyRatios(name, protocol);
      return [target, ratio ? factor(ratio) : 'rate not kept', yes(isAtMost(ratio, 1.2))];
    });
    return `### What was to be reached

${table(['target', 'measured', 'reached'], [
  ...toLua('certbound-unsigned', 1), ...toLua('certbound-hmac', 1.5), ...toExtAuthz('certbound-unsigned'), ...toExtAuthz('certbound-hmac'),
  overHmac('certbound-ed25519'), overHmac('certbound-ecdsa'), sameForAll('certbound-unsigned'), sameForAll('certbound-hmac'),
  ['10,000 clients load in < 500 ms per VM', `${median(configure)} ms, at most ${Math.max(...configure)}`, yes(Math.max(...configure) < 500)],
  ['10,000 clients need < 32 MiB per VM', `${(linear / MIB).toFixed(1)} MiB`, yes(linear < 32 * MIB)],
  ...latency('certbound-unsigned'), ...latency('certbound-hmac'),
  [`memory is flat over ${count(grown.requests)} requests`, `${(halfway.memory / MIB).toFixed(2)} MiB after half of them, ${(grown.memory / MIB).toFixed(2)} at the end`, yes(grown.memory === halfway.memory)],
])}`;
  }
}

/** The page, with what is between the marks made from results. */
export function withReport(text, results) {
  const [from, to] = MARKS.map((mark) => text.indexOf(mark));
  if (from < 0 || to < from) throw new Error(`docs/benchmarks.md lacks the marks ${MARKS.join(' and ')}`);
  return `${text.slice(0, from + MARKS[0].length)}\n\n${report(results).text}\n${text.slice(to)}`;
}

export const readResults = () => JSON.parse(readFileSync(resultsFile, 'utf8'));

export function writePage(results) {
  writeFileSync(page, withReport(readFileSync(page, 'utf8'), results));
  for (const [name, svg] of Object.entries(report(results).plots)) writeFileSync(plot(name), svg);
}

if (argv[1] === fileURLToPath(import.meta.url)) writePage(readResults());
