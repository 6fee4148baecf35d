// Origin servers' libraries for signatures, none of them ours: two for each form in Node, one for each in Python.
import { spawn } from 'node:child_process';
import { createHash, verify as verifySignature, createHmac, timingSafeEqual } from 'node:crypto';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { required, root } from './envoy.mjs';
import { jose, messageSignature, signatures } from './packages.mjs';

export const digestOf = (body) => `sha-256=:${createHash('sha256').update(body).digest('base64')}:`;

const jwsAlgorithms = { 'ecdsa-p256-sha256': 'ES256', 'ed25519': 'EdDSA', 'hmac-sha256': 'HS256' };

const parameters = ['created', 'expires', 'nonce', 'keyid', 'alg', 'tag'];

const urlOf = ({ headers, path }) => `https://${headers[':authority'] ?? headers.host}${path}`;

const linesByName = ({ lines }) => Object.fromEntries(
  lines.map(([name]) => [name, lines.filter(([known]) => known === name).map(([, value]) => value)]));

/** Whether a library finds a signature good: anything that it throws says no. */
const isGood = async (verification) => {
  try {
    return await verification() === true;
  } catch {
    return false;
  }
};

// npm http-message-signatures: with several signatures it is the last that decides, which ours is. It takes the fields
// that it requires by their names, and tells no parameters apart.
const dhensby = ({ alg, kid, key, components }, message) => isGood(() => signatures.httpbis.verifyMessage({
  keyLookup: async ({ keyid: id }) => (id === kid ? { id, algs: [alg], verify: signatures.createVerifier(key, alg) } : null),
  requiredFields: components.map((component) => /^"?([^"]+)/.exec(component)[1]),
  requiredParams: parameters,
  maxAge: 60,
  tolerance: 5,
}, { method: message.method, url: urlOf(message), headers: linesByName(message) }));

function verifierOf(alg, key) {
  const verify = {
    'ecdsa-p256-sha256': (data, signature) => verifySignature('sha256', data, { key, dsaEncoding: 'ieee-p1363' }, signature),
    'ed25519': (data, signature) => verifySignature(null, data, key, signature),
    'hmac-sha256': (data, signature) => timingSafeEqual(createHmac('sha256', key).update(data).digest(), signature),
  };
  return { algorithm: alg, verify: verify[alg] };
}

// npm http-message-sig, of Cloudflare.
const cloudflare = ({ alg, kid, key, label, components }, message) => isGood(async () => {
  const verified = await messageSignature.verifySignature({
    kind: 'request',
    method: message.method,
    targetUri: urlOf(message),
    requestTarget: message.path,
    fields: message.lines.map(([name, value]) => ({ name, value })),
  }, {
    label,
    policy: {
      algorithms: [alg],
      requiredComponents: components.map((identifier) => {
        const [, name, member] = /^"([^"]+)";key="([^"]+)"$/.exec(identifier) ?? [];
        return name ? messageSignature.component(name, { key: member }) : identifier;
      }),
      requiredParameters: parameters,
      maxAge: 60,
      clockSkew: 5,
    },
    resolveVerifier: ({ parameters: { keyid } }) => (keyid === kid ? verifierOf(alg, key) : undefined),
  });
  return verified.label === label;
});

const pem = (key) => (Buffer.isBuffer(key) ? key.toString('base64') : key.export({ type: 'spki', format: 'pem' }));

/** Python's libraries, in a process that answers in the order in which it is asked. */
export function startPython() {
  required('build/venv/signature-libraries');
  const python = spawn(join(root, 'build/venv/bin/python'), [join(root, 'tests/envoy/verify.py')], { stdio: ['pipe', 'pipe', 'inherit'] });
  process.once('exit', () => python.kill());
  const lines = createInterface({ input: python.stdout })[Symbol.asyncIterator]();
  let last = Promise.resolve();
  const ask = (question) => {
    last = last.then(async () => {
      python.stdin.write(`${JSON.stringify(question)}\n`);
      const { value, done } = await lines.next();
      if (done) throw new Error('tests/envoy/verify.py ended');
      return JSON.parse(value);
    });
    return last;
  };

  return {
    messageSignature: async ({ alg, kid, key, label, components }, message) => await ask({
      alg, kid, key: pem(key), label, components: components.map((name) => (name.startsWith('"') ? name : `"${name}"`)),
      method: message.method, url: urlOf(message), lines: message.lines, body: Buffer.from(message.body).toString('base64'),
    }) === true,

    jws: async ({ alg, kid, key, issuer, audience }, jws) => {
      const claims = await ask({ alg, kid, key: pem(key), jws, issuer, audience });
      return claims.error === undefined ? claims : null;
    },

    stop: () => python.stdin.end(),
  };
}

/**
 * What each library says of the HTTP message signature of a message as the server received it. The digest of the body,
 * which two of them leave to their callers, is compared for all.
 */
export async function verdicts(python, signer, message) {
  const hasDigest = !signer.components.includes('content-digest') || message.headers['content-digest'] === digestOf(message.body);
  const of = async (verifier) => hasDigest && await verifier(signer, message);
  const said = { dhensby: await of(dhensby), python: await python.messageSignature(signer, message) };
  return signer.isForCloudflare === false ? said : { ...said, cloudflare: await of(cloudflare) };
}

/** The claims that each library reads from a JWS: null if it is not good. */
export async function jwsClaims(python, { alg, kid, key, issuer, audience }, jws) {
  const inNode = await jose.jwtVerify(jws, key, {
    algorithms: [jwsAlgorithms[alg]], issuer, audience, typ: 'certbound+jwt', requiredClaims: ['iat', 'exp', 'jti', 'cnf'],
  }).then(({ payload, protectedHeader }) => (protectedHeader.kid === kid ? payload : null), () => null);
  return { jose: inNode, PyJWT: await python.jws({ alg, kid, key, issuer, audience }, jws) };
}
