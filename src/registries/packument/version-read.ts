/**
 * Reading one version of a packument: the members of its manifest that anything is decided by, each
 * parsed from its own slice; the rest (readme, contributors, …) is passed over.
 *
 * What two readers could read differently is a fault: another name or version than the one it is
 * filed under, a key twice in the manifest or in a member that counts. Faults belong to the version,
 * not to its document. Whether the version is good is `inspect.ts`.
 *
 * @module
 */
import type { Member } from '../json-scan.ts'
import { repeatedKey } from '../json-scan.ts'
import { type JsonObject, WHOLE_FIELDS } from './manifest.ts'
import { isVersion } from '../name.ts'
import { objectAt, type PackumentScan } from './packument-scan.ts'

const READ_FIELDS: ReadonlySet<string> = new Set([
  ...WHOLE_FIELDS,
  'name',
  'version',
  'dist',
  'directories',
  'scripts',
])

/** The members that count, and why the entry cannot be used ('' when it can). */
export type ReadVersion = { manifest: JsonObject; fault: string }

export function readVersion(scan: PackumentScan, member: Member): ReadVersion {
  const object = objectAt(scan, member)
  if (object === undefined) return { manifest: {}, fault: 'its manifest is not an object' }
  const read = object.members.filter(({ key }) => READ_FIELDS.has(key))
  const values = read.map((field): [string, unknown] => [field.key, scan.json.parse(field)])
  const manifest: JsonObject = Object.fromEntries(values)
  if (repeatedKey(object) !== undefined || read.some((field, i) => repeats(field, values[i]))) {
    return { manifest, fault: 'its manifest repeats a key' }
  }
  return { manifest, fault: findFault(scan.name, member.key, manifest) }
}

function findFault(name: string, version: string, manifest: JsonObject): string {
  if (!isVersion(version)) return 'its version is not text that npm could have written'
  if (manifest['name'] !== name) return 'its manifest carries another name'
  if (manifest['version'] !== version) return 'its manifest carries another version'
  return ''
}

// A parsed value that holds fewer names than its text has lost some to repetition.
function repeats(field: Member, [, value]: [string, unknown] = ['', undefined]): boolean {
  return countNames(value) !== field.names
}

// Iterative, because a slice may nest as deep as the scanner allows.
function countNames(root: unknown): number {
  let names = 0
  const open: unknown[] = [root]
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    if (typeof value !== 'object' || value === null) continue
    const inside: unknown[] = Object.values(value)
    if (!Array.isArray(value)) names += inside.length
    for (const child of inside) if (typeof child === 'object') open.push(child)
  }
  return names
}
