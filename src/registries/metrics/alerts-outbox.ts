/**
 * What the webhook has still to be told, across restarts and crashes. A message is put here in the
 * transaction that records its incident, and leaves when it was taken or given up: so it arrives at
 * least once, and after a crash between the two a second time under the same `webhook-id`.
 *
 * Only what happens while a webhook is configured is put, for that URL: a new one is told nothing of
 * what was before it. What nobody took for days is let go: the incident itself stays.
 * @module
 */
import { createHash } from 'node:crypto'
import type { WaitingMessages } from '../../db/waiting-messages.ts'
import { LogFatalError } from '../../log/log.ts'
import { timestamp } from '../timestamp.ts'
import { WAITING_MAX } from './alerts-webhook.ts'

/** A server that stood still over a long weekend; what is older is read in the list of incidents. */
const KEPT_MS = 4 * 24 * 60 * 60 * 1000

/** What it works with. @property url of the webhook; kept is a hash of it */
export type OutboxNeeds = {
  messages: WaitingMessages
  url: string
  now: () => Date
  warn: (message: string) => void
}

/** The messages that wait for one webhook. */
export class Outbox {
  readonly #needs: OutboxNeeds
  readonly #target: string

  constructor(needs: OutboxNeeds) {
    this.#needs = needs
    this.#target = createHash('sha256').update(needs.url).digest('hex')
  }

  /** Keeps that an incident is to be told, in the transaction that is open. */
  put(incident: string): void {
    const { messages, now } = this.#needs
    messages.put({ target: this.#target, incident, created: timestamp(now()) }, WAITING_MAX)
  }

  /** It was taken, or given up. Never throws: nobody waits for it. */
  ended(incident: string): void {
    try {
      this.#needs.messages.remove(this.#target, incident)
    } catch (error) {
      // Whoever writes next meets the same fault, and is somebody who can act on it.
      const what = error instanceof LogFatalError ? 'the database failed' : String(error)
      this.#needs.warn(`alert ${incident} is sent again after a restart: ${what}`)
    }
  }

  /** What an earlier process left. */
  left(): string[] {
    const { messages, now } = this.#needs
    messages.forget(timestamp(new Date(now().getTime() - KEPT_MS)))
    return messages.of(this.#target, WAITING_MAX)
  }
}
