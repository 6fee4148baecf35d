// Envoy 1.37 has no attribute with the certificate: certbound takes it from x-forwarded-client-cert there, or says why not.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { declareCases, topics } from './cases.mjs';
import { isHolder, registry } from './registry.mjs';
import { assertRefused, startTestbed } from './testbed.mjs';

const options = { binary: 'build/venv-1.37/bin/envoy' };

declareCases('cases-1.37', topics.filter(({ lacks_attribute: lacksAttribute }) => lacksAttribute), options);

describe('the attribute as source', () => {
  let testbed;
  before(async () => {
    testbed = await startTestbed('attribute-1.37', { clients: { configuration: registry } }, isHolder, options);
  });
  after(() => testbed?.stop());

  test('is missing, which refuses, and the log says what to do', async () => {
    const seen = await testbed.exchange('clients', { form: 'client_id=partner-app' }, { certificate: 'partner-app' });
    assertRefused(seen, 401, 'invalid_client');
    assert.equal(seen.reason, 'certificate_unreadable');
    const [line] = await testbed.envoy.logLines('reason=certificate_unreadable');
    assert.match(line, /1\.38 or newer, or certificate_source to be xfcc/);
  });
});
