// Envoy with certbound between test clients and a server that tells what reached it.
import assert from 'node:assert/strict';
import { connect, rawConnection, requestHead } from './client.mjs';
import { startEnvoy } from './envoy.mjs';
import { certificateForms } from './pki.mjs';
import { startUpstream } from './upstream.mjs';

const form = ['content-type', 'application/x-www-form-urlencoded'];

const credentials = (presented) => (presented ? certificateForms(presented) : []);

/** A request of tests/cases' format, as the clients send it; over HTTP/2, `writeBody` may say in which pieces. */
function requestOf({
  method = 'POST', path = '/oauth/token', headers = [], form: text, body, body_base64: bytes, trailers,
  writeBody = (stream, whole) => stream.end(whole),
}) {
  const field = ([name, value]) => [name, value.base64 === undefined ? value : Buffer.from(value.base64, 'base64').toString('latin1')];
  return {
    method,
    path,
    headers: [...headers.map(field), ...(text === undefined ? [] : [form])],
    body: Buffer.from(text ?? body ?? bytes ?? '', bytes === undefined ? 'utf8' : 'base64'),
    trailers: trailers?.map(field),
    writeBody,
  };
}

/**
 * Starts the server and Envoy. `listeners` and `options` are those of `startEnvoy`; `isHolder` tells which client may use which
 * certificate: no request for which it is false may carry a certificate upstream, and `stop` fails if one did.
 * `answer`, `proxyUser`, `requires` and `bindingOf` are the server's, as in `startUpstream`.
 */
export async function startTestbed(name, listeners, isHolder, { answer, proxyUser, requires, bindingOf, ...options } = {}) {
  const upstream = await startUpstream({ isHolder, credentials, answer, proxyUser, requires, bindingOf });
  const envoy = await startEnvoy(name, listeners, upstream.port, options).catch(async (error) => {
    await upstream.stop();
    throw error;
  });
  let exchanges = 0;

  // Headers that let the server and the access log know a request again.
  function mark(certificate) {
    exchanges += 1;
    const exchange = `${name}-${exchanges}`;
    return { exchange, marks: [['x-exchange', exchange], ...(certificate ? [['x-presented', certificate]] : [])] };
  }

  /** What is known of a request once it is over: what reached the server and what certbound said of it. */
  async function observe(exchange) {
    const { outcome, reason, client_id: clientId, thumbprint } = await envoy.accessLogEntry(exchange);
    return { received: upstream.received(exchange), outcome, reason, clientId, thumbprint };
  }

  async function using(connection, use) {
    try {
      return await use(connection);
    } finally {
      await connection.close();
    }
  }

  return {
    envoy,
    upstream,
    observe,

    /** A client's connection to a listener; `exchange` sends a request on it and tells what became of it. */
    async withConnection(listenerName, options, use) {
      const connection = await connect(envoy.ports[listenerName], options);

      function begun(request, onBegin = () => {}) {
        const { exchange: id, marks } = mark(options.certificate);
        onBegin(id);
        const sent = requestOf(request);
        return { id, responding: connection.send({ ...sent, headers: [...marks, ...sent.headers] }) };
      }

      async function exchange(request) {
        const { id, responding } = begun(request);
        const response = await responding;
        return { response, ...await observe(id) };
      }

      /** For requests that Envoy itself may refuse: the response is null where it closes the connection instead. */
      async function attempt(request, onBegin) {
        const { id, responding } = begun(request, onBegin);
        return { id, response: await responding.catch(() => null) };
      }

      /** An HTTP/2 stream whose end the test decides on. */
      function begin() {
        const { exchange: id, marks } = mark(options.certificate);
        return { id, stream: connection.open({ ...requestOf({}), headers: [...marks, form] }) };
      }

      return using({ ...connection, exchange, attempt, begin }, use);
    },

    /** The same for one request on a connection of its own. */
    exchange(listenerName, request, options = {}) {
      return this.withConnection(listenerName, options, (connection) => connection.exchange(request));
    },

    /** A connection on which the test writes HTTP/1.1: `begin` the head of a request, `write` the body, `finish` reads. */
    async withRawConnection(listenerName, options, use) {
      const connection = await rawConnection(envoy.ports[listenerName], options);

      function begin(headers, path) {
        const { exchange: id, marks } = mark(options.certificate);
        connection.write(requestHead({ path, headers: [...marks, form, ...headers] }));
        return { id, finish: async () => ({ response: await connection.response(), ...await observe(id) }) };
      }

      /** A request as a test spells it, to which only the marks are added. */
      function spell({ head, body = '' }) {
        const { exchange: id, marks } = mark(options.certificate);
        const text = [...head, ...marks.map((field) => field.join(': ')), '', body].join('\r\n');
        return { id, bytes: Buffer.from(text, 'latin1') };
      }

      return using({ ...connection, begin, spell }, use);
    },

    async stop() {
      await envoy.stop();
      await upstream.stop();
      assert.deepEqual(upstream.violations(), [], 'a certificate reached the server that its client was not authenticated by');
    },
  };
}

/** Checks a refusal as its client sees it (RFC 6749 section 5.2). */
export function assertRefused({ response, received }, status, error) {
  assert.equal(response.status, status, response.body);
  if (error) {
    assert.equal(JSON.parse(response.body).error, error);
    assert.equal(response.headers['content-type'], 'application/json');
  } else {
    assert.equal(response.body, '');
  }
  assert.equal(response.headers['cache-control'], 'no-store');
  assert.equal(response.headers.pragma, 'no-cache');
  assert.equal(received, undefined, 'a refused request reached the server');
}
