/**
 * Small documents, inspected and rendered where they are: without the two turns through a Worker,
 * which cost the loop more than the work itself. What is done is the same in both places, and
 * nothing is judged or remembered here.
 * @module
 */
import { createHash } from 'node:crypto'
import { type Inspection, inspectScanned, type InspectInput } from './inspect.ts'
import { type PackumentScan, scanPackument } from './packument-scan.ts'
import type { Take } from './packument-pool.ts'
import type { RenderPlan, Variant } from './render.ts'
import { renderScanned } from './render-packument.ts'

/** A rendered document. @property etag strong, quoted, from the bytes */
export type RenderedHere = { plain: Uint8Array<ArrayBuffer>; etag: string }

/** Outlines of documents, as long as somebody holds their bytes: they are rendered next. */
const scans = new WeakMap<ArrayBuffer, PackumentScan>()

/** As `PackumentPool.inspect`; the bytes stay as they are. @throws RegistryError */
export async function inspectHere(
  bytes: ArrayBuffer,
  input: InspectInput,
  take: Take,
): Promise<{ bytes: ArrayBuffer; inspection: Omit<Inspection, 'versions'> }> {
  const { versions, ...inspection } = inspectScanned(scanOf(bytes), input)
  await take([...versions])
  return { bytes, inspection }
}

/** A whole packument for clients, not compressed. @throws RegistryError */
export function renderHere(bytes: ArrayBuffer, plan: RenderPlan, variant: Variant): RenderedHere {
  const plain = joined([...renderScanned(scanOf(bytes), plan, variant)])
  return { plain, etag: `"${createHash('sha256').update(plain).digest('base64url')}"` }
}

function scanOf(bytes: ArrayBuffer): PackumentScan {
  const known = scans.get(bytes)
  if (known !== undefined) return known
  const scan = scanPackument(new Uint8Array(bytes))
  scans.set(bytes, scan)
  return scan
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
