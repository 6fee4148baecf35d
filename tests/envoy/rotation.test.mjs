// docs/key-rotation.md, walked through under continuous requests: the server verifies every request that it gets.
import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { jose } from './packages.mjs';
import { isHolder, registry } from './registry.mjs';
import { startTestbed } from './testbed.mjs';
import { field } from './upstream.mjs';
import { startPython, verdicts } from './verifiers.mjs';

const jwksPath = '/.well-known/certbound-jwks.json';
const issuer = 'https://proxy.example.com';
const audience = 'https://as.example.com';
const lifetime = 2;

const algorithms = {
  'ed25519': () => generateKeyPairSync('ed25519'),
  'ecdsa-p256-sha256': () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
};
const components = ['client-cert', '@method', '@authority', '@path', 'content-digest'];
const key = (kid, alg) => ({ kid, alg, key: { value: algorithms[alg]().privateKey.export({ type: 'pkcs8', format: 'pem' }) } });

// From one algorithm to the other, which is the harder case.
const [old, next] = [key('2026-10', 'ecdsa-p256-sha256'), key('2026-11', 'ed25519')];
const withKeys = (...keys) => ({
  isDelivered: true,
  configuration: {
    ...registry,
    signature: {
      http_message_signature: { components, lifetime_seconds: lifetime },
      jws: { issuer, audience, lifetime_seconds: lifetime },
      keys,
      jwks_path: jwksPath,
    },
  },
});

let testbed;
let python;
before(async () => {
  python = startPython();
  testbed = await startTestbed('rotation', { rotation: withKeys(old) }, isHolder);
});
after(async () => {
  python?.stop();
  await testbed?.stop();
});

/**
 * A server that keeps the JWK set as long as it may, as measured by this clock, and fetches it through a client's
 * connection to Envoy. `waitForCaches` lets the time pass that the recipe says to wait.
 */
function startServer(connection) {
  let clock = 0;
  let cached = { until: -1 };
  return {
    waitForCaches(seconds) { clock += seconds; },
    async keys() {
      if (clock >= cached.until) {
        const { response } = await connection.exchange({ method: 'GET', path: jwksPath });
        const [, maxAge] = /^max-age=(\d+)$/.exec(response.headers['cache-control']);
        cached = { set: JSON.parse(response.body), until: clock + Number(maxAge), maxAge: Number(maxAge) };
      }
      return cached;
    },
  };
}

async function verify({ set }, received) {
  const headers = Object.fromEntries(received.headers.map(([name]) => [name, field(received, name)]));
  const [, kid] = /keyid="([^"]+)"/.exec(headers['signature-input']);
  const jwk = set.keys.find((known) => known.kid === kid);
  assert.ok(jwk, `the server has no key ${kid}, only ${set.keys.map((known) => known.kid)}`);
  const alg = jwk.crv === 'Ed25519' ? 'ed25519' : 'ecdsa-p256-sha256';
  const signer = { alg, kid, key: createPublicKey({ key: jwk, format: 'jwk' }), label: 'certbound', components };
  const said = await verdicts(python, signer, { ...received, headers, lines: received.headers });
  assert.deepEqual(said, { dhensby: true, python: true, cloudflare: true });
  const keys = jose.createLocalJWKSet(set);
  const { payload } = await jose.jwtVerify(headers['client-cert-jwt'], keys, { issuer, audience, typ: 'certbound+jwt' });
  assert.equal(payload.client_id, 'payments');
  return kid;
}

describe('a signing key is rotated', () => {
  test('and no request is lost', async () => {
    await testbed.withConnection('rotation', { certificate: 'payments' }, async (connection) => {
      const server = startServer(connection);
      const steps = [];
      let step = 'old';
      let isOver = false;
      const requests = (async () => {
        while (!isOver) {
          const at = step;
          const { response, received } = await connection.exchange({ form: 'client_id=payments' });
          assert.equal(response.status, 200, response.body);
          steps.push({ at, kid: await verify(await server.keys(), received) });
        }
      })();
      const some = async () => {
        const target = steps.length + 5;
        while (steps.length < target) await Promise.race([pause(10), requests]);
      };

      await some();
      step = '1: the new key is published';
      await testbed.envoy.deliver('rotation', withKeys(old, next));
      await some();
      server.waitForCaches((await server.keys()).maxAge);
      await some();
      step = '2: the new key signs';
      await testbed.envoy.deliver('rotation', withKeys(next, old));
      await some();
      step = '3: the old key is gone';
      await pause(lifetime * 1000);
      await testbed.envoy.deliver('rotation', withKeys(next));
      await some();
      isOver = true;
      await requests;

      const kidsAt = (name) => new Set(steps.filter(({ at }) => at === name).map(({ kid }) => kid));
      assert.deepEqual([...kidsAt('old')], [old.kid]);
      assert.deepEqual([...kidsAt('1: the new key is published')], [old.kid]);
      assert.ok(kidsAt('2: the new key signs').has(next.kid));
      assert.deepEqual([...kidsAt('3: the old key is gone')], [next.kid]);
      server.waitForCaches((await server.keys()).maxAge);
      assert.deepEqual((await server.keys()).set.keys.map(({ kid }) => kid), [next.kid]);
    });
  });

  test('but without the first wait, requests are', async () => {
    await testbed.envoy.deliver('rotation', withKeys(old));
    await testbed.withConnection('rotation', { certificate: 'payments' }, async (connection) => {
      const server = startServer(connection);
      const send = async () => (await connection.exchange({ form: 'client_id=payments' })).received;
      assert.equal(await verify(await server.keys(), await send()), old.kid);
      await testbed.envoy.deliver('rotation', withKeys(next, old));
      await assert.rejects(async () => verify(await server.keys(), await send()), /has no key 2026-11/);
    });
  });
});
