// OAuth clients' connections to Envoy, over HTTP/1.1 and HTTP/2, that send exactly the headers they are given.
import { once } from 'node:events';
import http2 from 'node:http2';
import https from 'node:https';
import tls from 'node:tls';
import { pki } from './pki.mjs';

const authority = 'as.example.com';

/** TLS options of a client: the server it trusts, and the certificate it presents, if any. */
export const identity = (certificate) => ({
  host: '127.0.0.1',
  servername: authority,
  ca: pki['infra-ca'].certificate,
  ...(certificate && { cert: pki[certificate].chain, key: pki[certificate].key }),
});

async function read(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

function http1(port, options) {
  const agent = new https.Agent({ keepAlive: true, maxSockets: 1, maxCachedSessions: 0, ...options });
  return {
    async send({ method, path, headers, body, trailers }) {
      const length = trailers ? ['Transfer-Encoding', 'chunked'] : ['Content-Length', body.length];
      const request = https.request({
        agent, port, host: options.host, method, path,
        headers: ['Host', authority, ...headers.flat(), ...length],
      });
      if (trailers) request.addTrailers(trailers);
      request.end(body);
      const [response] = await once(request, 'response');
      return { status: response.statusCode, headers: response.headers, body: await read(response) };
    },
    close: async () => agent.destroy(),
  };
}

/** Header pairs as the object that Node's HTTP/2 wants: a repeated name has an array. */
export function http2Fields(fields) {
  const object = {};
  for (const [name, value] of fields) (object[name.toLowerCase()] ??= []).push(value);
  return object;
}

async function http2Connection(port, options) {
  const socket = tls.connect({ port, ALPNProtocols: ['h2'], ...options });
  const session = http2.connect(`https://${authority}`, { createConnection: () => socket });
  await once(session, 'connect');
  return {
    session,
    async send({ method, path, headers, body, trailers }) {
      const pseudo = { ':method': method, ':path': path, ':authority': authority };
      const ends = body.length === 0 && !trailers;
      const stream = session.request({ ...pseudo, ...http2Fields(headers) }, { endStream: ends, waitForTrailers: Boolean(trailers) });
      stream.on('wantTrailers', () => stream.sendTrailers(http2Fields(trailers)));
      if (!ends) stream.end(body);
      const [response] = await once(stream, 'response');
      return { status: response[':status'], headers: response, body: await read(stream) };
    },
    close: () => new Promise((closed) => session.close(closed)),
  };
}

/** A connection that presents `certificate`. `options` are Node's TLS options, such as maxVersion or session. */
export const connect = async (port, { certificate = null, protocol = 'http/1.1', ...options } = {}) =>
  (protocol === 'h2' ? http2Connection : http1)(port, { ...identity(certificate), ...options });
