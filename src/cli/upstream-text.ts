/**
 * Upstreams, keys and probes as people read them on a terminal.
 * @module
 */
import type { KeyView, ProbeView, UpstreamView } from '../registries/operator/upstream-view.ts'
import { table } from './table.ts'

/** One line per upstream, in columns. */
export function listText(upstreams: readonly UpstreamView[]): string {
  return table(
    ['name', 'kind', 'url', 'names', 'signs', 'health'],
    upstreams.map(view => [
      view.name,
      view.of === null ? view.kind : `mirror of ${view.of}`,
      view.url,
      view.names.join(' ') || '-',
      signsText(view),
      view.health,
    ]),
  )
}

/** All of one upstream. */
export function showText(view: UpstreamView): string {
  const rows: [string, string][] = [
    ['name', view.name],
    ['kind', view.of === null ? view.kind : `mirror of ${view.of}`],
    ['url', view.url],
    ['namespace', view.namespace],
    ['names', view.names.join(' ') || '-'],
    ['signatures', `${view.signatures} (${signsText(view)})`],
    ['tarballs', view.tarballs],
    ['also from', view.tarballOrigins.join(' ') || '-'],
    ['revisions', view.revisions ? 'on' : 'off'],
    ['strict', view.strictSince === null ? 'off' : `since ${view.strictSince}`],
    ['credential', credentialText(view)],
    ['health', view.health],
    ['created', view.created],
  ]
  const lines = rows.map(([title, text]) => `${title.padEnd(10)}  ${text}\n`)
  return lines.join('') + (view.keys.length === 0 ? '' : `keys\n${keysText(view.keys)}`)
}

/** One line per key. */
export function keysText(keys: readonly KeyView[]): string {
  if (keys.length === 0) return 'no keys\n'
  return table(
    ['keyid', 'state', 'expires', 'first seen', 'leaf'],
    keys.map(key => [
      key.keyid,
      key.state,
      key.expires ?? '-',
      key.firstSeen,
      key.leaf === null ? '-' : String(key.leaf),
    ]),
  )
}

/** What a person has to see before saying yes. */
export function probeText(name: string, found: ProbeView, isMirror: boolean): string {
  const lines = [`${name} answers at ${found.url}`]
  if (isMirror) {
    lines.push('it is judged by the keys of its registry; its own are not taken')
  } else if (found.keys.length === 0) {
    lines.push('it publishes no keys: its versions are recorded on first use, and called unsigned')
  } else {
    lines.push('it signs its versions; compare these fingerprints with what its operator says:')
    for (const { keyid, expires } of found.keys) {
      lines.push(`  ${keyid}${expires === null ? '' : ` (until ${expires})`}`)
    }
  }
  for (const { keyid, reason } of found.refusedKeys) {
    lines.push(`  ${JSON.stringify(keyid)} is not taken: ${reason}`)
  }
  for (const binding of found.bindings) lines.push(...bindingLines(binding))
  return `${[...lines, ...sampleLines(found)].join('\n')}\n`
}

function bindingLines({ at, state, detail }: ProbeView['bindings'][number]): string[] {
  if (state === 'absent') return []
  if (state === 'same') return [`${at} names the same keys`]
  if (state === 'some') return [`${at} names only some of its keys: ${detail}`]
  if (state === 'unknown') return [`${at} says nothing: ${detail}`]
  return [`DIFFERENT: ${at} speaks against these keys: ${detail}`]
}

function sampleLines({ sample }: ProbeView): string[] {
  if (sample === null) return []
  const verdicts = Object.entries(sample.verdicts).map(([verdict, count]) => `${count} ${verdict}`)
  return [
    `${sample.name}: ${sample.versions} versions (${verdicts.join(', ')})`,
    ...sample.compared.map(({ namespace, same, different }) => {
      const rest = different.length === 0 ? '' : `, DIFFERENT: ${different.join(', ')}`
      return `  compared with the log's ${namespace}: ${same} the same${rest}`
    }),
  ]
}

function signsText(view: UpstreamView): string {
  if (view.signing === null) return '-'
  if (view.kind === 'registry' && view.signatures === 'off') return 'not asked'
  return view.signing === 'unknown' ? 'not asked yet' : view.signing
}

function credentialText({ credential }: UpstreamView): string {
  if (credential === null) return 'none'
  const { authorization, ca, certificate } = credential
  const parts = [authorization, ca && 'own authority', certificate && 'client certificate']
  return parts.filter(part => typeof part === 'string').join(', ')
}
