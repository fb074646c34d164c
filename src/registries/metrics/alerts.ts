/**
 * Alerts: a new incident that somebody should look at today becomes a line of the log and, where one
 * is configured, a message to a webhook (alerts-webhook.ts). The same incident again is no alert.
 *
 * Incidents are told of inside of the transaction that records them, which also keeps that there is
 * a message to send; an alert goes out after it, and only when the incident was kept. Nothing here
 * delays an answer or fails a request.
 * @module
 */
import type { IncidentRow, Incidents } from '../../db/incidents.ts'
import { ALTERED_TARBALL } from '../sampler/altered-tarball.ts'
import { KEY_CHANGE } from '../sources/key-change.ts'
import { BAD_MIRROR } from '../sources/mirrors.ts'
import { MANIFEST_MISMATCH } from '../packument/refusal.ts'

/**
 * Incidents that are alerts: sources contradict each other, the log, or their own bytes, or somebody
 * wants to be trusted. What a registry merely does badly (no signature, no integrity) is none.
 */
export const ALERT_CODES: ReadonlySet<string> = new Set([
  'conflict',
  'changed',
  'bad-signature',
  BAD_MIRROR,
  ALTERED_TARBALL,
  MANIFEST_MISMATCH,
  KEY_CHANGE,
])

/** What is told. No evidence and no URL of an upstream: `url` leads to both. */
export type Alert = {
  id: string
  code: string
  namespace: string
  package: string | null
  version: string | null
  sentence: string
  created: string
  /** Where the evidence is. */
  url: string
}

/** What alerting works with. @property base public URL, ends in `/` */
export type AlertsNeeds = {
  incidents: Incidents
  base: string
  /** Writes the line of the log. */
  say: (alert: Alert) => void
  /** Where it is sent on to, and what keeps that it is to be; null: there is no webhook. */
  webhook: { send: (alert: Alert) => void; outbox: AlertsOutbox } | null
}

/** What remembers which incidents are still to be told (alerts-outbox.ts). */
export type AlertsOutbox = {
  put: (incident: string) => void
  ended: (incident: string) => void
  left: () => string[]
}

/** Listens for incidents, until disposed of: what was to go out then goes out after a restart. */
export class Alerts implements Disposable {
  /** Incidents of every kind since the start, for metrics. */
  readonly counts = new Map<string, number>()
  readonly #needs: AlertsNeeds
  #isOver = false

  constructor(needs: AlertsNeeds) {
    this.#needs = needs
    needs.incidents.onNew((id, code) => {
      if (ALERT_CODES.has(code)) needs.webhook?.outbox.put(id)
      // After the transaction: before its end nobody knows whether it was.
      setImmediate(() => this.#raise(id, code))
    })
  }

  /** Sends on what an earlier process did not get rid of. */
  resume(): void {
    const { incidents, base, webhook } = this.#needs
    if (webhook === null) return
    for (const id of webhook.outbox.left()) {
      const row = incidents.get(id)
      if (row === null) webhook.outbox.ended(id)
      else webhook.send(alertOf(row, base))
    }
  }

  [Symbol.dispose](): void {
    this.#isOver = true
  }

  #raise(id: string, code: string): void {
    if (this.#isOver) return
    const row = this.#needs.incidents.get(id)
    if (row === null) return
    this.counts.set(code, (this.counts.get(code) ?? 0) + 1)
    if (!ALERT_CODES.has(code)) return
    const alert = alertOf(row, this.#needs.base)
    this.#needs.say(alert)
    this.#needs.webhook?.send(alert)
  }
}

function alertOf(row: IncidentRow, base: string): Alert {
  const { id, code, namespace, name, version, sentence, created } = row
  const about = { package: name || null, version: version || null }
  return { id, code, namespace, ...about, sentence, created, url: `${base}-/why/${id}` }
}
