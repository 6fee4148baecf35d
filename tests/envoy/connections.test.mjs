// What connections, protocols and bodies do to the decision: things that only Envoy brings.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { pki, rfc9440 } from './pki.mjs';
import { isHolder, registry, verdict } from './registry.mjs';
import { assertRefused, startTestbed } from './testbed.mjs';
import { field } from './upstream.mjs';

const clientIds = ['payments', 'batch', 'partner-app', 'portal', 'mobile', 'stranger'];
const maxBodyBytes = 65536;
const protocols = ['http/1.1', 'h2'];

let testbed;
before(async () => {
  const listeners = { clients: { configuration: registry }, reporting: { configuration: { ...registry, enforcement: 'report' } } };
  testbed = await startTestbed('connections', listeners, isHolder);
});
after(() => testbed?.stop());

const formOf = (clientId) => `grant_type=client_credentials&client_id=${clientId}`;

const formOfLength = (length) => {
  const start = `${formOf('payments')}&padding=`;
  return start + 'x'.repeat(length - start.length);
};

function assertDecided({ response, received, outcome, reason }, clientId, presented) {
  assert.deepEqual({ outcome, reason }, verdict(clientId, presented), `${clientId} with ${presented}`);
  if (outcome === 'denied') {
    assertRefused({ response, received }, 401, 'invalid_client');
  } else {
    assert.equal(response.status, 200);
    assert.equal(received.body.toString(), formOf(clientId));
    const isForwarded = isHolder({ clientId, presented });
    assert.equal(field(received, 'client-cert'), isForwarded ? rfc9440(presented) : null);
    assert.equal(field(received, 'x-client-id'), isForwarded && clientId !== 'mobile' ? clientId : null);
  }
}

const withConnection = (options, use) => testbed.withConnection('clients', options, use);

const withRawConnection = (options, use) => testbed.withRawConnection('clients', options, use);

const lengthOf = (text) => ['content-length', text.length];
const inChunks = ['transfer-encoding', 'chunked'];

const written = (stream, data) => new Promise((resolve) => stream.write(data, resolve));

async function inFramesOfOneByte(stream, body) {
  for (const byte of body) await written(stream, Buffer.of(byte));
  stream.end();
}

async function endedByEmptyFrame(stream, body) {
  await written(stream, body);
  stream.end();
}

const chunked = (...chunks) => [...chunks, ''].map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join('');

describe('several clients on one connection', () => {
  const certificates = ['payments', 'batch', 'partner-app', 'payments-rogue', 'payments-with-extra', null];

  for (const certificate of certificates) {
    test(`one after the other over HTTP/1.1, ${certificate ?? 'no certificate'} presented`, () =>
      withConnection({ certificate }, async (connection) => {
        for (const clientId of [...clientIds, ...clientIds.toReversed(), 'payments', 'batch', 'payments', 'batch']) {
          assertDecided(await connection.exchange({ form: formOf(clientId) }), clientId, certificate);
        }
      }));

    test(`at once over HTTP/2, ${certificate ?? 'no certificate'} presented`, () =>
      withConnection({ certificate, protocol: 'h2' }, (connection) =>
        Promise.all([...clientIds, ...clientIds, ...clientIds].map(async (clientId) =>
          assertDecided(await connection.exchange({ form: formOf(clientId) }), clientId, certificate)))));
  }

  for (const protocol of protocols) {
    test(`on several connections at once over ${protocol}`, () =>
      Promise.all(certificates.map((certificate) =>
        withConnection({ certificate, protocol }, async (connection) => {
          for (const clientId of clientIds) {
            assertDecided(await connection.exchange({ form: formOf(clientId) }), clientId, certificate);
          }
        }))));
  }

  test('requests elsewhere between those of clients carry nothing', () =>
    withConnection({ certificate: 'payments' }, async (connection) => {
      for (let i = 0; i < 3; i += 1) {
        assertDecided(await connection.exchange({ form: formOf('payments') }), 'payments', 'payments');
        const headers = [['client-cert', rfc9440('payments')]];
        const elsewhere = await connection.exchange({ method: 'GET', path: '/userinfo', headers });
        assert.equal(elsewhere.response.status, 200);
        assert.equal(elsewhere.outcome, null);
        assert.equal(field(elsewhere.received, 'client-cert'), null);
      }
    }));

  // In pairs, since Envoy closes a connection on which more than two responses wait.
  test('pipelined requests are each decided for themselves', () =>
    withRawConnection({ certificate: 'payments' }, async (connection) => {
      const pairs = [['payments', 'batch'], ['batch', 'payments'], ['payments', 'payments'], ['portal', 'mobile'], ['mobile', 'stranger']];
      for (const pair of pairs) {
        const begun = pair.map((clientId) => {
          const { finish } = connection.begin([lengthOf(formOf(clientId))]);
          connection.write(formOf(clientId));
          return { clientId, finish };
        });
        for (const { clientId, finish } of begun) assertDecided(await finish(), clientId, 'payments');
      }
    }));
});

