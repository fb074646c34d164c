/**
 * The body of a publish, also of one that is only staged: how large it may be, and the line that npm
 * shows when it was published.
 * @module
 */
import { RegistryError } from '../registries/errors.ts'
import { garbageCollector } from '../registries/garbage.ts'
import type { Receipt } from '../registries/hosted/hosted-publish.ts'
import { PUBLISH_BYTES_MAX } from '../registries/publish/publish-document.ts'
import { within } from '../registries/within.ts'

/** How slowly a body may come. */
export type Pace = { graceMs: number; bytesPerSecondMin: number }

/**
 * Whoever is read keeps a place that others wait for (publish-admission.ts), so nobody trickles. The
 * largest body takes a quarter of an hour at this pace; a line that is silent is cut by the server.
 */
const PACE: Pace = { graceMs: 60_000, bytesPerSecondMin: 128 * 1024 }
const MS_PER_SECOND = 1000
/**
 * The pieces in which a body came pile up beside it, since the runtime sees no hurry: a body of
 * 128 MB took 250. A collection takes some milliseconds.
 */
const COLLECT_EVERY_BYTES = 8 * 1024 * 1024
/** Most come in one piece, for which a stream would cost more than all of its reading. */
const AT_ONCE_BYTES_MAX = 64 * 1024
/** Of a body that does not say its size. */
const FIRST_BYTES = 64 * 1024

/** What the body says of its size; one that says nothing may have any. */
export function declaredBytes(request: Request): number {
  return declaredLength(request) ?? PUBLISH_BYTES_MAX
}

/** Null: it does not say. @throws RegistryError body-too-large */
function declaredLength(request: Request): number | null {
  const header = request.headers.get('content-length')
  if (header === null) return null
  const declared = Number(header)
  if (Number.isSafeInteger(declared) && declared <= PUBLISH_BYTES_MAX) return declared
  throw tooLarge()
}

/** The whole body. @throws RegistryError body-too-large, bad-request when it comes too slowly */
export async function publishBody(request: Request, pace: Pace = PACE): Promise<Uint8Array> {
  const declared = declaredLength(request)
  if (declared !== null && declared <= AT_ONCE_BYTES_MAX) return await smallBody(request, pace)
  const began = performance.now()
  let body = new Uint8Array(declared ?? FIRST_BYTES)
  let length = 0
  const collect = garbageCollector(COLLECT_EVERY_BYTES)
  for await (const chunk of request.body ?? []) {
    const end = length + chunk.byteLength
    if (end > PUBLISH_BYTES_MAX) throw tooLarge()
    if (end > body.byteLength) body = grown(body, end)
    body.set(chunk, length)
    length = end
    collect(length)
    const timeMs = pace.graceMs + (length / pace.bytesPerSecondMin) * MS_PER_SECOND
    if (performance.now() - began > timeMs) throw tooSlow()
  }
  return length === body.byteLength ? body : body.slice(0, length)
}

async function smallBody(request: Request, { graceMs }: Pace): Promise<Uint8Array> {
  // Whoever is given up has been told; what becomes of the rest of the body is nobody's concern.
  const body = await within(request.bytes(), graceMs, () => undefined)
  if (body === undefined) throw tooSlow()
  return body
}

function tooSlow(): RegistryError {
  return new RegistryError('bad-request', 'the body of this publish arrives too slowly')
}

function grown(body: Uint8Array<ArrayBuffer>, bytesMin: number): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(Math.max(bytesMin, 2 * body.byteLength))
  larger.set(body)
  return larger
}

/** One line that npm shows to whoever publishes. */
export function noticeOf({ name, version, leafIndex }: Receipt, base: string): string {
  const { host } = new URL(base)
  if (leafIndex === null) return `${name}@${version} is private: signed by ${host}, in no log`
  const proof = `${base}-/sumdb/proof/${name}@${version}`
  return `${name}@${version} is leaf ${leafIndex} of the log of ${host}: ${proof}`
}

function tooLarge(): RegistryError {
  const why = `the body of a publish has at most ${PUBLISH_BYTES_MAX} bytes`
  return new RegistryError('body-too-large', why)
}
