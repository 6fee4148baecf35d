// The demo's clients. envoy.yaml registers the same ones with certbound, in the same words, but for the gateway, which is
// certbound itself.

/** The secrets of the clients that have no certificate. Known to everyone: they are good for the demo alone. */
export const PORTAL_SECRET = 'demo-only-portal-secret';
export const GATEWAY_SECRET = 'demo-only-gateway-secret'; // Makefile and docker-compose.yaml have it too

/** Client metadata as the authorization server has it (RFC 7591, RFC 8705); `pki` is what demo-pki wrote to pki.json. */
export function registrations(pki) {
  const certificateBound = { tls_client_certificate_bound_access_tokens: true };
  const machine = { grant_types: ['client_credentials'], redirect_uris: [], response_types: [] };
  return [
    {
      client_id: 'payments',
      token_endpoint_auth_method: 'tls_client_auth',
      tls_client_auth_subject_dn: 'CN=payments,O=Example Bank,C=SE',
      ...certificateBound,
      grant_types: ['client_credentials', 'authorization_code'],
      redirect_uris: ['https://payments.example.com/callback'],
    },
    {
      client_id: 'batch',
      token_endpoint_auth_method: 'tls_client_auth',
      tls_client_auth_san_uri: 'spiffe://example.org/batch',
      ...certificateBound,
      ...machine,
    },
    {
      client_id: 'supplier',
      token_endpoint_auth_method: 'tls_client_auth',
      tls_client_auth_subject_dn: 'CN=supplier',
      ...certificateBound,
      ...machine,
    },
    {
      client_id: 'partner-app',
      token_endpoint_auth_method: 'self_signed_tls_client_auth',
      jwks: { keys: [{ ...pki['partner-app'].jwk, x5c: [pki['partner-app'].x5c] }] },
      ...certificateBound,
      ...machine,
    },
    {
      client_id: 'portal',
      client_secret: PORTAL_SECRET,
      token_endpoint_auth_method: 'client_secret_basic',
      ...machine,
    },
    {
      client_id: 'mobile',
      token_endpoint_auth_method: 'none',
      ...certificateBound,
      grant_types: ['urn:ietf:params:oauth:grant-type:device_code'],
      redirect_uris: [],
      response_types: [],
    },
    {
      // asks about tokens, and can get none
      client_id: 'gateway',
      client_secret: GATEWAY_SECRET,
      token_endpoint_auth_method: 'client_secret_basic',
      grant_types: [],
      redirect_uris: [],
      response_types: [],
    },
  ];
}
