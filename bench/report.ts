/**
 * Results as Markdown that also reads well in a terminal, and their place in the README.
 * @module
 */
import { join } from 'node:path'
import { type Goal, goalsOf, type Results } from './goals.ts'
import type { Hot } from './hot.ts'
import type { InstallRow } from './install.ts'
import type { Machine, Memory } from './machine.ts'
import { BARE_PUBLISH, type Publish } from './publish.ts'
import type { Start } from './start.ts'

const README = join(import.meta.dir, '../README.md')
const OPEN = '<!-- bench -->'
const CLOSE = '<!-- /bench -->'

export type Report = {
  machine: Machine
  rounds: number
  startRounds: number
  date: string
  /** What could not be measured, and why. */
  notes: string[]
} & Results

export function formatReport(report: Report): string {
  const { machine, rounds, startRounds, hot, start, publish, installs } = report
  const sections = [
    `${machine.cpu}, ${machine.cores} cores, ${machine.platform}, Bun ${machine.bun}; load by ` +
      `${machine.generator}; ${report.date}. Medians of ${rounds} interleaved rounds ` +
      `(start: ${startRounds}); ratios are medians over rounds.`,
    ...(hot === null ? [] : hotSections(hot, rounds)),
    ...(start === null ? [] : [startSection(start)]),
    ...(publish === null ? [] : [publishSection(publish, rounds)]),
    ...(installs === null ? [] : [installSection(installs, rounds)]),
    table(['goal', 'result', ''], goalsOf(report).map(goalRow)),
    ...report.notes,
  ]
  return sections.join('\n\n')
}

function goalRow({ goal, result, met }: Goal): string[] {
  if (met === null) return [goal, result, '-']
  return [goal, result, met ? 'ok' : 'not met']
}

function hotSections({ rows, memory, ceiling }: Hot, rounds: number): string[] {
  const trio = (ours: number, bare: number, peer: number | undefined): string[] =>
    [ours, bare, peer].map(value => (value === undefined ? '-' : number(value)))
  const speed = table(
    ['hot packument', 'sent', 'req/s', 'bare', 'Verdaccio', 'ours / bare', 'ours / Verdaccio'],
    rows.map(row => [
      `${row.name}, ${row.form}, gzip`,
      kilobytes(row.sentBytes),
      ...trio(
        row.ours.requestsPerSecond,
        row.bare.requestsPerSecond,
        row.verdaccio?.requestsPerSecond,
      ),
      row.ofBare.toFixed(2),
      row.overVerdaccio === null ? '-' : `${number(row.overVerdaccio)} x`,
    ]),
  )
  const times = table(
    ['ms', 'p50', 'bare', 'Verdaccio', 'p99', 'bare', 'Verdaccio'],
    rows.map(({ name, form, ours, bare, verdaccio }) => [
      `${name}, ${form}, gzip`,
      ...trio(ours.p50Ms, bare.p50Ms, verdaccio?.p50Ms),
      ...trio(ours.p99Ms, bare.p99Ms, verdaccio?.p99Ms),
    ]),
  )
  const space = table(
    ['memory after these runs, MB', 'ours', 'bare', 'Verdaccio', 'peak', 'bare', 'Verdaccio'],
    memory.map(({ name, ours, bare, verdaccio }) => {
      const all = [ours, bare, verdaccio]
      return [
        name,
        ...all.map(one => megabytes(one?.resident)),
        ...all.map(one => megabytes(one?.peak)),
      ]
    }),
  )
  const loaded = rows.reduce((sum, row) => sum + row.roundsUnderLoad, 0)
  return [
    speed,
    times,
    space,
    `The load generator reaches ${number(ceiling.requestsPerSecond)} req/s with an answer of 7 ` +
      `bytes from the bare server.${loadSentence(loaded, rounds * rows.length)}`,
  ]
}

function startSection({ freshMs, existingMs, bareMs, idle, runs, roundsUnderLoad }: Start): string {
  const row = (title: string, ms: number, all: number[]): string[] => [
    title,
    number(ms),
    `${number(Math.min(...all))} - ${number(Math.max(...all))}`,
    (ms / bareMs).toFixed(2),
  ]
  const rows = [
    row('ours, fresh data dir', freshMs, runs.freshMs),
    row('ours, existing data dir', existingMs, runs.existingMs),
    row('bare server, from source', bareMs, runs.bareMs),
  ]
  return [
    table(['start to first answer', 'ms', 'range', 'of bare'], rows),
    '',
    `Idle: ${megabytes(idle.resident)} MB resident, of it ${megabytes(idle.privateDirty)} MB private` +
      ` and written.${loadSentence(roundsUnderLoad, runs.bareMs.length)}`,
  ].join('\n')
}

