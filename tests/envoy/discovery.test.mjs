// Metadata of the server, changed on its way back (RFC 8705 section 5), in whichever way it is sent.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { isHolder, registry } from './registry.mjs';
import { startTestbed } from './testbed.mjs';
import { field } from './upstream.mjs';

const path = '/.well-known/openid-configuration';
const metadata = {
  issuer: 'https://as.example.com',
  token_endpoint: 'https://as.example.com/oauth/token?tenant=a',
  jwks_uri: 'https://as.example.com/jwks',
  token_endpoint_auth_methods_supported: ['private_key_jwt'],
};
const text = JSON.stringify(metadata, null, 2);
const changed = {
  ...metadata,
  token_endpoint_auth_methods_supported: ['private_key_jwt', 'tls_client_auth', 'self_signed_tls_client_auth'],
  mtls_endpoint_aliases: { token_endpoint: 'https://mtls.as.example.com/oauth/token?tenant=a' },
  tls_client_certificate_bound_access_tokens: true,
};
const etag = '"of-the-server"';
const long = JSON.stringify({ ...metadata, padding: 'x'.repeat(200_000) });

const json = (response, headers = {}, status = 200) => response.writeHead(status, { 'Content-Type': 'application/json', ...headers });

/** How the server answers, by the request's `x-variant`. */
const variants = {
  'with a length': (received, response) => json(response, { 'Content-Length': text.length }).end(text),
  'in chunks': (received, response) => {
    json(response);
    for (const piece of text.match(/[^]{1,7}/g)) response.write(piece);
    response.end();
  },
  'with trailers': (received, response) => {
    json(response, { Trailer: 'X-Checksum' }).write(text);
    response.addTrailers({ 'X-Checksum': '1' });
    response.end();
  },
  'compressed if the client may': (received, response) =>
    (/gzip/.test(field(received, 'accept-encoding'))
      ? json(response, { 'Content-Encoding': 'gzip' }).end(gzipSync(text))
      : json(response).end(text)),
  'by conditions and ranges': (received, response) => {
    if (field(received, 'if-none-match') === etag) return response.writeHead(304, { ETag: etag }).end();
    if (field(received, 'range')) return json(response, { 'Content-Range': `bytes 0-9/${text.length}` }, 206).end(text.slice(0, 10));
    return json(response, { ETag: etag, 'Last-Modified': 'Mon, 02 Nov 2026 00:00:00 GMT', 'Cache-Control': 'max-age=60' }).end(text);
  },
  'compressed anyway': (received, response) => json(response, { 'Content-Encoding': 'gzip' }).end(gzipSync(text)),
  'long, with a length': (received, response) => json(response, { 'Content-Length': long.length, ETag: etag }).end(long),
  'long, in chunks': (received, response) => {
    json(response, { ETag: etag });
    for (const piece of long.match(/[^]{1,5000}/g)) response.write(piece);
    response.end();
  },
  'no JSON': (received, response) => json(response, { ETag: etag }).end('{"token_endpoint":'),
  'HTML': (received, response) => response.writeHead(200, { 'Content-Type': 'text/html', ETag: etag }).end(text),
  'an error': (received, response) => json(response, { ETag: etag }, 503).end(text),
  'nothing': (received, response) => json(response, { 'Content-Length': 0 }).end(),
};

const answer = (received, response) => variants[field(received, 'x-variant')](received, response);

let testbed;
before(async () => {
  const discovery = { paths: [path], mtls_origin: 'https://mtls.as.example.com' };
  const listeners = { clients: { configuration: { ...registry, discovery }, bufferBytes: 131072 } };
  testbed = await startTestbed('discovery', listeners, isHolder, { answer });
});
after(() => testbed?.stop());

const asking = (variant, { method = 'GET', headers = [], target = path } = {}) =>
  ({ method, path: target, headers: [['x-variant', variant], ...headers] });

const ask = (protocol, variant, options) => testbed.exchange('clients', asking(variant, options), { protocol });

function assertChanged({ response }) {
  assert.equal(response.status, 200);
  assert.deepEqual(JSON.parse(response.body), changed);
  assert.deepEqual(Object.keys(JSON.parse(response.body)).slice(0, 4), Object.keys(metadata));
  const length = response.headers['content-length'];
  assert.equal(Number(length), Buffer.byteLength(response.body));
}

for (const protocol of ['http/1.1', 'h2']) {
  describe(`over ${protocol}`, () => {
    for (const variant of ['with a length', 'in chunks', 'with trailers', 'compressed if the client may']) {
      test(`a document that is sent ${variant} is changed`, async () => {
        assertChanged(await ask(protocol, variant, { headers: [['accept-encoding', 'gzip']] }));
      });
    }

    test('a document is found by its normalised path, whatever the query', async () => {
      assertChanged(await ask(protocol, 'in chunks', { target: '/x/../.well-known/openid%2Dconfiguration?a=b' }));
    });

    test('nobody is told that a document is the one from before a change, or gets a part of it', async () => {
      for (const header of [['if-none-match', etag], ['range', 'bytes=0-9']]) {
        const exchange = await ask(protocol, 'by conditions and ranges', { headers: [header] });
        assertChanged(exchange);
        assert.equal(exchange.response.headers.etag, undefined);
        assert.equal(exchange.response.headers['last-modified'], undefined);
        assert.equal(exchange.response.headers['cache-control'], 'max-age=60');
        assert.equal(field(exchange.received, header[0]), null);
      }
      const elsewhere = await ask(protocol, 'by conditions and ranges', { headers: [['if-none-match', etag]], target: '/jwks' });
      assert.equal(elsewhere.response.status, 304);
    });

    test('HEAD tells neither the length nor the validator of the document that GET would not send', async () => {
      for (const variant of ['with a length', 'by conditions and ranges']) {
        const { response } = await ask(protocol, variant, { method: 'HEAD' });
        assert.equal(response.status, 200);
        assert.equal(response.headers['content-type'], 'application/json');
        assert.equal(response.headers['content-length'], undefined);
        assert.equal(response.headers.etag, undefined);
        assert.equal(response.body, '');
      }
    });

    for (const [variant, status, body] of [
      ['long, with a length', 200, long],
      ['long, in chunks', 200, long],
      ['no JSON', 200, '{"token_endpoint":'],
      ['HTML', 200, text],
      ['an error', 503, text],
      ['nothing', 200, ''],
    ]) {
      test(`a response goes on as it came: ${variant}`, async () => {
        const { response } = await ask(protocol, variant);
        assert.equal(response.status, status);
        assert.ok(response.body === body, `${response.body.length} bytes: ${response.body.slice(0, 200)}`);
        if (variant !== 'nothing') assert.equal(response.headers.etag, etag);
      });
    }

    test('a response that is compressed although nobody asked goes on as it came', async () => {
      const { response } = await ask(protocol, 'compressed anyway');
      assert.equal(response.headers['content-encoding'], 'gzip');
      await testbed.envoy.logLines('the server compressed it');
    });

    test('many at a time do not mix', () =>
      testbed.withConnection('clients', { protocol }, async ({ exchange }) => {
        const mixed = Array.from({ length: 200 }, (_, i) => ['with a length', 'in chunks', 'no JSON', 'an error'][i % 4]);
        await Promise.all(mixed.map(async (variant) => {
          const result = await exchange(asking(variant));
          if (variant === 'no JSON') assert.equal(result.response.body, '{"token_endpoint":');
          else if (variant === 'an error') assert.equal(result.response.status, 503);
          else assertChanged(result);
        }));
      }));
  });
}
