/**
 * Rendering as the tests of it ask for it.
 *
 * @module
 */
import type { Refused, RenderPlan, Variant } from '../../../src/registries/packument/render.ts'
import { renderParts } from '../../../src/registries/packument/render-packument.ts'
import { encode, integrityFor } from './vectors.ts'

export const full: Variant = { form: 'full', tarballs: 'as-came', tombstones: 'kept' }
export const own: Variant = { ...full, tarballs: 'own' }
export const short: Variant = { ...full, form: 'abbreviated' }
export const dropping: Variant = { ...full, tombstones: 'dropped' }

/** What rendering gives, as text; the source stays as it was. */
export function rendered(source: string | object, plan: RenderPlan, variant = full): string {
  const bytes = encode(source)
  const before = Buffer.from(bytes)
  const out = Buffer.concat([...renderParts(bytes, plan, variant)]).toString()
  if (!before.equals(bytes)) throw new Error('rendering changed its source')
  return out
}

/** The same, parsed. */
export function renderedValue(source: string | object, plan: RenderPlan, variant = full) {
  return JSON.parse(rendered(source, plan, variant))
}

/** A refusal of this version of pkg. */
export function refuse(version: string, more: Partial<Refused> = {}): Refused {
  return {
    version,
    code: 'conflict',
    sentence: `pkg@${version} refused by registry.example: sources disagree`,
    url: `http://127.0.0.1:6769/-/blocked/pkg@${version}/conflict`,
    integrity: integrityFor('logged'),
    ...more,
  }
}
