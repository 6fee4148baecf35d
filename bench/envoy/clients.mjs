// The clients: their certificates, how each filter is told of them, and what they send.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { required, root } from '../../tests/envoy/envoy.mjs';

export const pkiDirectory = 'build/bench/pki';

/** Subject and thumbprint (x5t#S256) of every certificate, `client-<number>.pem`. */
export const certificates = JSON.parse(readFileSync(join(root, required(`${pkiDirectory}/clients.json`)), 'utf8'));

export const authority = () => readFileSync(join(root, pkiDirectory, 'ca.pem'), 'utf8');

/** Clients beyond the certificates there are have thumbprints that no certificate has. */
const thumbprint = (number) => certificates[number]?.thumbprint ?? createHash('sha256').update(`client ${number}`).digest('base64url');

const list = (count, client) => Array.from({ length: count }, (_, number) => client(`client-${number}`, number));

export const selfSigned = (count) => list(count, (client_id, number) => ({
  client_id, token_endpoint_auth_method: 'self_signed_tls_client_auth', certificate_thumbprints: [thumbprint(number)],
}));

export const issued = (count) => list(count, (client_id) => ({
  client_id, token_endpoint_auth_method: 'tls_client_auth', tls_client_auth_subject_dn: `CN=${client_id},O=Example Bank,C=SE`,
}));

/** Lines of client_id, SHA-256 in hex and x5t#S256, for the script and the ext_authz service. */
export const lines = (count) => list(count, (client_id, number) => {
  const value = thumbprint(number);
  return `${client_id} ${Buffer.from(value, 'base64url').toString('hex')} ${value}\n`;
}).join('');

/** A token request of so many bytes; there is no shorter one than 63. */
export function tokenRequest(number, bytes = 63) {
  const form = `grant_type=client_credentials&client_id=client-${number}&scope=payments`;
  return form.length < bytes ? `${form}&padding=`.padEnd(bytes, 'a') : form;
}

const base64url = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** An access token that is bound to a certificate, as long as one with an ES256 signature; nobody here verifies it. */
export const boundToken = (number) => [
  base64url({ alg: 'ES256', typ: 'at+jwt', kid: '2026-11' }),
  base64url({
    iss: 'https://as.example.com', aud: 'https://api.example.com', sub: `client-${number}`, client_id: `client-${number}`,
    scope: 'payments', exp: 2082758400, iat: 1767225600, jti: '2YotnFZFEjr1zCsicMWpAA',
    cnf: { 'x5t#S256': certificates[number].thumbprint },
  }),
  'A'.repeat(86),
].join('.');
