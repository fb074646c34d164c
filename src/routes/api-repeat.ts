/**
 * Idempotency-Key: a request that is sent again with the same key gets the answer of the first one,
 * and nothing is done twice
 * (https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header).
 *
 * Answers of requests that succeeded are kept for a day; one that failed changed nothing and may be
 * tried again under its key. Kept is neither the key nor the body: a hash of the first, and of the
 * second an HMAC under the first, so that a copy of the database tells nobody what was sent. An
 * answer that holds a secret is not kept, only that there was one.
 *
 * The key is written with the change itself: its row joins the transaction that holds the change and
 * its line of the audit trail (db/audit.ts `alongChanges`), and the answer is added when it is made.
 * After a crash, or a fault on the way to the answer, the row says exactly whether the change
 * happened: without a row nothing did, and the request is carried out; with one it is not, and is
 * told so. That is why no key is reserved beforehand. It holds for what waits for others too (adding
 * an upstream asks it over the network, a password is hashed in a queue): all of that comes before
 * the one transaction and saves nothing, so whoever is cut off in it may ask again.
 * @module
 */
import { createHash, createHmac } from 'node:crypto'
import { alongChanges } from '../db/audit.ts'
import type { Idempotency } from '../db/idempotency.ts'
import { RegistryError } from '../registries/errors.ts'
import { timestamp } from '../registries/timestamp.ts'

/** How long a request can be repeated. */
const KEPT_MS = 24 * 60 * 60 * 1000
/** The draft leaves it open; a UUID has 36 characters. */
const KEY = /^[\u0021-\u007e]{1,255}$/
/** Longer answers are not kept, only that there was one: they can be read again where they are. */
const ANSWER_CHARS_MAX = 64 * 1024

/** A finished answer, as it is sent and kept. @property text null for an answer without a body */
export type Finished = {
  status: number
  text: string | null
  etag: string | null
  location: string | null
  isSecret: boolean
}

/** A request under a key. @property scope who asks what: the same key means nothing elsewhere */
export type Repeatable = { scope: string; key: string; body: string }

/** Carries requests under a key out at most once. */
export class Repeats {
  readonly #kept: Idempotency
  readonly #now: () => Date
  readonly #running = new Set<string>()

  constructor(kept: Idempotency, now: () => Date) {
    this.#kept = kept
    this.#now = now
  }

  /** @throws RegistryError conflict while the first one is under way, unprocessable, bad-request */
  async once(asked: Repeatable, work: () => Promise<Finished>): Promise<Finished> {
    if (!KEY.test(asked.key)) {
      const why = 'an Idempotency-Key has 1 to 255 printable characters'
      throw new RegistryError('bad-request', why)
    }
    const id = createHash('sha256')
      .update(JSON.stringify([asked.scope, asked.key]))
      .digest('hex')
    const body = createHmac('sha256', asked.key).update(asked.body).digest('hex')
    if (this.#running.has(id)) {
      throw new RegistryError('conflict', 'the first request with this key is under way')
    }
    const oldest = timestamp(new Date(this.#now().getTime() - KEPT_MS))
    const row = this.#kept.get(id)
    if (row !== null && row.created >= oldest) {
      if (row.body !== body) {
        throw new RegistryError('unprocessable', 'this key was used with another body')
      }
      return repeated(row)
    }
    this.#running.add(id)
    const begun = () => {
      // What it leaves running behind it is no part of it any more.
      if (!this.#running.has(id)) return
      this.#kept.begin({ id, body, created: timestamp(this.#now()) }, oldest)
    }
    try {
      const done = await alongChanges(begun, work)
      const { status, etag, location } = done
      const isKept = !done.isSecret && (done.text ?? '').length <= ANSWER_CHARS_MAX
      const answer = isKept ? (done.text ?? '') : null
      const created = timestamp(this.#now())
      this.#kept.keep({ id, body, status, etag, location, answer, created }, oldest)
      return done
    } finally {
      this.#running.delete(id)
    }
  }
}

function repeated(row: {
  status: number
  answer: string | null
  etag: string | null
  location: string | null
}): Finished {
  const { status, answer, etag, location } = row
  if (answer === null) {
    const why = 'this was carried out already, and its answer is not kept: read what it made'
    throw new RegistryError('conflict', why)
  }
  return { status, text: answer === '' ? null : answer, etag, location, isSecret: false }
}
