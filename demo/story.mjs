// The story of mutual-TLS client authentication: who gets a token and who does not, what the authorization server saw, and
// who can use the token.

import { X509Certificate } from 'node:crypto';
import dns from 'node:dns';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import { setTimeout as pause } from 'node:timers/promises';
import * as openid from 'openid-client';
import { Agent, fetch } from 'undici';
import { PORTAL_SECRET } from './clients.mjs';
import { accessLog, MTLS_ORIGIN, ORIGIN, RESOURCE, serverLog } from './deployment.mjs';
import { chapter, check, curl, say, shortened } from './narrator.mjs';

const CA = ['--cacert', 'build/pki/infra-ca.pem'];
const pki = JSON.parse(readFileSync('build/pki/pki.json'));

export async function tellStory() {
  console.log('OAuth clients authenticate with certificates (RFC 8705):');
  console.log('client ─mTLS─▶ Envoy with certbound ─mTLS─▶ authorization server');

  chapter('A client with a certificate from a trusted CA (tls_client_auth)');
  await getsBoundToken('payments', 'payments');

  chapter('What the authorization server received for it');
  showReceived(serverLog().find(({ path, status }) => path === '/token' && status === 200));

  chapter('The client renews its certificate: same name, new key, nothing to register');
  await getsBoundToken('payments', 'payments-rotated');

  chapter("A client of a partner: the partner's own CA, over an intermediate that the client presents");
  await getsBoundToken('supplier', 'supplier');

  chapter('A client with a certificate of its own making, registered by its thumbprint (self_signed_tls_client_auth)');
  await getsBoundToken('partner-app', 'partner-app');

  chapter('A client with a secret needs no certificate on the same listener');
  const portal = await curl([...CA, '-u', `portal:${PORTAL_SECRET}`], ['-d', 'grant_type=client_credentials', `${ORIGIN}/token`]);
  check('portal gets a token', portal.status === 200 && portal.body.access_token !== undefined);

  chapter("Impostors: everyone's answer is the same, and only the access log knows the reason");
  const line = await isRefused('payments', { certificate: 'batch', reason: 'subject_mismatch', because: "another client's certificate" });
  await isRefused('payments', { certificate: 'payments-expired', reason: 'certificate_expired', because: 'an expired certificate' });
  await isRefused('payments', { certificate: 'payments-rogue', reason: 'certificate_untrusted', because: 'a certificate by another CA' });
  await isRefused('partner-app', {
    certificate: 'partner-next',
    reason: 'certificate_not_registered',
    because: 'a self-signed certificate of the same name',
  });
  await isRefused('payments', {
    header: `Client-Cert: :${pki.payments.x5c}:`,
    reason: 'certificate_missing',
    because: "payments' real certificate in a forged header",
  });
  await isRefused('payments', { reason: 'certificate_missing', because: 'no certificate' });
  say('the access log on the first of them:');
  say(JSON.stringify(line));
  check('no refused request reached the authorization server', serverLog().every(({ status }) => status === 200));

  chapter("A CA that may issue certificates for a partner's clients cannot issue the names of yours");
  say('partner-ca even has the name of client-ca; certbound knows them by their keys:');
  for (const name of ['client-ca', 'partner-ca']) {
    say(`${name}.pem: ${new X509Certificate(pki[name].certificate).subject}, public key x=${pki[name].jwk.x}`);
  }
  await isRefused('payments', {
    certificate: 'payments-by-partner',
    reason: 'certificate_untrusted',
    because: 'its own name in a certificate that an intermediate of partner-ca issued',
  });

  chapter('Sessions are resumed, and the verdict is reached anew');
  await resumesSession('payments', { certificate: 'payments', status: 200 });
  await resumesSession('payments', { certificate: 'payments-by-partner', status: 401 });

  chapter('Going around Envoy, straight to the authorization server');
  for (const certificate of [undefined, 'payments']) {
    const parameters = [...form({ client_id: 'payments' }), 'https://localhost:9443/token'];
    const { exitCode } = await curl([...CA, ...clientCertificate(certificate)], parameters);
    // 35: refused in the handshake; 52, 55, 56: closed after it without an answer, as TLS 1.3 does
    const isClosed = [35, 52, 55, 56].includes(exitCode);
    check(`the server refuses the connection with ${certificate ? `${certificate}' certificate` : 'no certificate'}`, isClosed);
  }

  chapter('certbound tells clients of mutual TLS, in the metadata that the server wrote without knowing of it (RFC 8705 section 5)');
  const { body: metadata } = await curl(CA, [`${ORIGIN}/.well-known/openid-configuration`]);
  say(`mtls_endpoint_aliases: ${JSON.stringify(metadata.mtls_endpoint_aliases)}`);
  check(
    "token_endpoint stays the server's, and has an alias for clients with certificates",
    metadata.token_endpoint === `${ORIGIN}/token` && metadata.mtls_endpoint_aliases?.token_endpoint === `${MTLS_ORIGIN}/token`,
  );

  chapter('An unchanged OAuth library as the client, which uses those aliases: npm openid-client');
  await usesLibrary();

  chapter('A token is of no use to whoever steals it: at protected resources the certificate counts, too (RFC 8705 section 3)');
  const token = await getsToken('payments', { resource: RESOURCE });
  say("Envoy's jwt_authn verifies the token, certbound that payments' certificate is there, and both go to the resource:");
  await usesToken(token, { path: '/api/accounts', certificate: 'payments' });
  await cannotUse(token, { path: '/api/accounts', certificate: 'batch', reason: 'token_not_bound', because: "stolen, with batch's certificate" });
  await cannotUse(token, { path: '/api/accounts', reason: 'certificate_missing', because: 'stolen, with no certificate' });
  await cannotUse(await portalToken({ resource: RESOURCE }), {
    path: '/api/accounts', certificate: 'payments', reason: 'token_not_bound', because: "portal's, bound to nothing",
  });
  await isTampered(token, { as: 'batch', path: '/api/accounts' });
  say('of an opaque token certbound asks the authorization server (RFC 7662):');
  const opaque = await getsToken('payments');
  await usesToken(opaque, { path: '/opaque/accounts', certificate: 'payments' });
  await cannotUse(opaque, { path: '/opaque/accounts', certificate: 'batch', reason: 'token_not_bound', because: "stolen, with batch's certificate" });
}

async function getsToken(clientId, fields) {
  const credentials = [...CA, ...clientCertificate(clientId)];
  const request = form({ grant_type: 'client_credentials', client_id: clientId, ...fields });
  return (await curl(credentials, [...request, `${ORIGIN}/token`])).body.access_token;
}

async function portalToken(fields) {
  const request = form({ grant_type: 'client_credentials', ...fields });
  return (await curl([...CA, '-u', `portal:${PORTAL_SECRET}`], [...request, `${ORIGIN}/token`])).body.access_token;
}

function useToken(token, { path, certificate }) {
  return curl([...CA, ...clientCertificate(certificate)], ['-H', `Authorization: Bearer ${token}`, `${ORIGIN}${path}`]);
}

async function usesToken(token, { path, certificate }) {
  const { status, body } = await useToken(token, { path, certificate });
  const thumbprint = pki[certificate]['x5t#S256'];
  const isSame = body.claims === undefined || body.claims.cnf['x5t#S256'] === thumbprint;
  check(`at ${path} the resource sees the thumbprint of ${certificate}.pem`, status === 200 && body.thumbprint === thumbprint && isSame);
}

async function cannotUse(token, { path, certificate, reason, because }) {
  const before = denials().length;
  const { status, body } = await useToken(token, { path, certificate });
  const line = await denialAfter(before);
  check(
    `a token at ${path}, ${because}: invalid_token; in the log: ${line?.reason}`,
    status === 401 && body.error === 'invalid_token' && line?.reason === reason,
  );
}

/** Writes a thief's thumbprint into a token. */
async function isTampered(token, { as, path }) {
  const [header, payload, signature] = token.split('.');
  const claims = JSON.parse(Buffer.from(payload, 'base64url'));
  claims.cnf['x5t#S256'] = pki[as]['x5t#S256'];
  const tampered = [header, Buffer.from(JSON.stringify(claims)).toString('base64url'), signature].join('.');
  const { status } = await useToken(tampered, { path, certificate: as });
  check(`a token into which the thumbprint of ${as}.pem was written: refused by jwt_authn`, status === 401);
}

async function getsBoundToken(clientId, certificate) {
  const credentials = [...CA, ...clientCertificate(certificate)];
  const token = await curl(credentials, [...form({ grant_type: 'client_credentials', client_id: clientId }), `${ORIGIN}/token`]);
  check(`${clientId} gets a token`, token.status === 200 && token.body.access_token !== undefined);

  const question = form({ client_id: clientId, token: token.body.access_token ?? '' });
  const introspection = await curl(credentials, [...question, `${ORIGIN}/token/introspection`]);
  check(
    `it is bound to the certificate: cnf.x5t#S256 is the thumbprint of ${certificate}.pem`,
    introspection.body.active === true && introspection.body.cnf?.['x5t#S256'] === pki[certificate]['x5t#S256'],
  );
}

/** Asks for a token on two connections, the other with the TLS session of the first. */
async function resumesSession(clientId, { certificate, status }) {
  const agent = new https.Agent({
    host: 'localhost', port: 8443, ca: pki['infra-ca'].certificate, cert: pki[certificate].chain, key: pki[certificate].key,
  });
  const body = new URLSearchParams({ grant_type: 'client_credentials', client_id: clientId }).toString();
  const headers = { 'Content-Type': 'application/x-www-form-urlencoded', 'Content-Length': body.length };
  const seen = [];
  for (const connection of ['first', 'second']) {
    const request = https.request(`${ORIGIN}/token`, { method: 'POST', agent, headers });
    request.end(body);
    const [response] = await once(request, 'response');
    response.resume();
    await once(response, 'end');
    seen.push({ status: response.statusCode, isResumed: response.socket.isSessionReused() });
    say(`${connection} connection: ${response.statusCode}${response.socket.isSessionReused() ? ', session resumed' : ''}`);
  }
  const [first, second] = seen;
  check(
    `${clientId} with ${certificate}.pem gets ${status} on the resumed session, as before`,
    first.status === status && second.status === status && !first.isResumed && second.isResumed,
  );
}

async function isRefused(clientId, { certificate, header, reason, because }) {
  const before = denials().length;
  const { status, body } = await curl(
    [...CA, ...clientCertificate(certificate), ...(header ? ['-H', header] : [])],
    [...form({ grant_type: 'client_credentials', client_id: clientId }), `${ORIGIN}/token`],
  );
  const line = await denialAfter(before);
  check(
    `${clientId} with ${because}: invalid_client; in the log: ${line?.reason}`,
    status === 401 && body.error === 'invalid_client' && line?.reason === reason,
  );
  return line;
}

function denials() {
  return accessLog().filter(({ outcome }) => outcome === 'denied');
}

/** The access log's next line about a denial; Envoy writes with a delay. */
async function denialAfter(count) {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const line = denials()[count];
    if (line) return line;
    await pause(50);
  }
  return undefined;
}

