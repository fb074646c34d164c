/**
 * Judges what the machine has a part in, such as a wait, by the best of a few attempts. What else
 * runs on a machine only ever adds to a wait, and a server that is slow is slow each time.
 * What the machine has no part in is not judged here: an attempt throws when it is wrong.
 * @module
 */

const ATTEMPTS_MAX = 3

/** For an attempt on a machine that does many other things, three times. */
export const ATTEMPTS_TIMEOUT_MS = 600_000

/**
 * Passes as soon as an attempt finds nothing.
 * @param attempt on a server of its own; returns sentences about what was too much
 */
export async function bestOfAttempts(attempt: () => Promise<string[]>): Promise<void> {
  const all: string[] = []
  for (let i = 1; i <= ATTEMPTS_MAX; i++) {
    const found = await attempt()
    if (found.length === 0) return
    const said = `attempt ${i} of ${ATTEMPTS_MAX}: ${found.join('; ')}`
    console.log(said)
    all.push(said)
  }
  throw new Error(`too much in each attempt\n${all.join('\n')}`)
}
