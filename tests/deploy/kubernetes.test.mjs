// deploy/kubernetes in real Envoy: its files, laid out as the kubelet would, with only paths, addresses and ports replaced.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import net from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { identity } from '../envoy/client.mjs';
import { required, root, startBootstrap, until } from '../envoy/envoy.mjs';
import { crls, pki } from '../envoy/pki.mjs';
import { document, object } from './recipes.mjs';
import { assertGuarded, environment, form, startServer, withConnection } from './server.mjs';
import { mount, mountFile, update } from './volume.mjs';

const directory = 'deploy/kubernetes';
const volumes = join(root, 'build/log/kubernetes');
const recipe = (name) => readFileSync(join(root, directory, name), 'utf8');
const certbound = recipe('certbound.yaml');
const deployment = object(join(directory, 'envoy-deployment.yaml'), 'Deployment');
const [container] = deployment.spec.template.spec.containers;

/** A file with the pod's directories where this test has them. Every mount of the pod is one of these. */
const here = (text) => container.volumeMounts.reduce((adapted, { mountPath }) => adapted.replaceAll(mountPath, join(volumes, mountPath)), text);

const replaced = (text, ...replacements) => replacements.reduce((before, [from, to]) => {
  assert.ok(before.includes(from), `the recipe has no ${from}`);
  return before.replaceAll(from, to);
}, text);

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** The files of a configMapGenerator, as kustomize reads them. */
function configMap(name) {
  const { configMapGenerator: generators } = document(join(directory, 'kustomization.yaml'));
  const { files } = generators.find((generator) => generator.name === name);
  return Object.fromEntries(files.map((file) => [file, here(recipe(file))]));
}

const tls = (name) => ({ 'tls.crt': pki[name].chain, 'tls.key': pki[name].key, 'ca.crt': pki['infra-ca'].certificate });

const mountOf = (volume) => join(volumes, container.volumeMounts.find(({ name }) => name === volume).mountPath);

/** Everything that the pod mounts. */
function mountAll(configuration = certbound) {
  const mounted = {
    envoy: configMap('envoy'),
    certbound: { 'certbound.yaml': here(configuration) },
    'edge-tls': tls('edge'),
    'envoy-tls': tls('envoy'),
  };
  for (const [volume, files] of Object.entries(mounted)) mount(mountOf(volume), files);
  mountFile(join(mountOf('module'), 'plugin.wasm'), join(root, required('build/certbound.wasm')));
  assert.deepEqual(container.volumeMounts.map(({ name }) => name).sort(), [...Object.keys(mounted), 'module'].sort());
}

/** The recipe's bootstrap with addresses of this machine. */
const bootstrap = (serverPort, adminPort) => document(join(directory, 'envoy.yaml'), (text) => replaced(
  here(text),
  ['address: 0.0.0.0, port_value: 8443', 'address: 127.0.0.1, port_value: 0'],
  ['address: 0.0.0.0, port_value: 9902', 'address: 127.0.0.1, port_value: 0'],
  ['address: 127.0.0.1, port_value: 9901', `address: 127.0.0.1, port_value: ${adminPort}`],
  ['address: authorization-server, port_value: 9443', `address: 127.0.0.1, port_value: ${serverPort}`],
));