function showReceived(request) {
  const headers = request?.headers ?? [];
  say(`${request?.method} ${request?.path}`);
  headers.forEach(([name, value]) => say(`${name}: ${shortened(value)}`));
  say(`\n${request?.body}`);
  const isPresent = (name) => headers.some(([present]) => present.toLowerCase() === name);
  check('the certificate came with a signature', ['client-cert', 'signature-input', 'signature', 'content-digest'].every(isPresent));
  check(`signature ${request?.signature}`, request?.signature === 'verified by http-message-signatures');
}

async function usesLibrary() {
  // Not every resolver knows the names below localhost.
  const lookup = (name, options, callback) => dns.lookup('localhost', options, callback);
  const dispatcher = new Agent({ connect: { ca: pki['infra-ca'].chain, cert: pki.payments.chain, key: pki.payments.key, lookup } });
  const asked = [];
  const customFetch = (url, options) => {
    asked.push(url);
    return fetch(url, { ...options, dispatcher });
  };
  const metadata = { use_mtls_endpoint_aliases: true };
  const server = await openid.discovery(new URL(ORIGIN), 'payments', metadata, openid.TlsClientAuth(), { [openid.customFetch]: customFetch });

  const tokens = await openid.clientCredentialsGrant(server);
  say(`clientCredentialsGrant: ${JSON.stringify(tokens)}`);
  check(`it gets a token from ${asked.at(-1)}`, tokens.access_token !== undefined && asked.at(-1) === `${MTLS_ORIGIN}/token`);

  const introspection = await openid.tokenIntrospection(server, tokens.access_token);
  say(`tokenIntrospection: ${JSON.stringify(introspection)}`);
  check('it is bound to the certificate', introspection.cnf?.['x5t#S256'] === pki.payments['x5t#S256']);

  await openid.tokenRevocation(server, tokens.access_token);
  const afterwards = await openid.tokenIntrospection(server, tokens.access_token);
  say(`tokenRevocation, tokenIntrospection: ${JSON.stringify(afterwards)}`);
  check('it can be revoked', afterwards.active === false);

  const authorizationUrl = await openid.buildAuthorizationUrlWithPAR(server, {
    redirect_uri: 'https://payments.example.com/callback',
    scope: 'openid',
    code_challenge: await openid.calculatePKCECodeChallenge(openid.randomPKCECodeVerifier()),
    code_challenge_method: 'S256',
  });
  say(`buildAuthorizationUrlWithPAR: ${authorizationUrl.href}`);
  check('a pushed authorization request is accepted', authorizationUrl.searchParams.has('request_uri'));
  await dispatcher.close();
}

