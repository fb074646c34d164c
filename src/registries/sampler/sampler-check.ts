/**
 * Checking one tarball at one place: its bytes against the record, the package.json inside against
 * the logged projection. What is found is kept, and what is wrong becomes an incident: other bytes
 * say something of whoever sent them (altered-tarball.ts), another manifest says something of the
 * version, wherever its bytes came from. Nothing is refused here (strict.ts does).
 * @module
 */
import type { Incidents } from '../../db/incidents.ts'
import type { Packages } from '../../db/packages.ts'
import type { CheckRow, Samples } from '../../db/samples.ts'
import { recordAltered } from './altered-tarball.ts'
import { hashProjection, projectManifest, ProjectionError } from '../packument/manifest.ts'
import type { Mirror } from '../sources/mirror.ts'
import { MANIFEST_MISMATCH } from '../packument/refusal.ts'
import { compareInside } from './sampler-compare.ts'
import { lookInside, type PackageInside, type TarballLook } from './sampler-reader.ts'
import { assertListed, type FoundTarball, type Places } from '../sources/tarball-location.ts'
import { timestamp } from '../timestamp.ts'

/** What the registry's own copy is called among places. */
export const AT_REGISTRY = ''
/** A projection as evidence; those of giants say no more by their end. */
const EVIDENCE_CHARS_MAX = 64 * 1024

/** What checking works with. @property noted told of verified bytes: their sha256 in hex and their integrity */
export type TarballCheckerNeeds = {
  samples: Samples
  packages: Packages
  incidents: Incidents
  places: Places
  noted: (sha256: string, integrity: string) => void
  now: () => Date
  warn: (message: string) => void
}

/** Checks tarballs. */
export class TarballChecker {
  readonly #needs: TarballCheckerNeeds

  constructor(needs: TarballCheckerNeeds) {
    this.#needs = needs
  }

  /** The name under which looks at this place are kept. */
  static placeOf(mirror: Mirror | undefined): string {
    return mirror?.name ?? AT_REGISTRY
  }

  /**
   * Downloads a tarball, compares it and keeps what was found. @param mirror undefined: the registry
   * @param signal gives up in the middle; nothing is kept then
   * @returns what was kept, and how many bytes came @throws RegistryError when it cannot be had
   */
  async check(
    found: FoundTarball,
    mirror: Mirror | undefined,
    signal: AbortSignal,
  ): Promise<{ row: CheckRow; length: number }> {
    const url = mirror?.urlOf(this.#needs.places.at(mirror, found)) ?? found.url
    const { stream } = await this.#open(found, mirror)
    const look = await lookInside(until(stream, signal))
    const judged = this.#judge(found, { url, mirror }, look)
    const { namespace, name, version } = found.row
    const place = TarballChecker.placeOf(mirror)
    const checked = timestamp(this.#needs.now())
    const row: CheckRow = { namespace, name, version, place, checked, ...judged }
    // Re-issued meanwhile: a word on other bytes is none on those of now.
    const now = this.#needs.packages.get(namespace, name, version)
    if (now?.integrity === found.integrity) this.#needs.samples.put(row)
    if (row.bytes === 'same') this.#needs.noted(look.sha256, look.integrity)
    return { row, length: look.length }
  }

  async #open(found: FoundTarball, mirror: Mirror | undefined) {
    if (mirror !== undefined) return await mirror.openTarball(this.#needs.places.at(mirror, found))
    assertListed(found)
    return await found.source.upstream.openTarball(found.url)
  }

  #judge(
    found: FoundTarball,
    sender: { url: string; mirror: Mirror | undefined },
    look: TarballLook,
  ): Pick<CheckRow, 'bytes' | 'manifest' | 'detail' | 'incident'> {
    if (look.integrity !== found.integrity) {
      const detail = `the bytes that came have ${look.integrity}, the log says ${found.integrity}`
      const { name, version } = found.row
      this.#needs.warn(`tarball of ${name}@${version} at ${new URL(sender.url).host}: ${detail}`)
      const incident = recordAltered(this.#needs, found, sender, detail)
      return { bytes: 'other', manifest: 'unread', detail, incident }
    }
    const { inside } = look
    if (inside === undefined) {
      return { bytes: 'same', manifest: 'unread', detail: look.fault, incident: null }
    }
    const { namespace, name, version, manifestHash } = found.row
    const projection = this.#needs.packages.get(namespace, name, version)?.projection ?? ''
    if (hashProjection(projection) !== manifestHash) {
      const detail = 'the recorded manifest itself is not at hand'
      return { bytes: 'same', manifest: 'unread', detail, incident: null }
    }
    const { manifest, detail } = compareInside({ name, version, projection }, inside)
    const incident =
      manifest === 'different'
        ? this.#mismatch(found, sender.url, { projection, detail, inside })
        : null
    return { bytes: 'same', manifest, detail, incident }
  }

  #mismatch(
    { row, integrity }: FoundTarball,
    url: string,
    said: { projection: string; detail: string; inside: PackageInside },
  ): string {
    const { namespace, name, version, leafIndex } = row
    const observed = timestamp(this.#needs.now())
    const sentence = `${name}@${version}: its manifest is not that of its tarball: ${said.detail}`
    this.#needs.warn(sentence)
    const evidence = {
      record: leafIndex,
      integrity,
      detail: said.detail,
      sources: [
        { of: 'manifest', projection: said.projection.slice(0, EVIDENCE_CHARS_MAX) },
        {
          of: 'tarball',
          url: url.split('?', 1)[0],
          observed,
          projection: shown(said.inside, name),
        },
      ],
    }
    const found = { code: MANIFEST_MISMATCH, namespace, name, version, claim: integrity }
    const incident = { ...found, sentence, evidence: JSON.stringify(evidence) }
    return this.#needs.incidents.record(incident, observed).id
  }
}

function shown({ manifest }: PackageInside, name: string): string {
  try {
    return projectManifest(manifest, name).slice(0, EVIDENCE_CHARS_MAX)
  } catch (error) {
    if (error instanceof ProjectionError) return ''
    throw error
  }
}

/** The chunks of a stream, until somebody says that nobody wants them. */
async function* until(
  stream: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of stream) {
    signal.throwIfAborted()
    yield chunk
  }
  signal.throwIfAborted()
}
