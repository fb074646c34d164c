/**
 * A packument made of a mirror's, for when the registry cannot be asked and nothing that it said is
 * at hand. Nothing in it rests on the mirror's word about what is installed:
 *
 * - a version in the log with the same integrity: served with the logged projection and signature;
 * - a version that is not in the log, where the registry signs: its signature by a key in force now
 *   proves the bytes, and the package.json inside these bytes must say what the manifest says, as
 *   no signature covers that. Then it is recorded: its registry said so. Only a few, the newest;
 * - any other version is left out: neither recorded nor refused.
 *
 * An answer of the registry itself, however old, comes before this: nobody signs dist-tags or what
 * is missing, and a mirror could hide a release or push an old one. Dist-tags, deprecations and
 * descriptions here are the mirror's, and end with the registry's next answer. A mirror's 404 says
 * nothing; so does one that was caught with other bytes for this package.
 * @module
 */
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import type { Packages, VersionSummary } from '../../db/packages.ts'
import { newestFirst } from '../dist-tags.ts'
import { RegistryError } from '../errors.ts'
import type { InspectedVersion, InspectInput } from '../packument/inspect.ts'
import { verifyStream } from '../integrity.ts'
import { knownVersions } from '../packument/known-versions.ts'
import type { Ledger } from './ledger.ts'
import type { Mirror } from '../sources/mirror.ts'
import type { PackumentPool } from '../packument/packument-pool.ts'
import { allSummaries } from './plan.ts'
import { isRefusalCode } from '../packument/refusal.ts'
import type { Override, RenderPlan } from '../packument/render.ts'
import type { Source } from '../sources/source.ts'
import { projectionInTarball } from '../packument/tarball-manifest.ts'
import { timestamp } from '../timestamp.ts'

/** New versions proven in one go: each costs a download while a client waits. */
const PROVEN_VERSIONS_MAX = 5
/** A tarball above this is not downloaded for the proof. */
const PROOF_BYTES_MAX = 32 * 1024 * 1024

const inflate = promisify(gunzip)

/** What standing in works with. */
export type FailoverNeeds = {
  pool: PackumentPool
  packages: Packages
  ledger: Ledger
  now: () => Date
  warn: (message: string) => void
}

/** Makes documents of what mirrors have. */
export class Failover {
  readonly #needs: FailoverNeeds

  constructor(needs: FailoverNeeds) {
    this.#needs = needs
  }

  /** A whole packument that can be kept like the registry's; undefined when no mirror has any. */
  async document(source: Source, name: string): Promise<ArrayBuffer | undefined> {
    for (const mirror of source.mirrors.candidates(name)) {
      if (!mirror.isWell) continue
      try {
        const answer = await mirror.fetchPackument(name)
        if (answer.status !== 'fresh') continue
        const document = await this.#documentOf(source, name, mirror, answer.bytes)
        if (document !== undefined) return document
      } catch (error) {
        if (!(error instanceof RegistryError)) throw error
        this.#needs.warn(`mirror ${mirror.name} cannot stand in for ${name}: ${error.message}`)
      }
    }
    return undefined
  }

