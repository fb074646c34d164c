/**
 * How many bodies of publishes are read at once: as many as there is memory for. Whoever waits has
 * not been read yet, which is the connection's own patience; the order is that of arrival, but
 * that small ones do not wait for a place that only large ones need.
 * @module
 */
import { ROW_BYTES_MAX } from '../db/tarballs.ts'
import { RegistryError } from '../registries/errors.ts'

/**
 * Bytes of bodies held at once: one of the largest. A body costs its size and some 30 MB while it is
 * read: its tarball is decoded in its place (publish-attachments.ts).
 */
const BYTES_MAX = 128 * 1024 * 1024
/** A crowd of small publishes shares one transaction; of more than this, not all would be in it. */
const BODIES_MAX = 128
/** Of these, whose tarballs may be files: each costs a thread of the pool for its fsyncs. */
const LARGE_BODIES_MAX = 32
/** Whoever comes later is told to come back. */
const WAITING_MAX = 1000

type Waiting = { bytes: number; go: () => void }

/** Lets bodies in. */
export class Admission {
  readonly #waiting: Waiting[] = []
  #bytes = 0
  #bodies = 0
  #largeBodies = 0

  /** Runs `work` when there is room for so many bytes. @throws RegistryError busy */
  async run<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    if (this.#waiting.length >= WAITING_MAX) {
      throw new RegistryError('busy', 'too many publishes at once; retry')
    }
    await new Promise<void>(go => {
      this.#waiting.push({ bytes, go })
      this.#next()
    })
    try {
      return await work()
    } finally {
      this.#count(bytes, -1)
      this.#next()
    }
  }

  #hasRoom(bytes: number): boolean {
    if (this.#bodies === 0) return true
    const isFull = !this.#hasPlace(bytes) || this.#bodies >= BODIES_MAX
    return !isFull && this.#bytes + bytes <= BYTES_MAX
  }

  /** @param by 1 when one enters, -1 when it leaves */
  #count(bytes: number, by: 1 | -1): void {
    this.#bytes += by * bytes
    this.#bodies += by
    if (isLarge(bytes)) this.#largeBodies += by
  }

  /** In order; but small ones pass those that wait for one of the places of large ones. */
  #next(): void {
    for (;;) {
      const at = this.#waiting.findIndex(({ bytes }) => this.#hasPlace(bytes))
      const next = this.#waiting[at]
      if (next === undefined || !this.#hasRoom(next.bytes)) return
      this.#waiting.splice(at, 1)
      this.#count(next.bytes, 1)
      next.go()
    }
  }

  #hasPlace(bytes: number): boolean {
    return !isLarge(bytes) || this.#largeBodies < LARGE_BODIES_MAX
  }
}

/** In base64, four bytes for three, the largest tarball that is a row makes a body of this size. */
function isLarge(bytes: number): boolean {
  return bytes > (ROW_BYTES_MAX / 3) * 4
}
