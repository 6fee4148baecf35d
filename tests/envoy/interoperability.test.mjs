// Authorization servers and decoders that are not ours, behind Envoy and certbound in every form they read; and proxies
// whose forms certbound writes, to which it is compared byte by byte. docs/interoperability.md tells what came of it.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { connect } from './client.mjs';
import { required, startEnvoy } from './envoy.mjs';
import { declareForms } from './forms.mjs';
import { pki, resolve } from './pki.mjs';
import { forms, startOidcProviders } from './servers/oidc-provider.mjs';
import { startServer } from './servers/process.mjs';
import { startTraefik } from './servers/traefik.mjs';

const secret = randomBytes(24).toString('hex');

const clients = resolve([
  {
    client_id: 'payments',
    token_endpoint_auth_method: 'tls_client_auth',
    tls_client_auth_subject_dn: 'CN=payments,O=Example Bank,C=SE',
  },
  {
    client_id: 'via-two-intermediates',
    token_endpoint_auth_method: 'tls_client_auth',
    tls_client_auth_subject_dn: 'CN=via-two-intermediates',
  },
  {
    client_id: 'partner-app',
    token_endpoint_auth_method: 'self_signed_tls_client_auth',
    certificate_thumbprints: ['@x5t#S256:partner-app'],
  },
]);

const configuration = (endpoints, certificateHeader, more = {}) => resolve({
  endpoints,
  clients,
  trust_anchors: { 'client-ca': { certificates: '@pem:client-ca' } },
  certificate_header: certificateHeader,
  client_id_header: 'X-Client-Id',
  ...more,
});

/** What a form is called in `certificate_header`, with the chain where the form has one. */
const certificateHeaders = {
  rfc9440: { chain_name: 'Client-Cert-Chain' },
  urlencoded_pem: { format: 'urlencoded_pem', chain_name: 'ssl-client-chain', verify_name: 'ssl-client-verify' },
  pem: { format: 'pem', chain_name: 'ssl-client-chain' },
  numbered_pem: { format: 'pem', name: 'SSL-CLIENT-CERT', chain_name: 'SSL-CLIENT-CERT-CHAIN-%d' },
  base64_der: { format: 'base64_der', chain_name: 'ssl-client-chain' },
  traefik: { format: 'traefik', chain_name: 'X-Forwarded-Tls-Client-Cert' },
  xfcc: { format: 'xfcc', chain_name: 'X-Forwarded-Client-Cert' },
};

/** A form that is posted on a connection of its own: the status, and the JSON of the response. */
async function post(port, path, fields, { certificate, authority, headers = [] }) {
  const connection = await connect(port, { certificate, authority });
  try {
    const { status, body } = await connection.send({
      method: 'POST',
      path,
      headers: [['content-type', 'application/x-www-form-urlencoded'], ...headers],
      body: Buffer.from(new URLSearchParams(fields).toString()),
    });
    return { status, json: JSON.parse(body) };
  } finally {
    await connection.close();
  }
}

const tokenRequest = (clientId) => ({ grant_type: 'client_credentials', client_id: clientId });

function assertInvalidClient({ status, json }) {
  assert.deepEqual([status, json.error], [401, 'invalid_client']);
}

describe('oidc-provider, with the getCertificate of its documentation', () => {
  let servers;
  let envoy;
  before(async () => {
    servers = await startOidcProviders();
    const endpoints = [{ path: '/token' }];
    const listeners = Object.fromEntries(Object.entries(forms).map(([form, { certificateHeader }]) =>
      [form, { configuration: configuration(endpoints, certificateHeader) }]));
    envoy = await startEnvoy('interoperability-oidc-provider', listeners, servers.port);
  });
  after(async () => {
    await envoy?.stop();
    await servers?.stop();
  });

  for (const form of Object.keys(forms)) {
    const ask = (clientId, certificate) =>
      post(envoy.ports[form], '/token', tokenRequest(clientId), { certificate, authority: form });

    for (const clientId of ['payments', 'partner-app']) {
      test(`${form}: a token of ${clientId} is bound to its certificate`, async () => {
        const { status, json } = await ask(clientId, clientId);
        assert.equal(status, 200, JSON.stringify(json));
        assert.equal(await servers.confirmation(form, json.access_token), pki[clientId]['x5t#S256']);
      });
    }

    test(`${form}: another client's certificate gets no token`, async () => {
      assertInvalidClient(await ask('payments', 'partner-app'));
    });
  }
});

