// Reconfiguration under load: while ECDS delivers one configuration after another, no request fails, and each is judged by the
// configuration before or after; once a delivery is acknowledged, only the new one counts.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { rfc9440 } from '../envoy/pki.mjs';
import { registry } from '../envoy/registry.mjs';
import { startTestbed } from '../envoy/testbed.mjs';
import { field } from '../envoy/upstream.mjs';

const deliveries = 30;

const client = (clientId, subject) =>
  ({ client_id: clientId, token_endpoint_auth_method: 'tls_client_auth', tls_client_auth_subject_dn: subject });
const bank = 'CN=payments,O=Example Bank,C=SE';

// `clients` change places and names, so that each configuration contradicts the next.
const generations = [
  { clients: [client('alpha', bank), client('beta', 'CN=batch')], holders: { alpha: 'payments', beta: 'batch' } },
  { clients: [client('alpha', 'CN=batch'), client('beta', bank)], holders: { alpha: 'batch', beta: 'payments' } },
  { clients: [client('alpha', bank)], holders: { alpha: 'payments' } },
];
const settingsOf = (generation) => ({ configuration: { ...registry, clients: generations[generation % generations.length].clients } });
const mayPass = (generation, clientId, presented) => generations[generation % generations.length].holders[clientId] === presented;

let testbed;
let acknowledged = 0;
let newest = 0;
const begun = new Map();

before(async () => {
  // A request may be judged by any configuration that was in force between its start and its end.
  const isHolder = ({ clientId, presented, exchange }) => {
    const from = begun.get(exchange) ?? 0;
    return Array.from({ length: newest - from + 1 }, (_, i) => from + i).some((generation) => mayPass(generation, clientId, presented));
  };
  testbed = await startTestbed('reconfiguration', { delivered: { ...settingsOf(0), isDelivered: true } }, isHolder);
});
after(() => testbed?.stop());

test(`${deliveries} deliveries drop and misjudge nothing`, async () => {
  let isOver = false;
  const judged = { allowed: 0, denied: 0 };

  /** One client after the other on one connection until the deliveries are over. */
  const load = (certificate, protocol) => testbed.withConnection('delivered', { certificate, protocol }, async (connection) => {
    for (let i = 0; !isOver; i += 1) {
      const clientId = ['alpha', 'beta'][i % 2];
      const from = acknowledged;
      const { id, response } = await connection.attempt({ form: `client_id=${clientId}` }, (exchange) => begun.set(exchange, from));
      const until = newest;
      assert.ok(response, `a request of ${clientId} with ${certificate} was dropped`);
      assert.ok([200, 401].includes(response.status), `${response.status} ${response.body}`);
      const isAllowed = response.status === 200;
      judged[isAllowed ? 'allowed' : 'denied'] += 1;
      const configurations = Array.from({ length: until - from + 1 }, (_, generation) => from + generation);
      assert.ok(configurations.some((generation) => mayPass(generation, clientId, certificate) === isAllowed),
        `${clientId} with ${certificate} got ${response.status} under ${configurations}`);
      const received = testbed.upstream.received(id);
      if (isAllowed) assert.equal(field(received, 'client-cert'), rfc9440(certificate));
      else assert.equal(received, undefined);
    }
  });

  const loads = ['payments', 'batch'].flatMap((certificate) => ['http/1.1', 'h2'].flatMap((protocol) =>
    [load(certificate, protocol), load(certificate, protocol)]));
  const ended = Promise.all(loads);
  try {
    for (let generation = 1; generation <= deliveries; generation += 1) {
      newest = generation;
      await Promise.race([testbed.envoy.deliver('delivered', settingsOf(generation)), ended]);
      acknowledged = generation;
    }
  } finally {
    isOver = true;
  }
  await ended;
  assert.ok(judged.allowed > deliveries && judged.denied > deliveries, JSON.stringify(judged));
  assert.equal(await testbed.envoy.counter('extension_config_discovery.http_filter.certbound.update_rejected'), 0);
});
