// The verifiers of examples/verify, and `certbound verify`, on requests that the filter signed and on what an attacker
// makes of them. All must agree on every request, and on why it is refused.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash, createHmac, createPublicKey, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { required, root } from './envoy.mjs';
import { pki, rfc9440 } from './pki.mjs';
import { isHolder, registry } from './registry.mjs';
import { startTestbed } from './testbed.mjs';

const KEYID = '2026-11';
const pem = (key) => key.export({ type: key.type === 'private' ? 'pkcs8' : 'spki', format: 'pem' });
const components = ['client-cert', 'x-client-id', 'x-client-cert-thumbprint', '@method', '@authority', '@path', '@query', 'content-digest'];

function asymmetric(alg, { privateKey, publicKey }, signs) {
  return { alg, secret: pem(privateKey), key: pem(publicKey), der: publicKey.export({ type: 'spki', format: 'der' }), signs: signs(privateKey) };
}

const hmac = (secret) => (base) => createHmac('sha256', secret).update(base).digest();
const shared = randomBytes(32);
const signers = [
  asymmetric('ed25519', generateKeyPairSync('ed25519'), (key) => (base) => sign(null, base, key)),
  asymmetric('ecdsa-p256-sha256', generateKeyPairSync('ec', { namedCurve: 'P-256' }), (key) => (base) => sign('sha256', base, { key, dsaEncoding: 'ieee-p1363' })),
  { alg: 'hmac-sha256', secret: shared.toString('base64'), key: shared.toString('base64'), signs: hmac(shared) },
];
const [issuer, audience] = ['https://proxy.example.com', 'https://as.example.com'];

const directory = join(root, 'build/verify/requests');
const files = (alg, requests) => requests.map((request, index) => {
  const file = join(directory, `${alg}-${index}.http`);
  writeFileSync(file, raw(request));
  return file;
});

const run = (command, args) => new Promise((resolve) => {
  execFile(command, args, { cwd: root, timeout: 60_000 }, (error, output, problems) => {
    assert.notEqual(error?.code, 'ENOENT', `${command} is missing: install it, then run \`make test-envoy\``);
    resolve({ code: error?.code ?? 0, output, problems });
  });
});

/** A line for each request: `verified THUMBPRINT` or `refused: REASON`. */
const inOneProcess = (command, ...args) => async (keyFile, requestFiles, further = []) => {
  const { code, output, problems } = await run(command, [...args, KEYID, keyFile, ...further, ...requestFiles]);
  const lines = output.trimEnd().split('\n');
  assert.equal(lines.length, requestFiles.length, `${output}${problems}`);
  assert.equal(code, lines.every((line) => line.startsWith('verified ')) ? 0 : 1, problems);
  return lines;
};

async function commandLine(keyFile, requestFiles) {
  const lines = [];
  for (const file of requestFiles) {
    const { output, problems } = await run(required('build/verify/certbound'), ['verify', '--json', '--key', keyFile, file]);
    const { verified, certificate, reason } = output ? JSON.parse(output) : { reason: problems };
    lines.push(verified ? `verified ${certificate['x5t#S256']}` : `refused: ${reason}`);
  }
  return lines;
}

required('build/verify/java/Verify.class');
const verifiers = {
  node: inOneProcess(process.execPath, 'examples/verify/node/verify.mjs'),
  python: inOneProcess(`${required('build/verify/python')}/bin/python`, 'examples/verify/python/verify.py'),
  java: inOneProcess('java', '-cp', 'build/verify/java', 'Verify'),
  rust: inOneProcess(required('build/verify/verify-certbound')),
  'certbound verify': commandLine,
};

// ---- Requests as the server received them

function raw({ method, path, headers, body }) {
  const head = [`${method} ${path} HTTP/1.1`, ...headers.map(([name, value]) => `${name}: ${value}`), '', ''].join('\r\n');
  return Buffer.concat([Buffer.from(head, 'latin1'), body]);
}

