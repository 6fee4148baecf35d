// An HTTPS server that only Envoy can reach: mutual TLS keeps out everyone else.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';

export const readPki = (name) => readFileSync(`build/pki/${name}`);

/**
 * @param identity   the name of its certificate and key
 * @param handle     async (Node request, response)
 */
export function serveBehindEnvoy({ identity, port, handle, onListening }) {
  const server = createServer({
    ca: readPki('infra-ca.pem'),
    cert: readPki(`${identity}.pem`),
    key: readPki(`${identity}.key`),
    minVersion: 'TLSv1.2',
    requestCert: true,
    rejectUnauthorized: true,
    keepAliveTimeout: 60_000, // longer than Envoy keeps idle connections, or Envoy would use one that is being closed
  });

  // The CA issues other certificates too: being one of its own is not enough.
  server.on('secureConnection', (socket) => {
    if (socket.getPeerCertificate().subject?.CN !== 'envoy') socket.destroy();
  });

  server.on('request', (request, response) => {
    handle(request, response).catch((error) => {
      console.error(error);
      response.destroy();
    });
  });

  server.listen({ host: '127.0.0.1', port }, () => {
    onListening?.();
    console.log(`listening on https://127.0.0.1:${port}`);
  });
}
