/**
 * What clients of a hosted registry did to its packages, step by step, for tests that look at a copy
 * of the registry as it was at some moment in between. One client at a time changes a package, and
 * each change is whole: so the package in the copy must be in one of the states from the last that
 * was acknowledged before the copy was begun to the last that was asked for before it was done.
 * @module
 */
import { createHash } from 'node:crypto'
import semver from 'semver'
import { fileSeed, type Release, tarballOf } from '../fixtures/publishing.ts'

/** A package as everybody who may read it sees it. @property staged versions that wait */
export type State = {
  versions: Record<string, { integrity: string; deprecated: string | null }>
  tags: Record<string, string>
  gone: string[]
  staged: string[]
}

/** From when to when a copy may be: indexes of states. */
export type Span = { from: number; to: number }

const NOTHING: State = { versions: {}, tags: {}, gone: [], staged: [] }

export function integrityOf(release: Release): string {
  return `sha512-${createHash('sha512').update(tarballOf(release)).digest('base64')}`
}

export class Package {
  readonly name: string
  readonly access: 'public' | 'restricted'
  /** Of versions that were acknowledged: where they are in the log, and what is there. */
  readonly records = new Map<string, { index: number; text: string }>()
  readonly #states: State[] = [NOTHING]
  #acknowledged = 0
  #versions = 0

  constructor(name: string, access: 'public' | 'restricted') {
    this.name = name
    this.access = access
  }

  get now(): State {
    return this.#states.at(-1) ?? NOTHING
  }

  get live(): string[] {
    return Object.keys(this.now.versions)
  }

  /** Every version that was ever asked for. */
  get versions(): string[] {
    return Array.from({ length: this.#versions }, (_, i) => `1.0.${i}`)
  }

  get acknowledged(): number {
    return this.#acknowledged
  }

  release(version: string): Release {
    const { name, access } = this
    // Two of three are files, which a backup has to hold.
    const isRow = Number(version.split('.').at(-1)) % 3 === 2
    const seed = `${name} ${version}`
    return { name, version, access, seed: isRow ? seed : fileSeed(seed) }
  }

  next(): string {
    this.#versions += 1
    return `1.0.${this.#versions - 1}`
  }

  /** A change is asked for, which goes through these states; it counts when the answer is good. */
  async change(states: State[], send: () => Promise<Response>): Promise<string> {
    this.#states.push(...states)
    const answer = await send()
    const text = await answer.text()
    if (!answer.ok) throw new Error(`${this.name}: ${answer.status} ${text}`)
    this.#acknowledged = this.#states.length - 1
    return text
  }

  published(version: string): State {
    const { versions, tags, staged, ...rest } = this.now
    const integrity = integrityOf(this.release(version))
    return {
      ...rest,
      versions: { ...versions, [version]: { integrity, deprecated: null } },
      tags: { ...tags, latest: version },
      staged,
    }
  }

  staged(...staged: string[]): State {
    return { ...this.now, staged }
  }

  tagged(tag: string, version: string | null): State {
    const { [tag]: _before, ...tags } = this.now.tags
    return { ...this.now, tags: version === null ? tags : { ...tags, [tag]: version } }
  }

  deprecated(version: string, deprecated: string | null): State {
    const { versions } = this.now
    const integrity = versions[version]?.integrity ?? ''
    return { ...this.now, versions: { ...versions, [version]: { integrity, deprecated } } }
  }

  unpublished(...gone: string[]): State {
    const kept = Object.entries(this.now.versions).filter(([version]) => !gone.includes(version))
    const newest = kept.map(([version]) => version).toSorted(semver.rcompare)[0]
    const tags = Object.entries(this.now.tags)
      .filter(([tag, version]) => tag === 'latest' || !gone.includes(version))
      .map(([tag, version]) => [tag, gone.includes(version) ? newest : version])
      .filter(([, version]) => version !== undefined)
    return {
      ...this.now,
      versions: Object.fromEntries(kept),
      tags: Object.fromEntries(tags),
      gone: [...this.now.gone, ...gone].toSorted(semver.compare),
    }
  }

  /** The states that a copy may show which was begun when `from` was acknowledged. */
  span(from: number): Span {
    return { from, to: this.#states.length - 1 }
  }

  within({ from, to }: Span): State[] {
    return this.#states.slice(from, to + 1)
  }
}
