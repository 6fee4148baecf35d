// The deployment that the repository ships, as `make run` starts it: envoy.yaml as it stands, before a real authorization
// server that believes no certificate without certbound's signature, with clients that know nothing of certbound.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import dns from 'node:dns';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { GATEWAY_SECRET, registrations, PORTAL_SECRET } from '../../demo/clients.mjs';
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

const run = promisify(execFile);

async function curl(certificate, ...parameters) {
  const credentials = certificate ? ['--cert', `build/pki/${certificate}.pem`, '--key', `build/pki/${certificate}.key`] : [];
  const common = ['-q', '-sS', '--noproxy', '*', '--max-time', '20', '--cacert', 'build/pki/infra-ca.pem', '-w', '\n%{http_code}'];
  const { stdout } = await run('curl', [...common, ...credentials, ...parameters], { cwd: root });
  const [, body, status] = /^([^]*)\n(\d+)$/.exec(stdout);
  return { status: Number(status), body };
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

describe('a protected resource', () => {
  const jwtPath = '/api/accounts';
  const opaquePath = '/opaque/accounts';
  const resource = `${origin}/api/`;

  const getToken = ({ clientId = 'payments', certificate = clientId, parameters = { resource } } = {}) =>
    withLibrary({ clientId, certificate }, async (server) => (await openid.clientCredentialsGrant(server, parameters)).access_token);

  const unboundToken = (parameters) =>
    withLibrary({ clientId: 'portal', authentication: openid.ClientSecretBasic(PORTAL_SECRET) }, async (server) =>
      (await openid.clientCredentialsGrant(server, parameters)).access_token);

  const opaqueToken = () => getToken({ parameters: {} });

  /** openid-client, with a certificate, at a resource. */
  const withToken = (token, { certificate, path = jwtPath, allowH2 }) =>
    withLibrary({ clientId: 'payments', certificate, allowH2 }, async (server) => {
      const response = await openid.fetchProtectedResource(server, token, new URL(path, origin), 'GET');
      return { status: response.status, body: await response.json() };
    });

  /** curl, with a certificate and whatever Authorization, at a resource. */
  const ask = (certificate, path, authorization, ...more) =>
    curl(certificate, ...(authorization ? ['-H', `Authorization: ${authorization}`] : []), ...more, origin + path);

  async function assertRefused(token, { reason, ...use }) {
    const line = await refusal(() =>
      assert.rejects(withToken(token, use), ({ status, cause: [{ scheme, parameters }] }) => {
        assert.deepEqual({ status, scheme, ...parameters }, { status: 401, scheme: 'bearer', error: 'invalid_token' });
        return true;
      }));
    assert.equal(line.reason, reason);
  }

  /** The answer of jwt_authn, and what the access log has of it. */
  async function refusedByEnvoy(attempt) {
    const before = accessLog().length;
    const { status, body } = await attempt();
    assert.equal(status, 401, body);
    const line = await logged(() => accessLog().slice(before).find(({ path }) => path === jwtPath));
    assert.equal(line.outcome, undefined);
    return line.status_details;
  }

  const claimsOf = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));
  const encoded = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

  for (const allowH2 of [false, true]) {
    for (const [clientId, certificate] of certificateClients) {
      test(`gets the token of ${clientId}, and ${certificate} to which it is bound, over ${allowH2 ? 'HTTP/2' : 'HTTP/1.1'}`, async () => {
        const token = await getToken({ clientId, certificate });
        const { status, body } = await withToken(token, { certificate, allowH2 });
        assert.equal(status, 200);
        assert.equal(body.claims.client_id, clientId);
        assert.deepEqual(body.claims.cnf, boundTo(certificate));
        assert.deepEqual({ 'x5t#S256': body.thumbprint }, boundTo(certificate));
        assert.equal(body.certificate, rfc9440(certificate));
      });
    }
  }

  for (const [certificate, reason] of [
    ['batch', 'token_not_bound'],
    ['payments-rotated', 'token_not_bound'], // the same subject
    ['payments-rogue', 'token_not_bound'],
    ['partner-app', 'token_not_bound'],
    [null, 'certificate_missing'],
  ]) {
    test(`does not get a stolen token with ${certificate ?? 'no certificate'}`, async () => {
      const jwt = await getToken();
      const opaque = await opaqueToken();
      assert.equal((await withToken(jwt, { certificate: 'payments' })).status, 200);
      for (const allowH2 of [false, true]) {
        await assertRefused(jwt, { certificate, reason, allowH2 });
        await assertRefused(opaque, { certificate, reason, allowH2, path: opaquePath });
      }
      assert.equal((await withToken(opaque, { certificate: 'payments', path: opaquePath })).status, 200);
    });
  }

  for (const maxVersion of ['TLSv1.2', 'TLSv1.3']) {
    test(`gets from a resumed session what it gets from a new one, with ${maxVersion}`, async () => {
      const tokens = { [jwtPath]: await getToken(), [opaquePath]: await opaqueToken() };
      for (const [certificate, status] of [['payments', 200], ['batch', 401]]) {
        for (const [path, token] of Object.entries(tokens)) {
          const agent = new https.Agent({ ...identity(certificate), host: 'localhost', servername: 'localhost', port: 8443, maxVersion });
          const seen = [];
          for (let connection = 0; connection < 2; connection += 1) {
            const request = https.get(origin + path, { agent, headers: { Authorization: `Bearer ${token}` } });
            const [response] = await once(request, 'response');
            response.resume();
            await once(response, 'end');
            seen.push({ status: response.statusCode, isResumed: response.socket.isSessionReused() });
          }
          assert.deepEqual(seen, [{ status, isResumed: false }, { status, isResumed: true }]);
        }
      }
    });
  }

  test('does not get a token that is bound to nothing', async () => {
    const token = await unboundToken({ resource });
    assert.equal(claimsOf(token).cnf, undefined);
    for (const certificate of ['payments', null]) await assertRefused(token, { certificate, reason: 'token_not_bound' });
    await assertRefused(await unboundToken({}), { certificate: 'payments', path: opaquePath, reason: 'token_not_bound' });
  });

  test('does not get a token that was tampered with', async () => {
    const token = await getToken();
    const [header, , signature] = token.split('.');
    const claims = encoded({ ...claimsOf(token), cnf: boundTo('batch') });
    const unsigned = `${encoded({ alg: 'none', typ: 'at+jwt' })}.${claims}.`;
    for (const [tampered, detail] of [
      [[header, claims, signature].join('.'), /Jwt_verification_fails/],
      [unsigned, /jwt_authn_access_denied/],
    ]) {
      assert.match(await refusedByEnvoy(() => ask('batch', jwtPath, `Bearer ${tampered}`)), detail);
    }
  });

  test('does not get a token that has expired', async () => {
    const token = await getToken({ parameters: { resource: `${resource}briefly` } });
    const skewSeconds = Number(/clock_skew_seconds: (\d+)/.exec(readFileSync(join(root, 'envoy.yaml'), 'utf8'))[1]);
    while (Date.now() / 1000 <= claimsOf(token).exp + skewSeconds + 1) await pause(100);
    assert.match(await refusedByEnvoy(() => ask('payments', jwtPath, `Bearer ${token}`)), /Jwt_is_expired/);
  });

  test('gets no request without a token', async () => {
    assert.match(await refusedByEnvoy(() => ask('payments', jwtPath)), /Jwt_is_missing/);
    const line = await refusal(async () => {
      const { status, body } = await ask('payments', opaquePath, undefined, '-D', '-');
      assert.equal(status, 401);
      assert.match(body, /^www-authenticate: Bearer\r$/im);
    });
    assert.equal(line.reason, 'token_missing');
  });

  test('gets no request with a token in the query or in a form', async () => {
    const token = await getToken();
    assert.match(await refusedByEnvoy(() => ask('payments', `${jwtPath}?access_token=${token}`)), /Jwt_is_missing/);
    for (const request of [[`${jwtPath}?access_token=x`], [jwtPath, '-d', 'access_token=x']]) {
      const [path, ...more] = request;
      const line = await refusal(async () => {
        assert.equal((await ask('payments', path, `Bearer ${token}`, ...more)).status, 400);
      });
      assert.equal(line.reason, 'token_misplaced');
    }
  });

  test('gets no header that a client wrote', async () => {
    const forged = ['-H', `Client-Cert: ${rfc9440('batch')}`, '-H', 'Client-Thumbprint: forged'];
    const { status, body } = await ask('payments', jwtPath, `Bearer ${await getToken()}`, ...forged);
    assert.equal(status, 200);
    const { thumbprint, certificate } = JSON.parse(body);
    assert.deepEqual([thumbprint, certificate], [pki.payments['x5t#S256'], rfc9440('payments')]);
  });

  test('gets no opaque token that is unknown or was revoked', async () => {
    await assertRefused('unknown', { certificate: 'payments', path: opaquePath, reason: 'token_inactive' });
    const token = await opaqueToken();
    await withLibrary({ clientId: 'payments', certificate: 'payments' }, (server) => openid.tokenRevocation(server, token));
    await assertRefused(token, { certificate: 'payments', path: opaquePath, reason: 'token_inactive' });
  });

  test('asks about tokens with credentials that are of no use to anyone else', async () => {
    const question = ['-u', `gateway:${GATEWAY_SECRET}`, '-d', `token=${await opaqueToken()}`, `${origin}/token/introspection`];
    const line = await refusal(async () => assert.equal((await curl(null, ...question)).status, 401));
    assert.equal(line.reason, 'client_not_registered');
  });

  test('gets no opaque token while the authorization server cannot be asked', async () => {
    const token = await opaqueToken();
    const server = serverProcess();
    process.kill(server, 'SIGSTOP');
    try {
      const line = await refusal(async () => {
        const { status, body } = await ask('payments', opaquePath, `Bearer ${token}`);
        assert.equal(status, 503);
        assert.equal(JSON.parse(body).error, 'temporarily_unavailable');
      });
      assert.equal(line.reason, 'introspection_failed');
    } finally {
      process.kill(server, 'SIGCONT');
    }
    assert.equal((await withToken(token, { certificate: 'payments', path: opaquePath })).status, 200);
  });

  /** The authorization server's process, a child of the demo's. */
  function serverProcess() {
    const children = readFileSync(`/proc/${demo.pid}/task/${demo.pid}/children`, 'utf8').trim().split(' ').map(Number);
    const server = children.find((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('demo/server.mjs'));
    assert.ok(server, 'the authorization server runs');
    return server;
  }

  for (const certificate of [null, 'payments']) {
    test(`cannot be reached past Envoy with ${certificate ?? 'no certificate'}`, () =>
      assert.rejects(async () => {
        const connection = await rawConnection(9444, { certificate, servername: 'resource.internal' });
        connection.write(`GET ${jwtPath} HTTP/1.1\r\nHost: localhost:8443\r\n\r\n`);
        await connection.response();
      }));
  }

  for (const path of [
    '/api', '/API/accounts', '//api/accounts', '/%61pi/accounts', '/x/../api/accounts', '/./api/accounts', '/api;x/accounts', '/;x/api/accounts',
    '/api%2Faccounts', '/api%252Faccounts', '\\api\\accounts', '/OPAQUE/accounts', '/opaque;x/accounts', '//opaque/accounts', '/x/../opaque/accounts',
  ]) {
    test(`has no way around to it: ${path}`, async () => {
      const token = await (/opaque/i.test(path) ? opaqueToken() : getToken());
      for (const [certificate, authorization] of [[null, undefined], ['batch', `Bearer ${token}`], [null, `Bearer ${token}`]]) {
        const before = accessLog().length;
        const { status, body } = await ask(certificate, '', authorization, '--http1.1', '--path-as-is', '--request-target', path);
        assert.ok([400, 401, 404].includes(status), `${status} ${body}`);
        const line = await logged(() => accessLog().slice(before).find(({ path: asked }) => !/^\/(token|\.well-known)/.test(asked)));
        assert.equal(line.upstream, undefined, JSON.stringify(line));
      }
    });
  }
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