function publishSection(publish: Publish, rounds: number): string {
  const { bodyBytes, rows, roundsUnderLoad } = publish
  const cells = rows.map(row => {
    const { server, clients, asksFirst, publishesPerSecond, p50Ms, p95Ms } = row
    const bare = rows.find(each => each.server === BARE_PUBLISH && each.asksFirst === asksFirst)
    // Others wait behind others: of another crowd the times cannot be compared.
    const isAlike = bare !== undefined && bare.clients === clients
    return [
      asksFirst ? `${server}; asked first` : server,
      String(clients),
      number(publishesPerSecond),
      number(p50Ms),
      number(p95Ms),
      isAlike ? (p95Ms / bare.p95Ms).toFixed(2) : '-',
    ]
  })
  return [
    table(['publish', 'at once', 'per second', 'p50, ms', 'p95, ms', 'p95 / bare'], cells),
    '',
    `Each client puts ${kilobytes(bodyBytes)}, one version of its package after the other. Ours and ` +
      'the bare server answer when it is durable. Verdaccio as it comes checks a password at each ' +
      'request. "Asked first" is what npm 11 does: it wants the packument before it puts.' +
      loadSentence(roundsUnderLoad, rounds),
  ].join('\n')
}

function installSection(rows: readonly InstallRow[], rounds: number): string {
  const columns = [
    'install, s',
    'packages',
    'direct',
    'cold',
    'warm',
    'cold / direct',
    'warm / direct',
  ]
  const cells = rows.map(row => [
    row.client,
    String(row.packages),
    ...[row.ms.direct, row.ms.cold, row.ms.warm].map(ms => (ms / 1000).toFixed(2)),
    row.coldOverDirect.toFixed(2),
    row.warmOverDirect.toFixed(2),
  ])
  const loaded = rows.reduce((sum, row) => sum + row.roundsUnderLoad, 0)
  const memory = rows.map(row => `${megabytes(row.memory.resident)} MB (${row.client})`).join(', ')
  return [
    table(columns, cells),
    '',
    `Clients write to ${rows[0]?.clientsOn ?? 'disk'}, our data dir is on disk. ` +
      `Our server after the installs: ${memory}.${loadSentence(loaded, rounds * rows.length)}`,
  ].join('\n')
}

function loadSentence(loaded: number, rounds: number): string {
  if (loaded === 0) return ''
  return ` ${loaded} of ${rounds} rounds were run under load: others used the processor.`
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) =>
    Math.max(3, title.length, ...rows.map(row => row[column]?.length ?? 0)),
  )
  const line = (cells: readonly string[]): string => {
    const padded = cells.map((cell, column) => {
      const width = widths[column] ?? 0
      return column === 0 ? cell.padEnd(width) : cell.padStart(width)
    })
    return `| ${padded.join(' | ')} |`
  }
  const rule = widths.map((width, column) =>
    column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`,
  )
  return [line(head), line(rule), ...rows.map(row => line(row))].join('\n')
}

/** Three significant digits or whole: more would be noise. */
function number(value: number): string {
  if (Number.isNaN(value)) return '-'
  if (value >= 100) return Math.round(value).toLocaleString('en-US')
  return value >= 10 ? value.toFixed(1) : value.toFixed(2)
}

function kilobytes(bytes: number): string {
  return `${number(bytes / 1000)} kB`
}

function megabytes(bytes: Memory['peak'] | undefined): string {
  return typeof bytes === 'number' ? (bytes / 1e6).toFixed(0) : '-'
}

/** Puts the report between its marks. @returns false when the README has no such marks */
export async function writeReadme(text: string): Promise<boolean> {
  const file = Bun.file(README)
  const before = (await file.exists()) ? await file.text() : ''
  const from = before.indexOf(OPEN)
  const to = before.indexOf(CLOSE)
  if (from < 0 || to < from) return false
  const after = `${before.slice(0, from + OPEN.length)}\n\n${text}\n\n${before.slice(to)}`
  await Bun.write(README, after)
  return true
}