describe('versions of TLS', () => {
  for (const version of ['TLSv1.2', 'TLSv1.3']) {
    for (const protocol of protocols) {
      for (const [clientId, certificate] of [
        ['payments', 'payments'], ['partner-app', 'partner-app'], ['batch', 'payments'], ['payments', null],
      ]) {
        test(`${clientId} with ${certificate ?? 'no certificate'} over ${version} and ${protocol}`, () =>
          withConnection({ certificate, protocol, minVersion: version, maxVersion: version }, async (connection) =>
            assertDecided(await connection.exchange({ form: formOf(clientId) }), clientId, certificate)));
      }
    }
  }
});

describe('bodies in pieces', () => {
  for (const clientId of ['payments', 'batch']) {
    test(`chunked body of ${clientId}`, () =>
      withRawConnection({ certificate: 'payments' }, async (connection) => {
        const { finish } = connection.begin([inChunks]);
        connection.write(chunked(formOf(clientId).slice(0, 20), formOf(clientId).slice(20)));
        assertDecided(await finish(), clientId, 'payments');
      }));

    test(`chunked body of ${clientId} byte by byte`, () =>
      withRawConnection({ certificate: 'payments' }, async (connection) => {
        const { finish } = connection.begin([inChunks]);
        connection.write(chunked(...formOf(clientId)));
        assertDecided(await finish(), clientId, 'payments');
      }));

    test(`body of ${clientId} in a packet per byte`, () =>
      withRawConnection({ certificate: 'payments' }, async (connection) => {
        connection.socket.setNoDelay(true);
        const { finish } = connection.begin([lengthOf(formOf(clientId))]);
        for (const byte of formOf(clientId)) await written(connection.socket, byte);
        assertDecided(await finish(), clientId, 'payments');
      }));

    test(`HTTP/2 body of ${clientId} in a frame per byte`, () =>
      withConnection({ certificate: 'payments', protocol: 'h2' }, async (connection) =>
        assertDecided(await connection.exchange({ form: formOf(clientId), writeBody: inFramesOfOneByte }), clientId, 'payments')));

    test(`HTTP/2 body of ${clientId} ended by an empty frame`, () =>
      withConnection({ certificate: 'payments', protocol: 'h2' }, async (connection) =>
        assertDecided(await connection.exchange({ form: formOf(clientId), writeBody: endedByEmptyFrame }), clientId, 'payments')));

    test(`HTTP/2 body of ${clientId} ended by trailers`, () =>
      withConnection({ certificate: 'payments', protocol: 'h2' }, async (connection) => {
        const trailers = [['client-cert', ':AA==:'], ['x-client-id', 'batch'], ['x-checksum', '1']];
        const seen = await connection.exchange({ form: formOf(clientId), trailers });
        assertDecided(seen, clientId, 'payments');
        if (seen.received) assert.deepEqual(seen.received.trailers, [['x-checksum', '1']]);
      }));

    test(`HTTP/1.1 body of ${clientId} ended by trailers`, () =>
      withRawConnection({ certificate: 'payments' }, async (connection) => {
        const { finish } = connection.begin([inChunks]);
        connection.write(`${chunked(formOf(clientId)).slice(0, -2)}Client-Cert: :AA==:\r\nX-Client-Id: batch\r\nX-Checksum: 1\r\n\r\n`);
        const seen = await finish();
        assertDecided(seen, clientId, 'payments');
        if (seen.received) assert.deepEqual(seen.received.trailers, [['x-checksum', '1']]);
      }));

    test(`body of ${clientId} after 100 (Continue)`, () =>
      withRawConnection({ certificate: 'payments' }, async (connection) => {
        const { finish } = connection.begin([lengthOf(formOf(clientId)), ['expect', '100-continue']]);
        assert.equal((await connection.response()).status, 100);
        connection.write(formOf(clientId));
        assertDecided(await finish(), clientId, 'payments');
      }));
  }

  test('chunked body without a byte is refused', () =>
    withRawConnection({ certificate: 'payments' }, async (connection) => {
      const { finish } = connection.begin([inChunks]);
      connection.write(chunked());
      const seen = await finish();
      assertRefused(seen, 400, 'invalid_request');
      assert.equal(seen.reason, 'client_id_missing');
    }));

  test('HTTP/2 trailers right after the headers are no body', () =>
    withConnection({ certificate: 'payments', protocol: 'h2' }, async (connection) => {
      const seen = await connection.exchange({ form: '', trailers: [['client-cert', rfc9440('payments')]] });
      assertRefused(seen, 400, 'invalid_request');
      assert.equal(seen.reason, 'client_id_missing');
    }));

  test('nothing reaches the server before the end of the body', () =>
    withRawConnection({ certificate: 'payments' }, async (connection) => {
      const form = formOf('payments');
      const { id, finish } = connection.begin([lengthOf(form)]);
      connection.write(form.slice(0, -1));
      await testbed.exchange('clients', { form }, { certificate: 'payments' }); // the first could have come by now
      assert.equal(testbed.upstream.received(id), undefined);
      connection.write(form.slice(-1));
      assertDecided(await finish(), 'payments', 'payments');
    }));

  test('a client that goes away in its body leaves nothing behind', async () => {
    const id = await withRawConnection({ certificate: 'payments' }, async (connection) => {
      const begun = connection.begin([['content-length', 1000]]);
      await written(connection.socket, formOf('payments'));
      await testbed.exchange('clients', { form: formOf('payments') }, { certificate: 'payments' });
      return begun.id;
    });
    assert.equal((await testbed.observe(id)).received, undefined);
    assertDecided(await testbed.exchange('clients', { form: formOf('batch') }, { certificate: 'batch' }), 'batch', 'batch');
  });

  test('a stream that is reset in its body leaves its connection alone', () =>
    withConnection({ certificate: 'payments', protocol: 'h2' }, async (connection) => {
      const { id, stream } = connection.begin();
      await written(stream, formOf('payments'));
      assertDecided(await connection.exchange({ form: formOf('payments') }), 'payments', 'payments');
      stream.destroy();
      assert.equal((await testbed.observe(id)).received, undefined);
      assertDecided(await connection.exchange({ form: formOf('payments') }), 'payments', 'payments');
    }));
});

