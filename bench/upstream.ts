/**
 * The registry behind every server under measurement: a few real packuments, fetched once from the
 * registry that this machine's npm is set to, and served from memory on loopback, so that nobody
 * has a better upstream than the other.
 * @module
 */

/** What the packuments are called here and what stands for each. */
export const SIZES = [
  { size: 'small', name: 'lodash' },
  { size: 'middle', name: 'vite' },
  { size: 'giant', name: 'next' },
] as const

export type Size = (typeof SIZES)[number]['size']

/** Longer than any part of the bench: what is measured is hot. */
const MAX_AGE_SECONDS = 3600

/** The upstream on loopback. @property plainBytes size of each packument by name */
export type Upstream = Disposable & { url: string; plainBytes: ReadonlyMap<string, number> }

/** The registry that npm asks here, ending in a slash. */
export function configuredRegistry(): string {
  const { exitCode, stdout } = Bun.spawnSync(['npm', 'config', 'get', 'registry'], {
    stderr: 'ignore',
  })
  const url = stdout.toString().trim()
  if (exitCode !== 0 || !URL.canParse(url))
    throw new Error('npm does not say which registry it asks')
  return new URL(url).href
}

/** What the registry says of how long its answers may be used; null when it says something. */
export async function freshnessNote(registry: string): Promise<string | null> {
  const { headers } = await fetch(registry + SIZES[0].name, { method: 'HEAD' })
  const lacks = ['cache-control', 'etag', 'last-modified'].filter(name => !headers.has(name))
  if (lacks.length === 0) return null
  return `The registry behind the installs sends no ${lacks.join(', no ')}.`
}

export async function startUpstream(registry: string): Promise<Upstream> {
  const documents = new Map<string, { blob: Blob; etag: string }>()
  const plainBytes = new Map<string, number>()
  for (const { name } of SIZES) {
    const response = await fetch(registry + name, { headers: { accept: 'application/json' } })
    if (!response.ok) throw new Error(`the registry answered ${response.status} for ${name}`)
    const bytes = await response.bytes()
    const etag = `"${Bun.hash(bytes).toString(16)}"`
    documents.set(`/${name}`, { blob: new Blob([bytes]), etag })
    plainBytes.set(name, bytes.length)
  }
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: request => answer(request, documents),
  })
  return {
    url: `http://127.0.0.1:${server.port}/`,
    plainBytes,
    [Symbol.dispose]: () => void server.stop(true),
  }
}

function answer(request: Request, documents: Map<string, { blob: Blob; etag: string }>): Response {
  const document = documents.get(new URL(request.url).pathname)
  if (document === undefined) return Response.json({ error: 'not found' }, { status: 404 })
  const headers = {
    'content-type': 'application/json',
    'etag': document.etag,
    'cache-control': `public, max-age=${MAX_AGE_SECONDS}`,
  }
  if (request.headers.get('if-none-match') === document.etag) {
    return new Response(null, { status: 304, headers })
  }
  return new Response(document.blob, { headers })
}