const digestOf = (body) => `sha-256=:${createHash('sha256').update(body).digest('base64')}:`;
const valueOf = ({ headers }, name) => headers.find(([field]) => field === name)[1];
const set = (request, name, value) => ({ ...request, headers: request.headers.map((field) => (field[0] === name ? [name, value] : field)) });
const replace = (request, name, from, to) => set(request, name, valueOf(request, name).replace(from, to));
const without = (request, ...names) => ({ ...request, headers: request.headers.filter(([name]) => !names.includes(name)) });
const add = (request, ...headers) => ({ ...request, headers: [...request.headers, ...headers] });
const addFirst = (request, ...headers) => ({ ...request, headers: [...headers, ...request.headers] });
const withBody = (request, body) => ({ ...replace(request, 'content-length', /.*/, String(body.length)), body });

/** Signs as the filter does, or as told: `parameters` are changed by name, null leaves one out. */
function signed(request, signer, { label = 'certbound', covered = components, parameters = {}, signs = signer.signs } = {}) {
  const [path, query] = request.path.split('?');
  const values = { '@method': request.method, '@authority': valueOf(request, 'host').toLowerCase(), '@path': path, '@query': `?${query ?? ''}` };
  const created = Math.floor(Date.now() / 1000);
  const quoted = (text) => `"${text}"`;
  const all = {
    created, expires: created + 600, nonce: quoted(randomBytes(16).toString('base64url')), keyid: quoted(KEYID),
    alg: quoted(signer.alg), tag: quoted('certbound'), ...parameters,
  };
  const written = Object.entries(all).filter(([, value]) => value !== null).map(([name, value]) => `;${name}=${value}`).join('');
  const input = `(${covered.map(quoted).join(' ')})${written}`;
  const lines = covered.map((name) => `"${name}": ${values[name] ?? valueOf(request, name)}\n`).join('');
  const signature = signs(Buffer.from(`${lines}"@signature-params": ${input}`)).toString('base64');
  return add(without(request, 'signature', 'signature-input'), ['signature-input', `${label}=${input}`], ['signature', `${label}=:${signature}:`]);
}