describe('servers in Python', () => {
  let servers;
  let envoy;
  before(async () => {
    required('build/venv-servers/bin/traefik'); // installed together with everything else there
    servers = await startServer(
      'build/venv-servers/bin/python',
      ['tests/envoy/servers/authorization_servers.py'],
      { CLIENT_SECRET: secret },
    );
    const withForms = Object.entries(certificateHeaders).map(([form, certificateHeader]) => [form, {
      tellsChain: true,
      configuration: configuration([{ path: '/authlib/token' }, { path: '/authlib/introspect' }], certificateHeader),
    }]);
    const knownBySecret = configuration([{ path: '/secrets/token' }, { path: '/django/o/token/' }], {});
    knownBySecret.clients[0].upstream_client_secret = { env: 'PAYMENTS_SECRET' };
    const listeners = {
      ...Object.fromEntries(withForms),
      secrets: { configuration: knownBySecret, environment: { PAYMENTS_SECRET: secret } },
    };
    envoy = await startEnvoy('interoperability-python', listeners, servers.port);
  });
  after(async () => {
    await envoy?.stop();
    await servers?.stop();
  });

  describe('Authlib, verifying the certificate itself', () => {
    for (const form of Object.keys(certificateHeaders)) {
      const ask = (endpoint, fields, certificate) =>
        post(envoy.ports[form], `/authlib/${endpoint}`, fields, { certificate, headers: [['x-form', form]] });

      for (const clientId of ['payments', 'via-two-intermediates', 'partner-app']) {
        test(`${form}: a token of ${clientId} is bound to its certificate`, async () => {
          const issued = await ask('token', tokenRequest(clientId), clientId);
          assert.equal(issued.status, 200, JSON.stringify(issued.json));
          const { json } = await ask('introspect', { token: issued.json.access_token, client_id: clientId }, clientId);
          assert.equal(json.active, true, JSON.stringify(json));
          assert.deepEqual(json.cnf, { 'x5t#S256': pki[clientId]['x5t#S256'] });
        });
      }

      test(`${form}: another client's certificate gets no token`, async () => {
        assertInvalidClient(await ask('token', tokenRequest('payments'), 'via-two-intermediates'));
      });
    }
  });

  for (const [name, path] of [['Authlib', '/secrets/token'], ['Django OAuth Toolkit', '/django/o/token/']]) {
    describe(`${name}, which knows secrets only`, () => {
      const ask = (clientId, certificate) => post(envoy.ports.secrets, path, tokenRequest(clientId), { certificate });

      test('issues a token to a client that its certificate authenticated', async () => {
        const { status, json } = await ask('payments', 'payments');
        assert.equal(status, 200, JSON.stringify(json));
        assert.ok(json.access_token);
      });

      test('issues none without the certificate', async () => {
        assertInvalidClient(await ask('payments', null));
        assertInvalidClient(await ask('payments', 'partner-app'));
      });

      test('refuses a client without upstream_client_secret: it is the secret that it believes', async () => {
        assertInvalidClient(await ask('partner-app', 'partner-app'));
      });
    });
  }
});

declareForms('interoperability-forms', {
  Envoy: {
    start: async (upstreamPort) => {
      const { ports, stop } = await startEnvoy('interoperability-envoy', { plain: { tellsChain: true } }, upstreamPort);
      return { port: ports.plain, stop };
    },
    certificateHeader: certificateHeaders.xfcc,
    fields: ['x-forwarded-client-cert'],
  },
  Traefik: {
    start: startTraefik,
    certificateHeader: certificateHeaders.traefik,
    fields: ['x-forwarded-tls-client-cert'],
  },
});
