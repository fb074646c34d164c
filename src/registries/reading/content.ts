/**
 * Packages named by their bytes: `@cas/sha512-<hex>` and `@cas/sha256-<hex>` are packuments of
 * exactly one version, the recorded one that has these bytes, whichever registry it came from:
 *
 *     npm install react@npm:@cas/sha512-97e4f4c5…
 *
 * What every client wants of it (measured): the packument is called as it was asked for (pnpm
 * refuses another name), its one manifest as the package.json in the tarball is (pnpm and bun
 * compare), and `latest` names it. The tarball is the version's own, so that all that is checked of
 * a version is checked of this. The scope belongs to no registry and nothing of it is recorded.
 *
 * Only what is recorded and not refused is handed out, and nothing that not everybody may see.
 * Several versions with the same bytes are the same bytes: the first recorded one answers.
 * @module
 */
import { createHash } from 'node:crypto'
import type { Contents, Holder } from '../../db/contents.ts'
import { RegistryError } from '../errors.ts'
import { integrityFromHex } from '../integrity.ts'
import { CONTENT_SCOPE } from '../name.ts'
import type { ManifestAnswer, Wanted } from './proxy.ts'
import { isRefusalCode } from '../packument/refusal.ts'
import type { Sources } from '../sources/source.ts'

const ADDRESS = /^@cas\/(?:sha512-([0-9a-f]{128})|sha256-([0-9a-f]{64}))$/

/** The manifest as a packument holds it: whatever the client, tarballs come through our origin. */
const WANTED: Wanted = { form: 'full', own: true, noTombstones: false, addressed: false }

/** Reads manifests of one registry. */
export type ManifestReader = {
  manifest(name: string, version: string, wanted: Wanted, forced: boolean): Promise<ManifestAnswer>
}

/** What packages of bytes are found with. @property readerOf reads a registry, when it may */
export type ContentNeeds = {
  contents: Contents
  sources: Sources
  readerOf: (registry: string, name: string) => ManifestReader | undefined
}

type Found = Pick<Holder, 'version' | 'published'>

/** Is this the name of bytes? */
export function isContentName(name: string): boolean {
  return name.startsWith(CONTENT_SCOPE)
}

/** Finds the versions that hold bytes. */
export class ContentAddresses {
  readonly #needs: ContentNeeds

  constructor(needs: ContentNeeds) {
    this.#needs = needs
  }

  /** The packument of these bytes. @throws RegistryError not-found, refused, upstream-… */
  async packument(name: string): Promise<ManifestAnswer> {
    const { version, published, data } = await this.#find(name)
    const text = await data.text()
    // Clients that let versions ripen want to know since when there is this one.
    const time = { created: published, modified: published, [version]: published }
    const head = JSON.stringify({ name, 'dist-tags': { latest: version }, time }).slice(0, -1)
    const packument = `${head},"versions":{${JSON.stringify(version)}:${text}}}`
    return answerOf(packument)
  }

  /** The one manifest of these bytes. @param selector its version, or `latest` @throws RegistryError */
  async manifest(name: string, selector: string): Promise<ManifestAnswer> {
    const { version, data, etag } = await this.#find(name)
    if (selector === version || selector === 'latest') return { data, etag }
    throw new RegistryError('not-found', `these bytes are version ${version}, not ${selector}`, {
      package: name,
      version: selector,
    })
  }

  async #find(name: string): Promise<ManifestAnswer & Found> {
    const holders = this.#needs.contents.holders(this.#integrityOf(name)).filter(isServed)
    let failure: unknown
    for (const { namespace, name: holder, version, published } of holders) {
      const source = this.#needs.sources.all().find(each => each.namespace === namespace)
      if (source === undefined || source.housed?.isPrivate(holder) === true) continue
      try {
        const reader = this.#needs.readerOf(source.name, holder)
        if (reader === undefined) continue
        return { version, published, ...(await reader.manifest(holder, version, WANTED, false)) }
      } catch (error) {
        // The same bytes may be had as another version: one that is refused here, or whose
        // registry is down, does not speak for the others.
        if (!(error instanceof RegistryError)) throw error
        failure ??= error
      }
    }
    if (failure !== undefined) throw failure
    throw new RegistryError('not-found', `no version that is recorded here has these bytes`, {
      package: name,
    })
  }

  /** @throws RegistryError invalid-name, not-found */
  #integrityOf(name: string): string {
    const [, sha512, sha256] = ADDRESS.exec(name) ?? []
    if (sha512 !== undefined) return integrityFromHex(sha512)
    if (sha256 === undefined) {
      const why = `${CONTENT_SCOPE} takes sha512-<128 hex digits> or sha256-<64 hex digits>`
      throw new RegistryError('invalid-name', why)
    }
    const integrity = this.#needs.contents.integrityOf(sha256)
    if (integrity !== null) return integrity
    const why =
      'no bytes with this SHA-256 have passed through this server; name them by their SHA-512 ' +
      '(dist.integrity, in hex), or download the tarball through here once in mode stream or cache'
    throw new RegistryError('not-found', why, { package: name })
  }
}

function isServed({ state }: Holder): boolean {
  return !isRefusalCode(state)
}

function answerOf(text: string): ManifestAnswer {
  const etag = `"${createHash('sha256').update(text).digest('base64url')}"`
  return { data: new Blob([text]), etag }
}

/** Passes verified bytes on and tells their SHA-256, in hex, when all of them have passed. */
export async function* hashedToo(
  chunks: AsyncGenerator<Uint8Array, void, undefined>,
  told: (sha256: string) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  const hash = createHash('sha256')
  for await (const chunk of chunks) {
    hash.update(chunk)
    yield chunk
  }
  told(hash.digest('hex'))
}
