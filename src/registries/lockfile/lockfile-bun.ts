/**
 * bun.lock, lockfileVersion 0, 1 and 2 (oven-sh/bun, src/install/lockfile/bun.lock.zig): JSON with
 * trailing commas; one array for each package, whose form depends on where it comes from:
 *
 *     "ms": ["ms@2.1.3", "", {}, "sha512-6FlzubTLZG3J2a/NVCAleEhjzq5oxgHyaCU9yYXvcLsvoVaHJq…"],
 *     "ws": ["ws@workspace:packages/ws"],
 *     "x": ["x@git+https://git.example/x.git#9b92e61", {}, "9b92e61"],
 *
 * The first text names the package itself, so that an alias is resolved already.
 *
 * @module
 */
import {
  describeSource,
  LockfileError,
  notRegistryEntry,
  registryEntry,
  shown,
  splitLocator,
  type Lockfile,
  type LockfileEntry,
} from './lockfile-entry.ts'
import { parseJsonDocument, type JsonMember } from './lockfile-json.ts'
import { isVersion } from '../name.ts'

const VERSION_MAX = 2

export function parseBunLockfile(text: string): Lockfile {
  const root = parseJsonDocument(text, true)
  const version = root.get('lockfileVersion')
  const number = version?.number()
  if (number === undefined || !Number.isInteger(number) || number < 0 || number > VERSION_MAX) {
    throw new LockfileError(version?.line ?? 1, `lockfileVersion is not 0 to ${VERSION_MAX}`)
  }
  const packages = root.get('packages')
  // A project without dependencies has none.
  if (packages === undefined) return { format: 'bun', version: String(number), entries: [] }
  if (!packages.isObject) throw new LockfileError(packages.line, '"packages" is not an object')
  return { format: 'bun', version: String(number), entries: packages.members().map(readPackage) }
}

function readPackage({ key, line, value }: JsonMember): LockfileEntry {
  const items = value.items()
  const locator = splitLocator(items[0]?.string() ?? '')
  if (!value.isArray || locator === undefined) {
    throw new LockfileError(line, `${shown(key)} does not name a package`)
  }
  const { name, rest } = locator
  const found = { name, version: rest, key, line }
  const [, registry, information, integrity] = items
  // Only the form of registry packages has a text in the second place.
  const resolved = registry?.string()
  if (resolved === undefined || !isVersion(rest)) {
    if (isVersion(rest)) throw new LockfileError(line, `${shown(key)} names no registry`)
    return notRegistryEntry(found, describeSource(rest))
  }
  // `parent/name`: what the project itself bundles is fetched like everything else.
  const isNested = key.split('/').length > (key.startsWith('@') ? 2 : 1)
  if (isNested && information?.get('bundled')?.isTrue() === true) {
    return notRegistryEntry(found, 'is bundled inside its parent, whose hash covers it')
  }
  return registryEntry({
    ...found,
    integrity: integrity?.string(),
    integrityLine: integrity?.line,
    resolved,
  })
}
