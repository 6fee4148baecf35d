// The authorization server behind certbound: oidc-provider with its RFC 8705 features on.
// It is plain oidc-provider; what a server behind certbound adds is gate.mjs.

import { generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto';
import Provider, { errors } from 'oidc-provider';
import { registrations } from './clients.mjs';

/**
 * @param pki                what demo-pki wrote to pki.json
 * @param certificateOf      (Node request) => the client certificate that the gate verified, or undefined
 * @param onError            (Node request, error) is told why a request was refused, which the client is not
 */
export function createAuthorizationServer({ issuer, pki, certificateOf, onError }) {
  const issuers = ['client-ca', 'partner-intermediate-ca'].map((name) => new X509Certificate(pki[name].certificate));
  const ownTokensOnly = async (ctx, client, token) => token.clientId === client.clientId;
  const mayIntrospect = async (ctx, client, token) => client.clientId === 'gateway' || ownTokensOnly(ctx, client, token);
  // Tokens for a resource are JWTs, which it can read; all others are opaque, and have to be introspected.
  const resource = `${issuer}/api/`;
  const resourceServers = {
    [resource]: {},
    [`${resource}briefly`]: { accessTokenTTL: 1 }, // the same, to see a token expire
  };
  const accessTokenSeconds = (ctx, token) => token.resourceServer?.accessTokenTTL ?? 600;

  const provider = new Provider(issuer, {
    clients: registrations(pki),
    clientAuthMethods: ['tls_client_auth', 'self_signed_tls_client_auth', 'client_secret_basic', 'none'],
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    cookies: { keys: [randomBytes(32).toString('hex')] },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      deviceFlow: { enabled: true },
      introspection: { enabled: true, allowedPolicy: mayIntrospect },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        selfSignedTlsClientAuth: true,
        tlsClientAuth: true,
        getCertificate: (ctx) => certificateOf(ctx.req),
        // Behind certbound the next two have been decided before; a second opinion costs little and would notice
        // registrations that differ between the two.
        certificateAuthorized: (ctx) => issuers.some((issuer) => isIssuedBy(issuer, certificateOf(ctx.req))),
        certificateSubjectMatches: (ctx, property, expected) => subjectMatches(certificateOf(ctx.req), property, expected),
      },
      pushedAuthorizationRequests: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (ctx, indicator) => {
          if (!Object.hasOwn(resourceServers, indicator)) throw new errors.InvalidTarget();
          return { ...resourceServers[indicator], audience: resource, scope: '', accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } };
        },
      },
      revocation: { enabled: true, allowedPolicy: ownTokensOnly },
    },
    jwks: { keys: [generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' })] },
    ttl: { AccessToken: accessTokenSeconds, ClientCredentials: accessTokenSeconds, DeviceCode: 600 },
  });

  provider.proxy = true; // Envoy says X-Forwarded-Proto: https, and nobody else can connect
  for (const endpoint of ['grant', 'introspection', 'revocation', 'pushed_authorization_request', 'device_authorization']) {
    provider.on(`${endpoint}.error`, (ctx, error) => onError(ctx.req, error));
  }
  provider.on('server_error', (ctx, error) => onError(ctx.req, error));
  return provider;
}

// The direct issuers, and any for every client: enough for the demo. Node has no path validation to offer; certbound's
// verdict, of the client's own trust anchors, is the one that counts.
function isIssuedBy(authority, certificate) {
  const now = Date.now();
  return (
    certificate.checkIssued(authority) &&
    certificate.verify(authority.publicKey) &&
    Date.parse(certificate.validFrom) <= now &&
    now <= Date.parse(certificate.validTo)
  );
}

function subjectMatches(certificate, property, expected) {
  switch (property) {
    case 'tls_client_auth_subject_dn':
      return distinguishedName(certificate) === expected;
    case 'tls_client_auth_san_dns':
      return alternativeNames(certificate).includes(`DNS:${expected}`);
    case 'tls_client_auth_san_uri':
      return alternativeNames(certificate).includes(`URI:${expected}`);
    case 'tls_client_auth_san_ip':
      return certificate.checkIP(expected) !== undefined;
    case 'tls_client_auth_san_email':
      return certificate.checkEmail(expected, { subject: 'never' }) !== undefined;
    default:
      return false;
  }
}

/** Node writes one RDN a line, the root first; RFC 4514 wants commas and the root last. */
function distinguishedName(certificate) {
  return (certificate.subject ?? '').split('\n').reverse().join(',').replaceAll(' + ', '+');
}

/** Node quotes a name that holds a comma, so that this split cannot be misled. */
function alternativeNames(certificate) {
  return (certificate.subjectAltName ?? '').split(', ');
}
