/**
 * Asks several servers the same question without waiting long for any: the next is asked as well
 * when the one before has said nothing for a moment, and at once when it said no (a hedged request:
 * Dean and Barroso, "The Tail at Scale", 2013). Knows nothing of mirrors.
 * @module
 */

/** @property hedgeMs after so long the next is asked too @property giveUpMs the whole may take so long */
export type HedgeTimes = { hedgeMs: number; giveUpMs: number }

/**
 * The index of the first that says yes; undefined when none does in time. A question never throws:
 * a server that cannot be asked says no.
 */
export async function firstYes(
  questions: readonly (() => Promise<boolean>)[],
  { hedgeMs, giveUpMs }: HedgeTimes,
): Promise<number | undefined> {
  const found = Promise.withResolvers<number | undefined>()
  const timers = new Set<ReturnType<typeof setTimeout>>()
  let asked = 0
  let refused = 0
  const ask = async (index: number): Promise<void> => {
    if (await questions[index]?.()) return found.resolve(index)
    refused += 1
    if (refused === questions.length) found.resolve(undefined)
    else if (refused === asked) askNext()
  }
  const askNext = (): void => {
    if (asked === questions.length) return
    asked += 1
    ask(asked - 1).catch(found.reject)
    timers.add(setTimeout(askNext, hedgeMs))
  }
  timers.add(setTimeout(() => found.resolve(undefined), giveUpMs))
  if (questions.length === 0) found.resolve(undefined)
  askNext()
  try {
    return await found.promise
  } finally {
    asked = questions.length
    for (const timer of timers) clearTimeout(timer)
  }
}
