/**
 * A log store in memory that fails on purpose, each time in both ways that a disk can fail: the
 * operation did not happen, and it happened although it said that it did not.
 * @module
 */
import type { LogFile } from '../../../src/log/full-tiles.ts'
import { LogFatalError, type LogState, type LogStore } from '../../../src/log/log.ts'

export type Fault = {
  operation: 'commit' | 'writeFiles' | 'insertLeaf' | 'advance'
  /** The operation takes effect nevertheless (only where that makes sense). */
  persisted: boolean
  /** The how-manieth such operation fails, from 1. */
  when: number
}

type Contents = {
  state: LogState | null
  leaves: Map<number, Uint8Array>
  keys: Map<string, number>
}

export class MemoryLogStore implements LogStore {
  #fault: Fault | undefined
  readonly files = new Map<string, Uint8Array>()
  contents: Contents = { state: null, leaves: new Map(), keys: new Map() }
  #before: Contents | undefined
  #counts = new Map<string, number>()

  /** From now on; the operations so far do not count. */
  failOn(fault: Fault): void {
    this.#fault = fault
    this.#counts.clear()
  }

  get inTransaction(): boolean {
    return this.#before !== undefined
  }

  transaction<T>(action: () => T): T {
    if (this.inTransaction) return action()
    const { state, leaves, keys } = this.contents
    this.#before = { state, leaves: new Map(leaves), keys: new Map(keys) }
    try {
      const result = action()
      this.#strike('commit', () => {
        this.#before = undefined
      })
      this.#before = undefined
      return result
    } finally {
      if (this.#before !== undefined) this.contents = this.#before
      this.#before = undefined
    }
  }

  readState(): LogState | null {
    return this.contents.state
  }

  advance(from: LogState | null, to: LogState): boolean {
    this.#strike('advance', () => {})
    if (this.contents.state?.note !== from?.note) return false
    this.contents.state = to
    return true
  }

  findIndex(key: Uint8Array): number | null {
    return this.contents.keys.get(key.toHex()) ?? null
  }

  insertLeaf(index: number, key: Uint8Array, leaf: Uint8Array): void {
    this.#strike('insertLeaf', () => {})
    if (this.contents.leaves.has(index)) throw new Error(`leaf ${index} is taken`)
    if (this.contents.keys.has(key.toHex())) throw new Error(`key of leaf ${index} is taken`)
    this.contents.leaves.set(index, leaf)
    this.contents.keys.set(key.toHex(), index)
  }

  readLeaves(start: number, end: number): Uint8Array[] {
    return Array.from({ length: end - start }, (_, offset) => {
      const leaf = this.contents.leaves.get(start + offset)
      if (leaf !== undefined) return leaf
      throw new LogFatalError('contradiction', `leaf ${start + offset} is missing`)
    })
  }

  leafEnd(): number {
    return Math.max(-1, ...this.contents.leaves.keys()) + 1
  }

  hasFile(path: string): boolean {
    return this.files.has(path)
  }

  readFile(path: string): Uint8Array {
    const bytes = this.files.get(path)
    if (bytes === undefined) throw new Error(`${path}: no such file`)
    return bytes
  }

  writeFiles(files: readonly LogFile[]): void {
    const write = (some: readonly LogFile[]) => {
      for (const { path, bytes } of some) {
        const found = this.files.get(path)
        if (found !== undefined && Buffer.compare(found, bytes) !== 0) {
          throw new LogFatalError('contradiction', `${path} exists with other bytes`)
        }
        this.files.set(path, bytes)
      }
    }
    // "Persisted" leaves half of the files behind: the crash came between two renames.
    this.#strike('writeFiles', () => write(files.slice(0, Math.ceil(files.length / 2))))
    write(files)
  }

  #strike(operation: Fault['operation'], takeEffect: () => void): void {
    const count = (this.#counts.get(operation) ?? 0) + 1
    this.#counts.set(operation, count)
    if (this.#fault?.operation !== operation || this.#fault.when !== count) return
    if (this.#fault.persisted) takeEffect()
    throw new LogFatalError('storage-failed', `${operation} failed on purpose`)
  }
}
