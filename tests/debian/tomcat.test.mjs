// Tomcat's SSLValve, which makes a header the certificate of the request: jakarta.servlet.request.X509Certificate, which
// Spring Security and other Java servers read.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { connect } from '../envoy/client.mjs';
import { required, startEnvoy } from '../envoy/envoy.mjs';
import { pki } from '../envoy/pki.mjs';
import { registry } from '../envoy/registry.mjs';
import { startServer } from '../envoy/servers/process.mjs';

// The valve's own defaults.
const certificateHeaders = {
  pem: { format: 'pem', name: 'ssl_client_cert' },
  urlencoded_pem: { format: 'urlencoded_pem', name: 'ssl_client_escaped_cert' },
};

let tomcat;
let envoy;
before(async () => {
  const java = `${required('build/debian/usr')}/share/java`;
  const jars = ['embed-core', 'annotations-api'].map((name) => `${java}/tomcat10-${name}.jar`);
  tomcat = await startServer('java', ['-cp', jars.join(':'), 'tests/debian/SslValveServer.java', 'build/log']);
  const listeners = Object.entries(certificateHeaders).map(([format, certificateHeader]) =>
    [format, { configuration: { ...registry, certificate_header: certificateHeader } }]);
  envoy = await startEnvoy('debian-tomcat', Object.fromEntries(listeners), tomcat.port);
});
after(async () => {
  await envoy?.stop();
  await tomcat?.stop();
});

for (const format of Object.keys(certificateHeaders)) {
  for (const certificate of ['payments', 'partner-app']) {
    test(`${format}: Tomcat reads the certificate of ${certificate}`, async () => {
      const connection = await connect(envoy.ports[format], { certificate });
      const { status, body } = await connection.send({
        method: 'POST',
        path: '/oauth/token',
        headers: [['content-type', 'application/x-www-form-urlencoded']],
        body: Buffer.from(`client_id=${certificate}`),
      });
      await connection.close();
      assert.deepEqual([status, body], [200, pki[certificate]['x5t#S256']]);
    });
  }
}
