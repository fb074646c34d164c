/**
 * Passwords: argon2id (RFC 9106) by `Bun.password`, a few at a time.
 *
 * Each hashing takes tens of milliseconds of a core and 19 MiB, so that logging in is what a flood
 * would aim at: two run at once, some wait, the rest is told to come back. A name that nobody has
 * costs the same as one that somebody has.
 * @module
 */
import pLimit from 'p-limit'
import { RegistryError } from '../errors.ts'

/** OWASP's first choice for argon2id (Password Storage Cheat Sheet): 19 MiB, two passes. */
const COSTS = { algorithm: 'argon2id', memoryCost: 19_456, timeCost: 2 } as const
/** Threads of the pool that hash at the same time: reading packages needs the others. */
const AT_ONCE_MAX = 2
/** Beyond this, whoever waits would give up before the answer. */
const WAITING_MAX = 32
/** NIST SP 800-63B asks for 8 at least; what is published here is installed by others. */
const PASSWORD_CHARS_MIN = 10
/** Longer than any password manager makes. */
const PASSWORD_CHARS_MAX = 256
const BUSY_SECONDS = 5

export class Passwords {
  readonly #limit = pLimit(AT_ONCE_MAX)
  #decoy: Promise<string> | null = null

  /** The hash to keep. @throws RegistryError unprocessable for one that nobody should have, busy */
  async hash(password: string): Promise<string> {
    assertPassword(password)
    return await this.#run(() => Bun.password.hash(password, COSTS))
  }

  /** Is it the password of this hash? Null, for nobody or no password, takes as long and is false. */
  async verify(password: string, hash: string | null): Promise<boolean> {
    if (password === '' || password.length > PASSWORD_CHARS_MAX) return false
    this.#decoy ??= Bun.password.hash(crypto.randomUUID(), COSTS)
    const against = hash ?? (await this.#decoy)
    const matches = await this.#run(() => Bun.password.verify(password, against))
    return matches && hash !== null
  }

  async #run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#limit.pendingCount >= WAITING_MAX) {
      const details = { retryAfterSeconds: BUSY_SECONDS }
      throw new RegistryError('busy', 'too many are logging in at once: try again soon', details)
    }
    return await this.#limit(work)
  }
}

/** @throws RegistryError unprocessable, with what is wrong and never with the password */
export function assertPassword(password: string): void {
  const { length } = password
  if (length >= PASSWORD_CHARS_MIN && length <= PASSWORD_CHARS_MAX && password.isWellFormed())
    return
  const wanted = `${PASSWORD_CHARS_MIN} to ${PASSWORD_CHARS_MAX} characters`
  throw new RegistryError('unprocessable', `a password has ${wanted}`)
}