describe('long bodies', () => {
  for (const protocol of protocols) {
    test(`the longest body that is held is forwarded whole over ${protocol}`, async () => {
      const form = formOfLength(maxBodyBytes);
      const { response, received, outcome } = await testbed.exchange('clients', { form }, { certificate: 'payments', protocol });
      assert.equal(response.status, 200);
      assert.equal(outcome, 'allowed');
      assert.equal(received.body.toString(), form);
    });

    for (const length of [maxBodyBytes + 1, 3_000_000]) {
      test(`a body of ${length} bytes is refused over ${protocol}`, async () => {
        const seen = await testbed.exchange('clients', { form: formOfLength(length) }, { certificate: 'payments', protocol });
        assertRefused(seen, 413, 'invalid_request');
        assert.equal(seen.reason, 'body_too_large');
      });
    }

    test(`a long body elsewhere is not held over ${protocol}`, async () => {
      const form = formOfLength(3_000_000);
      const { response, received } = await testbed.exchange('clients', { path: '/upload', form }, { certificate: 'payments', protocol });
      assert.equal(response.status, 200);
      assert.equal(received.body.length, form.length);
    });
  }

  test('a chunked body that grows too long is refused', () =>
    withRawConnection({ certificate: 'payments' }, async (connection) => {
      const { finish } = connection.begin([inChunks]);
      connection.write(chunked(formOf('payments'), '&padding=', ...Array(70).fill('x'.repeat(1000))));
      const seen = await finish();
      assertRefused(seen, 413, 'invalid_request');
      assert.equal(seen.reason, 'body_too_large');
    }));
});

