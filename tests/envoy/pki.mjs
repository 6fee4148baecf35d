// The demo PKI that the tests' clients present.
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { required, root } from './envoy.mjs';

const read = (path) => JSON.parse(readFileSync(join(root, path), 'utf8'));
export const pki = read(required('build/pki/pki.json'));
export const crls = read('build/pki/crls.json');

/** Adds a certificate with the names of payments that expires soon, as `short-lived`; returns the last moment of its validity. */
export function issueShortLived(seconds) {
  const command = ['run', '--locked', '--quiet', '--package', 'demo-pki', '--', '--short-lived', String(seconds)];
  pki['short-lived'] = JSON.parse(execFileSync('cargo', command, { cwd: root, encoding: 'utf8' }));
  return Date.parse(new X509Certificate(pki['short-lived'].certificate).validTo);
}

/** SHA-256 of a certificate as Envoy writes it. */
const hexDigest = (name) => Buffer.from(pki[name]['x5t#S256'], 'base64url').toString('hex');

/** x-forwarded-client-cert as Envoy writes it with `cert: true` and, if asked for, `chain: true`. */
function xfcc(name, withChain) {
  const element = `Hash=${hexDigest(name)};Cert="${encodeURIComponent(pki[name].certificate)}"`;
  return withChain ? `${element};Chain="${encodeURIComponent(pki[name].chain)}"` : element;
}

/** Certificates (PEM) as servers expect them in header fields, by the name that cases call a form by. */
const forms = {
  base64_der: (pems) => Buffer.concat(pems.map((pem) => Buffer.from(base64(pem), 'base64'))).toString('base64'),
  pem: (pems) => pems.join(''),
  pem_on_one_line: (pems) => pems.map((pem) => pem.trim().replaceAll('\n', ' ')).join(' '),
  rfc9440: (pems) => pems.map((pem) => `:${base64(pem)}:`).join(', '),
  traefik: (pems) => pems.map(base64).join(','),
  urlencoded_pem: (pems) => encodeURIComponent(pems.join('')),
};

const base64 = (pem) => pem.replaceAll(/-----.*-----|\n/g, '');

const certificatesOf = (names) => names.split('+').map((name) => pki[name].certificate);

/** The value of Client-Cert (RFC 9440) for a certificate of the PKI. */
export const rfc9440 = (name) => forms.rfc9440(certificatesOf(name));

/** Every value that may stand for what was presented: the certificate, its intermediates one by one and together. */
export function certificateForms(name) {
  const chain = pki[name].chain.split(/(?<=-----END CERTIFICATE-----\n)/);
  const parts = [...chain.map((certificate) => [certificate]), chain, chain.slice(1)].filter(({ length }) => length > 0);
  const written = Object.values(forms).flatMap((form) => parts.map(form));
  return [pki[name]['x5t#S256'], xfcc(name, false), xfcc(name, true), ...written];
}

const base64url = (text) => Buffer.from(text).toString('base64url');

/** An access token with these claims and a signature that nobody looks at. */
export const token = (claims) => `${base64url('{}')}.${base64url(JSON.stringify(claims))}.AA`;

const boundToken = (name) => token({ cnf: { 'x5t#S256': pki[name]['x5t#S256'] } });

const references = {
  '@bearer': (name) => `Bearer ${boundToken(name)}`,
  '@dpop': (name) => `DPoP ${boundToken(name)}`,
  ...Object.fromEntries(Object.entries(forms).map(([kind, form]) => [`@${kind}`, (names) => form(certificatesOf(names))])),
  '@x5t#S256': (name) => pki[name]['x5t#S256'],
  '@x5c': (name) => pki[name].x5c,
  '@jwk': (name) => pki[name].jwk,
  '@xfcc': (name) => xfcc(name, true),
  '@xfcc_without_chain': (name) => xfcc(name, false),
  '@crl': (names) => names.split('+').map((name) => crls[name]).join(''),
};

/** Replaces every "@kind:NAME" in a JSON value by what the PKI holds for NAME; @crl and the forms of certificates take several, joined by +. */
export function resolve(value) {
  if (typeof value === 'string') {
    const [, kind, name] = /^(@[^:]+):(.*)$/.exec(value) ?? [];
    return kind ? references[kind](name) : value;
  }
  if (Array.isArray(value)) return value.map(resolve);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, resolve(member)]));
}
