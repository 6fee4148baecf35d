// Listeners of the form that Istio and Envoy Gateway make, written by hand: neither runs here. Routes and server
// certificates stand in them, which the control planes deliver, and the address is this machine's.

const hcm = 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';

const route_config = { virtual_hosts: [{ name: 'any', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'server', timeout: '10s' } }] }] };

const empty = (name, type) => ({ name, typed_config: { '@type': `type.googleapis.com/envoy.extensions.filters.http.${type}` } });

const listener = (name, tlsContext, connectionManager, others) => ({
  name,
  address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
  ...others,
  filter_chains: [{
    transport_socket: {
      name: 'envoy.transport_sockets.tls',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
        require_client_certificate: false,
        ...tlsContext,
        common_tls_context: {
          ...tlsContext.common_tls_context,
          alpn_protocols: ['h2', 'http/1.1'],
          tls_certificates: [{ certificate_chain: { filename: 'build/pki/edge.pem' }, private_key: { filename: 'build/pki/edge.key' } }],
        },
      },
    },
    filters: [{
      name: 'envoy.filters.network.http_connection_manager',
      typed_config: { '@type': hcm, stat_prefix: name, route_config, ...connectionManager },
    }],
  }],
});

/** A Gateway with `tls: { mode: SIMPLE, minProtocolVersion: TLSV1_2 }`, as Istio 1.30 makes it. */
export const istioListener = () => listener(
  '0.0.0.0_443',
  { common_tls_context: { tls_params: { tls_minimum_protocol_version: 'TLSv1_2' } } },
  {
    codec_type: 'AUTO',
    forward_client_cert_details: 'SANITIZE_SET',
    set_current_client_cert_details: { subject: true, cert: true, dns: true, uri: true },
    normalize_path: true,
    path_with_escaped_slashes_action: 'KEEP_UNCHANGED',
    use_remote_address: true,
    upgrade_configs: [{ upgrade_type: 'websocket' }],
    stream_idle_timeout: '0s',
    http_filters: [empty('envoy.filters.http.grpc_stats', 'grpc_stats.v3.FilterConfig'), empty('envoy.filters.http.fault', 'fault.v3.HTTPFault'),
      empty('envoy.filters.http.cors', 'cors.v3.Cors'), empty('envoy.filters.http.router', 'router.v3.Router')],
  },
);

/** The Gateway of deploy/envoy-gateway with its ClientTrafficPolicy, as Envoy Gateway 1.9 makes it of them. */
export const envoyGatewayListener = () => listener(
  'oauth/oauth/https',
  {
    disable_stateful_session_resumption: true,
    disable_stateless_session_resumption: true,
    common_tls_context: {
      tls_params: {
        tls_minimum_protocol_version: 'TLSv1_2',
        signature_algorithms: ['ecdsa_secp256r1_sha256', 'ecdsa_secp384r1_sha384', 'ed25519', 'rsa_pss_rsae_sha256', 'rsa_pss_rsae_sha384',
          'rsa_pss_rsae_sha512', 'rsa_pkcs1_sha256'],
      },
      validation_context: { trust_chain_verification: 'ACCEPT_UNTRUSTED' },
    },
  },
  {
    forward_client_cert_details: 'SANITIZE_SET',
    set_current_client_cert_details: { chain: true },
    common_http_protocol_options: { headers_with_underscores_action: 'REJECT_REQUEST', idle_timeout: '60s' },
    http2_protocol_options: { initial_connection_window_size: 1048576, initial_stream_window_size: 131072, max_concurrent_streams: 100 },
    merge_slashes: true,
    normalize_path: true,
    path_with_escaped_slashes_action: 'REJECT_REQUEST',
    request_timeout: '10s',
    server_header_transformation: 'PASS_THROUGH',
    use_remote_address: true,
    http_filters: [empty('envoy.filters.http.router', 'router.v3.Router')],
  },
  { per_connection_buffer_limit_bytes: 131072 },
);

/** A bootstrap with a listener in front of the server at a port. */
export const bootstrap = (listener, port) => ({
  node: { id: 'tests', cluster: 'tests' },
  admin: { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } },
  static_resources: {
    listeners: [listener],
    clusters: [{
      name: 'server',
      load_assignment: {
        cluster_name: 'server',
        endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } } }] }],
      },
    }],
  },
});
