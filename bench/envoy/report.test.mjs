// docs/benchmarks.md and its plots say what the results say, which are the last full run of `make bench`.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { page, plot, readResults, report, withReport } from './report.mjs';

const results = readResults();

test('the page says what the results say', () => {
  const text = readFileSync(page, 'utf8');
  assert.equal(text, withReport(text, results), 'run `node bench/envoy/report.mjs`');
});

for (const [name, svg] of Object.entries(report(results).plots)) {
  test(`the plot ${name} shows what the results say`, () => {
    assert.equal(readFileSync(plot(name), 'utf8'), svg, 'run `node bench/envoy/report.mjs`');
    assert.match(readFileSync(page, 'utf8'), new RegExp(`\\]\\(benchmarks/${name}\\.svg\\)`));
  });
}
