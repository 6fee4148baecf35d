// OAuth clients' connections to Envoy, over HTTP/1.1 and HTTP/2, that send exactly the headers they are given.
import { once } from 'node:events';
import http2 from 'node:http2';
import https from 'node:https';
import tls from 'node:tls';
import { pki } from './pki.mjs';

/** TLS options of a client: the server it trusts, and the certificate it presents, if any. */
export const identity = (certificate) => ({
  host: '127.0.0.1',
  servername: 'as.example.com',
  ca: pki['infra-ca'].certificate,
  ...(certificate && { cert: pki[certificate].chain, key: pki[certificate].key }),
});

async function read(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

function http1(port, authority, options) {
  const agent = new https.Agent({ keepAlive: true, maxSockets: 1, maxCachedSessions: 0, ...options });
  return {
    async send({ method, path, headers, body }) {
      const request = https.request({
        agent, port, host: options.host, method, path,
        headers: ['Host', authority, ...headers.flat(), 'Content-Length', body.length],
      });
      request.end(body);
      const response = await responseTo(request);
      return { status: response.statusCode, headers: response.headers, body: await read(response) };
    },
    close: async () => agent.destroy(),
  };
}

/**
 * A connection on which a test writes the bytes of HTTP/1.1 itself. `response` reads the next response; those of Envoy
 * and of the tests' server all have a Content-Length, but for 100 (Continue).
 */
export async function rawConnection(port, { certificate = null, ...options } = {}) {
  const socket = tls.connect({ port, ...identity(certificate), ...options });
  await once(socket, 'secureConnect');
  const bytes = socket[Symbol.asyncIterator]();
  let buffer = Buffer.alloc(0);

  const more = async () => {
    const { value, done } = await bytes.next();
    if (done) throw new Error(`the connection ended with ${JSON.stringify(buffer.toString())} read`);
    buffer = Buffer.concat([buffer, value]);
  };
  const take = (length) => {
    const taken = buffer.subarray(0, length).toString();
    buffer = buffer.subarray(length);
    return taken;
  };

  return {
    socket,
    write: (data) => socket.write(data),
    async response() {
      while (!buffer.includes('\r\n\r\n')) await more();
      const [statusLine, ...lines] = take(buffer.indexOf('\r\n\r\n') + 4).trimEnd().split('\r\n');
      const headers = Object.fromEntries(lines.map((line) => line.split(/: (.*)/, 2)));
      const length = Number(headers['content-length'] ?? 0);
      while (buffer.length < length) await more();
      return { status: Number(statusLine.split(' ')[1]), headers, body: take(length) };
    },
    /** What comes up to the end of a text. */
    async until(text) {
      while (!buffer.includes(text)) await more();
      return take(buffer.indexOf(text) + text.length);
    },
    close: () => socket.destroy(),
  };
}

/** The head of a POST, to be followed by its body. */
export const requestHead = ({ path = '/oauth/token', headers }) =>
  [`POST ${path} HTTP/1.1`, 'Host: as.example.com', ...headers.map(([name, value]) => `${name}: ${value}`), '', ''].join('\r\n');

/** Header pairs as the object that Node's HTTP/2 wants: a repeated name has an array. */
function http2Fields(fields) {
  const object = {};
  for (const [name, value] of fields) (object[name.toLowerCase()] ??= []).push(value);
  return object;
}

/** The response to a request, or the failure of its connection: a stream can close without either. */
async function responseTo(request) {
  const closed = new AbortController();
  request.once('close', () => closed.abort());
  const [response] = await once(request, 'response', { signal: closed.signal });
  // An early refusal makes Envoy close the connection under a body that is still being written.
  request.on('error', () => {});
  return response;
}

async function http2Connection(port, authority, options) {
  const socket = tls.connect({ port, ALPNProtocols: ['h2'], ...options });
  const session = http2.connect(`https://${authority}`, { createConnection: () => socket });
  await once(session, 'connect');

  const open = ({ method, path, headers }, streamOptions) =>
    session.request({ ':method': method, ':path': path, ':authority': authority, ...http2Fields(headers) }, streamOptions);

  return {
    open,
    async send({ body, trailers, writeBody, ...head }) {
      const ends = body.length === 0 && !trailers;
      const stream = open(head, { endStream: ends, waitForTrailers: Boolean(trailers) });
      stream.on('wantTrailers', () => stream.sendTrailers(http2Fields(trailers)));
      if (!ends) writeBody(stream, body);
      const response = await responseTo(stream);
      return { status: response[':status'], headers: response, body: await read(stream) };
    },
    destroy: () => session.destroy(),
    close: () => session.destroyed || new Promise((closed) => session.close(closed)),
  };
}

/** A connection that presents `certificate`. `options` are Node's TLS options, such as maxVersion or session. */
export const connect = async (port, { certificate = null, protocol = 'http/1.1', authority = 'as.example.com', ...options } = {}) =>
  (protocol === 'h2' ? http2Connection : http1)(port, authority, { ...identity(certificate), ...options });
