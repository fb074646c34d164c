/**
 * The webhook: each alert as a POST that its receiver can check.
 *
 * Follows Standard Webhooks 1.0 (https://www.standardwebhooks.com): the headers `webhook-id`,
 * `webhook-timestamp` and `webhook-signature: v1,<base64>`, the HMAC-SHA256 of
 * `<id>.<timestamp>.<body>`. A message that did not arrive is tried again with the same id, a few
 * times and later each time; what waits when the process ends is kept (alerts-outbox.ts). It goes to
 * the configured origin and nowhere else: a redirect is a failure.
 * @module
 */
import { createHmac } from 'node:crypto'
import pLimit from 'p-limit'
import type { Alert } from './alerts.ts'
import { RegistryError } from '../errors.ts'
import type { Fetcher } from '../fetch/fetcher.ts'

/** Waits before each new try: a restart of the receiver, a deployment, an outage of an hour. */
export const WEBHOOK_RETRIES_MS: readonly number[] = [1_000, 10_000, 60_000, 600_000, 3_600_000]
/** Messages that wait. Whoever breaks a whole registry makes thousands; the first say enough. */
export const WAITING_MAX = 1_000
/** After a restart many may wait: the receiver gets them a few at a time. */
const POSTS_AT_ONCE = 4
/** What a receiver answers is not read; a status is enough. */
const ANSWER_BYTES_MAX = 64 * 1024
/** How Standard Webhooks marks a secret that is base64. */
const SECRET_PREFIX = 'whsec_'

/** What the webhook works with. */
export type WebhookNeeds = {
  url: string
  secret: string
  fetcher: Pick<Fetcher, 'get'>
  now: () => Date
  warn: (message: string) => void
  /** Told of each message that is not tried again: taken, given up, or one too many. */
  ended: (id: string) => void
  retriesMs?: readonly number[]
}

/** Sends alerts, one after another, until disposed of. */
export class Webhook implements Disposable {
  /** Since the start, for metrics. */
  readonly counts = { delivered: 0, failed: 0, dropped: 0 }
  readonly #needs: WebhookNeeds
  readonly #timers = new Set<ReturnType<typeof setTimeout>>()
  readonly #limit = pLimit(POSTS_AT_ONCE)
  #waiting = 0
  #isOver = false

  constructor(needs: WebhookNeeds) {
    this.#needs = needs
  }

  /** Begins to send. Never throws and never waits. */
  send(alert: Alert): void {
    if (this.#waiting >= WAITING_MAX) {
      this.counts.dropped += 1
      this.#needs.ended(alert.id)
      return
    }
    this.#waiting += 1
    void this.#attempt(alert, 0)
  }

  [Symbol.dispose](): void {
    this.#isOver = true
    this.#limit.clearQueue()
    for (const timer of this.#timers) clearTimeout(timer)
  }

  async #attempt(alert: Alert, tries: number): Promise<void> {
    const fault = await this.#limit(() => this.#post(alert))
    if (this.#isOver) return
    if (fault === undefined) return this.#end(alert, 'delivered')
    const waitMs = (this.#needs.retriesMs ?? WEBHOOK_RETRIES_MS)[tries]
    const next = waitMs === undefined ? 'given up' : `again in ${waitMs / 1000} s`
    this.#needs.warn(`the webhook did not take alert ${alert.id}: ${fault}; ${next}`)
    if (waitMs === undefined) return this.#end(alert, 'failed')
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      void this.#attempt(alert, tries + 1)
    }, waitMs)
    timer.unref()
    this.#timers.add(timer)
  }

  #end(alert: Alert, how: 'delivered' | 'failed'): void {
    this.#waiting -= 1
    this.counts[how] += 1
    this.#needs.ended(alert.id)
  }

  /** @returns why it did not arrive; undefined when it did */
  async #post(alert: Alert): Promise<string | undefined> {
    const { url, secret, fetcher, now } = this.#needs
    const timestamp = now()
    const body = JSON.stringify({
      type: `incident.${alert.code}`,
      timestamp: timestamp.toISOString(),
      data: alert,
    })
    const seconds = String(Math.floor(timestamp.getTime() / 1000))
    try {
      const { status } = await fetcher.get({
        site: { origin: new URL(url).origin },
        url,
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'webhook-id': alert.id,
          'webhook-timestamp': seconds,
          'webhook-signature': signatureOf(secret, alert.id, seconds, body),
        },
        body: new TextEncoder().encode(body),
        bytesMax: ANSWER_BYTES_MAX,
      })
      return status >= 200 && status < 300 ? undefined : `it answers ${status}`
    } catch (error) {
      if (error instanceof RegistryError) return error.message
      throw error
    }
  }
}

/** The value of `webhook-signature`. */
export function signatureOf(secret: string, id: string, seconds: string, body: string): string {
  const key = secret.startsWith(SECRET_PREFIX)
    ? Buffer.from(secret.slice(SECRET_PREFIX.length), 'base64')
    : Buffer.from(secret)
  return `v1,${createHmac('sha256', key).update(`${id}.${seconds}.${body}`).digest('base64')}`
}
