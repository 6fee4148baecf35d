// The plugin configuration of the tests that are about Envoy rather than about one rule, and who is who in it.
import { resolve } from './pki.mjs';

const holders = {
  payments: ['payments', 'payments-rotated', 'payments-with-extra'],
  batch: ['batch'],
  supplier: ['supplier'],
  'partner-app': ['partner-app'],
  // Its tokens are bound to whatever it presents.
  mobile: ['payments', 'payments-with-extra', 'batch', 'partner-app', 'partner-next', 'payments-rogue'],
};

/** Whether a client may use a certificate: known from the PKI, not from certbound. */
export const isHolder = ({ clientId, presented }) => holders[clientId]?.includes(presented) ?? false;

export const registry = resolve({
  endpoints: [{ path: '/oauth/token' }],
  clients: [
    {
      client_id: 'payments',
      token_endpoint_auth_method: 'tls_client_auth',
      tls_client_auth_subject_dn: 'CN=payments,O=Example Bank,C=SE',
    },
    {
      client_id: 'batch',
      token_endpoint_auth_method: 'tls_client_auth',
      tls_client_auth_san_uri: 'spiffe://example.org/batch',
    },
    {
      client_id: 'partner-app',
      token_endpoint_auth_method: 'self_signed_tls_client_auth',
      certificate_thumbprints: ['@x5t#S256:partner-app'],
    },
    { client_id: 'portal', token_endpoint_auth_method: 'client_secret_post' },
    { client_id: 'mobile', token_endpoint_auth_method: 'none', tls_client_certificate_bound_access_tokens: true },
  ],
  client_id_header: 'X-Client-Id',
  thumbprint_header: 'X-Client-Cert-Thumbprint',
});

const refused = (reason) => ({ outcome: 'denied', reason });
const passed = { outcome: 'allowed', reason: null };

/** What certbound must say to a client on a connection that presents a certificate of the registry's PKI. */
export function verdict(clientId, presented) {
  if (clientId === 'portal') return passed;
  if (clientId === 'stranger') return refused('client_not_registered');
  if (presented === null) return refused('certificate_missing');
  if (isHolder({ clientId, presented })) return passed;
  if (clientId === 'partner-app') return refused('certificate_not_registered');
  return refused(['partner-app', 'payments-rogue'].includes(presented) ? 'certificate_untrusted' : 'subject_mismatch');
}
