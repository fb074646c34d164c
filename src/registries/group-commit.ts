/**
 * Group commit: changes that come at the same time share one transaction, one fsync, one signed
 * checkpoint made visible. Each is told only when all of that is durable.
 *
 * A part that turns out to be impossible is left out before it has written anything, and harms no
 * other. One that fails halfway takes the whole transaction back; each then runs in one of its own,
 * as if it had come alone.
 * @module
 */
import type { RegistryDb } from '../db/registry-db.ts'
import { LogFatalError, type Log } from '../log/log.ts'
import { RegistryError } from './errors.ts'

/** The loop may stop for 50 ms: half of them for the parts, the rest for the commit. */
const BATCH_MS_MAX = 20

/**
 * A change. Both run in the transaction, one right after the other. @property assertPossible writes
 * nothing @property after runs once it is committed, before anybody is told
 */
export type Part<T> = { assertPossible: () => void; write: () => T; after: () => void }

/** A part that waits; `write` keeps its result until `settle` hands it over. */
type Waiting = {
  assertPossible: () => void
  write: () => void
  after: () => void
  settle: () => void
  fail: (error: unknown) => void
}

/** What it commits to. @property before runs outside the transaction, ahead of each */
export type GroupCommitNeeds = {
  db: RegistryDb
  log: Pick<Log, 'batch' | 'publish'>
  before: () => void
}

export class GroupCommit {
  readonly #needs: GroupCommitNeeds
  readonly #waiting: Waiting[] = []
  /** Of a transaction that failed: each to be tried in one of its own. */
  readonly #apart: Waiting[] = []
  #isDue = false

  constructor(needs: GroupCommitNeeds) {
    this.#needs = needs
  }

  /** @returns what `write` did, once it is durable @throws what the part throws, or the commit */
  run<T>({ assertPossible, write, after }: Part<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let settle = () => reject(new Error('a change was committed without being made'))
      this.#waiting.push({
        assertPossible,
        write: () => {
          const result = write()
          settle = () => resolve(result)
        },
        after,
        settle: () => settle(),
        fail: reject,
      })
      this.#schedule()
    })
  }

  /** After what is ready now: whatever else came in meanwhile goes along. */
  #schedule(): void {
    if (this.#isDue || this.#waiting.length + this.#apart.length === 0) return
    this.#isDue = true
    setImmediate(() => {
      this.#isDue = false
      const first = this.#apart.shift()
      this.#commit(first === undefined ? this.#waiting : [first])
      this.#schedule()
    })
  }

  /** Takes as many from `queue` as there is time for. */
  #commit(queue: Waiting[]): void {
    const { db, log, before } = this.#needs
    const taken: Waiting[] = []
    const refused = new Map<Waiting, RegistryError>()
    try {
      before()
      const commit = () => {
        const until = performance.now() + BATCH_MS_MAX
        do {
          const part = queue.shift()
          if (part === undefined) return
          taken.push(part)
          const refusal = refusalOf(part)
          if (refusal === null) part.write()
          else refused.set(part, refusal)
        } while (performance.now() < until)
      }
      db.transaction(() => log.batch(commit))
    } catch (error) {
      if (taken.length > 1 && !(error instanceof LogFatalError)) this.#apart.push(...taken)
      // None was taken: it failed for whoever came.
      else for (const { fail } of taken.length === 0 ? queue.splice(0) : taken) fail(error)
      return
    }
    for (const [part, refusal] of refused) part.fail(refusal)
    finish(
      taken.filter(part => !refused.has(part)),
      log,
    )
  }
}

/** Any other error than a refusal is one of the whole transaction. */
function refusalOf({ assertPossible }: Waiting): RegistryError | null {
  try {
    assertPossible()
    return null
  } catch (error) {
    if (error instanceof RegistryError) return error
    throw error
  }
}

/** They are committed: what follows from that happens whatever else fails. */
function finish(parts: readonly Waiting[], log: GroupCommitNeeds['log']): void {
  const done = parts.filter(({ after, fail }) => succeeds(after, fail))
  const failAll = (error: unknown) => done.forEach(({ fail }) => fail(error))
  if (!succeeds(() => log.publish(), failAll)) return
  for (const { settle } of done) settle()
}

function succeeds(action: () => void, fail: (error: unknown) => void): boolean {
  try {
    action()
    return true
  } catch (error) {
    fail(error)
    return false
  }
}
