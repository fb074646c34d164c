/**
 * A packument of 100 MB with 20,000 signed versions (facts: L7).
 * Goal: it is served whole in every form, the process never holds more than four times its size,
 * and nobody who asks for something else waits for it.
 *
 * What is served is judged in every attempt; waits and memory by the best of a few, since when
 * garbage is collected is the machine's affair too.
 */
import { expect, test } from 'bun:test'
import { ATTEMPTS_TIMEOUT_MS, bestOfAttempts } from './load-attempts.ts'
import { Pings, waitsTooLong } from './load-pings.ts'
import { canMeasure, LoadServer, startUpstream } from './load-server.ts'

const GIANT = { name: 'giant', versions: 20_000, versionBytes: 5000 }
const SMALL = { name: 'small', versions: 5, versionBytes: 2000 }
const MEMORY_FACTOR = 4
const FULL = 'application/json'
const ABBREVIATED = 'application/vnd.npm.install-v1+json'

/** The whole text of an answer, whatever its encoding. */
async function read(url: string, accept: string, encoding: string): Promise<string> {
  const response = await fetch(url, {
    headers: { accept, 'accept-encoding': encoding },
    decompress: false,
  })
  expect(response.status).toBe(200)
  expect(response.headers.get('content-type')).toBe(accept)
  const bytes = new Uint8Array(await response.arrayBuffer())
  expect(bytes.length).toBe(Number(response.headers.get('content-length')))
  const plain = encoding === 'gzip' ? Bun.gunzipSync(bytes) : bytes
  return new TextDecoder().decode(plain)
}

type Document = { versions: Record<string, { dist: { integrity: string; tarball: string } }> }

/** The versions that have an integrity and a place to get them from. */
function wholeVersions(text: string): number {
  const document: Document = JSON.parse(text)
  const dists = Object.values(document.versions).map(({ dist }) => dist)
  return dists.filter(dist => dist.integrity.startsWith('sha512-') && URL.canParse(dist.tarball))
    .length
}

/** The documents, and what was too much while they were read. */
type Served = { forms: string[]; tooMuch: string[] }

async function serve(server: LoadServer, size: number): Promise<Served> {
  const { url } = server
  await (await fetch(`${url}small`)).text()
  await (await fetch(`${url}-/sumdb/lookup/small@1.0.0`)).text()
  const hot = ['small', '-/sumdb/checkpoint', '-/sumdb/lookup/small@1.0.0', '-/ping', 'small']
  await using pings = await Pings.start(hot.map(path => `${url}${path}`))
  await Bun.sleep(500)
  await pings.report('before')
  const forms: string[] = []
  for (const accept of [FULL, ABBREVIATED]) {
    for (const encoding of ['gzip', 'identity']) {
      const began = performance.now()
      forms.push(await read(`${url}giant`, accept, encoding))
      console.log(`${accept} ${encoding}: ${Math.round(performance.now() - began)} ms`)
    }
  }
  const tooMuch = waitsTooLong('meanwhile', await pings.report('meanwhile'))
  const { now, most } = server.memory
  const memory = [size, most, now].map(bytes => Math.round(bytes / 1e6)).join(', ')
  console.log(`document, most memory, memory now (MB): ${memory}`)
  if (most > MEMORY_FACTOR * size) tooMuch.push(`document, most memory, memory now (MB): ${memory}`)
  return { forms, tooMuch }
}

test.if(canMeasure)(
  '100 MB: served whole, in four times its size, and nobody waits',
  async () => {
    await using upstream = await startUpstream([GIANT, SMALL])
    const raw = await (await fetch(`${upstream.said}giant`)).bytes()
    expect(raw.length).toBeGreaterThan(100_000_000)
    await bestOfAttempts(async () => {
      await using server = await LoadServer.start(upstream.said)
      const { url } = server
      const { forms, tooMuch } = await serve(server, raw.length)
      const [full, fullPlain, short, shortPlain] = forms
      expect(fullPlain === full).toBe(true)
      expect(shortPlain === short).toBe(true)
      // Byte for byte the registry's, but for where its tarballs are.
      const expected = new TextDecoder()
        .decode(raw)
        .replaceAll(`"${upstream.said}giant/`, `"${url}giant/`)
      expect(full === expected).toBe(true)
      expect(wholeVersions(full ?? '{}')).toBe(GIANT.versions)
      expect(wholeVersions(short ?? '{}')).toBe(GIANT.versions)
      const log = await (await fetch(`${url}-/sumdb/checkpoint`)).text()
      expect(log.split('\n')[1]).toBe(String(GIANT.versions + SMALL.versions + 1))
      return tooMuch
    })
  },
  ATTEMPTS_TIMEOUT_MS,
)

test.if(!canMeasure)('is skipped: this is not Linux, or there is no program', () => {
  console.log('test/fault/load-giant.test.ts: NOTHING WAS TESTED')
  expect(canMeasure).toBe(false)
})
