// What is said of cycles: medians, quartiles, and ratios of medians.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { differences, ratio, summary, written } from './statistics.mjs';

test('a summary has the median and the quartiles', () => {
  assert.deepEqual(summary([5, 1, 4, 2, 3]), { median: 3, low: 2, high: 4 });
  assert.equal(summary([1, 2]).median, 1.5);
  assert.equal(written(summary([1, 2, 3, 4, 100])), '3.0 [2.0–4.0]');
});

test('figures that are missing have no summary', () => {
  assert.throws(() => summary([]), /no median/);
  assert.throws(() => summary([1, undefined]), /no median/);
});

test('differences are taken within a cycle', () => assert.deepEqual(differences([3, 30], [1, 10]), [2, 20]));

test('a ratio is that of the medians, though some cycles have a counterpart of nothing', () => {
  const counterparts = [10, 9, 11, 10, 0, 12, 8, 10, -1, 10, 10];
  const found = ratio(counterparts.map((_, cycle) => 20 + (cycle % 3)), counterparts);
  assert.equal(found.median, 2.1);
  assert.ok(found.low > 1.5 && found.low <= 2.1 && found.high >= 2.1 && found.high < 3, JSON.stringify(found));
  assert.deepEqual(found, ratio(counterparts.map((_, cycle) => 20 + (cycle % 3)), counterparts), 'the same each time');
});

test('a ratio to noise is none', () => {
  assert.equal(ratio([5, 6, 7, 8], [-1, 1, -1, 2]), undefined);
  assert.equal(ratio([5, 6, 7, 8], [-1, -2, -1, 0]), undefined);
});