describe('deploy/kubernetes in Envoy', () => {
  let server;
  let envoy;
  let adminPort;
  before(async () => {
    mountAll();
    server = await startServer({ isTls: true });
    adminPort = await freePort();
    envoy = await startBootstrap('kubernetes', bootstrap(server.port, adminPort), { environment });
  });
  after(async () => {
    await envoy?.stop();
    server?.stop();
  });

  const deliveries = 'extension_config_discovery.http_filter.certbound';
  async function apply(configuration) {
    const answers = async () => await envoy.counter(`${deliveries}.update_success`) + await envoy.counter(`${deliveries}.update_rejected`);
    const before = await answers();
    update(mountOf('certbound'), { 'certbound.yaml': here(configuration) });
    await until('Envoy to notice the ConfigMap', async () => (await answers() > before) || undefined);
  }

  const connected = (certificate, use) => withConnection(envoy.ports.clients, { certificate }, use);
  const send = (certificate, clientId) => connected(certificate, (connection) => connection.send(form(clientId)));

  test('clients get in with their certificates, which the server gets signed, and nobody else does', () => assertGuarded(envoy.ports.clients));

  test('a client that is added to the ConfigMap is known at once, on an open connection', async () => {
    const batch = '- client_id: batch\n                token_endpoint_auth_method: tls_client_auth\n'
      + '                tls_client_auth_san_uri: spiffe://example.org/batch\n              ';
    await connected('batch', async (connection) => {
      assert.equal((await connection.send(form('batch'))).status, 401);
      await apply(replaced(certbound, ['- client_id: portal', `${batch}- client_id: portal`]));
      assert.equal((await connection.send(form('batch'))).status, 200);
      await apply(certbound);
      assert.equal((await connection.send(form('batch'))).status, 401);
    });
  });

  test('so is a CRL', async () => {
    const crl = crls['client-ca'].trimEnd().replaceAll('\n', '\n                  ');
    const withCrl = replaced(certbound, [
      '                # crls: |\n                #   -----BEGIN X509 CRL-----\n',
      `                crls: |\n                  ${crl}\n`,
    ]);
    await connected('payments-revoked', async (connection) => {
      assert.equal((await connection.send(form('payments'))).status, 200);
      await apply(withCrl);
      assert.equal((await connection.send(form('payments'))).status, 401);
      assert.equal((await send('payments', 'payments')).status, 200);
      await apply(certbound);
    });
  });

  test('a configuration that certbound does not accept changes nothing', async () => {
    const before = await envoy.counter(`${deliveries}.update_rejected`);
    await apply(replaced(certbound, ['unregistered_clients: deny', 'unregistered_client: pass']));
    assert.equal(await envoy.counter(`${deliveries}.update_rejected`), before + 1);
    assert.ok(envoy.log().includes('unregistered_client'), 'the log does not say why');
    assert.equal((await send('payments', 'payments')).status, 200);
    assert.equal((await send('payments', 'nobody')).status, 401);
    await apply(certbound);
  });

  test('a renewed server certificate is presented to new connections', async () => {
    const presented = () => new Promise((resolve, reject) => {
      const socket = https.request({ port: envoy.ports.clients, ...identity(), servername: 'localhost', method: 'GET', path: '/', agent: false }, (response) => {
        resolve(response.socket.getPeerX509Certificate().fingerprint256);
        response.destroy();
      });
      socket.once('error', reject);
      socket.end();
    });
    const fingerprint = (name) => new X509Certificate(pki[name].certificate).fingerprint256;
    assert.equal(await presented(), fingerprint('edge'));
    update(mountOf('edge-tls'), tls('as'));
    await until('Envoy to present the other certificate', async () => (await presented() === fingerprint('as')) || undefined);
    update(mountOf('edge-tls'), tls('edge'));
    await until('Envoy to present the first certificate again', async () => (await presented() === fingerprint('edge')) || undefined);
  });

  test('the port for probes has readiness and metrics, and nothing else of the admin interface', async () => {
    const origin = `http://127.0.0.1:${envoy.ports.health}`;
    const { httpGet } = container.readinessProbe;
    assert.equal((await fetch(`${origin}${httpGet.path}`)).status, 200);
    assert.match(await (await fetch(`${origin}/stats/prometheus`)).text(), /^\S*certbound_allowed\S* \d+$/m);
    for (const path of ['/', '/config_dump', '/stats', '/ready/../config_dump', '/ready/', '/stats/prometheus/x']) {
      assert.equal((await fetch(`${origin}${path}`)).status, 404, path);
    }
    for (const path of ['/ready', '/quitquitquit', '/drain_listeners']) {
      assert.equal((await fetch(`${origin}${path}`, { method: 'POST' })).status, 404, path);
    }
  });

  // The last one: Envoy is of no use afterwards.
  test('a pod that ends is not ready, and ends connections after their requests', async () => {
    await connected('payments', async (connection) => {
      assert.notEqual((await connection.send(form('payments'))).headers.connection, 'close');
      const [shell, options, script] = container.lifecycle.preStop.exec.command;
      const adapted = replaced(script, ['/127.0.0.1/9901', `/127.0.0.1/${adminPort}`], ['sleep 25', 'true']);
      const { stdout } = await promisify(execFile)(shell, [options, adapted]);
      assert.equal(stdout.match(/^HTTP\/1.1 200 OK/gm).length, 2, stdout);
      assert.equal((await fetch(`http://127.0.0.1:${envoy.ports.health}/ready`)).status, 503);
      await until('Envoy to end the connection', async () => {
        const { status, headers } = await connection.send(form('payments'));
        assert.equal(status, 200);
        return headers.connection === 'close' || undefined;
      });
    });
  });
});

test('a pod whose configuration certbound does not accept lets no request through, and is not ready', async () => {
  mountAll(replaced(certbound, ['unregistered_clients: deny', 'unregistered_client: pass']));
  const server = await startServer({ isTls: true });
  const envoy = await startBootstrap('kubernetes-refused', bootstrap(server.port, await freePort()), { environment });
  try {
    await envoy.logLines('unregistered_client');
    const ready = async () => (await fetch(`http://127.0.0.1:${envoy.ports.health}/ready`)).status;
    await withConnection(envoy.ports.clients, { certificate: 'payments' }, async (connection) => {
      assert.equal((await connection.send(form('payments'))).status, 500);
      assert.equal(await ready(), 500);
      update(mountOf('certbound'), { 'certbound.yaml': here(certbound) });
      await until('the pod to be ready', async () => (await ready() === 200) || undefined);
      assert.equal((await connection.send(form('payments'))).status, 200);
    });
  } finally {
    await envoy.stop();
    server.stop();
  }
});
