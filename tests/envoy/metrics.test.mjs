// What Prometheus gets from Envoy, with the `stats_config` of envoy.yaml; and that the dashboard, the alert rules and the
// documentation speak of nothing that is not there.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { root, until } from './envoy.mjs';
import { issueShortLived, resolve } from './pki.mjs';
import { startTestbed } from './testbed.mjs';

const read = (path) => readFileSync(join(root, path), 'utf8');

/** A top-level key of envoy.yaml, as it stands. */
const section = (key) => new RegExp(`^${key}:\n(?:[ #].*\n)*`, 'm').exec(read('envoy.yaml'))[0];

const reasons = [...read('src/rejection.rs').matchAll(/^ +Self::\w+ => "(\w+)",$/gm)].map(([, name]) => name);

const configuration = (anchors, enforcement) => resolve({
  endpoints: [{ path: '/oauth/token' }],
  enforcement,
  trust_anchors: anchors,
  clients: [{
    client_id: 'payments',
    token_endpoint_auth_method: 'tls_client_auth',
    tls_client_auth_subject_dn: 'CN=payments,O=Example Bank,C=SE',
  }],
});
const listeners = {
  enforcing: { configuration: configuration({ 'Client CA, 2026.1': { certificates: '@pem:client-ca', crls: '@crl:client-ca' } }, 'enforce') },
  reporting: { configuration: configuration({ partners: { certificates: '@pem:partner-ca', crls: '@crl:client-ca-stale' } }, 'report') },
};

/** The samples of a scrape (Prometheus's text format): { name, labels, value }. Envoy's names have no colons. */
const samples = (text) => text.split('\n').filter((line) => line && !line.startsWith('#')).map((line) => {
  const [, name, labels, value] = /^(\w+)\{(.*)\} (\S+)$/.exec(line);
  const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, label, content]) => [label, content]);
  return { name, labels: Object.fromEntries(pairs), value: Number(value) };
});

let testbed;
/** Before the first request, and after some. */
let fresh;
let used;
before(async () => {
  // Envoy shows of histograms what it has flushed.
  const yaml = `${section('stats_config')}stats_flush_interval: 0.1s\n`;
  testbed = await startTestbed('metrics', listeners, ({ presented }) => presented !== 'batch', { yaml });
  fresh = samples(await testbed.envoy.scrape());

  issueShortLived(7.5 * 86_400);
  const post = (listener, certificate) => testbed.exchange(listener, { form: 'client_id=payments' }, { certificate });
  await post('enforcing', 'short-lived');
  await post('enforcing', 'payments');
  for (const certificate of ['batch', 'batch', undefined]) await post('enforcing', certificate);
  await post('reporting', 'payments');
  used = await until('the histogram', async () => {
    const now = samples(await testbed.envoy.scrape());
    const { value } = now.find(({ name }) => name === 'certbound_certificate_days_left_count');
    return value === 2 ? now : undefined;
  });
});
after(() => testbed?.stop());

/** The values of a metric by one of its labels. */
const byLabel = (scrape, wanted, label) =>
  Object.fromEntries(scrape.filter(({ name }) => name === wanted).map(({ labels, value }) => [labels[label], value]));

const nothing = Object.fromEntries(reasons.map((reason) => [reason, 0]));

describe('certbound', () => {
  test('counts from zero, with a series for every reason', () => {
    assert.ok(reasons.includes('token_unreadable'), 'the reasons were not found in src/rejection.rs');
    assert.deepEqual(byLabel(fresh, 'certbound_allowed'), { undefined: 0 });
    assert.deepEqual(byLabel(fresh, 'certbound_denied', 'reason'), nothing);
    assert.deepEqual(byLabel(fresh, 'certbound_reported', 'reason'), nothing);
  });

  test('tells the outcomes apart by name, and the reasons by label', () => {
    assert.deepEqual(byLabel(used, 'certbound_allowed'), { undefined: 2 });
    assert.deepEqual(byLabel(used, 'certbound_denied', 'reason'), { ...nothing, subject_mismatch: 2, certificate_missing: 1 });
    assert.deepEqual(byLabel(used, 'certbound_reported', 'reason'), { ...nothing, certificate_untrusted: 1 });
  });

  test('has buckets for days', () => {
    const buckets = byLabel(used, 'certbound_certificate_days_left_bucket', 'le');
    assert.deepEqual(Object.keys(buckets), ['1', '2', '3', '7', '14', '30', '60', '90', '180', '365', '730', '+Inf']);
    // Seven whole days, and those of payments: years.
    assert.deepEqual([buckets['3'], buckets['7'], buckets['730'], buckets['+Inf']], [0, 1, 1, 2]);
  });

  test('tells when trust anchors and CRLs expire', () => {
    const notAfter = byLabel(used, 'certbound_trust_anchors_not_after_timestamp_seconds', 'trust_anchors');
    const start = Date.UTC(2026, 0, 1) / 1000;
    const end = Date.UTC(2036, 0, 1) / 1000;
    assert.deepEqual(notAfter, { 'Client CA, 2026.1': end, partners: end });
    const nextUpdate = byLabel(used, 'certbound_crls_next_update_timestamp_seconds', 'trust_anchors');
    assert.deepEqual(nextUpdate, { 'Client CA, 2026.1': end, partners: start });
  });
});

