// The origin server behind Envoy: keeps what it receives, and judges every request it gets by the one rule that must
// never be broken.
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';

const pairs = (flat) => Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i].toLowerCase(), flat[2 * i + 1]]);

/** The value of a header or trailer as an application sees it: absent is null. */
export function field(received, name) {
  const found = [...received.headers, ...received.trailers].filter(([known]) => known === name);
  return found.length === 0 ? null : found.map(([, value]) => value).join(', ');
}

/** The client that the request claims to be, read the way a plain authorization server reads it. */
function claimedClient(received) {
  const [, basic] = /^Basic (.*)$/i.exec(field(received, 'authorization') ?? '') ?? [];
  return new URLSearchParams(received.body.toString()).get('client_id')
    ?? (basic && decodeURIComponent(Buffer.from(basic, 'base64').toString().split(':')[0]));
}

/** The certificate that a JWS is about (RFC 8705 section 3.1). */
const thumbprintIn = (jws) => JSON.parse(Buffer.from(jws.split('.')[1], 'base64url')).cnf['x5t#S256'];

const looksAuthenticated = ([name]) => /cert|^x-client-id$/.test(name.replaceAll('_', '-'));

/**
 * Starts the server. Clients name the certificate of their connection in `x-presented`; `isHolder` tells whether the
 * client that a request claims to be may use that certificate, and `credentials` which values may stand for it.
 */
export async function startUpstream({ isHolder, credentials }) {
  const exchanges = new Map();
  const violations = [];

  function judge(received) {
    const presented = field(received, 'x-presented');
    const clientId = claimedClient(received);
    for (const [name, value] of [...received.headers, ...received.trailers].filter(looksAuthenticated)) {
      const genuine = name === 'x-client-id' ? [clientId] : credentials(presented);
      const said = name.endsWith('-jwt') ? thumbprintIn(value) : value;
      if (!genuine.includes(said) || !isHolder({ clientId, presented, exchange: received.exchange })) {
        violations.push(`${received.exchange}: ${clientId} with ${presented} reached the server with ${name}: ${value}`);
      }
    }
  }

  function receive(request, response) {
    const received = {
      exchange: request.headers['x-exchange'],
      method: request.method,
      path: request.url,
      headers: pairs(request.rawHeaders),
      isWhole: false,
    };
    exchanges.set(received.exchange, received);
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      received.body = Buffer.concat(chunks);
      received.trailers = pairs(request.rawTrailers);
      received.isWhole = true;
      judge(received);
      response.end('reached the server');
    });
  }

  // Envoy speaks to the server what its client spoke to it; the HTTP/2 preface tells which.
  const http1Server = http.createServer(receive);
  const http2Server = http2.createServer(receive);
  const sockets = new Set();
  const server = net.createServer((socket) => {
    sockets.add(socket.once('close', () => sockets.delete(socket)).on('error', () => {}));
    socket.once('readable', () => {
      const head = socket.read();
      if (head === null) return;
      socket.unshift(head);
      (head.subarray(0, 3).toString() === 'PRI' ? http2Server : http1Server).emit('connection', socket);
    });
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));

  return {
    port: server.address().port,
    /** What has come of a request so far. */
    received: (exchange) => exchanges.get(exchange),

    /** Every request that broke the rule. A certificate must not come before the whole request was judged, either. */
    violations: () => violations.concat(
      [...exchanges.values()].filter(({ isWhole, headers }) => !isWhole && headers.some(looksAuthenticated))
        .map(({ exchange }) => `${exchange}: a certificate came with a part of a request`)),

    async stop() {
      sockets.forEach((socket) => socket.destroy());
      await new Promise((closed) => server.close(closed));
    },
  };
}
