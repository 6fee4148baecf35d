// An introspection endpoint (RFC 7662) of which tests decide what it says of each token.
import http from 'node:http';

export const client = { id: 'gateway:1', secret: 'p+ %s' };

// RFC 6749 section 2.3.1, written here by hand.
const authorization = `Basic ${Buffer.from('gateway%3A1:p%2B%20%25s').toString('base64')}`;

/** What is wrong with a question, by RFC 7662 section 2.1. */
function problemsOf(request, body) {
  const pairs = [...new URLSearchParams(body)].map(([name]) => name).sort().join();
  const expected = [
    ['method', request.method, 'POST'],
    ['path', request.url, '/introspect'],
    ['host', request.headers.host, 'as.internal'],
    ['content-type', request.headers['content-type'], 'application/x-www-form-urlencoded'],
    ['authorization', request.headers.authorization, authorization],
    ['parameters', pairs, 'token,token_type_hint'],
    ['token_type_hint', new URLSearchParams(body).get('token_type_hint'), 'access_token'],
    ['form', /[^A-Za-z0-9%&=_]/.exec(body), null],
  ];
  return expected.filter(([, is, should]) => is !== should).map(([what, is]) => `${what} of a question: ${is}`);
}

/**
 * Starts the endpoint. `say` tells it what to answer about a token: { status, type, body, until }, of which body may be an
 * object and `until` is a promise that the answer waits for. Of other tokens it says that they are not active.
 */
export async function startIntrospection() {
  const answers = new Map();
  const questions = [];
  const problems = [];
  const server = http.createServer(async (request, response) => {
    let text = '';
    for await (const chunk of request) text += chunk;
    problems.push(...problemsOf(request, text));
    const token = new URLSearchParams(text).get('token');
    questions.push({ token, accept: request.headers.accept, exchange: request.headers['x-exchange'] });
    const { status = 200, type = 'application/json', body, until } = answers.get(token) ?? { body: { active: false } };
    await until;
    response.writeHead(status, type === null ? {} : { 'content-type': type });
    response.end(typeof body === 'object' ? JSON.stringify(body) : body);
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));

  return {
    port: server.address().port,
    problems,
    say: (token, answer) => { answers.set(token, answer); },
    /** How often it was asked about a token. */
    timesAsked: (token) => questions.filter((question) => question.token === token).length,
    accepted: (token) => questions.findLast((question) => question.token === token)?.accept,
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}
