/**
 * A thousand readers that ask for 20 MB and read nothing (facts: L1; a naive server needs 20 GB).
 * Goal: they cost next to no memory, everybody else is answered at once, and what they hold comes
 * back when they go. That silent connections are closed after the idle timeout is Bun's own and
 * takes a minute; it is not waited for here.
 *
 * Memory is judged in every attempt, waits by the best of a few. What the kernel holds for the
 * readers is not counted.
 */
import { expect, test } from 'bun:test'
import { ATTEMPTS_TIMEOUT_MS, bestOfAttempts } from './load-attempts.ts'
import { StalledReaders } from './load-clients.ts'
import { Pings, waitsTooLong } from './load-pings.ts'
import { canMeasure, LoadServer, startUpstream } from './load-server.ts'

const READERS = 1000
const LARGE = { name: 'large', versions: 4000, versionBytes: 5000 }
const SMALL = { name: 'small', versions: 5, versionBytes: 2000 }
const GROWTH_BYTES_MAX = 100_000_000
/** Until every reader was served what its socket takes; the queue drains in a few seconds. */
const WATCH_MS = 5000
const SAMPLE_MS = 100

/** The most memory that was seen during the watch. */
async function watch(server: LoadServer): Promise<number> {
  let most = 0
  const until = performance.now() + WATCH_MS
  while (performance.now() < until) {
    most = Math.max(most, server.memory.now)
    await Bun.sleep(SAMPLE_MS)
  }
  return most
}

/** What a server holds that has nothing to do, once it has settled. */
async function settled(server: LoadServer): Promise<number> {
  let least = Number.POSITIVE_INFINITY
  for (let i = 0; i < 20; i++) {
    await Bun.sleep(SAMPLE_MS)
    least = Math.min(least, server.memory.now)
  }
  return least
}

/** Returns what was too much while readers were stalled. */
async function stall(server: LoadServer, pings: Pings, encoding: string): Promise<string[]> {
  const headers = { 'accept-encoding': encoding, 'accept': 'application/json' }
  const whole = async () => {
    const response = await fetch(`${server.url}large`, { headers, decompress: false })
    return (await response.bytes()).length
  }
  const size = await whole()
  const before = await settled(server)
  await pings.report(`before, ${encoding}`)
  let most = 0
  {
    using _readers = new StalledReaders(server.port, '/large', encoding, READERS)
    most = await watch(server)
  }
  const title = `with stalled readers, ${encoding}`
  const waits = await pings.report(title)
  const after = await settled(server)
  const [mb, ...memory] = [size, before, most, after].map(bytes => Math.round(bytes / 1e6))
  console.log(`${encoding} of ${mb} MB: memory before, most, after (MB) ${memory.join(', ')}`)
  expect(most - before).toBeLessThanOrEqual(GROWTH_BYTES_MAX)
  expect(after - before).toBeLessThanOrEqual(GROWTH_BYTES_MAX / 2)
  expect(await whole()).toBe(size)
  return waitsTooLong(title, waits)
}

test.if(canMeasure)(
  `${READERS} stalled readers of 20 MB`,
  async () => {
    await using upstream = await startUpstream([LARGE, SMALL])
    await bestOfAttempts(async () => {
      await using server = await LoadServer.start(upstream.said)
      const { url } = server
      await (await fetch(`${url}small`)).text()
      await using pings = await Pings.start([`${url}small`, `${url}-/sumdb/checkpoint`])
      const identity = await stall(server, pings, 'identity')
      return [...identity, ...(await stall(server, pings, 'gzip'))]
    })
  },
  ATTEMPTS_TIMEOUT_MS,
)

test.if(!canMeasure)('is skipped: this is not Linux, or there is no program', () => {
  console.log('test/fault/load-stalled.test.ts: NOTHING WAS TESTED')
  expect(canMeasure).toBe(false)
})
