/**
 * Small documents, inspected and rendered where they are: without the two turns through a Worker,
 * which cost the loop more than the work itself. What is done is the same in both places, and
 * nothing is judged or remembered here.
 * @module
 */
import { createHash } from 'node:crypto'
import { type Inspection, inspectPackument, type InspectInput } from './inspect.ts'
import type { RenderPlan, Variant } from './render.ts'
import { renderParts } from './render-packument.ts'
import type { Take } from './packument-pool.ts'

/**
 * A document of 64 KB is one of some 80 versions, or of six with a long readme; inspecting and
 * rendering it takes 1 to 3 ms, for which nobody else is kept waiting noticeably.
 */
export const SMALL_BYTES_MAX = 64 * 1024

/** A rendered document. @property etag strong, quoted, from the bytes */
export type RenderedHere = { plain: Uint8Array<ArrayBuffer>; etag: string }

/** As `PackumentPool.inspect`; the bytes stay as they are. @throws RegistryError */
export async function inspectHere(
  bytes: ArrayBuffer,
  input: InspectInput,
  take: Take,
): Promise<{ bytes: ArrayBuffer; inspection: Omit<Inspection, 'versions'> }> {
  const { versions, ...inspection } = inspectPackument(new Uint8Array(bytes), input)
  if (versions.length > 0) await take(versions)
  return { bytes, inspection }
}

/** A whole packument for clients, not compressed. */
export function renderHere(bytes: ArrayBuffer, plan: RenderPlan, variant: Variant): RenderedHere {
  const plain = joined([...renderParts(new Uint8Array(bytes), plan, variant)])
  return { plain, etag: `"${createHash('sha256').update(plain).digest('base64url')}"` }
}

function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0))
  let end = 0
  for (const part of parts) {
    whole.set(part, end)
    end += part.length
  }
  return whole
}
