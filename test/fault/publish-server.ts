/**
 * A whole instance over a data dir that is given, for the tests that kill one while it publishes:
 * the registry behind it has no package at all, and the public URL stays the same on every port, so
 * that a copy of a data dir can be opened anywhere.
 * @module
 */
import { fileSeed, publishBodyOf, type Release } from '../fixtures/publishing.ts'
import { loadConfig } from '../../src/config.ts'
import { buildServices } from '../../src/services.ts'

/** Of the instance, as it writes it; nothing is asked there. */
const PUBLIC_URL = 'http://house.example/'
/** Of its records. */
export const NAMESPACE = 'house.example'
const TOKEN = 'the-operator-of-a-registry-that-is-killed-a-lot'
const AUTHORIZED = { authorization: `Bearer ${TOKEN}` }

/** What the data dir holds before the publish that is struck. */
export const BEFORE: Release = {
  name: 'kit',
  version: '1.0.0',
  manifest: { description: 'edition one' },
}

/**
 * What is published under fault: a next version, a package whose name is claimed by it, and a next
 * version whose tarball is a file.
 */
export const STRUCK = {
  next: { name: 'kit', version: '1.1.0', manifest: { description: 'edition struck' } },
  first: { name: 'fresh', version: '1.0.0', manifest: { description: 'edition struck' } },
  file: {
    name: 'kit',
    version: '1.2.0',
    manifest: { description: 'edition struck' },
    seed: fileSeed('struck'),
  },
} satisfies Record<string, Release>

export type StruckKind = keyof typeof STRUCK

export class Served implements AsyncDisposable {
  readonly url: string
  readonly #stack: AsyncDisposableStack

  private constructor(url: string, stack: AsyncDisposableStack) {
    this.url = url
    this.#stack = stack
  }

  static async on(dataDir: string): Promise<Served> {
    await using stack = new AsyncDisposableStack()
    const upstream = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: answerNothing })
    stack.defer(() => upstream.stop(true))
    const port = freePort()
    const { config } = loadConfig({}, {})
    const services = stack.use(
      await buildServices({
        ...config,
        listen: { host: '127.0.0.1', port },
        dataDir,
        publicUrl: PUBLIC_URL,
        upstreamUrl: `http://127.0.0.1:${upstream.port}/`,
        logLevel: 'silent',
        adminToken: TOKEN,
      }),
    )
    services.listen()
    return new Served(`http://127.0.0.1:${port}/`, stack.move())
  }

  get(path: string): Promise<Response> {
    return fetch(`${this.url}${path}`, { headers: AUTHORIZED, redirect: 'manual' })
  }

  /** Asks the admin API. */
  post(path: string, body: unknown, headers: Record<string, string>): Promise<Response> {
    return fetch(`${this.url}-/api/${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...AUTHORIZED, ...headers },
      body: JSON.stringify(body),
    })
  }

  publish(release: Release): Promise<Response> {
    return fetch(`${this.url}${release.name.replace('/', '%2f')}`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json', ...AUTHORIZED },
      body: JSON.stringify(publishBodyOf(release)),
    })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync()
  }
}

function answerNothing(request: Request): Response {
  if (new URL(request.url).pathname !== '/-/v1/search') {
    return Response.json({ error: 'not found' }, { status: 404 })
  }
  return Response.json({ objects: [], total: 0, time: new Date().toISOString() })
}

function freePort(): number {
  const probe = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } })
  const { port } = probe
  probe.stop(true)
  return port
}