/** What an attacker makes of a request, and with which words every verifier refuses it. */
function attacks(request, signer) {
  const wrong = /the signature is wrong|signature_mismatch/;
  const notOne = /not exactly one certbound|member_repeated|tag_repeated|signature_(missing|incomplete)|malformed/;
  const input = valueOf(request, 'signature-input');
  const body = Buffer.from('client_id=batch');
  const otherKey = generateKeyPairSync('ed25519').privateKey;
  const attacker = (options) => signed(request, { alg: signer.alg, signs: (base) => sign(null, base, otherKey) }, options);
  const attackersHeaders = (options) => ['signature-input', 'signature'].map((name) => [name, valueOf(attacker(options), name)]);
  const inOneLine = (order, options) => attackersHeaders(options).reduce(
    (changed, [name, value]) => set(changed, name, order([valueOf(request, name), value]).join(', ')), request);
  return {
    'another method': [{ ...request, method: 'PUT' }, wrong],
    'another path': [{ ...request, path: request.path.replace('token', 'revoke') }, wrong],
    'another query': [{ ...request, path: `${request.path}&b=c` }, wrong],
    'no query': [{ ...request, path: request.path.split('?')[0] }, wrong],
    'another authority': [set(request, 'host', 'evil.example.com'), wrong],
    'another port': [set(request, 'host', 'as.example.com:8443'), wrong],
    'another certificate': [set(request, 'client-cert', rfc9440('batch')), wrong],
    'another client': [set(request, 'x-client-id', 'batch'), wrong],
    'another thumbprint': [set(request, 'x-client-cert-thumbprint', pki.batch['x5t#S256']), wrong],
    'another body': [withBody(request, body), /the body was changed|content_digest_mismatch/],
    'no body': [withBody(request, Buffer.alloc(0)), /the body was changed|content_digest_mismatch/],
    'another body and digest': [withBody(set(request, 'content-digest', digestOf(body)), body), wrong],
    'another creation': [replace(request, 'signature-input', /created=\d+/, 'created=1700000000'), wrong],
    'another expiry': [replace(request, 'signature-input', /expires=\d+/, 'expires=4102444800'), wrong],
    'another nonce': [replace(request, 'signature-input', /nonce="[^"]*"/, 'nonce="another"'), wrong],
    'another keyid': [replace(request, 'signature-input', `keyid="${KEYID}"`, 'keyid="other"'), /the key is unknown|signature_mismatch/],
    'another tag': [replace(request, 'signature-input', 'tag="certbound"', 'tag="other"'), /the tag is another|tag_mismatch/],
    'no algorithm': [replace(request, 'signature-input', `"${signer.alg}"`, '"none"'), /the algorithm is not the key's|algorithm_mismatch/],
    'another label': [['signature-input', 'signature'].reduce((changed, name) => replace(changed, name, 'certbound=', 'other='), request), notOne],
    'another label of the value': [replace(request, 'signature', 'certbound=', 'other='), notOne],
    'a longer label': [['signature-input', 'signature'].reduce((changed, name) => replace(changed, name, 'certbound=', 'certbound2='), request), notOne],
    'another signature': [replace(request, 'signature', /:.*:/, `:${randomBytes(signer.alg === 'hmac-sha256' ? 32 : 64).toString('base64')}:`), wrong],
    'a short signature': [replace(request, 'signature', /:.*:/, ':AAAA:'), wrong],
    'zeros as signature': [replace(request, 'signature', /:.*:/, `:${Buffer.alloc(signer.alg === 'hmac-sha256' ? 32 : 64).toString('base64')}:`), wrong],
    'a component fewer': [replace(request, 'signature-input', ' "@query"', ''), wrong],
    'a required component fewer': [replace(request, 'signature-input', '"client-cert" ', ''), /client-cert is not covered|component_not_covered/],
    'a component more': [replace(request, 'signature-input', '"@query"', '"@query" "content-type"'), wrong],
    'another order': [replace(request, 'signature-input', '"@method" "@authority"', '"@authority" "@method"'), wrong],
    'a modified component': [replace(request, 'signature-input', '"@method"', '"@method";req'), /malformed|component_unsupported/],
    'a component twice': [replace(request, 'signature-input', '"@method"', '"@method" "@method"'), /covered twice|component_repeated/],
    'a parameter more': [set(request, 'signature-input', `${input};x=1`), wrong],
    'a parameter twice': [set(request, 'signature-input', `${input};expires=4102444800`), /there twice|signature_mismatch/],
    ...Object.fromEntries(['signature', 'signature-input', 'content-digest', 'client-cert', 'x-client-id'].map((name) =>
      [`no ${name}`, [without(request, name), /not exactly one|signature_(missing|incomplete)|covered_field_absent/]])),
    'no signature at all': [without(request, 'signature', 'signature-input'), notOne],
    ...Object.fromEntries(['client-cert', 'content-digest', 'x-client-id', 'signature', 'signature-input', 'host'].map((name) =>
      [`${name} twice`, [add(request, [name, valueOf(request, name)]), /not exactly one|signature_mismatch|member_repeated|there twice|malformed/]])),
    'another certificate after it': [add(request, ['client-cert', rfc9440('batch')]), /not exactly one client-cert|signature_mismatch/],
    'another certificate before it': [addFirst(request, ['Client-Cert', rfc9440('batch')]), /not exactly one client-cert|signature_mismatch/],
    'another digest before it': [addFirst(request, ['Content-Digest', digestOf(body)]), /not exactly one content-digest|member_repeated/],
    'a chain that is not covered': [add(request, ['client-cert-chain', rfc9440('batch')]), /client-cert-chain is not covered|field_not_covered/],
    "an attacker's signature instead": [attacker(), wrong],
    "an attacker's signature after it": [add(request, ...attackersHeaders()), notOne],
    "an attacker's signature before it": [addFirst(request, ...attackersHeaders()), notOne],
    "an attacker's signature in the same line": [inOneLine((pair) => pair), notOne],
    "an attacker's signature first in the same line": [inOneLine((pair) => pair.reverse()), notOne],
    "an attacker's signature with our tag": [add(request, ...attackersHeaders({ label: 'other' })), notOne],
    "an attacker's signature with our tag, spaced": [inOneLine(([ours, theirs]) => [theirs.replace(';tag', '; tag'), ours], { label: 'other' }), notOne],
    'our label as a boolean': [addFirst(request, ['signature-input', 'certbound']), notOne],
    'our label as a boolean with parameter': [add(request, ['signature', 'certbound;x=1']), notOne],
    'our label hidden in a string': [addFirst(without(request, 'signature-input'), ['signature-input', `other=("@method");x="${input.replaceAll('"', '\\"')}, certbound=()"`]), notOne],
    'an open string': [addFirst(request, ['signature-input', 'other="']), notOne],
    'strings without end': [set(request, 'signature-input', '"'.repeat(20_001)), notOne],
    'a long string without end': [set(request, 'signature-input', `certbound="${'a'.repeat(20_000)}`), notOne],
    'strings with many escapes': [set(request, 'signature-input', `certbound="${'\\"'.repeat(10_000)}`), notOne],
    'thousands of components': [set(request, 'signature-input', `certbound=(${'"a" '.repeat(5_000)}"a");created=1`), /malformed|twice|missing|tag|parameter/],
    'thousands of parameters': [set(request, 'signature-input', `certbound=("a")${';a=1'.repeat(5_000)}`), /malformed|twice|missing|tag|parameter/],
    'thousands of members': [addFirst(request, ['signature-input', 'a=1, '.repeat(3_000) + 'certbound=1']), notOne],
    'a certificate that is not base64': [set(request, 'client-cert', ':***:'), wrong],
    'bytes that are not ASCII': [set(request, 'x-client-id', 'p\xe4yments'), /not exactly one|signature_mismatch|component_unsupported/],
  };
}

/** What the holder of the key would sign if it were not certbound, or if it were long ago. */
function badSignatures(request, signer) {
  const now = Math.floor(Date.now() / 1000);
  const parameter = (parameters) => signed(request, signer, { parameters });
  const fewer = (name) => signed(request, signer, { covered: components.filter((component) => component !== name) });
  return {
    ...Object.fromEntries(['client-cert', '@method', '@authority', '@path', 'content-digest'].map((name) =>
      [`${name} not covered`, [fewer(name), new RegExp(`${name} is not covered|component_not_covered`)]])),
    ...Object.fromEntries(['created', 'expires', 'nonce', 'tag'].map((name) =>
      [`${name} left out`, [parameter({ [name]: null }), /missing|malformed|expired|not in the past|another|parameter_missing/]])),
    'an empty nonce': [parameter({ nonce: '""' }), /nonce is missing|parameter_missing/],
    'a replay after expiry': [parameter({ created: now - 660, expires: now - 60 }), /expired/],
    'from the future': [parameter({ created: now + 60 }), /created is not in the past|not_yet_valid/],
    'no lifetime': [parameter({ created: now, expires: now }), /expired|lifetime_empty/],
    'created as text': [parameter({ created: `"${now}"` }), /malformed|not in the past|parameter_missing/],
    'expires as text': [parameter({ expires: `"${now + 60}"` }), /malformed|expired|parameter_missing/],
    'for another application': [parameter({ tag: '"certbound-test"' }), /tag/],
    'with another name of the algorithm': [parameter({ alg: '"rsa-pss-sha512"' }), /algorithm/],
    'covered twice': [signed(request, signer, { covered: [...components, 'client-cert'] }), /covered twice|component_repeated/],
    ...(signer.alg === 'hmac-sha256' ? {} : Object.fromEntries(
      [['PEM', signer.key], ['trimmed PEM', signer.key.trim()], ['DER', signer.der], ['point', signer.der.subarray(-32)]].flatMap(([form, secret]) => [
        [`HMAC with the public key as secret (${form})`, [signed(request, signer, { signs: hmac(secret) }), /the signature is wrong|signature_mismatch/]],
        [`HMAC, named so, with the public key as secret (${form})`,
          [signed(request, signer, { signs: hmac(secret), parameters: { alg: '"hmac-sha256"' } }), /algorithm/]],
      ]))),
  };
}

/** What is as good as the filter's own. */
function goodSignatures(request, signer) {
  const chain = add(request, ['client-cert-chain', rfc9440('batch')]);
  const others = [['signature-input', 'other=("@method");created=1;x="\\", certbound=(", app=();tag="app"'], ['signature', 'other=:AAAA:, app=:AAAA:']];
  return {
    'of our own': signed(request, signer),
    'with the least components': signed(without(request, 'x-client-id', 'x-client-cert-thumbprint'), signer, { covered: ['content-digest', '@path', '@authority', '@method', 'client-cert'] }),
    'with a chain': signed(chain, signer, { covered: [...components, 'client-cert-chain'] }),
    "after others' signatures": addFirst(signed(request, signer), ...others),
    "before others' signatures": add(signed(request, signer), ...others),
    'of an empty body': signed(withBody(set(request, 'content-digest', digestOf('')), Buffer.alloc(0)), signer),
  };
}

let testbed;
before(async () => {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const listener = ({ alg, secret }, form) => ({
    configuration: { ...registry, signature: { ...form, keys: [{ kid: KEYID, alg, key: { env: 'KEY' } }] } },
    environment: { KEY: secret },
  });
  testbed = await startTestbed('verifiers', Object.fromEntries(signers.flatMap((signer) => [
    [signer.alg, listener(signer, { http_message_signature: { components, lifetime_seconds: 600 } })],
    [`${signer.alg} JWS`, listener(signer, { jws: { issuer, audience, lifetime_seconds: 600 } })],
  ])), isHolder);
});
after(() => testbed?.stop());

/** A request that the filter signed on this listener. */
async function forwarded(listener, options = {}, request = {}) {
  const { received, reason } = await testbed.exchange(
    listener,
    { path: '/oauth/token?a=b', form: 'client_id=payments', ...request },
    { certificate: 'payments', ...options },
  );
  assert.ok(received, reason);
  const { method, path, body } = received;
  const headers = received.headers
    .filter(([name]) => name === ':authority' || !name.startsWith(':'))
    .map(([name, value]) => [name === ':authority' ? 'host' : name, value]);
  const length = headers.some(([name]) => name === 'content-length') ? [] : [['content-length', String(body.length)]];
  return { method, path, headers: [...headers.filter(([name]) => name !== 'transfer-encoding'), ...length], body };
}

for (const signer of signers) {
  describe(signer.alg, () => {
    const keyFile = join(directory, `${signer.alg}.key`);
    let good, bad, replayed;
    before(async () => {
      const request = await forwarded(signer.alg);
      writeFileSync(keyFile, signer.key);
      good = {
        'over HTTP/1.1': request,
        'over HTTP/2': await forwarded(signer.alg, { protocol: 'h2' }),
        'without query': await forwarded(signer.alg, {}, { path: '/oauth/token' }),
        'with an empty query': await forwarded(signer.alg, {}, { path: '/oauth/token?' }),
        'of a long body': await forwarded(signer.alg, {}, { form: `client_id=payments&scope=${'x'.repeat(40_000)}` }),
        'for the default port': await forwarded(signer.alg, { authority: 'AS.Example.com:443' }),
        'for another port': await forwarded(signer.alg, { authority: 'as.example.com:8443' }),
        ...goodSignatures(request, signer),
      };
      const other = await forwarded(signer.alg);
      bad = {
        ...attacks(request, signer),
        ...badSignatures(request, signer),
        'the signature of another request': [set(request, 'signature', valueOf(other, 'signature')), /the signature is wrong|signature_mismatch/],
      };
      replayed = other;
    });

    for (const [name, verify] of Object.entries(verifiers)) {
      test(`${name} gives out the certificate of every request that was signed`, async () => {
        const lines = await verify(keyFile, files(`${signer.alg}-good`, Object.values(good)));
        const expected = `verified ${pki.payments['x5t#S256']}`;
        assert.deepEqual(Object.fromEntries(Object.keys(good).map((what, index) => [what, lines[index]])),
          Object.fromEntries(Object.keys(good).map((what) => [what, expected])));
      });

      test(`${name} refuses every other request`, async () => {
        const lines = await verify(keyFile, files(`${signer.alg}-bad`, Object.values(bad).map(([request]) => request)));
        const wrong = Object.entries(bad)
          .map(([what, [, reason]], index) => [what, lines[index], reason])
          .filter(([, line, reason]) => !line.startsWith('refused: ') || !reason.test(line));
        assert.deepEqual(wrong, []);
      });

      // One process per request cannot remember.
      if (verify !== commandLine) {
        test(`${name} takes a nonce once, and not from a forged request`, async () => {
          const forged = { ...replayed, method: 'PUT' };
          const lines = await verify(keyFile, files(`${signer.alg}-replayed`, [forged, replayed, replayed, good['over HTTP/1.1'], replayed]));
          assert.deepEqual(lines.map((line) => line.split(' ')[0]), ['refused:', 'verified', 'refused:', 'verified', 'refused:']);
          for (const line of [lines[2], lines[4]]) assert.match(line, /nonce/);
        });
      }
    }
  });
}

describe('a public key is no secret', () => {
  const [{ key: publicPem, der }] = signers;
  const jwk = JSON.stringify(createPublicKey(publicPem).export({ format: 'jwk' }));
  for (const [what, text] of Object.entries({ 'a JWK': jwk, 'DER in base64': der.toString('base64') })) {
    for (const [name, verify] of Object.entries(verifiers)) {
      test(`${what} to the verifier in ${name}`, async () => {
        const keyFile = join(directory, `public-${name}.key`);
        writeFileSync(keyFile, text);
        const forger = { alg: 'hmac-sha256', signs: hmac(Buffer.from(text, 'base64')) };
        const [line] = await verify(keyFile, files(`public-${name}`, [signed(await forwarded('ed25519'), forger)])).catch(() => ['refused']);
        assert.doesNotMatch(line ?? 'refused', /^verified/);
      });
    }
  }
});

describe('the JWS, in Node', () => {
  const names = { 'ed25519': 'EdDSA', 'ecdsa-p256-sha256': 'ES256', 'hmac-sha256': 'HS256' };
  const base64url = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
  const body = Buffer.from('client_id=payments');
  const request = {
    method: 'POST', path: '/oauth/token?a=b', body,
    headers: [['host', 'AS.example.com:443'], ['client-cert', rfc9440('payments')], ['content-length', String(body.length)]],
  };

  function withJws(signer, { header = {}, claims = {}, signs = signer.signs, on = request } = {}) {
    const now = Math.floor(Date.now() / 1000);
    const protectedHeader = base64url({ alg: names[signer.alg], typ: 'certbound+jwt', kid: KEYID, ...header });
    const payload = base64url({
      iss: issuer, aud: audience, iat: now, exp: now + 600, jti: randomBytes(16).toString('base64url'), client_id: 'payments',
      cnf: { 'x5t#S256': pki.payments['x5t#S256'] }, htm: 'POST', htu: 'https://as.example.com/oauth/token', content_digest: digestOf(body), ...claims,
    });
    const input = `${protectedHeader}.${payload}`;
    return add(on, ['client-cert-jwt', `${input}.${signs(Buffer.from(input)).toString('base64url')}`]);
  }

  for (const signer of signers) {
    test(`of ${signer.alg} is taken for what it is, once`, async () => {
      const keyFile = join(directory, `jws-${signer.alg}.key`);
      writeFileSync(keyFile, signer.key);
      const verify = inOneProcess(process.execPath, 'examples/verify/node/verify-jws.mjs');
      const good = withJws(signer);
      const now = Math.floor(Date.now() / 1000);
      const bad = {
        'another method': [{ ...good, method: 'PUT' }, /another request/],
        'another path': [{ ...good, path: '/oauth/revoke' }, /another request/],
        'another authority': [set(good, 'host', 'evil.example.com'), /another request/],
        'another body': [withBody(good, Buffer.from('client_id=batch')), /the body was changed/],
        'another certificate': [set(good, 'client-cert', rfc9440('batch')), /the certificate was changed/],
        'two certificates': [add(good, ['client-cert', rfc9440('batch')]), /not exactly one client-cert/],
        'two JWS': [add(good, ['client-cert-jwt', valueOf(good, 'client-cert-jwt')]), /not exactly one client-cert-jwt/],
        'no JWS': [request, /not exactly one client-cert-jwt/],
        'no signature': [replace(good, 'client-cert-jwt', /[^.]+$/, ''), /malformed/],
        'another signature': [replace(good, 'client-cert-jwt', /[^.]+$/, 'AAAA'), /the signature is wrong/],
        'alg none': [withJws(signer, { header: { alg: 'none' } }), /the algorithm is not the key's/],
        'another alg': [withJws(signer, { header: { alg: 'RS256' } }), /the algorithm is not the key's/],
        'another type': [withJws(signer, { header: { typ: 'JWT' } }), /another type/],
        'an extension': [withJws(signer, { header: { crit: ['exp'] } }), /another type/],
        'another key': [withJws(signer, { header: { kid: 'other' } }), /the key is unknown/],
        'another issuer': [withJws(signer, { claims: { iss: 'https://evil.example.com' } }), /someone else/],
        'another audience': [withJws(signer, { claims: { aud: 'https://other.example.com' } }), /someone else/],
        'a replay after expiry': [withJws(signer, { claims: { iat: now - 660, exp: now - 60 } }), /expired/],
        'from the future': [withJws(signer, { claims: { iat: now + 60 } }), /iat/],
        'no expiry': [withJws(signer, { claims: { exp: undefined } }), /expired/],
        'no jti': [withJws(signer, { claims: { jti: undefined } }), /jti/],
        'no digest': [withJws(signer, { claims: { content_digest: undefined } }), /the body was changed/],
        'no certificate in it': [withJws(signer, { claims: { cnf: undefined } }), /the certificate was changed/],
        ...(signer.alg === 'hmac-sha256' ? {} : {
          'HMAC with the public key as secret': [withJws(signer, { header: { alg: 'HS256' }, signs: hmac(signer.key) }), /the algorithm is not the key's/],
        }),
      };
      const byFilter = await forwarded(`${signer.alg} JWS`);
      const requests = [...Object.values(bad).map(([changed]) => changed), byFilter, good, good];
      const lines = await verify(keyFile, files(`jws-${signer.alg}`, requests), [issuer, audience]);
      const wrong = Object.entries(bad).map(([what, [, reason]], index) => [what, lines[index], reason]).filter(([, line, reason]) => !reason.test(line));
      assert.deepEqual(wrong, []);
      const verified = `verified ${pki.payments['x5t#S256']}`;
      assert.deepEqual(lines.slice(-3).map((line) => line.slice(0, 60)), [verified, verified, 'refused: jti is missing or was used']);
    });
  }
});
