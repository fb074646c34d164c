/**
 * Waiting for work no longer than it is worth, while the work itself goes on.
 * @module
 */

/** The promise's value, or undefined when it takes longer; then `late` hears of its failure. */
export async function within<T>(
  work: Promise<T>,
  waitMs: number,
  late: (error: unknown) => void,
): Promise<T | undefined> {
  const timeout = Promise.withResolvers<undefined>()
  const timer = setTimeout(() => {
    work.catch(late)
    timeout.resolve(undefined)
  }, waitMs)
  try {
    return await Promise.race([work, timeout.promise])
  } finally {
    clearTimeout(timer)
  }
}
