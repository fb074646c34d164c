/**
 * Asks several URLs over and over and keeps how long each answer took, as a process of its own:
 * `bun load-pinger.ts '<PingTargets as JSON>'` says `ready`; for each line on stdin it prints the
 * `PingReport` since the one before.
 *
 * What a busy machine does to anybody is measured beside it: `control` is a bare server that sends
 * a few bytes and now and then waits for the disk, as a server that keeps a log has to.
 * @module
 */

/** Labels and the URLs asked for in turn; `{}` becomes another number each time. */
export type PingTargets = Record<string, string[]>
/** Milliseconds. */
export type Latencies = { count: number; p50: number; p99: number; max: number }
export type PingReport = Record<string, Latencies>

const PAUSE_MS = 10

async function ping(urls: readonly string[], latencies: number[]): Promise<never> {
  for (let round = 0; ; round++) {
    const url = urls[round % urls.length] ?? ''
    const began = performance.now()
    const response = await fetch(url.replace('{}', String(round)))
    await response.arrayBuffer()
    latencies.push(response.ok ? performance.now() - began : Number.MAX_SAFE_INTEGER)
    await Bun.sleep(PAUSE_MS)
  }
}

function summary(latencies: readonly number[]): Latencies {
  const sorted = latencies.toSorted((a, b) => a - b)
  const at = (share: number) =>
    Math.round((sorted[Math.floor((sorted.length - 1) * share)] ?? 0) * 10) / 10
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) }
}

async function run(targets: PingTargets): Promise<void> {
  const measured = new Map<string, number[]>()
  for (const [label, urls] of Object.entries(targets)) {
    const latencies: number[] = []
    measured.set(label, latencies)
    ping(urls, latencies).catch((error: unknown) => {
      // No answer is the longest answer.
      latencies.push(Number.MAX_SAFE_INTEGER)
      console.error(label, error)
    })
  }
  console.log('ready')
  for await (const _ of console) {
    const report: PingReport = {}
    for (const [label, latencies] of measured) report[label] = summary(latencies.splice(0))
    console.log(JSON.stringify(report))
  }
}

if (import.meta.main) await run(JSON.parse(process.argv[2] ?? '{}'))
