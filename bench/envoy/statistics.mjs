// Medians and spreads over rounds.

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export const spread = (values) => [Math.min(...values), Math.max(...values)];

/** What a variant costs more than its baseline in the same round, for each round. */
export const added = (rounds, name, baseline, figure = 'cpu') => rounds.map((samples) => samples[name][figure] - samples[baseline][figure]);
