/**
 * The URL of the public npm registry, read from the field's own library.
 *
 * Only this file knows where it comes from, and no file of this repository spells it.
 *
 * @module
 */
import { registry } from 'npm-registry-fetch/lib/default-opts.js'

/** The URL that npm itself uses when nothing is configured; ends in a slash. */
export function defaultRegistryUrl(): string {
  const url = new URL(registry)
  if (url.protocol !== 'https:') throw new Error('npm-registry-fetch names no https registry')
  return url.href
}
