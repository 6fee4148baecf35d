// oidc-provider, one for each form of the certificate's header. Requests tell which by their authority.
import { generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import { Provider } from '../packages.mjs';
import { pki } from '../pki.mjs';

const fromBase64 = (text) => new X509Certificate(Buffer.from(text, 'base64'));

/** Of each form, what certbound is told to write, and the hook that reads it. */
export const forms = {
  // In the words of oidc-provider's documentation, but for the decoding: it shows a header that holds PEM, and nginx and
  // certbound escape the line ends, which PEM must have in Node.
  'urlencoded_pem': {
    certificateHeader: { format: 'urlencoded_pem', name: 'x-ssl-client-cert', verify_name: 'x-ssl-client-verify' },
    getCertificate: (ctx) => decodeURIComponent(ctx.get('x-ssl-client-cert')) || undefined,
    certificateAuthorized: (ctx) => ctx.get('x-ssl-client-verify') === 'SUCCESS',
  },
  'rfc9440': {
    certificateHeader: {},
    getCertificate: (ctx) => read(/^:([A-Za-z0-9+/]+=*):$/, ctx.get('client-cert'), fromBase64),
  },
  'pem': {
    certificateHeader: { format: 'pem' },
    getCertificate: (ctx) => read(/^-----BEGIN CERTIFICATE-----(.*)-----END CERTIFICATE-----$/, ctx.get('ssl-client-cert'), fromBase64),
  },
  'base64_der': {
    certificateHeader: { format: 'base64_der' },
    getCertificate: (ctx) => read(/^(.+)$/, ctx.get('ssl-client-cert'), fromBase64),
  },
  'traefik': {
    certificateHeader: { format: 'traefik' },
    getCertificate: (ctx) => read(/^([^,]+)/, ctx.get('x-forwarded-tls-client-cert'), fromBase64),
  },
  'xfcc': {
    certificateHeader: { format: 'xfcc' },
    getCertificate: (ctx) => read(/(?:^|;)Cert="([^"]*)"/, ctx.get('x-forwarded-client-cert'), decodeURIComponent),
  },
};

function read(pattern, value, decode) {
  const [, found] = pattern.exec(value) ?? [];
  return found && decode(found);
}

// certbound judged path and name of the certificate, and says so in x-client-id.
const isAuthenticated = (ctx) => ctx.get('x-client-id') === ctx.oidc.params.client_id;

const client = (clientId, metadata) =>
  ({ client_id: clientId, grant_types: ['client_credentials'], redirect_uris: [], response_types: [], ...metadata });

const providerOf = (form) => new Provider(`https://${form}`, {
  clients: [
    client('payments', {
      token_endpoint_auth_method: 'tls_client_auth',
      tls_client_auth_subject_dn: 'CN=payments,O=Example Bank,C=SE',
      tls_client_certificate_bound_access_tokens: true,
    }),
    client('partner-app', {
      token_endpoint_auth_method: 'self_signed_tls_client_auth',
      jwks: { keys: [{ ...pki['partner-app'].jwk, x5c: [pki['partner-app'].x5c] }] },
      tls_client_certificate_bound_access_tokens: true,
    }),
  ],
  clientAuthMethods: ['tls_client_auth', 'self_signed_tls_client_auth'],
  clientDefaults: { id_token_signed_response_alg: 'ES256' },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    mTLS: {
      enabled: true,
      certificateBoundAccessTokens: true,
      selfSignedTlsClientAuth: true,
      tlsClientAuth: true,
      certificateAuthorized: isAuthenticated,
      certificateSubjectMatches: isAuthenticated,
      ...hooks(form),
    },
  },
  jwks: { keys: [generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' })] },
});

function hooks(form) {
  const { certificateHeader: _, ...functions } = forms[form];
  return functions;
}

/** Starts all of them behind one port. */
export async function startOidcProviders() {
  const providers = Object.fromEntries(Object.keys(forms).map((form) => [form, providerOf(form)]));
  const server = http.createServer((request, response) => providers[request.headers.host].callback()(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: server.address().port,

    /** `x5t#S256` in `cnf` of an access token that a provider issued. */
    async confirmation(form, accessToken) {
      return (await providers[form].ClientCredentials.find(accessToken))['x5t#S256'];
    },

    async stop() {
      server.closeAllConnections();
      server.close();
    },
  };
}
