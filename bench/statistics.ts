/**
 * Medians and quantiles of a handful of runs.
 *
 * Figures of one machine vary by a third between equal runs, so nothing here is a mean: a median
 * over interleaved runs, and the median of the ratios of runs made one after the other.
 * @module
 */

/** The value below which a share of the values lies (nearest rank); NaN when there are none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  const rank = Math.max(0, Math.ceil(share * sorted.length) - 1)
  return sorted[rank] ?? Number.NaN
}

/** The middle value; the mean of the two middle ones when their number is even. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const half = sorted.length / 2
  const upper = sorted[Math.floor(half)] ?? Number.NaN
  if (sorted.length % 2 === 1) return upper
  return (upper + (sorted[half - 1] ?? Number.NaN)) / 2
}

/** Median of the ratios of runs made side by side: what slowed one run slowed its neighbour too. */
export function medianRatio(of: readonly number[], to: readonly number[]): number {
  return median(of.map((value, index) => value / (to[index] ?? Number.NaN)))
}
