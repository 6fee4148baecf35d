// The first requests after a start, one after the other on a connection that is there already: prints how long each
// took, in µs.
//
//   node first-request.mjs '{"port", "practicePort", "count"}'
//
// The client itself is cold, too: it practises on another Envoy first.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import tls from 'node:tls';
import { root } from '../../tests/envoy/envoy.mjs';
import { pkiDirectory, tokenRequest } from './clients.mjs';

const PRACTICE = 500;
const { port, practicePort, count } = JSON.parse(process.argv[2]);

const file = (name) => readFileSync(join(root, pkiDirectory, name));
const body = tokenRequest(0);
const request = [
  'POST /oauth/token HTTP/1.1', 'host: as.example.com', 'content-type: application/x-www-form-urlencoded', `content-length: ${body.length}`, '', body,
].join('\r\n');

async function connect(to) {
  const socket = tls.connect({ port: to, cert: file('client-0.pem'), key: file('client-0.key'), rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  socket.setNoDelay();
  return socket;
}

async function times(socket, number) {
  const all = [];
  for (let index = 0; index < number; index += 1) {
    const began = process.hrtime.bigint();
    socket.write(request);
    const [response] = await once(socket, 'data');
    all.push(Number(process.hrtime.bigint() - began) / 1000);
    assert.match(response.toString(), /^HTTP\/1.1 200 .*}$/s, 'one segment must hold the whole response');
  }
  return all;
}

const practice = await connect(practicePort);
await times(practice, PRACTICE);
practice.destroy();
const socket = await connect(port);
const measured = await times(socket, count);
socket.destroy();
console.log(JSON.stringify(measured));
