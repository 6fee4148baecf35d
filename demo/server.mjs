// An authorization server that only Envoy can reach: `node demo/server.mjs`, from the repository's root.
//
// Mutual TLS keeps out everyone but Envoy; gate.mjs believes no Client-Cert that certbound did not sign; behind them
// works plain oidc-provider (authorization-server.mjs). build/log/server.jsonl tells what was received, line by line.

import { createPublicKey } from 'node:crypto';
import { appendFileSync, mkdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { createAuthorizationServer } from './authorization-server.mjs';
import { readPki, serveBehindEnvoy } from './behind-envoy.mjs';
import { createGate, UntrustedCertificate } from './gate.mjs';

const ISSUER = 'https://localhost:8443'; // where clients find it: Envoy's listener
const LOG = 'build/log/server.jsonl';
const MAX_BODY_BYTES = 65536;

const received = new WeakMap(); // Node request -> its certificate, and its line in the log

const admit = createGate({ keys: { demo: createPublicKey(readPki('signing.pub')) } });
const authorizationServer = createAuthorizationServer({
  issuer: ISSUER,
  pki: JSON.parse(readPki('pki.json')),
  certificateOf: (request) => received.get(request).certificate,
  onError: (request, error) => {
    received.get(request).line.error = error.error_detail ?? error.message;
  },
}).callback();

async function handle(request, response) {
  const line = { time: new Date().toISOString(), method: request.method, path: request.url, headers: headersToLog(request) };
  response.on('finish', () => {
    line.status = response.statusCode;
    appendFileSync(LOG, `${JSON.stringify(line)}\n`);
  });

  const body = await readBody(request);
  if (body === undefined) {
    line.error = 'the body is too large';
    return refuse(response, 413);
  }
  line.body = body.toString().replace(/(^|&)client_secret=[^&]*/g, '$1client_secret=redacted');

  let certificate;
  try {
    certificate = await admit(request, body);
  } catch (error) {
    if (!(error instanceof UntrustedCertificate)) throw error;
    line.signature = `refused: ${error.message}`;
    return refuse(response, 400);
  }
  line.signature = certificate ? 'verified by http-message-signatures' : 'no certificate, no signature';

  received.set(request, { certificate, line });
  request.body = body; // oidc-provider parses it, since the stream has been read
  return authorizationServer(request, response);
}

function headersToLog({ rawHeaders }) {
  const headers = [];
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const isSecret = rawHeaders[i].toLowerCase() === 'authorization';
    headers.push([rawHeaders[i], isSecret ? 'redacted' : rawHeaders[i + 1]]);
  }
  return headers;
}

async function readBody(request) {
  const chunks = [];
  let bytes = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function refuse(response, status) {
  response.writeHead(status, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store', Connection: 'close' });
  response.end('{"error":"invalid_request"}');
}

serveBehindEnvoy({
  identity: 'as',
  port: 9443,
  handle,
  onListening: () => {
    mkdirSync(dirname(LOG), { recursive: true });
    rmSync(LOG, { force: true });
  },
});
