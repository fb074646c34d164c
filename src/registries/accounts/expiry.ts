/**
 * What ended long ago is forgotten in the background: tokens that expired or were revoked, and
 * which id tokens of jobs were exchanged. Each stays long enough to be looked up (`token list` shows
 * an expired one) and what was done about it stays in the audit trail for ever.
 *
 * One run looks at a bounded number of rows, a few at a time so that requests go in between; the
 * next run goes on where it ended. Logins under way and the setup link are in memory only and need
 * none of this.
 * @module
 */
import type { Tokens } from '../../db/accounts.ts'
import type { TrustedPublishers } from '../../db/trusted-publishers.ts'
import { timestamp } from '../timestamp.ts'

/** Whoever wonders why a job fails since last month still finds the token that it had. */
const TOKENS_KEPT_MS = 30 * 24 * 3_600_000
const EVERY_MS = 3_600_000
/** Rows of one step: some milliseconds of the one thread that also answers. */
const STEP_ROWS = 200
/** Steps of one run: a million rows. */
const STEPS_MAX = 5000

/** What is forgotten, and when. @property everyMs between two runs */
export type ExpiryNeeds = {
  tokens: Pick<Tokens, 'forgetSome'>
  publishers: Pick<TrustedPublishers, 'forgetUses'>
  now: () => Date
  warn: (message: string) => void
  everyMs?: number
}

/** Forgets until disposed of; begins at once. */
export class Expiry implements Disposable {
  readonly #needs: ExpiryNeeds
  readonly #timer: ReturnType<typeof setInterval>
  #isOver = false
  #isBusy = false
  /** How far the tokens were looked through. */
  #after = 0

  constructor(needs: ExpiryNeeds) {
    this.#needs = needs
    this.#timer = setInterval(() => this.#begin(), needs.everyMs ?? EVERY_MS)
    this.#timer.unref()
    this.#begin()
  }

  [Symbol.dispose](): void {
    this.#isOver = true
    clearInterval(this.#timer)
  }

  #begin(): void {
    if (this.#isBusy) return
    this.#isBusy = true
    this.#run()
      .catch((error: unknown) => this.#needs.warn(`old tokens are not forgotten: ${String(error)}`))
      .finally(() => (this.#isBusy = false))
  }

  async #run(): Promise<void> {
    const nowMs = this.#needs.now().getTime()
    for (let step = 0; step < STEPS_MAX; step += 1) {
      await new Promise(resolve => setImmediate(resolve))
      if (this.#isOver) return
      const uses = this.#needs.publishers.forgetUses(nowMs / 1000, STEP_ROWS)
      const last = this.#tokens(timestamp(new Date(nowMs - TOKENS_KEPT_MS)))
      if (last && uses < STEP_ROWS) return
    }
  }

  /** @returns whether the end of the table was reached */
  #tokens(endedBefore: string): boolean {
    const next = this.#needs.tokens.forgetSome(this.#after, STEP_ROWS, endedBefore)
    this.#after = next ?? 0
    return next === null
  }
}