/** The texts of a dashboard that are queries. */
const queries = (dashboard) => [
  ...dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
  ...dashboard.templating.list.flatMap(({ definition }) => definition ?? []),
];

const speaking = {
  'deploy/grafana/certbound.json': queries(JSON.parse(read('deploy/grafana/certbound.json'))).join('\n'),
  'deploy/prometheus/certbound.rules.yaml': read('deploy/prometheus/certbound.rules.yaml'),
  ...Object.fromEntries(['metrics', 'rollout', 'troubleshooting'].map((page) => [`docs/${page}.md`, read(`docs/${page}.md`)])),
};

describe('nothing is spoken of that is not there', () => {
  for (const [path, text] of Object.entries(speaking)) {
    test(path, () => {
      const mentions = [...text.matchAll(/\b((?:certbound|envoy)_\w+)(?:\{([^}]*)\})?/g)];
      assert.ok(mentions.length > 0);
      for (const [mention, name, matchers = ''] of mentions) {
        if (used.some(({ labels }) => Object.hasOwn(labels, name))) continue;
        // A histogram is there by its parts.
        const series = used.filter((sample) => [name, `${name}_count`].includes(sample.name));
        assert.ok(series.length > 0, `Envoy has no ${name}`);
        for (const [, label, value] of matchers.matchAll(/(\w+)\s*(?:=~|!=|=)\s*"([^"]*)"/g)) {
          if (['job', 'instance'].includes(label)) continue;
          const values = new Set(series.map(({ labels }) => labels[label]));
          assert.ok(!values.has(undefined), `no label ${label}: ${mention}`);
          if (label === 'reason') for (const reason of value.split('|')) assert.ok(values.has(reason), `no ${reason}: ${mention}`);
          // As Prometheus 3 writes them, too.
          if (label === 'le') assert.ok(value.split('|').some((bound) => values.has(bound)), `no such bucket: ${mention}`);
        }
      }
      const labels = new Set(['job', 'instance', ...used.flatMap((sample) => Object.keys(sample.labels))]);
      for (const [clause, names] of text.matchAll(/\b(?:by|on|without|ignoring) \(([^)]*)\)/g)) {
        for (const name of names.split(', ')) assert.ok(labels.has(name), `no label ${name}: ${clause}`);
      }
    });
  }
});

describe('of every alert', () => {
  const rules = read('deploy/prometheus/certbound.rules.yaml').split(/^ +- alert: /m).slice(1);
  const tests = read('deploy/prometheus/certbound.rules.test.yaml');
  for (const rule of rules) {
    const [name] = /^\w+/.exec(rule);
    test(`${name}, firing and silence are tested, and somebody is told what to do`, () => {
      assert.match(tests, new RegExp(`alertname: ${name}, .* exp_alerts: \\[\\]`));
      assert.match(tests, new RegExp(`alertname: ${name}\n.*\n +exp_alerts:\n +- exp_labels`));
      assert.ok(speaking['docs/metrics.md'].includes(`| \`${name}\` |`), 'not in docs/metrics.md');
      const [, page, section] = /^ +runbook: "?([\w/.]+)#(.+?)"?$/m.exec(rule);
      // As GitHub makes anchors of headings.
      const anchors = [...read(page).matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
        heading.toLowerCase().replaceAll(/[^\w -]/g, '').replaceAll(' ', '-'));
      for (const anchor of section === '{{ $labels.reason }}' ? reasons : [section]) {
        assert.ok(anchors.includes(anchor), `${page} has no section ${anchor}`);
      }
    });
  }
});
