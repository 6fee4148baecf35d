// Verifies the JWS that certbound put into `Client-Cert-JWT`, for servers that want no HTTP message signatures. A JWT library
// does it, too: what has to be configured there are the numbered checks. Node 20 or newer, no packages.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { readKey } from './verify.mjs';

const LEEWAY = 5; // seconds by which the clocks may differ
const NAMES = { 'ed25519': ['EdDSA', 'Ed25519'], 'ecdsa-p256-sha256': ['ES256'], 'hmac-sha256': ['HS256'] };
const sha256 = (data, encoding) => createHash('sha256').update(data).digest(encoding);

/** `keys` maps kid to key. Returns verify(method, authority, target, headers, body): the claims, with `certificate` as DER. */
export function createJwsVerifier({ keys, issuer, audience, now = () => Date.now() / 1000 }) {
  const ids = new Map(); // of this process; servers that run several share them
  return function verify(method, authority, target, headers, body) {
    const values = (name) => headers.filter(([field]) => field.toLowerCase() === name).map(([, value]) => value.trim());
    const sole = (name) => check(values(name).length === 1 && values(name)[0], `not exactly one ${name}`);
    // 1. One JWS of our type, by a key that we know, with that key's algorithm. Nothing else in its header counts.
    const [, header, payload, signature] = check(/^([\w-]+)\.([\w-]+)\.([\w-]+)$/.exec(sole('client-cert-jwt')), 'the JWS is malformed');
    const { typ, kid, alg, crit } = object(header);
    check(typ === 'certbound+jwt' && crit === undefined, 'the JWS is of another type');
    const key = check(keys.get(kid), 'the key is unknown');
    check(NAMES[key.alg].includes(alg), "the algorithm is not the key's");
    check(key.verifies(Buffer.from(`${header}.${payload}`), Buffer.from(signature, 'base64url')), 'the signature is wrong');
    // 2. For us, of now.
    const claims = object(payload);
    check(claims.iss === issuer && [claims.aud].flat().includes(audience), 'the JWS is by or for someone else');
    check(Number.isInteger(claims.iat) && claims.iat <= now() + LEEWAY, 'iat is not in the past');
    check(Number.isInteger(claims.exp) && claims.exp > claims.iat && now() <= claims.exp + LEEWAY, 'expired');
    // 3. For this request and its body.
    const uri = `https://${authority.toLowerCase().replace(/:443$/, '')}${target.split('?')[0] || '/'}`;
    check(claims.htm === method && claims.htu === uri, 'the JWS is for another request');
    check(claims.content_digest === `sha-256=:${sha256(body, 'base64')}:`, 'the body was changed');
    // 4. With this certificate.
    const [, encoded] = check(/^:([A-Za-z0-9+/]+={0,2}):$/.exec(sole('client-cert')), 'client-cert is malformed');
    const certificate = Buffer.from(encoded, 'base64');
    check(claims.cnf?.['x5t#S256'] === sha256(certificate, 'base64url'), 'the certificate was changed');
    // 5. Once.
    for (const [known, until] of ids) if (until < now() - LEEWAY) ids.delete(known);
    check(typeof claims.jti === 'string' && claims.jti !== '' && !ids.has(claims.jti), 'jti is missing or was used');
    ids.set(claims.jti, claims.exp);
    return { ...claims, certificate };
  };
}

function check(value, reason) {
  if (!value) throw new Error(reason);
  return value;
}

function object(part) {
  const text = Buffer.from(part, 'base64url').toString();
  check(text.startsWith('{'), 'the JWS is malformed');
  return JSON.parse(text);
}

// The demonstration: node verify-jws.mjs KEYID KEYFILE ISSUER AUDIENCE [REQUEST...], as verify.mjs.
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [keyid, keyFile, issuer, audience, ...files] = process.argv.slice(2);
  const verify = createJwsVerifier({ keys: new Map([[keyid, readKey(readFileSync(keyFile, 'utf8'))]]), issuer, audience });
  for (const file of files.length > 0 ? files : [0]) {
    const bytes = readFileSync(file);
    const end = bytes.indexOf('\r\n\r\n');
    const [line, ...fields] = bytes.subarray(0, end).toString('latin1').split('\r\n');
    const headers = fields.map((field) => field.split(/:(.*)/s, 2));
    try {
      const hosts = headers.filter(([name]) => name.toLowerCase() === 'host');
      check(hosts.length === 1, 'not exactly one host');
      const [method, target] = line.split(' ');
      const { certificate } = verify(method, hosts[0][1].trim(), target, headers, bytes.subarray(end + 4));
      console.log(`verified ${sha256(certificate, 'base64url')}`);
    } catch (error) {
      console.log(`refused: ${error.message}`);
      process.exitCode = 1;
    }
  }
}
