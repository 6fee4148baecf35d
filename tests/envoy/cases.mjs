// The cases of tests/cases in an Envoy, over HTTP/1.1 and HTTP/2.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { root } from './envoy.mjs';
import { certificateForms, resolve } from './pki.mjs';
import { mayName } from './readings.mjs';
import { assertRefused, startTestbed } from './testbed.mjs';
import { field } from './upstream.mjs';

const directory = join(root, 'tests/cases');
/** The files of cases, each with the configuration that its cases share. */
export const topics = readdirSync(directory).filter((file) => file.endsWith('.json')).sort().map((file) => ({
  topic: basename(file, '.json'),
  ...resolve(JSON.parse(readFileSync(join(directory, file), 'utf8'))),
}));

// HTTP/2 has no Connection header, and Node's HTTP/2 client sends no second Content-Type or Authorization.
function isHttp1Only({ request: { headers = [] } }) {
  const occurrences = (wanted) => headers.filter(([name]) => name.toLowerCase() === wanted).length;
  return occurrences('connection') > 0 || occurrences('content-type') > 1 || occurrences('authorization') > 1;
}

// HTTP/1.1 has trailers only in a chunked body, which connections.test.mjs sends.
const protocolsOf = (given) => (given.request.trailers ? ['h2'] : isHttp1Only(given) ? ['http/1.1'] : ['http/1.1', 'h2']);

const runsHere = ({ hosts }) => hosts === undefined || hosts.includes('envoy');

const mayCarryCertificate = ({ certificate, expect: { upstream = {} } }) =>
  Object.values(upstream).some((value) => certificateForms(certificate).includes(value));

function assertForwarded({ response, received }, { status, upstream = {} }) {
  assert.equal(response.status, status, response.body);
  assert.ok(received, 'the request did not reach the server');
  for (const [name, value] of Object.entries(upstream)) {
    assert.equal(field(received, name), value, `${name} at the server`);
  }
}

/** What the configuration requires of the access tokens of a request, as `startUpstream` asks. */
function requirement({ protected_resources: resources = [], enforcement }, { path }) {
  const resource = resources.find(({ path: exact, path_prefix: prefix = exact }) => mayName(path, prefix.split('/')[1]));
  return resource && (enforcement === 'report' ? 'report' : resource.require ?? 'bound');
}

/** Declares a test for every case of `topics`, in an Envoy of its own; `options` are those of `startEnvoy`. */
export function declareCases(name, topics, options) {
  let testbed;
  let underWay;
  before(async () => {
    const listeners = Object.fromEntries(topics.map(({ topic, configuration, environment, tells_chain: tellsChain }) =>
      [topic, { configuration, environment, tellsChain }]));
    const isHolder = ({ presented }) => presented === underWay.certificate && mayCarryCertificate(underWay);
    const requires = (received) => requirement(underWay.configuration, received);
    testbed = await startTestbed(name, listeners, isHolder, { requires, ...options });
  });
  after(() => testbed?.stop());

  for (const { topic, cases, configuration } of topics) {
    describe(topic, () => {
      for (const given of cases.filter(runsHere)) {
        for (const protocol of protocolsOf(given)) {
          test(`${given.name} (${protocol})`, async () => {
            underWay = { ...given, configuration };
            const { expect } = given;
            const seen = await testbed.exchange(topic, given.request, { certificate: given.certificate, protocol });

            assert.equal(seen.outcome ?? null, expect.outcome, `outcome, with reason ${seen.reason}`);
            assert.equal(seen.reason ?? null, expect.reason ?? null, 'reason');
            if (expect.client_id !== undefined) assert.equal(seen.clientId ?? null, expect.client_id);
            if (expect.status >= 400) assertRefused(seen, expect.status, expect.error);
            else assertForwarded(seen, expect);
            for (const [name, value] of Object.entries(expect.headers ?? {})) {
              assert.equal(seen.response.headers[name] ?? null, value, `${name} of the response`);
            }
          });
        }
      }
    });
  }
}
