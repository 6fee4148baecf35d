// The clients: their certificates, registrations, and requests.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { required, root } from '../../tests/envoy/envoy.mjs';

export const pkiDirectory = 'build/bench/pki';

/** Subject and thumbprint (x5t#S256) of every certificate, `client-<number>.pem`. */
export const certificates = JSON.parse(readFileSync(join(root, required(`${pkiDirectory}/clients.json`)), 'utf8'));

export const authority = () => readFileSync(join(root, pkiDirectory, 'ca.pem'), 'utf8');

/**
 * So many registered clients that share so many certificates, by number, and how each filter is told of them. One
 * certificate for all is what a load generator needs that has but one.
 */
export function registrations(count, certificateCount = 1) {
  const list = (client) => Array.from({ length: count }, (_, number) => client(`client-${number}`, certificates[number % certificateCount]));
  return {
    selfSigned: () => list((client_id, { thumbprint }) => ({
      client_id, token_endpoint_auth_method: 'self_signed_tls_client_auth', certificate_thumbprints: [thumbprint],
    })),
    issued: () => list((client_id, { subject }) => ({
      client_id, token_endpoint_auth_method: 'tls_client_auth', tls_client_auth_subject_dn: subject,
    })),
    /** client_id, SHA-256 in hex and x5t#S256, for the script and the ext_authz service. */
    lines: () => list((client_id, { thumbprint }) =>
      `${client_id} ${Buffer.from(thumbprint, 'base64url').toString('hex')} ${thumbprint}\n`).join(''),
  };
}

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
