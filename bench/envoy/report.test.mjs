// docs/benchmarks.md and its plots say what was measured, by the last full runs of `make bench` and `make profile`.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { page, plot, readMeasured, report, withReport } from './report.mjs';

const measured = readMeasured();

test('the page says what was measured', () => {
  const text = readFileSync(page, 'utf8');
  assert.equal(text, withReport(text, measured), 'run `node bench/envoy/report.mjs`');
});

for (const [name, svg] of Object.entries(report(measured).plots)) {
  test(`the plot ${name} shows what was measured`, () => {
    assert.equal(readFileSync(plot(name), 'utf8'), svg, 'run `node bench/envoy/report.mjs`');
    assert.match(readFileSync(page, 'utf8'), new RegExp(`\\]\\(benchmarks/${name}\\.svg\\)`));
  });
}
