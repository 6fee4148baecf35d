// Every attack of this directory's tables through Envoy, once as permissive as README lets it be, once as strict as it gets.
//
// An attack says what its attacker `wants`, the certificate that they hold (if any), and what they send: a `request` as in
// tests/cases, over `protocols` (default HTTP/1.1), or `raw` messages, written at once on one HTTP/1.1 connection. `each` makes
// an attack of every text in it, which replaces $each. `forges` names header fields that must not survive anywhere.
// <<kind text>> stands for a value that is made here. `expect`, for both settings or for each of them (one for each message if
// there are several):
//
//   certificate            forwarded with the certificate of the connection
//   no certificate         forwarded without any
//   refused REASON         refused by certbound
//   Envoy STATUS, closes   refused by Envoy itself
//
// and `upstream` says which fields the server must see besides, null for none. Whether the goal was reached is judged at the
// server (upstream.mjs) by every reading of the request that some server has.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { root } from '../envoy/envoy.mjs';
import { pki, rfc9440 } from '../envoy/pki.mjs';
import { isHolder, registry } from '../envoy/registry.mjs';
import { assertRefused, startTestbed } from '../envoy/testbed.mjs';
import { field, startUpstream } from '../envoy/upstream.mjs';

const base64 = (text) => Buffer.from(text).toString('base64');
const base64url = (text) => Buffer.from(text).toString('base64url');

const made = {
  base64,
  jwt: (claims) => `e30.${base64url(claims)}.AA`,
  rfc9440,
  pem: (name) => encodeURIComponent(pki[name].certificate),
  x5t: (name) => pki[name]['x5t#S256'],
  hash: (name) => Buffer.from(pki[name]['x5t#S256'], 'base64url').toString('hex'),
  repeat: (text) => {
    const [, count, part] = /^(\d+) (.*)$/.exec(text);
    return part.repeat(count);
  },
};

function filled(value, each) {
  if (typeof value === 'string') {
    return value.replaceAll('$each', () => each).replaceAll(/<<(\w+) (.*?)>>/gs, (_, kind, text) => made[kind](text));
  }
  if (Array.isArray(value)) return value.map((member) => filled(member, each));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, filled(member, each)]));
}

// What certbound sets itself for a client that a certificate authenticated; the outcome tells whether it is genuine.
const genuine = ['client-cert', 'x-client-id', 'x-client-cert-thumbprint'];
const elsewhere = { path: '/userinfo' };

/** A header that must not survive is tried where no client is expected, where certbound lets a request through, and in trailers. */
function forgeries({ forges, name, ...attack }) {
  const headers = forges.map((field) => [field, '<<rfc9440 payments>>']);
  const upstream = Object.fromEntries(forges.map((field) => [field.toLowerCase(), null]));
  const places = {
    'on a GET elsewhere': { request: { ...elsewhere, method: 'GET', headers }, expect: 'no certificate' },
    'as a client with a secret': { request: { headers, form: 'client_id=portal' }, expect: 'no certificate' },
    "beside the attacker's own certificate": {
      request: { headers, form: 'client_id=batch' },
      expect: 'certificate',
      upstream: Object.fromEntries(Object.entries(upstream).filter(([name]) => !genuine.includes(name))),
    },
    'in trailers': { protocols: ['h2'], request: { ...elsewhere, form: 'client_id=payments', trailers: headers }, expect: 'no certificate' },
    'in trailers at an endpoint': { protocols: ['h2'], request: { form: 'client_id=portal', trailers: headers }, expect: 'no certificate' },
  };
  return Object.entries(places).map(([place, given]) => ({ name: `${name} ${place}`, certificate: 'batch', upstream, ...attack, ...given }));
}

const directory = join(root, 'tests/attacks');
const topics = readdirSync(directory).filter((file) => file.endsWith('.json')).sort().map((file) => ({
  topic: basename(file, '.json'),
  attacks: JSON.parse(readFileSync(join(directory, file), 'utf8'))
    .flatMap((attack) => (attack.forges ? forgeries(attack) : [attack]))
    .flatMap(({ each = [''], ...attack }) => each.map((text) => ({ ...filled(attack, text), name: attack.name + (text && `: ${JSON.stringify(text).slice(0, 60)}`) }))),
}));

const configuration = {
  ...registry,
  endpoints: [{ path: '/oauth/token' }, { path_prefix: '/oauth/device/' }],
};
const signature = {
  http_message_signature: {},
  keys: [{ kid: 'current', alg: 'hmac-sha256', key: { value: randomBytes(32).toString('base64') } }],
};
const variants = {
  enforcing: configuration,
  reporting: { ...configuration, enforcement: 'report' },
  passing: { ...configuration, unregistered_clients: 'pass' },
  forwarding: { ...configuration, unregistered_clients: 'forward' },
  signing: { ...configuration, signature },
};
const settings = { lax: {}, strict: { strict: true } };
const listeners = Object.fromEntries(Object.entries(settings).flatMap(([setting, envoy]) =>
  Object.entries(variants).map(([variant, given]) => [`${setting}-${variant}`, { ...envoy, configuration: given }])));

let testbed;
before(async () => {
  testbed = await startTestbed('attacks', listeners, isHolder);
});
after(() => testbed?.stop());

const looksLikeCertificate = ([name]) => /cert|^x-client-id$/.test(name.replaceAll(/[^a-z0-9]/g, '-'));

