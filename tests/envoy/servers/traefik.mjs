// Traefik, which passes the client's certificate on to a server (PassTLSClientCert).
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { required, root } from '../envoy.mjs';
import { startProxy } from './process.mjs';

const directory = 'build/log';

// It asks for certificates and verifies none.
const files = (port, upstreamPort) => ({
  'traefik.yml': {
    log: { level: 'ERROR' },
    global: { checkNewVersion: false, sendAnonymousUsage: false },
    entryPoints: { web: { address: `127.0.0.1:${port}` } },
    providers: { file: { filename: `${directory}/traefik-routes.yml` } },
  },
  'traefik-routes.yml': {
    tls: {
      certificates: [{ certFile: 'build/pki/edge.pem', keyFile: 'build/pki/edge.key' }],
      options: { default: { clientAuth: { clientAuthType: 'RequestClientCert' } } },
    },
    http: {
      middlewares: { certificate: { passTLSClientCert: { pem: true } } },
      services: { server: { loadBalancer: { servers: [{ url: `http://127.0.0.1:${upstreamPort}` }] } } },
      routers: { all: { rule: 'PathPrefix(`/`)', service: 'server', middlewares: ['certificate'], tls: {} } },
    },
  },
});

/** Starts Traefik before the server at `upstreamPort`. */
export const startTraefik = (upstreamPort) => startProxy((port) => {
  mkdirSync(join(root, directory), { recursive: true });
  for (const [name, content] of Object.entries(files(port, upstreamPort))) {
    writeFileSync(join(root, directory, name), JSON.stringify(content));
  }
  return [required('build/venv-servers/bin/traefik'), [`--configFile=${directory}/traefik.yml`]];
});
