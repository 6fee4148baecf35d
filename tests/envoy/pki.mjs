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

/** The value of Client-Cert (RFC 9440) for a certificate of the PKI. */
export const rfc9440 = (name) => `:${pki[name].x5c}:`;

/** SHA-256 of a certificate as Envoy writes it. */
const hexDigest = (name) => Buffer.from(pki[name]['x5t#S256'], 'base64url').toString('hex');

/** The value of x-forwarded-client-cert that Envoy writes with `chain: true`. */
const xfcc = (name) => `Hash=${hexDigest(name)};Chain="${encodeURIComponent(pki[name].chain)}"`;

const each = (text) => (names) => names.split('+').map(text).join('');

const references = {
  '@x5t#S256': (name) => pki[name]['x5t#S256'],
  '@x5c': (name) => pki[name].x5c,
  '@jwk': (name) => pki[name].jwk,
  '@rfc9440': rfc9440,
  '@xfcc': xfcc,
  '@pem': each((name) => pki[name].certificate),
  '@crl': each((name) => crls[name]),
};

/** Replaces every "@kind:NAME" in a JSON value by what the PKI holds for NAME; @pem and @crl take several, joined by +. */
export function resolve(value) {
  if (typeof value === 'string') {
    const [, kind, name] = /^(@[^:]+):(.*)$/.exec(value) ?? [];
    return kind ? references[kind](name) : value;
  }
  if (Array.isArray(value)) return value.map(resolve);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, resolve(member)]));
}