async function assertExpected(expected, { id, response }, { certificate, upstream = {}, reported }) {
  const [, word, detail] = /^(certificate|no certificate|refused|Envoy) ?(.*)$/.exec(expected);
  if (word === 'Envoy') {
    assert.equal(response?.status ?? 'closes', detail === 'closes' ? detail : Number(detail));
    assert.equal(testbed.upstream.received(id), undefined, 'it reached the server');
    return;
  }
  assert.ok(response, 'Envoy closed the connection');
  // What Envoy itself refuses may never have a line in the access log to wait for.
  assert.ok(response.status === 200 || response.headers['content-type'] === 'application/json', `Envoy: ${response.status}`);
  const seen = { response, ...await testbed.observe(id) };
  const violations = testbed.upstream.violations().filter((violation) => violation.startsWith(`${id}:`));
  assert.deepEqual(violations, []);
  if (word === 'refused') {
    assert.equal(seen.reason, detail, `outcome ${seen.outcome}`);
    assertRefused(seen, response.status, { 401: 'invalid_client', 400: 'invalid_request', 413: 'invalid_request' }[response.status]);
    return;
  }
  assert.ok(seen.received, `it did not reach the server: ${seen.outcome} ${seen.reason} ${response.status}`);
  assert.equal(seen.reason, reported ?? null);
  const headers = [...seen.received.headers, ...seen.received.trailers];
  if (word === 'certificate') {
    assert.deepEqual(headers.filter(([name]) => name === 'client-cert'), [['client-cert', rfc9440(certificate)]]);
  } else {
    assert.deepEqual(headers.filter(looksLikeCertificate), []);
  }
  for (const [name, value] of Object.entries(upstream)) assert.equal(field(seen.received, name), value, `${name} at the server`);
}

async function carryOut(attack, listener, expected, protocol) {
  const { certificate = null, request, raw } = attack;
  if (request) {
    await testbed.withConnection(listener, { certificate, protocol }, async (connection) =>
      assertExpected(expected[0], await connection.attempt(request), attack));
    return;
  }
  await testbed.withRawConnection(listener, { certificate }, async (connection) => {
    const messages = raw.map(connection.spell);
    connection.write(Buffer.concat(messages.map(({ bytes }) => bytes)));
    for (const [i, outcome] of expected.entries()) {
      const response = await connection.response().catch(() => null);
      await assertExpected(outcome, { id: messages[i].id, response }, attack);
    }
  });
}

for (const { topic, attacks } of topics) {
  describe(topic, { concurrency: 8 }, () => {
    for (const attack of attacks) {
      for (const setting of Object.keys(settings)) {
        const expected = [attack.expect[setting] ?? attack.expect].flat();
        for (const protocol of attack.protocols ?? ['http/1.1']) {
          test(`${attack.wants}: ${attack.name} (${setting}, ${protocol})`, { timeout: 20_000 }, () =>
            carryOut(attack, `${setting}-${attack.listener ?? 'enforcing'}`, expected, protocol));
        }
      }
    }
  });
}

test('no request came hidden in another', () => {
  assert.deepEqual(testbed.upstream.everyReceived('hidden'), []);
});

// The judge of all this must see what it is for: each request claims payments in one reading, and batch in another.
describe('the server that judges', () => {
  const form = ['content-type', 'application/x-www-form-urlencoded'];
  const own = 'client_id=batch';
  const carried = [['client-cert', rfc9440('batch')], ['x-presented', 'batch']];
  for (const [reading, { path = '/', headers = [form], body = own }] of Object.entries({
    'the last of two': { body: `${own}&client_id=payments` },
    'the query': { path: '/?client_id=payments' },
    'a semicolon': { body: `${own}&x=1;client_id=payments` },
    "PHP's names": { body: `${own}&client.id=payments` },
    'an array': { body: `${own}&client_id[]=payments` },
    'names without case': { body: `${own}&Client_Id=payments` },
    'overlong UTF-8': { body: 'client_id=%C1%B0ayments' },
    'a cookie': { headers: [form, ['cookie', 'client_id=payments']] },
    JSON: { headers: [['content_type', 'application/json']], body: '{"client_id":"payments"}' },
    multipart: {
      headers: [['content-type', 'multipart/form-data; boundary=b']],
      body: '--b\r\nContent-Disposition: form-data; name="client_id"\r\n\r\npayments\r\n--b--',
    },
    'a content coding': { headers: [form, ['content.encoding', 'gzip']], body: gzipSync('client_id=payments') },
    'a charset': { headers: [[form[0], `${form[1]}; charset=utf-16le`]], body: Buffer.from('client_id=payments', 'utf16le') },
    Basic: { headers: [form, ['authorization', `basic ${base64('payments:')}`]] },
    'Basic without a space': { headers: [form, ['authorization', `BasicX${base64('payments:')}`]] },
    'an assertion': { body: `${own}&client_assertion=${made.jwt('{"iss":"payments"}')}` },
    PHP_AUTH_USER: { headers: [form, ['php_auth_user', 'payments']] },
    'another header': { headers: [form, ['ssl-client-s-dn', 'CN=payments']] },
    "another's certificate": { headers: [form, ['Client.Cert', rfc9440('payments')]] },
  })) {
    test(`sees ${reading}`, async () => {
      const upstream = await startUpstream({ isHolder, credentials: (name) => [rfc9440(name)] });
      const response = await fetch(`http://127.0.0.1:${upstream.port}${path}`, { method: 'POST', headers: [...carried, ...headers], body });
      assert.equal(response.status, 200);
      assert.notDeepEqual(upstream.violations(), []);
      await upstream.stop();
    });
  }

  test('has nothing against a plain request', async () => {
    const upstream = await startUpstream({ isHolder, credentials: (name) => [rfc9440(name)] });
    await fetch(`http://127.0.0.1:${upstream.port}/`, { method: 'POST', headers: [...carried, form], body: own });
    assert.deepEqual(upstream.violations(), []);
    await upstream.stop();
  });
});