  async #documentOf(
    source: Source,
    name: string,
    mirror: Mirror,
    raw: ArrayBuffer,
  ): Promise<ArrayBuffer | undefined> {
    const { packages, pool, ledger } = this.#needs
    const rows = await allSummaries(packages, source.namespace, name)
    const { bytes, inspection } = await pool.inspectWhole(raw, this.#inputFor(source, name, rows))
    const proven = await this.#prove(source, name, mirror, inspection.versions)
    if (proven.length > 0)
      await ledger.record(source, name, take => take(proven), { extent: 'part' })
    const plan = await this.#planFor(source, name, inspection.versions)
    if (plan.files.length === 0) return undefined
    const variant = { form: 'full', tarballs: 'own', tombstones: 'kept' } as const
    const { rendered } = await pool.render(bytes, plan, variant)
    const document = await inflate(rendered.gzip)
    return new Uint8Array(document).buffer
  }

  #inputFor(source: Source, name: string, rows: readonly VersionSummary[]): InspectInput {
    const { keys, signs } = source.trust.stored()
    return {
      name,
      keys,
      registrySigns: signs,
      known: knownVersions(rows),
      // By our clock: a mirror's dates could bring an expired key back to life.
      packageKnown: true,
      now: timestamp(this.#needs.now()),
    }
  }

  /** The newest of the signed versions that no record has yet, as far as their bytes bear them out. */
  async #prove(
    source: Source,
    name: string,
    mirror: Mirror,
    versions: readonly InspectedVersion[],
  ): Promise<InspectedVersion[]> {
    const signed = new Map(
      versions.filter(each => each.verdict === 'valid').map(each => [each.version, each]),
    )
    const newest = newestFirst([...signed.keys()]).slice(0, PROVEN_VERSIONS_MAX)
    const checked = await Promise.all(
      newest.map(async version => {
        const found = signed.get(version)
        if (found === undefined || !(await this.#bearsOut(name, mirror, found))) return []
        return [{ ...found, tarball: `${source.upstream.url}${name}/-/${found.file}` }]
      }),
    )
    return checked.flat()
  }

  async #bearsOut(name: string, mirror: Mirror, found: InspectedVersion): Promise<boolean> {
    try {
      const { stream, length } = await mirror.openTarball(`${name}/-/${found.file}`)
      if (length !== null && length > PROOF_BYTES_MAX) {
        await stream.cancel()
        return false
      }
      const bytes = await collect(verifyStream(stream, found.integrity ?? ''))
      const inside = bytes && (await projectionInTarball(bytes, name, found.version))
      return inside === found.manifestHash
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error
      return false
    }
  }

  /** How the mirror's document becomes one that its registry could have sent. */
  async #planFor(
    source: Source,
    name: string,
    versions: readonly InspectedVersion[],
  ): Promise<RenderPlan> {
    const { packages } = this.#needs
    const rows = await allSummaries(packages, source.namespace, name)
    const logged = new Map(
      rows
        .filter(row => row.leafIndex !== null && !isRefusalCode(row.state))
        .map(row => [row.version, row]),
    )
    const files: [string, string][] = []
    const overrides: Override[] = []
    const omitted: string[] = []
    for (const found of versions) {
      const row = logged.get(found.version)
      if (row === undefined || found.integrity === null || row.integrity !== found.integrity) {
        omitted.push(found.version)
        continue
      }
      files.push([found.version, row.file])
      if (isAsLogged(found, row)) continue
      const whole = packages.get(source.namespace, name, found.version)
      const signatures = row.signature === null ? [] : [row.signature]
      const projection = whole?.projection ?? ''
      overrides.push({ version: found.version, projection, signatures, integrity: row.integrity })
    }
    return {
      base: baseOf(source, name, [...logged.values()]),
      ...NOTHING_KEPT,
      files,
      overrides,
      omitted,
    }
  }
}

const NOTHING_KEPT = { canonicalOrigin: null, refused: [] }

function isAsLogged(found: InspectedVersion, row: VersionSummary): boolean {
  const { signature } = row
  const signed = signature === null || found.signatures.some(entry => entry.sig === signature.sig)
  return signed && found.manifestHash === row.manifestHash
}

/** What the registry's own tarball URLs begin with, so that they are the same from here. */
function baseOf(source: Source, name: string, rows: readonly VersionSummary[]): string {
  for (const { tarball, file } of rows) {
    const tail = `${name}/-/${file}`
    if (tarball.endsWith(`/${tail}`)) return tarball.slice(0, -tail.length)
  }
  return source.upstream.url
}

/** All bytes of a stream; undefined when there are more than a proof is worth. */
async function collect(
  stream: AsyncIterable<Uint8Array>,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of stream) {
    length += chunk.byteLength
    if (length > PROOF_BYTES_MAX) return undefined
    chunks.push(chunk)
  }
  return new Uint8Array(Buffer.concat(chunks))
}
