// The origin server behind Envoy: keeps what it receives, and judges every request it gets by the one rule that must
// never be broken.
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import { parseDictionary } from './packages.mjs';
import { accessTokens, readings } from './readings.mjs';

const pairs = (flat) => Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i].toLowerCase(), flat[2 * i + 1]]);

/** The value of a header or trailer as an application sees it: absent is null. */
export function field(received, name) {
  const found = [...received.headers, ...received.trailers].filter(([known]) => known === name);
  return found.length === 0 ? null : found.map(([, value]) => value).join(', ');
}

const folded = (name) => name.replaceAll(/[^a-z0-9]/g, '-');

const claimsOf = (jws) => JSON.parse(Buffer.from(jws.split('.')[1], 'base64url'));

/** The certificate that a JWS is about (RFC 8705 section 3.1). */
const thumbprintIn = (jws) => claimsOf(jws).cnf['x5t#S256'];

/** The certificate that an access token is bound to, if it is a JWT, or an introspection response that is one (RFC 9701). */
export function bindingOf(token) {
  try {
    const claims = claimsOf(token);
    return (claims.token_introspection ?? claims).cnf?.['x5t#S256'];
  } catch {
    return undefined;
  }
}

/** Names under which some server looks for a certificate, or for what a proxy found in one. */
const looksAuthenticated = ([name]) =>
  /cert|(ssl|tls)-client|mtls|wscc|client-(dn|verify)|ssl-(verify|issuer|subject)|^x-client-id$/.test(folded(name));

/** What a header of verification says when it vouches for nobody. */
const vouchesForNobody = ([, value]) => /^(NONE|FAILED)\b/.test(value);

/** Whether a request without certificate has a signature that looks like certbound's, by label or tag (RFC 9421). */
function hasForgedSignature(received) {
  if (received.headers.some(looksAuthenticated)) return false;
  return ['signature', 'signature-input'].some((name) => {
    const value = field(received, name);
    if (value === null) return false;
    try {
      const [...members] = parseDictionary(value);
      return members.some(([label, [, parameters]]) => label === 'certbound' || parameters.get('tag') === 'certbound');
    } catch {
      return value.includes('certbound');
    }
  });
}

/**
 * Starts the server. Clients name the certificate of their connection in `x-presented`; `isHolder` tells whether the
 * clients that a request may be read to be from may use that certificate, and `credentials` which values may stand for it.
 * `answer` is what the server does once it has a whole request, and `proxyUser` the user that the server knows as the proxy.
 * `requires` tells of a request for a protected resource what is required of its access tokens, `bound`, `if_present`, or
 * `report` where they only decide on the certificate, and of other requests nothing; `bindingOf` to which certificate a token
 * is bound, if to one.
 */
export async function startUpstream({
  isHolder, credentials, proxyUser, answer = (_, response) => response.end('reached the server'), requires = () => undefined,
  bindingOf: bindingOfToken = bindingOf,
}) {
  const exchanges = new Map();
  const violations = [];

  function judge(received) {
    const { exchange } = received;
    if (hasForgedSignature(received)) violations.push(`${exchange}: a signature in certbound's name reached the server`);
    const presented = field(received, 'x-presented');
    const genuine = credentials(presented);
    const requirement = requires(received);
    const bindings = accessTokens(received).map(bindingOfToken);
    const areBound = bindings.length > 0 && bindings.every((thumbprint) => genuine.includes(thumbprint));
    const mustBeBound = { bound: true, if_present: bindings.some((thumbprint) => thumbprint !== undefined) }[requirement];
    if (mustBeBound && !areBound) {
      violations.push(`${exchange}: a request with ${presented} reached a resource with tokens bound to ${bindings.join(', ') || 'nothing'}`);
    }
    const authenticated = [...received.headers, ...received.trailers].filter(looksAuthenticated).filter((header) => !vouchesForNobody(header));
    if (authenticated.length === 0) return;
    const read = readings(received).filter(({ clientId }) => clientId !== proxyUser || proxyUser === undefined);
    const clientIds = new Set(read.map(({ clientId }) => clientId));
    const areHolders = requirement ? areBound : clientIds.size > 0 && [...clientIds].every((clientId) => isHolder({ clientId, presented, exchange }));
    const isGenuine = ([name, value]) => {
      if (name === 'x-client-id') return clientIds.size === 1 && clientIds.has(value);
      if (/verify/.test(name)) return value === 'SUCCESS';
      return genuine.includes(name.endsWith('-jwt') ? thumbprintIn(value) : value);
    };
    for (const header of authenticated.filter((header) => !areHolders || !isGenuine(header))) {
      const claims = read.map(({ reading, clientId }) => `${clientId} (${reading})`).join(', ') || 'nobody';
      violations.push(`${exchange}: ${claims} with ${presented} reached the server with ${header.join(': ')}`);
    }
  }

  function begin(request) {
    const received = {
      exchange: request.headers['x-exchange'],
      method: request.method,
      path: request.url,
      headers: pairs(request.rawHeaders),
      isWhole: false,
      body: Buffer.alloc(0),
      trailers: [],
    };
    exchanges.set(received.exchange, [...exchanges.get(received.exchange) ?? [], received]);
    // Its body comes as it is sent.
    if (requires(received)) judge(received);
    return received;
  }

  function receive(request, response) {
    const received = begin(request);
    request.on('data', (chunk) => { received.body = Buffer.concat([received.body, chunk]); });
    request.on('end', () => {
      received.trailers = pairs(request.rawTrailers);
      received.isWhole = true;
      judge(received);
      answer(received, response);
    });
  }

  /** Switches to another protocol, in which the server echoes. */
  function upgrade(request, socket) {
    const received = begin(request);
    received.isWhole = true;
    judge(received);
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    socket.pipe(socket);
  }

  // Envoy speaks to the server what its client spoke to it; the HTTP/2 preface tells which.
  const http1Server = http.createServer(receive).on('upgrade', upgrade);
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
    received: (exchange) => exchanges.get(exchange)?.at(-1),

    /** What has come under the mark of one request, where Envoy or a client may have sent it more than once. */
    everyReceived: (exchange) => exchanges.get(exchange) ?? [],

    /** Every request that broke the rule. A certificate must not come before the whole request was judged, either, except at a
     * resource. */
    violations: () => violations.concat(
      [...exchanges.values()].flat().filter((received) => !received.isWhole && !requires(received) && received.headers.some(looksAuthenticated))
        .map(({ exchange }) => `${exchange}: a certificate came with a part of a request`)),

    async stop() {
      sockets.forEach((socket) => socket.destroy());
      await new Promise((closed) => server.close(closed));
    },
  };
}
