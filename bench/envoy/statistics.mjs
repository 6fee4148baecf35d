// Medians and spreads over rounds.
import assert from 'node:assert/strict';

export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The middle of some values, and how far they reach. */
export function summary(values) {
  assert.ok(values.length > 0 && values.every(Number.isFinite), `${values} has no median`);
  return { median: median(values), low: Math.min(...values), high: Math.max(...values) };
}

/** What each value is more than its counterpart of the same round. */
export const differences = (values, counterparts) => values.map((value, round) => value - counterparts[round]);

/** Undefined if a counterpart is lost in noise: a ratio to it would say nothing. */
export const ratios = (values, counterparts) => (counterparts.every((counterpart) => counterpart > 0)
  ? values.map((value, round) => value / counterparts[round])
  : undefined);

/** `4.2 [3.9–4.4]` */
export function written(values, digits = 1) {
  const { median: middle, low, high } = summary(values);
  return `${middle.toFixed(digits)} [${low.toFixed(digits)}–${high.toFixed(digits)}]`;
}
