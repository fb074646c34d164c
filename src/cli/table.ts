/**
 * Columns for a terminal: as wide as their longest cell, two spaces between them.
 * @module
 */

export function table(titles: readonly string[], rows: readonly string[][]): string {
  const all = [titles, ...rows]
  const widths = titles.map((_, i) => Math.max(...all.map(row => (row[i] ?? '').length)))
  return all
    .map(row => row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  '))
    .map(line => `${line.trimEnd()}\n`)
    .join('')
}
