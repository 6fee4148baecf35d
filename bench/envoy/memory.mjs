// Linear memory, in the V8 of Node: prints what configurations of 1 to 100,000 clients need, and whether linear memory
// grows with the certificates that are seen.
//
//   node bench/envoy/memory.mjs REQUESTS     (ten of them with each certificate)
import assert from 'node:assert/strict';
import { createPrivateKey, sign, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { required, root } from '../../tests/envoy/envoy.mjs';
import { pkiDirectory, registrations, tokenRequest } from './clients.mjs';
import { Host } from './host.mjs';
import { certboundConfigurations } from './variants.mjs';

const REQUESTS_PER_CERTIFICATE = 10;
const SNAPSHOTS = 20;

const file = (name) => readFileSync(join(root, pkiDirectory, name));
const module = new WebAssembly.Module(readFileSync(join(root, required('build/certbound.wasm'))));

/** DER: the tag, the length in as few bytes as it takes, the content. */
function element(tag, content) {
  const { length } = content;
  const long = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...long]), content]);
}

/** Certificates like one that the CA has issued, with other serial numbers. */
function* reissued(certificate, authorityKey) {
  const der = certificate.raw;
  const lengthOf = (at) => (der[at + 1] === 0x82 ? 4 + der.readUInt16BE(at + 2) : der[at + 1] === 0x81 ? 3 + der[at + 2] : 2 + der[at + 1]);
  const toBeSigned = Buffer.from(der.subarray(4, 4 + lengthOf(4)));
  const algorithm = der.subarray(4 + toBeSigned.length, 4 + toBeSigned.length + lengthOf(4 + toBeSigned.length));
  const serial = toBeSigned.indexOf(Buffer.from(certificate.serialNumber, 'hex'));
  for (let number = 1; ; number += 1) {
    toBeSigned.writeUInt32BE(number, serial + 4);
    const signature = element(0x03, Buffer.concat([Buffer.alloc(1), sign('sha256', toBeSigned, authorityKey)]));
    yield new X509Certificate(element(0x30, Buffer.concat([toBeSigned, algorithm, signature])));
  }
}

const fields = [
  [':method', 'POST'], [':path', '/oauth/token'], [':scheme', 'https'], [':authority', 'as.example.com'],
  ['content-type', 'application/x-www-form-urlencoded'], ['content-length', '63'], ['user-agent', 'bench'], ['accept', '*/*'],
];

const configured = Object.keys(certboundConfigurations).flatMap(
  (variant) => [1, 10_000, 100_000].map((clients) => {
    const { memory } = new Host(module, certboundConfigurations[variant](registrations(clients)));
    return { variant, clients, memory };
  }),
);

const requests = Number(process.argv[2]);
const host = new Host(module, certboundConfigurations['certbound-pki'](registrations(1)));
const certificates = reissued(new X509Certificate(file('client-0.pem')), createPrivateKey(file('ca.key')));
const body = Buffer.from(tokenRequest(0));
const growth = [{ requests: 0, memory: host.memory }];
for (let sent = 0; sent < requests; sent += REQUESTS_PER_CERTIFICATE) {
  const { value: certificate } = certificates.next();
  const properties = {
    'connection.peer_certificate': Buffer.from(certificate.toString()),
    'connection.sha256_peer_certificate_digest': Buffer.from(certificate.fingerprint256.replaceAll(':', '').toLowerCase()),
    'connection.peer_certificate_valid': Buffer.from([0]),
  };
  for (let again = 0; again < REQUESTS_PER_CERTIFICATE; again += 1) {
    assert.ok(host.request({ fields, body, properties }), 'the certificate must be let in');
  }
  if ((sent + REQUESTS_PER_CERTIFICATE) % (requests / SNAPSHOTS) === 0) {
    growth.push({ requests: sent + REQUESTS_PER_CERTIFICATE, memory: host.memory });
  }
}
console.log(JSON.stringify({ configured, growth }));
