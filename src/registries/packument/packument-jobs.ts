/**
 * What a packument Worker can be asked to do, as data and as the functions that do it. Jobs are
 * stateless: all they need comes with them, and the raw bytes go back to who sent them.
 *
 * @module
 */
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { type ErrorRecord, RegistryError } from '../errors.ts'
import {
  type InspectedVersion,
  type InspectInput,
  type Inspection,
  openInspection,
} from './inspect.ts'
import type { Rendered, RenderPlan, Variant } from './render.ts'
import { renderManifest, renderPackument } from './render-packument.ts'

/** Against a damaged cache that inflates for ever; far above the largest document that is taken. */
const UNPACKED_BYTES_MAX = 1024 * 1024 * 1024

/**
 * Versions per message: a receiver is busy with one message for a few milliseconds at most, and two
 * messages are all that is held of a document's projections.
 */
const BATCH_VERSIONS = 512

/**
 * Inputs with an entry for each version travel as JSON text: to clone 20,000 small objects would
 * hold the sender up for 80 ms, to write them for 10.
 */
export type Job =
  | { kind: 'inspect'; bytes: ArrayBuffer; input: JsonText<InspectInput> }
  | { kind: 'render'; bytes: ArrayBuffer; plan: JsonText<RenderPlan>; variant: Variant }
  | {
      kind: 'manifest'
      bytes: ArrayBuffer
      plan: JsonText<RenderPlan>
      tarballs: Variant['tarballs']
      selector: string
    }
  | { kind: 'pack'; bytes: ArrayBuffer }
  | { kind: 'unpack'; bytes: ArrayBuffer }

/** Text that `writeText` made of a value of this type. */
export type JsonText<T> = { text: string; readonly of?: (value: T) => void }

/** All that an inspection finds besides the versions, which come in batches. */
export type InspectionOutline = Omit<Inspection, 'versions'>

/** One for each kind of job; `unpack` answers with the bytes alone. */
export type Result =
  | { kind: 'inspect'; inspection: InspectionOutline }
  | { kind: 'render'; rendered: Rendered }
  | { kind: 'manifest'; manifest: Uint8Array | null }
  | { kind: 'pack'; packed: Uint8Array }
  | { kind: 'unpack' }

/**
 * What a Worker sends: batches, as many as it takes, each answered with `GO_ON` once it was taken
 * in, then the end of the job. `bytes` are the raw document, the sender's again.
 */
export type Reply =
  | { ok: 'batch'; versions: InspectedVersion[] }
  | { ok: true; bytes: ArrayBuffer; result: Result }
  | { ok: false; error: ErrorRecord | null; message: string }

export function writeText<T>(value: T): JsonText<T> {
  return { text: JSON.stringify(value) }
}

/** The word to a Worker that its batch was taken in. */
export const GO_ON = 'go on'

export type Send = (reply: Reply, transfer: ArrayBuffer[]) => void

/** Does a job. Buffers of the answer are moved, not copied. @param taken waits for `GO_ON` */
export async function runJob(job: Job, send: Send, taken: () => Promise<void>): Promise<void> {
  const bytes = new Uint8Array(job.bytes)
  switch (job.kind) {
    case 'inspect': {
      const { versions, ...inspection } = openInspection(bytes, readText(job.input))
      for (const batch of batches(versions)) {
        send({ ok: 'batch', versions: batch }, [])
        await taken()
      }
      return answer(send, job, { kind: 'inspect', inspection })
    }
    case 'render': {
      const { gzip, ...rest } = await renderPackument(bytes, readText(job.plan), job.variant)
      const own = { ...rest, gzip: owned(gzip) }
      return answer(send, job, { kind: 'render', rendered: own }, own.gzip)
    }
    case 'manifest': {
      const found = renderManifest(bytes, readText(job.plan), job.tarballs, job.selector)
      return answer(send, job, { kind: 'manifest', manifest: found && owned(found) })
    }
    case 'pack': {
      const packed = owned(zstdCompressSync(bytes))
      return answer(send, job, { kind: 'pack', packed }, packed)
    }
    default:
      return unpack(send, bytes)
  }
}

function* batches(versions: Iterable<InspectedVersion>): Generator<InspectedVersion[]> {
  let batch: InspectedVersion[] = []
  for (const version of versions) {
    batch.push(version)
    if (batch.length < BATCH_VERSIONS) continue
    yield batch
    batch = []
  }
  if (batch.length > 0) yield batch
}

// Between two halves of one program: the text is what `writeText` wrote.
function readText<T>(json: JsonText<T>): T {
  return JSON.parse(json.text)
}

function unpack(send: Send, packed: Uint8Array): void {
  let raw: Uint8Array<ArrayBuffer>
  try {
    raw = owned(zstdDecompressSync(packed, { maxOutputLength: UNPACKED_BYTES_MAX }))
  } catch (cause) {
    throw new RegistryError('internal', 'a stored document cannot be unpacked', {}, cause)
  }
  send({ ok: true, bytes: raw.buffer, result: { kind: 'unpack' } }, [raw.buffer])
}

function answer(
  send: Send,
  job: Job,
  result: Result,
  ...moved: (Uint8Array<ArrayBuffer> | null)[]
): void {
  const buffers = moved.flatMap(part => (part === null ? [] : [part.buffer]))
  send({ ok: true, bytes: job.bytes, result }, [job.bytes, ...buffers])
}

// Only a buffer that holds nothing else can be moved; the runtime's small ones share a pool.
function owned(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = bytes
  return buffer instanceof ArrayBuffer && buffer.byteLength === bytes.byteLength
    ? new Uint8Array(buffer)
    : new Uint8Array(bytes)
}
