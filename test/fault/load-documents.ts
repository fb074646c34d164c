/**
 * Packuments of any size, made to weigh what real ones weigh: manifests that repeat one another but
 * for integrity, signature and a few names, so that they compress about tenfold
 * (https://github.com/npm/registry/blob/main/docs/responses/package-metadata.md).
 * Signed as npm signs, by a key of the process. Nothing of them can be installed.
 * @module
 */
import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import { keyidOf, pointOf, type PublishedKey } from '../fixtures/registry-keys.ts'

/** What is wanted of a package. */
export type Size = { name: string; versions: number; versionBytes: number }

/** A pair that signs versions; OpenSSL's, since 20,000 signatures are wanted within a second. */
const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const key = pair.publicKey.export({ type: 'spki', format: 'der' }).toString('base64')
const keyid = keyidOf(pointOf(key))

/** The key as a registry publishes it. */
export const publishedKey: PublishedKey = {
  expires: null,
  keyid,
  keytype: 'ecdsa-sha2-nistp256',
  scheme: 'ecdsa-sha2-nistp256',
  key,
}

/** Versions of a package, oldest first. */
export function versionsOf({ versions }: Pick<Size, 'versions'>): string[] {
  return Array.from(
    { length: versions },
    (_, index) => `1.${Math.floor(index / 100)}.${index % 100}`,
  )
}

/** The whole packument as the registry at `base` would send it; built in parts, it may be large. */
export function packument(size: Size, base: string): Blob {
  const { name } = size
  const versions = versionsOf(size)
  const latest = versions.at(-1)
  const head = { '_id': name, name, 'dist-tags': { latest }, 'description': WORDS.join(' ') }
  const manifests = versions.map((version, index) => {
    const comma = index === 0 ? '' : ','
    return `${comma}${JSON.stringify(version)}:${manifest(size, version, base)}`
  })
  const times = versions.map((version, index) => [
    version,
    new Date(Date.UTC(2020, 0, 1) + index * HOUR_MS).toISOString(),
  ])
  const time = JSON.stringify(Object.fromEntries(times))
  const start = `${JSON.stringify(head).slice(0, -1)},"versions":{`
  return new Blob([start, ...manifests, `},"time":${time}}`])
}

/** Of the filler; the rest is development dependencies, which no record holds. */
const DEPENDENCIES_SHARE = 0.4
const HOUR_MS = 3_600_000
const WORDS = ['lorem', 'ipsum', 'dolor', 'sit', 'amet', 'consectetur', 'adipiscing', 'elit']

function manifest({ name, versionBytes }: Size, version: string, base: string): string {
  const integrity = `sha512-${createHash('sha512').update(`${name}@${version}`).digest('base64')}`
  const message = Buffer.from(`${name}@${version}:${integrity}`)
  const sig = sign('sha256', message, pair.privateKey).toString('base64')
  const fixed = JSON.stringify({
    name,
    version,
    _id: `${name}@${version}`,
    gitHead: createHash('sha1').update(version).digest('hex'),
    license: 'MIT',
    scripts: { build: 'tsc -p .', test: 'node --test' },
    dist: {
      integrity,
      shasum: createHash('sha1').update(integrity).digest('hex'),
      tarball: `${base}${name}/-/${name}-${version}.tgz`,
      fileCount: 7,
      unpackedSize: 12_345,
      signatures: [{ keyid, sig }],
    },
  })
  const bytes = versionBytes - fixed.length
  const dependencies = filler(bytes * DEPENDENCIES_SHARE, version)
  const devDependencies = filler(bytes * (1 - DEPENDENCIES_SHARE), version)
  const lists = `"dependencies":${dependencies},"devDependencies":${devDependencies}`
  return `${fixed.slice(0, -1)},${lists}}`
}

/** Dependencies of about so many bytes; most of a real manifest is such lists. */
function filler(bytes: number, version: string): string {
  const build = createHash('sha512').update(version).digest('hex')
  const entries: string[] = []
  let length = 0
  for (let i = 0; length < bytes - 60; i++) {
    const word = WORDS[i % WORDS.length] ?? ''
    // Every fourth is pinned to a build, as monorepos do.
    const range = i % 4 === 0 ? `0.0.0-${build.slice(i % 120, (i % 120) + 8)}` : `^${i}.0.0`
    const entry = `"@${word}-scope/package-${i}":"${range}"`
    entries.push(entry)
    length += entry.length + 1
  }
  return `{${entries.join(',')}}`
}
