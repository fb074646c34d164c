/**
 * What a packument Worker can be asked to do, as data and as the functions that do it. Jobs are
 * stateless: all they need comes with them, and the raw bytes go back to who sent them.
 *
 * @module
 */
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { type ErrorRecord, RegistryError } from './errors.ts'
import { inspectPackument, type InspectInput, type Inspection } from './inspect.ts'
import { renderManifest, renderPackument, type RenderPlan, type Variant } from './render.ts'
import type { Rendered } from './render-output.ts'

/** Against a damaged cache that inflates for ever; far above the largest document that is taken. */
const UNPACKED_BYTES_MAX = 1024 * 1024 * 1024

export type Job =
  | { kind: 'inspect'; bytes: ArrayBuffer; input: InspectInput }
  | { kind: 'render'; bytes: ArrayBuffer; plan: RenderPlan; variant: Variant }
  | {
      kind: 'manifest'
      bytes: ArrayBuffer
      plan: RenderPlan
      tarballs: Variant['tarballs']
      selector: string
    }
  | { kind: 'pack'; bytes: ArrayBuffer }
  | { kind: 'unpack'; bytes: ArrayBuffer }

/** One for each kind of job; `unpack` answers with the bytes alone. */
export type Result =
  | { kind: 'inspect'; inspection: Inspection }
  | { kind: 'render'; rendered: Rendered }
  | { kind: 'manifest'; manifest: Uint8Array | null }
  | { kind: 'pack'; packed: Uint8Array }
  | { kind: 'unpack' }

/** What a Worker sends: `bytes` are the raw document, the sender's again. */
export type Reply =
  | { ok: true; bytes: ArrayBuffer; result: Result }
  | { ok: false; error: ErrorRecord | null; message: string }

/** Does a job and says which buffers of the answer can be moved instead of copied. */
export async function runJob(job: Job): Promise<{ reply: Reply; transfer: ArrayBuffer[] }> {
  const bytes = new Uint8Array(job.bytes)
  switch (job.kind) {
    case 'inspect':
      return answer(job, { kind: 'inspect', inspection: inspectPackument(bytes, job.input) })
    case 'render': {
      const { gzip, identity, ...rest } = await renderPackument(bytes, job.plan, job.variant)
      const own = { ...rest, gzip: owned(gzip), identity: identity && owned(identity) }
      return answer(job, { kind: 'render', rendered: own }, own.gzip, own.identity)
    }
    case 'manifest': {
      const found = renderManifest(bytes, job.plan, job.tarballs, job.selector)
      return answer(job, { kind: 'manifest', manifest: found && owned(found) })
    }
    case 'pack': {
      const packed = owned(zstdCompressSync(bytes))
      return answer(job, { kind: 'pack', packed }, packed)
    }
    default:
      return unpack(bytes)
  }
}

function unpack(packed: Uint8Array): { reply: Reply; transfer: ArrayBuffer[] } {
  let raw: Uint8Array<ArrayBuffer>
  try {
    raw = owned(zstdDecompressSync(packed, { maxOutputLength: UNPACKED_BYTES_MAX }))
  } catch (cause) {
    throw new RegistryError('internal', 'a stored document cannot be unpacked', {}, cause)
  }
  return {
    reply: { ok: true, bytes: raw.buffer, result: { kind: 'unpack' } },
    transfer: [raw.buffer],
  }
}

function answer(
  job: Job,
  result: Result,
  ...moved: (Uint8Array<ArrayBuffer> | null)[]
): { reply: Reply; transfer: ArrayBuffer[] } {
  return {
    reply: { ok: true, bytes: job.bytes, result },
    transfer: [job.bytes, ...moved.flatMap(part => (part === null ? [] : [part.buffer]))],
  }
}

// Only a buffer that holds nothing else can be moved; the runtime's small ones share a pool.
function owned(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = bytes
  return buffer instanceof ArrayBuffer && buffer.byteLength === bytes.byteLength
    ? new Uint8Array(buffer)
    : new Uint8Array(bytes)
}
