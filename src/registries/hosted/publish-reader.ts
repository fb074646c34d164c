/**
 * Reads publish bodies without holding up anybody else: small ones at once, large ones in a Worker
 * of their own (`publish-worker.ts`), whose memory goes back to the system with it.
 *
 * What may be read at once is bounded by whoever calls. Nothing is stored here.
 *
 * @module
 */
import { type ErrorRecord, RegistryError, unpackError } from '../errors.ts'
import { loopTurns } from '../loop-turns.ts'
import type { ReadPublish } from './hosted-publish.ts'
import { parsePublish } from '../publish/publish-document.ts'
import { inspectTarball } from '../publish/publish-tarball.ts'

/** Scanning, decoding and hashing take 5 ms for each MB; the main thread's limit is 50. */
const SMALL_BYTES_MAX = 2 * 1024 * 1024
/** Ten times what the largest body takes on a slow machine. */
const WORKER_MS_MAX = 60_000

export type PublishJob = { name: string; body: Uint8Array<ArrayBuffer> }
export type PublishReply =
  | { ok: true; read: ReadPublish }
  | { ok: false; error: ErrorRecord | null; message: string }

/** The document and what its tarball holds; throws as `parsePublish` and `inspectTarball` do. */
export async function readPublishHere(name: string, body: Uint8Array): Promise<ReadPublish> {
  const version = parsePublish(name, body)
  if (version.kind === 'metadata') return version
  const { packageJson: _, ...inside } = await inspectTarball(version.tarball, version)
  return { kind: 'publish', version, inside }
}

/** The same, off the main thread when it would take long. @param body given away when it is large */
export async function readPublish(name: string, body: Uint8Array): Promise<ReadPublish> {
  if (body.length <= SMALL_BYTES_MAX) {
    return await loopTurns.run(() => readPublishHere(name, body))
  }
  const worker = new Worker(workerUrl(), { ref: false })
  let timer: ReturnType<typeof setTimeout> | undefined
  try {
    const reply = await new Promise<PublishReply>((resolve, reject) => {
      const fail = (why: string) => reject(failed(why))
      timer = setTimeout(fail, WORKER_MS_MAX, `no answer in ${WORKER_MS_MAX} ms`)
      worker.addEventListener('message', ({ data }: MessageEvent<PublishReply>) => resolve(data))
      worker.addEventListener('error', ({ message }) => fail(message))
      worker.addEventListener('close', () => fail('it ended by itself'))
      const job: PublishJob = { name, body: ownBytes(body) }
      worker.postMessage(job, [job.body.buffer])
    })
    if (reply.ok) return reply.read
    throw reply.error === null ? failed(reply.message) : unpackError(reply.error)
  } finally {
    clearTimeout(timer)
    worker.terminate()
  }
}

// Bytes whose whole buffer can be given away.
function ownBytes(body: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = body
  const isWhole = buffer instanceof ArrayBuffer && buffer.byteLength === body.byteLength
  return isWhole ? new Uint8Array(buffer) : new Uint8Array(body)
}

/** Beside this file; in the binary, where all code lies in one folder, at its path below src/. */
function workerUrl(): string {
  const isSource = import.meta.path.endsWith('/publish-reader.ts')
  const path = isSource ? './publish-worker.ts' : './registries/hosted/publish-worker.ts'
  return new URL(path, import.meta.url).href
}

function failed(why: string): RegistryError {
  return new RegistryError('internal', `the worker that read a publish failed: ${why}`)
}
