// Verifies that certbound signed a request (RFC 9421), and hands out the client's certificate only then.
// Node 20 or newer, no packages. The numbered checks are the same in every language here; docs/verifying.md says why.
import { createHash, createHmac, createPublicKey, timingSafeEqual, verify as verifies } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const LABEL = 'certbound';
const TAG = /;\s*tag="certbound"/;
const REQUIRED = ['client-cert', '@method', '@authority', '@path', 'content-digest'];
const LEEWAY = 5; // seconds by which the clocks may differ

/** A public key as PEM, or an HMAC secret in base64. The key decides on the algorithm, never the request. */
export function readKey(text) {
  if (!text.includes('-----BEGIN')) {
    if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text.trim())) throw new Error('neither PEM nor base64'); // Buffer skips what is neither
    const secret = Buffer.from(text, 'base64');
    if (secret.length < 32) throw new Error('the secret is too short');
    if (secret[0] === 0x30 && secret[1] === secret.length - 2) throw new Error('a public key without its PEM armour is no secret');
    const mac = (base) => createHmac('sha256', secret).update(base).digest();
    return { alg: 'hmac-sha256', verifies: (base, sig) => sig.length === 32 && timingSafeEqual(mac(base), sig) };
  }
  const key = createPublicKey(text);
  if (key.asymmetricKeyType === 'ed25519') return { alg: 'ed25519', verifies: (base, sig) => verifies(null, base, key, sig) };
  if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw new Error('not a key that certbound signs with');
  return { alg: 'ecdsa-p256-sha256', verifies: (base, sig) => verifies('sha256', base, { key, dsaEncoding: 'ieee-p1363' }, sig) };
}

/** `keys` maps keyid to key. Returns verify(method, authority, target, headers, body): the certificate's DER, or it throws. */
export function createVerifier(keys, now = () => Date.now() / 1000) {
  const nonces = new Map(); // of this process; servers that run several share them
  return function verify(method, authority, target, headers, body) {
    const values = (name) => headers.filter(([field]) => field.toLowerCase() === name).map(([, value]) => value.trim());
    const sole = (name) => {
      const [value, ...others] = values(name);
      return check(value !== undefined && others.length === 0 && /^[\t -~]*$/.test(value), `not exactly one ${name}`) && value;
    };
    // 1. Exactly one member has our label, in both headers, and none of the others our tag.
    const [input, signature] = ['signature-input', 'signature'].map((name) => {
      const all = members(values(name).join(','));
      const ours = all.filter((member) => /^certbound(?![a-z0-9_.*-])/.test(member));
      check(ours.length === 1 && !all.some((member) => member !== ours[0] && TAG.test(member)), `not exactly one ${LABEL} in ${name}`);
      return ours[0].slice(LABEL.length);
    });
    const [, list, tail] = /^=\(("[^"\\]+"(?: "[^"\\]+"){0,31})\)((?:;[a-z]+=(?:\d{1,15}|"[^"\\]*")){0,15})$/.exec(input) ?? [];
    const [, encoded] = /^=:([A-Za-z0-9+/]+={0,2}):$/.exec(signature) ?? [];
    check(list && encoded, 'the signature is malformed');
    const covered = list.slice(1, -1).split('" "');
    const pairs = [...tail.matchAll(/;([a-z]+)=(?:(\d+)|"([^"]*)")/g)].map(([, name, number, text]) => [name, text ?? Number(number)]);
    const { created, expires, nonce, keyid, alg, tag } = Object.fromEntries(pairs);
    check(new Set(pairs.map(([name]) => name)).size === pairs.length, 'a parameter is there twice');
    // 2. It is ours, of now, by a key that we know, with that key's algorithm.
    check(tag === 'certbound', 'the tag is another');
    check(Number.isInteger(created) && created <= now() + LEEWAY, 'created is not in the past');
    check(Number.isInteger(expires) && expires > created && now() <= expires + LEEWAY, 'expired');
    const key = check(keys.get(keyid), 'the key is unknown');
    check(alg === key.alg, "the algorithm is not the key's");
    // 3. It covers all that it must, and every certificate that is there.
    check(new Set(covered).size === covered.length, 'a component is covered twice');
    const required = values('client-cert-chain').length > 0 ? [...REQUIRED, 'client-cert-chain'] : REQUIRED;
    for (const name of required) check(covered.includes(name), `${name} is not covered`);
    // 4. The signature is right.
    const [path, ...query] = target.split('?');
    const derived = { '@method': method, '@authority': authority.toLowerCase().replace(/:443$/, ''), '@path': path || '/', '@query': `?${query.join('?')}` };
    const base = covered.map((name) => `"${name}": ${Object.hasOwn(derived, name) ? derived[name] : sole(name)}\n`).join('');
    check(key.verifies(Buffer.from(`${base}"@signature-params": ${input.slice(1)}`), Buffer.from(encoded, 'base64')), 'the signature is wrong');
    // 5. The body is the one that was signed.
    check(sole('content-digest') === `sha-256=:${createHash('sha256').update(body).digest('base64')}:`, 'the body was changed');
    // 6. Each nonce once.
    for (const [known, until] of nonces) if (until < now() - LEEWAY) nonces.delete(known);
    check(typeof nonce === 'string' && nonce !== '' && !nonces.has(nonce), 'the nonce is missing or was used');
    nonces.set(nonce, expires);
    const [, certificate] = check(/^:([A-Za-z0-9+/]+={0,2}):$/.exec(sole('client-cert')), 'client-cert is malformed');
    return Buffer.from(certificate, 'base64');
  };
}

function check(value, reason) {
  if (!value) throw new Error(reason);
  return value;
}

/** Splits a dictionary (RFC 9651) at the commas that are not within strings. */
function members(text) {
  const all = [];
  let [start, isQuoted] = [0, false];
  for (let i = 0; i < text.length; i += 1) {
    if (isQuoted && text[i] === '\\') i += 1;
    else if (text[i] === '"') isQuoted = !isQuoted;
    else if (text[i] === ',' && !isQuoted) {
      all.push(text.slice(start, i).trim());
      start = i + 1;
    }
  }
  check(!isQuoted, 'a dictionary is malformed');
  return [...all, text.slice(start).trim()];
}

// The demonstration: node verify.mjs KEYID KEYFILE [REQUEST...], requests as raw HTTP/1.1, else one on the standard input.
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [keyid, keyFile, ...files] = process.argv.slice(2);
  const verify = createVerifier(new Map([[keyid, readKey(readFileSync(keyFile, 'utf8'))]]));
  for (const file of files.length > 0 ? files : [0]) {
    const bytes = readFileSync(file);
    const end = bytes.indexOf('\r\n\r\n');
    const [line, ...fields] = bytes.subarray(0, end).toString('latin1').split('\r\n');
    const headers = fields.map((field) => field.split(/:(.*)/s, 2));
    const [[, host], ...hosts] = headers.filter(([name]) => name.toLowerCase() === 'host');
    try {
      check(hosts.length === 0, 'not exactly one host');
      const [method, target] = line.split(' ');
      const der = verify(method, host.trim(), target, headers, bytes.subarray(end + 4));
      console.log(`verified ${createHash('sha256').update(der).digest('base64url')}`);
    } catch (error) {
      console.log(`refused: ${error.message}`);
      process.exitCode = 1;
    }
  }
}