describe('hostile headers', () => {
  const everyHighByte = Buffer.from(Array.from({ length: 128 }, (_, i) => 128 + i)).toString('base64');

  for (const protocol of protocols) {
    test(`a value that is not UTF-8 leaves the filter alive over ${protocol}`, () =>
      withConnection({ certificate: 'payments', protocol }, async (connection) => {
        for (const name of [
          'x-note', 'client-cert', 'authorization', 'content-type', 'signature', 'signature-input', 'content-encoding', 'cookie',
        ]) {
          const { response } = await connection.exchange({ headers: [[name, { base64: everyHighByte }]], body: formOf('payments') });
          assert.notEqual(response.status, 503, `${name} killed the filter`);
          assertDecided(await connection.exchange({ form: formOf('payments') }), 'payments', 'payments');
        }
      }));
  }

  // Over HTTP/1.1 Envoy refuses it itself.
  test('a path that is not UTF-8 leaves the filter alive', () =>
    withConnection({ certificate: 'payments', protocol: 'h2' }, async (connection) => {
      const { response } = await connection.exchange({ path: '/oauth/token\xff?\xfe', form: formOf('payments') });
      assert.notEqual(response.status, 503);
      assertDecided(await connection.exchange({ form: formOf('payments') }), 'payments', 'payments');
    }));

  // HTTP/2 lets both through, and servers that fold or ignore them would serve an endpoint that was not judged.
  for (const [what, request, reason] of [
    ['a query that is not UTF-8', { path: '/oauth/token?\xff' }, 'body_unreadable'],
    ['a method in lower case', { method: 'post' }, 'certificate_missing'],
  ]) {
    test(`${what} does not hide an endpoint`, () =>
      withConnection({ protocol: 'h2' }, async (connection) => {
        const { outcome, reason: seen, received } = await connection.exchange({ ...request, form: formOf('payments') });
        assert.deepEqual([outcome, seen, received], ['denied', reason, undefined]);
      }));
  }

  test('an absolute request target is the endpoint all the same', () =>
    withRawConnection({ certificate: 'payments' }, async (connection) => {
      const { finish } = connection.begin([lengthOf(formOf('batch'))], 'https://as.example.com/oauth/token');
      connection.write(formOf('batch'));
      assertDecided(await finish(), 'batch', 'payments');
    }));
});

describe('what the operator sees', () => {
  test('every decision is counted by its outcome and reason', async () => {
    const counted = async (name) => testbed.envoy.counter(`wasmcustom.certbound.${name}`);
    for (const [counter, clientId, certificate] of [
      ['allowed', 'payments', 'payments'],
      ['allowed', 'portal', null],
      ['denied.certificate_missing', 'payments', null],
      ['denied.certificate_untrusted', 'payments', 'payments-rogue'],
      ['denied.certificate_not_registered', 'partner-app', 'batch'],
      ['denied.subject_mismatch', 'payments', 'batch'],
      ['denied.client_not_registered', 'stranger', 'batch'],
    ]) {
      const before = await counted(counter);
      await testbed.exchange('clients', { form: formOf(clientId) }, { certificate });
      assert.equal(await counted(counter), before + 1, counter);
    }
  });

  test('what is only reported is counted as that', async () => {
    const counters = () => Promise.all(['reported.subject_mismatch', 'denied.subject_mismatch', 'allowed'].map((name) =>
      testbed.envoy.counter(`wasmcustom.certbound.${name}`)));
    const [reported, denied, allowed] = await counters();
    await testbed.exchange('reporting', { form: formOf('payments') }, { certificate: 'batch' });
    assert.deepEqual(await counters(), [reported + 1, denied, allowed]);
  });

  test('a request elsewhere is not counted', async () => {
    const allowed = await testbed.envoy.counter('wasmcustom.certbound.allowed');
    await testbed.exchange('clients', { method: 'GET', path: '/userinfo' }, { certificate: 'payments' });
    assert.equal(await testbed.envoy.counter('wasmcustom.certbound.allowed'), allowed);
  });

  test('the access log has the client and the thumbprint', async () => {
    const { clientId, thumbprint } = await testbed.exchange('clients', { form: formOf('batch') }, { certificate: 'payments' });
    assert.equal(clientId, 'batch');
    assert.equal(thumbprint, pki.payments['x5t#S256']);
  });

  test('a refusal is one line of the log, with reason, client, certificate and source', async () => {
    await testbed.exchange('clients', { form: formOf('batch') }, { certificate: 'payments-rotated' });
    const lines = await testbed.envoy.logLines(pki['payments-rotated']['x5t#S256']);
    assert.equal(lines.length, 1);
    for (const part of ['subject_mismatch', 'batch', 'CN=payments,O=Example Bank,C=SE', '127.0.0.1']) {
      assert.ok(lines[0].includes(part), `${part} in ${lines[0]}`);
    }
  });

  test('no secret is logged', async () => {
    const secret = 'a-secret-that-nobody-may-log';
    const basic = `Basic ${Buffer.from(`portal:${secret}`).toString('base64')}`;
    await testbed.exchange('clients', { form: `${formOf('payments')}&client_secret=${secret}` }, { certificate: 'payments' });
    await testbed.exchange('clients', { headers: [['authorization', basic]], form: formOf('batch') });
    for (const line of await testbed.envoy.logLines('certbound')) {
      assert.ok(!line.includes(secret) && !line.includes(basic), line);
    }
  });
});
