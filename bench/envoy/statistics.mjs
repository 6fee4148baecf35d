// Medians and spreads over the cycles of a measurement.
import assert from 'node:assert/strict';

const RESAMPLES = 1000;

/** What a share of the values does not exceed, between two of them if need be. */
export function quantile(values, share) {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (sorted.length - 1) * share;
  const below = Math.floor(at);
  return sorted[below] + (at - below) * ((sorted[below + 1] ?? sorted[below]) - sorted[below]);
}

export const median = (values) => quantile(values, 0.5);

/** The middle of some values, and between what half of them lie. */
export function summary(values) {
  assert.ok(values.length > 0 && values.every(Number.isFinite), `${values} has no median`);
  return { median: median(values), low: quantile(values, 0.25), high: quantile(values, 0.75) };
}

/** What each value is more than its counterpart of the same cycle. */
export const differences = (values, counterparts) => values.map((value, cycle) => value - counterparts[cycle]);

/** Numbers from 0 to 1, the same ones each time: what is made from results must be the same, too. */
function* pseudorandom() {
  for (let state = 1; ; state = (state * 48_271) % 0x7fff_ffff) yield state / 0x7fff_ffff;
}

/**
 * The ratio of two medians, and between what nine tenths of the ratios lie that other draws of the same cycles give.
 * Undefined if the counterpart is lost in noise, nothing or less in more than one draw of twenty: a ratio to it would say
 * nothing.
 */
export function ratio(values, counterparts) {
  assert.equal(values.length, counterparts.length);
  const random = pseudorandom();
  const drawn = Array.from({ length: RESAMPLES }, () => {
    const cycles = values.map(() => Math.floor(random.next().value * values.length));
    return [values, counterparts].map((list) => median(cycles.map((cycle) => list[cycle])));
  });
  const ratios = drawn.filter(([, counterpart]) => counterpart > 0).map(([value, counterpart]) => value / counterpart);
  if (median(counterparts) <= 0 || ratios.length < 0.95 * RESAMPLES) return undefined;
  return { median: median(values) / median(counterparts), low: quantile(ratios, 0.05), high: quantile(ratios, 0.95) };
}

/** `4.2 [3.9–4.4]` */
export const written = ({ median: middle, low, high }, digits = 1) => `${middle.toFixed(digits)} [${low.toFixed(digits)}–${high.toFixed(digits)}]`;