function clientCertificate(name) {
  return name ? ['--cert', `build/pki/${name}.pem`, '--key', `build/pki/${name}.key`] : [];
}

function form(fields) {
  return Object.entries(fields).flatMap(([name, value]) => ['-d', `${name}=${value}`]);
}

export function printCommands() {
  const as = (name) => [...CA, ...clientCertificate(name)].join(' ');
  console.log(`Serving on ${ORIGIN}; Ctrl-C ends it. Try, from the repository's root:

A token for a client with a certificate from a trusted CA:
  curl ${as('payments')} -d grant_type=client_credentials -d client_id=payments ${ORIGIN}/token

The name of that client in a certificate that a partner's CA issued; then that partner's own client:
  curl ${as('payments-by-partner')} -d grant_type=client_credentials -d client_id=payments ${ORIGIN}/token
  curl ${as('supplier')} -d grant_type=client_credentials -d client_id=supplier ${ORIGIN}/token

A token for a self-signed client; then with a certificate that is not registered:
  curl ${as('partner-app')} -d grant_type=client_credentials -d client_id=partner-app ${ORIGIN}/token
  curl ${as('partner-next')} -d grant_type=client_credentials -d client_id=partner-app ${ORIGIN}/token

What a token is bound to (cnf):
  curl ${as('payments')} -d client_id=payments -d token=TOKEN ${ORIGIN}/token/introspection

A token for a resource, to use with the same certificate there; then with another one:
  curl ${as('payments')} -d grant_type=client_credentials -d client_id=payments -d resource=${RESOURCE} ${ORIGIN}/token
  curl ${as('payments')} -H 'Authorization: Bearer TOKEN' ${RESOURCE}
  curl ${as('batch')} -H 'Authorization: Bearer TOKEN' ${RESOURCE}

A client with a secret and no certificate:
  curl ${as()} -u portal:${PORTAL_SECRET} -d grant_type=client_credentials ${ORIGIN}/token

What certbound decided, what the server received, and how often:
  tail -f build/log/access.jsonl
  tail -f build/log/server.jsonl
  curl -s '127.0.0.1:9901/stats?filter=certbound'
`);
}
