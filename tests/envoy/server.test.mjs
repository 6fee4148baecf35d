// The deployment that the repository ships, as `make run` starts it: envoy.yaml as it stands, before a real authorization
// server that believes no certificate without certbound's signature, with clients that know nothing of certbound.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import dns from 'node:dns';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { registrations, PORTAL_SECRET } from '../../demo/clients.mjs';
import { identity, rawConnection } from './client.mjs';
import { required, root } from './envoy.mjs';
import { Agent, fetch, openid } from './packages.mjs';
import { pki, rfc9440 } from './pki.mjs';
import { isHolder } from './registry.mjs';

const origin = 'https://localhost:8443';
const mtlsOrigin = 'https://mtls.localhost:8443';
const redirectUri = 'https://payments.example.com/callback';

let demo;
before(async () => {
  required('demo/node_modules/.package-lock.json');
  demo = spawn(process.execPath, ['demo/demo.mjs', '--serve'], { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
  process.once('exit', () => demo.kill());
  for await (const output of demo.stdout) {
    if (output.includes('Serving on')) return;
  }
  assert.fail('node demo/demo.mjs --serve ended');
});
after(async () => {
  demo.kill();
  if (demo.exitCode === null) await once(demo, 'exit');
});

const jsonLines = (path) => readFileSync(join(root, path), 'utf8').split('\n').slice(0, -1).map((line) => JSON.parse(line));
const accessLog = () => jsonLines('build/log/access.jsonl');
const serverLog = () => jsonLines('build/log/server.jsonl');

const denials = () => accessLog().filter(({ outcome }) => outcome === 'denied');
const header = ({ headers }, wanted) => headers.find(([name]) => name.toLowerCase() === wanted)?.[1];

/** Waits for a line: both logs are written after the client has its response. */
async function logged(find) {
  for (const deadline = Date.now() + 10_000; Date.now() < deadline; await pause(10)) {
    const line = find();
    if (line) return line;
  }
  return assert.fail(`waited in vain for the log line of ${find}`);
}

/** The line that a refusal adds to Envoy's access log. */
async function refusal(attempt) {
  const before = denials().length;
  await attempt();
  return logged(() => denials()[before]);
}

/** openid-client as `clientId` with further `metadata`, presenting `certificate`. `use` also gets the URLs it has asked. */
async function withLibrary({ clientId, certificate, allowH2 = false, authentication = openid.TlsClientAuth(), metadata = {} }, use) {
  const { ca, cert, key } = identity(certificate);
  // Not every resolver knows mtls.localhost.
  const lookup = (name, options, callback) => dns.lookup('localhost', options, callback);
  const dispatcher = new Agent({ allowH2, connect: { ca, cert, key, lookup } });
  const asked = [];
  const customFetch = (url, options) => {
    asked.push(url);
    return fetch(url, { ...options, dispatcher });
  };
  try {
    const server = await openid.discovery(new URL(origin), clientId, metadata, authentication, { [openid.customFetch]: customFetch });
    return await use(server, asked);
  } finally {
    await dispatcher.close();
  }
}

const boundTo = (certificate) => ({ 'x5t#S256': pki[certificate]['x5t#S256'] });

const certificateClients = [
  ['payments', 'payments'],
  ['payments', 'payments-rotated'],
  ['payments', 'payments-with-extra'],
  ['batch', 'batch'],
  ['supplier', 'supplier'],
  ['partner-app', 'partner-app'],
];

describe('openid-client', () => {
  for (const allowH2 of [false, true]) {
    for (const [clientId, certificate] of certificateClients) {
      test(`${clientId} with ${certificate} gets a bound token, introspects and revokes it over ${allowH2 ? 'HTTP/2' : 'HTTP/1.1'}`, () =>
        withLibrary({ clientId, certificate, allowH2 }, async (server) => {
          const { access_token: token } = await openid.clientCredentialsGrant(server);
          const { active, cnf } = await openid.tokenIntrospection(server, token);
          assert.equal(active, true);
          assert.deepEqual(cnf, boundTo(certificate));
          await openid.tokenRevocation(server, token);
          assert.equal((await openid.tokenIntrospection(server, token)).active, false);
        }));
    }
  }

  test('metadata tells of mutual TLS what envoy.yaml says and the server does not know', () =>
    withLibrary({ clientId: 'payments', certificate: 'payments' }, (server) => {
      const metadata = server.serverMetadata();
      assert.deepEqual(metadata.mtls_endpoint_aliases, {
        token_endpoint: `${mtlsOrigin}/token`,
        introspection_endpoint: `${mtlsOrigin}/token/introspection`,
        revocation_endpoint: `${mtlsOrigin}/token/revocation`,
        pushed_authorization_request_endpoint: `${mtlsOrigin}/request`,
        device_authorization_endpoint: `${mtlsOrigin}/device/auth`,
      });
      assert.equal(metadata.token_endpoint, `${origin}/token`);
      assert.equal(metadata.tls_client_certificate_bound_access_tokens, true);
    }));

  for (const allowH2 of [false, true]) {
    for (const [clientId, certificate] of certificateClients) {
      test(`${clientId} with ${certificate} follows the aliases for mutual TLS over ${allowH2 ? 'HTTP/2' : 'HTTP/1.1'}`, () =>
        withLibrary({ clientId, certificate, allowH2, metadata: { use_mtls_endpoint_aliases: true } }, async (server, asked) => {
          const { access_token: token } = await openid.clientCredentialsGrant(server);
          assert.deepEqual((await openid.tokenIntrospection(server, token)).cnf, boundTo(certificate));
          await openid.tokenRevocation(server, token);
          assert.deepEqual(asked.slice(1), ['/token', '/token/introspection', '/token/revocation'].map((path) => mtlsOrigin + path));
        }));
    }
  }

  test('a PKI client pushes an authorization request', () =>
    withLibrary({ clientId: 'payments', certificate: 'payments' }, async (server) => {
      const challenge = await openid.calculatePKCECodeChallenge(openid.randomPKCECodeVerifier());
      const url = await openid.buildAuthorizationUrlWithPAR(server, {
        redirect_uri: redirectUri, scope: 'openid', code_challenge: challenge, code_challenge_method: 'S256',
      });
      assert.ok(url.searchParams.get('request_uri'));
    }));

  for (const certificate of [null, 'payments']) {
    test(`a client with a secret gets an unbound token, ${certificate ? 'a' : 'no'} certificate presented`, () =>
      withLibrary({ clientId: 'portal', certificate, authentication: openid.ClientSecretBasic(PORTAL_SECRET) }, async (server) => {
        const { access_token: token } = await openid.clientCredentialsGrant(server);
        const { active, cnf } = await openid.tokenIntrospection(server, token);
        assert.equal(active, true);
        assert.equal(cnf, undefined);
      }));
  }

  test('a client with a wrong secret is refused by the server', () =>
    withLibrary({ clientId: 'portal', authentication: openid.ClientSecretBasic('wrong') }, (server) =>
      assert.rejects(openid.clientCredentialsGrant(server), { status: 401 })));

  test('a public client with bound tokens starts the device flow with any certificate', () =>
    withLibrary({ clientId: 'mobile', certificate: 'partner-next', authentication: openid.None() }, async (server) => {
      assert.ok((await openid.initiateDeviceAuthorization(server, { scope: 'openid' })).device_code);
      const received = await logged(() => serverLog().find(({ path }) => path === '/device/auth'));
      assert.equal(header(received, 'client-cert'), rfc9440('partner-next'));
    }));

  for (const [clientId, certificate, reason] of [
    ['payments', 'batch', 'subject_mismatch'],
    ['payments', 'payments-expired', 'certificate_expired'],
    ['payments', 'payments-future', 'certificate_not_yet_valid'],
    ['payments', 'payments-rogue', 'certificate_untrusted'],
    ['payments', 'payments-by-partner', 'certificate_untrusted'],
    ['payments', 'payments-selfsigned', 'certificate_untrusted'],
    ['payments', 'payments-server-only', 'certificate_purpose'],
    ['payments', 'partner-app', 'certificate_untrusted'],
    ['payments', null, 'certificate_missing'],
    ['batch', 'payments', 'subject_mismatch'],
    ['batch', 'batch-rogue', 'certificate_untrusted'],
    ['supplier', 'payments', 'certificate_untrusted'],
    ['supplier', 'payments-by-partner', 'subject_mismatch'],
    ['partner-app', 'partner-next', 'certificate_not_registered'],
    ['partner-app', 'payments', 'certificate_not_registered'],
    ['partner-app', null, 'certificate_missing'],
    ['mobile', null, 'certificate_missing'],
    ['stranger', 'payments', 'client_not_registered'],
  ]) {
    test(`${clientId} with ${certificate ?? 'no certificate'} is told invalid_client, the log ${reason}`, () =>
      withLibrary({ clientId, certificate }, async (server) => {
        const line = await refusal(() =>
          assert.rejects(openid.clientCredentialsGrant(server), { error: 'invalid_client', status: 401 }));
        assert.equal(line.reason, reason);
        assert.equal(line.client_id, clientId);
      }));
  }

  for (const [clientId, certificate] of [['payments', 'batch'], ['partner-app', 'partner-next']]) {
    test(`a token of ${clientId} is of no use with ${certificate}`, async () => {
      const { access_token: token } = await withLibrary({ clientId, certificate: clientId }, (server) =>
        openid.clientCredentialsGrant(server));
      await withLibrary({ clientId, certificate }, async (server) => {
        await refusal(() => assert.rejects(openid.tokenIntrospection(server, token), { error: 'invalid_client' }));
        await refusal(() => assert.rejects(openid.tokenRevocation(server, token), { error: 'invalid_client' }));
      });
    });
  }
});

describe('curl', () => {
  const run = promisify(execFile);

  async function curl(certificate, ...parameters) {
    const credentials = certificate ? ['--cert', `build/pki/${certificate}.pem`, '--key', `build/pki/${certificate}.key`] : [];
    const common = ['-q', '-sS', '--noproxy', '*', '--max-time', '20', '--cacert', 'build/pki/infra-ca.pem', '-w', '\n%{http_code}'];
    const { stdout } = await run('curl', [...common, ...credentials, ...parameters], { cwd: root });
    const [, body, status] = /^([^]*)\n(\d+)$/.exec(stdout);
    return { status: Number(status), body };
  }

  const credentials = (clientId, path = '/token') =>
    ['-d', 'grant_type=client_credentials', '-d', `client_id=${clientId}`, `${origin}${path}`];

  for (const options of [['--http1.1'], ['--http2'], ['--http1.1', '--tls-max', '1.2'], ['--tlsv1.3']]) {
    for (const [clientId, certificate] of certificateClients) {
      test(`${clientId} with ${certificate} gets a token with ${options.join(' ')}`, async () => {
        const { status, body } = await curl(certificate, ...options, ...credentials(clientId));
        assert.equal(status, 200, body);
        assert.ok(JSON.parse(body).access_token);
      });
    }
  }

  test('a second request that would resume the TLS session is served as the first', async () => {
    const { body } = await curl('payments', '--no-keepalive', '-H', 'Connection: close', ...credentials('payments'), `${origin}/token`);
    assert.equal(body.match(/access_token/g).length, 2, body);
  });

  test("a forged header with payments' real certificate is worth nothing", async () => {
    for (const certificate of [null, 'batch']) {
      const line = await refusal(async () => {
        const { status, body } = await curl(certificate, '-H', `Client-Cert: ${rfc9440('payments')}`, ...credentials('payments'));
        assert.equal(status, 401);
        assert.equal(JSON.parse(body).error, 'invalid_client');
      });
      assert.equal(line.reason, certificate ? 'subject_mismatch' : 'certificate_missing');
    }
  });

  test('a header with an underscore is refused by Envoy itself', async () => {
    const forged = `Client_Cert: ${rfc9440('payments')}`;
    assert.equal((await curl('payments', '--http1.1', '-H', forged, ...credentials('payments'))).status, 400);
  });

  describe('the token endpoint by another spelling', () => {
    const spellings = [
      '/TOKEN', '/Token', '/token/', '/token//', '//token', '/./token', '/x/../token', '/../token', '/%74oken', '/%54OKEN', '/%2e/token',
      '/x/%2e%2e/token', '/token/.', '/token/x/..', '/token;x=y', '/token;', '/;x=y/token', '/token%3Bx=y', '/token%20', '/token.', '/token%2F',
      '/%2Ftoken', '/x%2F..%2Ftoken', '/token%5C', '/\\token', '/x\\..\\token', '/%5Ctoken', '/%252Ftoken', '/%2574oken', '/token%3F', '/token%23',
      '/token%00', '/token?', '/token?x=/../y', '/token/introspection/../../token', '/TOKEN/INTROSPECTION', '/request/', '/device//auth',
    ];
    const forged = ['-H', `Client-Cert: ${rfc9440('payments')}`, '-H', `X-Forwarded-Client-Cert: Hash=${'0'.repeat(64)}`];
    const send = (certificate, path, ...more) =>
      curl(certificate, '--http1.1', '--path-as-is', ...forged, ...credentials('payments', path), ...more);

    for (const path of spellings) {
      test(`is no way around: ${path}`, async () => {
        for (const certificate of [null, 'batch']) {
          const before = serverLog().length;
          const { status, body } = await send(certificate, path);
          assert.ok([400, 401, 404].includes(status), `${path}: ${status} ${body}`);
          // Nothing that an impostor sends under any spelling reaches the server with a certificate.
          const since = serverLog().slice(before).filter((line) => header(line, 'client-cert') !== undefined);
          assert.deepEqual(since, []);
        }
      });
    }

    for (const [what, options] of [
      ['an absolute target', ['--request-target', 'https://localhost:8443/token']],
      ['an absolute target of another host', ['--request-target', 'https://evil.example/token']],
      ['a user in the authority', ['--request-target', 'https://payments@localhost:8443/token']],
      ['another Host', ['-H', 'Host: evil.example']],
      ['a fragment', ['--request-target', '/token#x']],
      ['a target without a slash', ['--request-target', 'token']],
    ]) {
      test(`is no way around: ${what}`, async () => {
        const { status } = await send(null, '/token', ...options);
        assert.ok([400, 401, 404].includes(status), String(status));
      });
    }
  });
});

describe('the authorization server', () => {
  for (const certificate of [null, 'payments', 'partner-app']) {
    test(`cannot be reached past Envoy with ${certificate ?? 'no certificate'}`, () =>
      assert.rejects(async () => {
        const connection = await rawConnection(9443, { certificate, servername: 'as.internal' });
        connection.write('GET /.well-known/openid-configuration HTTP/1.1\r\nHost: localhost:8443\r\n\r\n');
        await connection.response();
      }));
  }

  test('registers the clients that envoy.yaml registers', () => {
    const configured = readFileSync(join(root, 'envoy.yaml'), 'utf8').match(/client_id: [\w-]+$/gm).map((line) => line.slice(11));
    assert.deepEqual(registrations(pki).map(({ client_id: clientId }) => clientId), configured);
  });

  test('never received a request that was refused', () => {
    const received = new Set(serverLog().map((line) => header(line, 'x-request-id')));
    assert.ok(received.size > 20 && denials().length > 15);
    assert.deepEqual(denials().filter(({ request_id: id }) => received.has(id)), []);
  });

  test('never received a certificate that was not signed, or was not of the client that used it', () => {
    const withCertificate = serverLog().filter(({ headers }) => headers.some(([name]) => /cert/i.test(name)));
    assert.ok(withCertificate.length > 20);
    for (const { headers, body, signature } of withCertificate) {
      const [[name, value], ...others] = headers.filter(([header]) => /cert/i.test(header));
      assert.equal(name, 'client-cert');
      assert.deepEqual(others, []);
      assert.equal(signature, 'verified by http-message-signatures');
      const clientId = new URLSearchParams(body).get('client_id');
      const names = Object.keys(pki).filter((known) => value === rfc9440(known));
      assert.ok(names.some((presented) => isHolder({ clientId, presented })), `${clientId} came with ${names}`);
    }
  });
});
