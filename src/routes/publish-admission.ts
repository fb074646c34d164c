/**
 * How many bodies of publishes are read at once: as many as there is memory for. Whoever waits has
 * not been read yet, which is the connection's own patience; the order is that of arrival.
 * @module
 */
import { RegistryError } from '../registries/errors.ts'

/**
 * Bytes of bodies held at once: one of the largest. A body costs its size and some 30 MB while it is
 * read: its tarball is decoded in its place (publish-attachments.ts).
 */
const BYTES_MAX = 128 * 1024 * 1024
/** Small publishes at once: each costs a thread of the pool for its fsync. */
const BODIES_MAX = 32
/** Whoever comes later is told to come back. */
const WAITING_MAX = 1000

type Waiting = { bytes: number; go: () => void }

/** Lets bodies in. */
export class Admission {
  readonly #waiting: Waiting[] = []
  #bytes = 0
  #bodies = 0

  /** Runs `work` when there is room for so many bytes. @throws RegistryError busy */
  async run<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    if (this.#waiting.length >= WAITING_MAX) {
      throw new RegistryError('busy', 'too many publishes at once; retry')
    }
    if (this.#waiting.length > 0 || !this.#hasRoom(bytes)) {
      await new Promise<void>(go => this.#waiting.push({ bytes, go }))
    } else {
      this.#enter(bytes)
    }
    try {
      return await work()
    } finally {
      this.#bytes -= bytes
      this.#bodies -= 1
      this.#next()
    }
  }

  #hasRoom(bytes: number): boolean {
    return this.#bodies === 0 || (this.#bodies < BODIES_MAX && this.#bytes + bytes <= BYTES_MAX)
  }

  #enter(bytes: number): void {
    this.#bytes += bytes
    this.#bodies += 1
  }

  #next(): void {
    for (;;) {
      const [first] = this.#waiting
      if (first === undefined || !this.#hasRoom(first.bytes)) return
      this.#waiting.shift()
      this.#enter(first.bytes)
      first.go()
    }
  }
}
