/**
 * The registry of the load tests, as a process of its own so that the measuring one is not busy:
 * `bun load-upstream.ts '<Catalogue as JSON>'` prints its URL, one line. Packuments are made when
 * it starts and sent from memory; `cold-<anything>` is a small package that always is there.
 * `/-/requests/<name>` says how many requests came for a packument. Fresh for 300 s, like npm's.
 * @module
 */
import { packument, publishedKey, type Size } from './load-documents.ts'

/** @property delayMs pause before each answer */
export type Catalogue = (Size & { delayMs?: number })[]

const COUNTS = '/-/requests/'
const HEADERS = { 'content-type': 'application/json', 'cache-control': 'public, max-age=300' }

function serve(catalogue: Catalogue): string {
  const bodies = new Map<string, Blob>()
  const counts = new Map<string, number>()
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    idleTimeout: 0,
    fetch: request => {
      const { pathname } = new URL(request.url)
      if (pathname === '/-/npm/v1/keys') return Response.json({ keys: [publishedKey] })
      if (pathname.startsWith(COUNTS)) {
        return Response.json(counts.get(pathname.slice(COUNTS.length)) ?? 0)
      }
      return answer(decodeURIComponent(pathname.slice(1)))
    },
  })
  const base = server.url.href
  async function answer(name: string): Promise<Response> {
    counts.set(name, (counts.get(name) ?? 0) + 1)
    const delayMs = catalogue.find(each => each.name === name)?.delayMs
    if (delayMs !== undefined) await Bun.sleep(delayMs)
    const body = name.startsWith('cold-')
      ? packument({ name, versions: 5, versionBytes: 2000 }, base)
      : bodies.get(name)
    return body === undefined
      ? Response.json({ error: 'Not found' }, { status: 404 })
      : new Response(body, { headers: HEADERS })
  }
  for (const size of catalogue) bodies.set(size.name, packument(size, base))
  return base
}

if (import.meta.main) console.log(serve(JSON.parse(process.argv[2] ?? '[]')))
