// The demo PKI that the tests' clients present.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { required, root } from './envoy.mjs';

export const pki = JSON.parse(readFileSync(join(root, required('build/pki/pki.json')), 'utf8'));

/** The value of Client-Cert (RFC 9440) for a certificate of the PKI. */
export const rfc9440 = (name) => `:${pki[name].x5c}:`;

const references = {
  '@x5t#S256': (name) => pki[name]['x5t#S256'],
  '@x5c': (name) => pki[name].x5c,
  '@jwk': (name) => pki[name].jwk,
  '@rfc9440': rfc9440,
};

/** Replaces every "@kind:NAME" in a JSON value by what the PKI holds for NAME. */
export function resolve(value) {
  if (typeof value === 'string') {
    const [, kind, name] = /^(@[^:]+):(.*)$/.exec(value) ?? [];
    return kind ? references[kind](name) : value;
  }
  if (Array.isArray(value)) return value.map(resolve);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, resolve(member)]));
}
