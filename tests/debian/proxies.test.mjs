// What nginx, Apache and HAProxy pass on, as Debian packages them.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { required, root } from '../envoy/envoy.mjs';
import { declareForms } from '../envoy/forms.mjs';
import { startProxy } from '../envoy/servers/process.mjs';

const packages = join(root, required('build/debian/usr'));
const work = join(root, 'build/log/debian');
const pkiPath = join(root, 'build/pki');
const environment = { LD_LIBRARY_PATH: join(packages, 'lib/x86_64-linux-gnu') };
mkdirSync(work, { recursive: true });

function written(name, content) {
  const path = join(work, name);
  writeFileSync(path, content);
  return path;
}

// All of them ask for a certificate, verify it to client-ca, and let those through that have no path there.
const configurations = {
  nginx: (port, upstreamPort) => ['sbin/nginx', ['-p', work, '-c', written('nginx.conf', `
    daemon off; worker_processes 1; pid ${work}/nginx.pid; error_log stderr;
    events {}
    http {
      access_log off;
      client_body_temp_path ${work}; proxy_temp_path ${work}; fastcgi_temp_path ${work}; uwsgi_temp_path ${work};
      scgi_temp_path ${work};
      server {
        listen 127.0.0.1:${port} ssl;
        ssl_certificate ${pkiPath}/edge.pem; ssl_certificate_key ${pkiPath}/edge.key;
        ssl_client_certificate ${pkiPath}/client-ca.pem; ssl_verify_client optional_no_ca; ssl_verify_depth 5;
        location / {
          proxy_pass http://127.0.0.1:${upstreamPort};
          proxy_set_header ssl-client-cert $ssl_client_escaped_cert;
          proxy_set_header ssl-client-verify $ssl_client_verify;
        }
      }
    }`)]],
  apache: (port, upstreamPort) => ['sbin/apache2', ['-D', 'FOREGROUND', '-f', written('apache.conf', `
    ${['mpm_event', 'authz_core', 'ssl', 'socache_shmcb', 'headers', 'proxy', 'proxy_http']
    .map((module) => `LoadModule ${module}_module ${packages}/lib/apache2/modules/mod_${module}.so`).join('\n')}
    ServerRoot ${work}
    ServerName as.example.com
    PidFile ${work}/apache.pid
    User nobody
    Group nogroup
    ErrorLog ${work}/apache.log
    Mutex default:${work}
    Listen 127.0.0.1:${port}
    SSLSessionCache none
    <VirtualHost *:${port}>
      SSLEngine on
      SSLCertificateFile ${pkiPath}/edge.pem
      SSLCertificateKeyFile ${pkiPath}/edge.key
      SSLCACertificateFile ${pkiPath}/client-ca.pem
      SSLVerifyClient optional_no_ca
      SSLVerifyDepth 5
      SSLOptions +ExportCertData
      RequestHeader set ssl-client-cert "%{SSL_CLIENT_CERT}s"
      RequestHeader set ssl-client-verify "%{SSL_CLIENT_VERIFY}s"
      ${[0, 1, 2, 3].map((n) => `RequestHeader set cert-chain_${n} "%{SSL_CLIENT_CERT_CHAIN_${n}}s"`).join('\n')}
      ProxyPass / http://127.0.0.1:${upstreamPort}/
    </VirtualHost>`)]],
  haproxy: (port, upstreamPort) => {
    const edge = ['pem', 'key'].map((end) => readFileSync(join(pkiPath, `edge.${end}`), 'utf8')).join('');
    return ['sbin/haproxy', ['-f', written('haproxy.cfg', `
      defaults
        mode http
        timeout connect 5s
        timeout client 5s
        timeout server 5s
      frontend clients
        bind 127.0.0.1:${port} ssl crt ${written('edge.pem', edge)} verify optional ca-file ${pkiPath}/client-ca.pem ca-ignore-err all crt-ignore-err all
        http-request set-header ssl-client-cert %[ssl_c_der,base64]
        http-request set-header ssl-cert-chain %[ssl_c_chain_der,base64]
        default_backend server
      backend server
        server one 127.0.0.1:${upstreamPort}\n`)]];
  },
};

const start = (proxy) => (upstreamPort) => startProxy((port) => {
  const [command, args] = configurations[proxy](port, upstreamPort);
  return [join(packages, command), args, environment];
});

declareForms('debian', {
  nginx: {
    start: start('nginx'),
    certificateHeader: { format: 'urlencoded_pem', verify_name: 'ssl-client-verify' },
    fields: ['ssl-client-cert', 'ssl-client-verify'],
  },
  Apache: {
    start: start('apache'),
    certificateHeader: { format: 'pem', chain_name: 'cert-chain_%d', verify_name: 'ssl-client-verify' },
    fields: ['ssl-client-cert', 'ssl-client-verify', 'cert-chain_0', 'cert-chain_1', 'cert-chain_2', 'cert-chain_3'],
  },
  HAProxy: {
    start: start('haproxy'),
    certificateHeader: { format: 'base64_der', chain_name: 'ssl-cert-chain' },
    fields: ['ssl-client-cert', 'ssl-cert-chain'],
  },
});
