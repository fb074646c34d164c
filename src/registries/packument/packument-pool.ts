/**
 * The few Workers that read and write packuments (`packument-worker.ts`).
 *
 * Bytes move to the Worker and back without a copy: whoever calls gives its ArrayBuffer away and
 * gets it back with the result (after an error it is gone). Workers start when there is work, one
 * job each, and end when idle, or at once after a large document: a thread's heap goes back to the
 * system only with the thread. A Worker that crashes or hangs fails its own job alone. Results are
 * not judged here, and nothing is remembered.
 *
 * @module
 */
import { RegistryError, unpackError } from '../errors.ts'
import type { InspectedVersion, InspectInput, Inspection } from './inspect.ts'
import {
  GO_ON,
  type InspectionOutline,
  type Job,
  type Reply,
  type Result,
  writeText,
} from './packument-jobs.ts'
import type { Rendered, RenderPlan, Variant } from './render.ts'

/** Two documents at once use two cores; more would only cost memory. */
const WORKERS_MAX = 2
/** A busy minute keeps its Workers warm, a quiet one gives 20 MB each back. */
const IDLE_MS = 20_000
/**
 * After a document of this size the Worker's heap is larger than all that is worth keeping; and only
 * one such document is worked on at a time, so that memory is bounded by one of them.
 */
const LARGE_BYTES = 32 * 1024 * 1024
/** Ten times what 100 MB with 20,000 signatures take on a slow machine. */
const JOB_TIMEOUT_MS = 120_000
/** Every waiting job may hold a document; beyond this the answer is "busy". */
const QUEUE_MAX = 1_000
const RETRY_AFTER_SECONDS = 5

/** @property url another module for the Workers: tests of their faults */
export type PoolSettings = {
  workersMax: number
  idleMs: number
  jobTimeoutMs: number
  url: string | undefined
}

type Pending = {
  job: Job
  /** Bytes of the document; `job.bytes` is empty once it has moved. */
  size: number
  take: Take
  resolve: (done: Done) => void
  reject: (error: Error) => void
}
type Done = { bytes: ArrayBuffer; result: Result }
/** Takes a batch of versions in; the next one is made when it is done. */
export type Take = (versions: InspectedVersion[]) => Promise<void>
type Slot = {
  worker: Worker
  pending: Pending | null
  timer: ReturnType<typeof setTimeout> | undefined
}

export class PackumentPool implements AsyncDisposable {
  readonly #slots = new Set<Slot>()
  readonly #queue: Pending[] = []
  readonly #settings: PoolSettings
  #closed = false

  constructor(settings: Partial<PoolSettings> = {}) {
    this.#settings = {
      workersMax: WORKERS_MAX,
      idleMs: IDLE_MS,
      jobTimeoutMs: JOB_TIMEOUT_MS,
      url: undefined,
      ...settings,
    }
  }

  /**
   * Every version of a packument with its verdict, handed to `take` batch by batch as they are
   * found. When `take` fails the job ends with its error.
   */
  async inspect(
    bytes: ArrayBuffer,
    input: InspectInput,
    take: Take,
  ): Promise<{ bytes: ArrayBuffer; inspection: InspectionOutline }> {
    const done = await this.#run({ kind: 'inspect', bytes, input: writeText(input) }, take)
    if (done.result.kind !== 'inspect') throw wrongResult(done.result)
    return { bytes: done.bytes, inspection: done.result.inspection }
  }

  /** The same with all versions at once, for whoever compares documents. */
  async inspectWhole(
    bytes: ArrayBuffer,
    input: InspectInput,
  ): Promise<{ bytes: ArrayBuffer; inspection: Inspection }> {
    const versions: InspectedVersion[] = []
    const done = await this.inspect(bytes, input, async batch => {
      for (const found of batch) versions.push(found)
    })
    return { bytes: done.bytes, inspection: { ...done.inspection, versions } }
  }

  /** A whole packument for clients. */
  async render(
    bytes: ArrayBuffer,
    plan: RenderPlan,
    variant: Variant,
  ): Promise<{ bytes: ArrayBuffer; rendered: Rendered }> {
    const done = await this.#run({ kind: 'render', bytes, plan: writeText(plan), variant })
    if (done.result.kind !== 'render') throw wrongResult(done.result)
    return { bytes: done.bytes, rendered: done.result.rendered }
  }

  /** One manifest. @param selector a version, or a dist-tag as the packument renders it */
  async manifest(
    bytes: ArrayBuffer,
    plan: RenderPlan,
    tarballs: Variant['tarballs'],
    selector: string,
  ): Promise<{ bytes: ArrayBuffer; manifest: Uint8Array | null }> {
    const done = await this.#run({
      kind: 'manifest',
      bytes,
      plan: writeText(plan),
      tarballs,
      selector,
    })
    if (done.result.kind !== 'manifest') throw wrongResult(done.result)
    return { bytes: done.bytes, manifest: done.result.manifest }
  }

  /** zstd. */
  async pack(bytes: ArrayBuffer): Promise<{ bytes: ArrayBuffer; packed: Uint8Array }> {
    const done = await this.#run({ kind: 'pack', bytes })
    if (done.result.kind !== 'pack') throw wrongResult(done.result)
    return { bytes: done.bytes, packed: done.result.packed }
  }

  /** The inverse of `pack`; the packed bytes stay the caller's. */
  async unpack(packed: Uint8Array): Promise<ArrayBuffer> {
    const copy = new Uint8Array(packed)
    const done = await this.#run({ kind: 'unpack', bytes: copy.buffer })
    if (done.result.kind !== 'unpack') throw wrongResult(done.result)
    return done.bytes
  }

  /** Ends all Workers; jobs under way or waiting fail as `busy`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    const waiting = this.#queue.splice(0)
    for (const slot of this.#slots) {
      if (slot.pending !== null) waiting.push(slot.pending)
      this.#end(slot)
    }
    for (const pending of waiting) pending.reject(busy('the server is stopping'))
    await Promise.resolve()
  }

  #run(job: Job, take: Take = takeNothing): Promise<Done> {
    if (this.#closed) return Promise.reject(busy('the server is stopping'))
    if (this.#queue.length >= QUEUE_MAX) {
      return Promise.reject(busy(`${QUEUE_MAX} documents are waiting already`))
    }
    return new Promise((resolve, reject) => {
      const size = job.bytes.byteLength
      this.#queue.push({ job, size, take, resolve, reject })
      this.#next()
    })
  }

  #next(): void {
    const slot = [...this.#slots].find(({ pending }) => pending === null)
    if (slot === undefined && this.#slots.size >= this.#settings.workersMax) return
    const held = [...this.#slots].some(({ pending }) => pending !== null && isLarge(pending))
    const next = this.#queue.findIndex(pending => !held || !isLarge(pending))
    if (next < 0) return
    for (const pending of this.#queue.splice(next, 1)) this.#start(slot ?? this.#open(), pending)
  }

  #open(): Slot {
    const worker = startWorker(this.#settings.url)
    const slot: Slot = { worker, pending: null, timer: undefined }
    worker.addEventListener('message', ({ data }: MessageEvent<Reply>) => this.#take(slot, data))
    worker.addEventListener('error', event => this.#fail(slot, crashed(event.message)))
    worker.addEventListener('close', () => this.#fail(slot, crashed('it ended by itself')))
    this.#slots.add(slot)
    return slot
  }

  #start(slot: Slot, pending: Pending): void {
    const { jobTimeoutMs } = this.#settings
    clearTimeout(slot.timer)
    slot.pending = pending
    const late = () => this.#fail(slot, crashed(`no answer in ${jobTimeoutMs} ms`))
    slot.timer = setTimeout(late, jobTimeoutMs)
    slot.worker.postMessage(pending.job, [pending.job.bytes])
  }

  #take(slot: Slot, reply: Reply): void {
    const { pending } = slot
    if (pending === null) return
    if (reply.ok === 'batch') {
      void this.#pass(slot, pending, reply.versions)
      return
    }
    slot.pending = null
    clearTimeout(slot.timer)
    const size = reply.ok ? Math.max(pending.size, reply.bytes.byteLength) : pending.size
    const isBug = !reply.ok && reply.error === null
    if (isBug || size >= LARGE_BYTES) this.#end(slot)
    else this.#rest(slot)
    if (reply.ok) pending.resolve(reply)
    else pending.reject(reply.error === null ? crashed(reply.message) : unpackError(reply.error))
    this.#next()
  }

  async #pass(slot: Slot, pending: Pending, versions: InspectedVersion[]): Promise<void> {
    try {
      await pending.take(versions)
      if (slot.pending === pending) slot.worker.postMessage(GO_ON, [])
    } catch (error) {
      this.#fail(slot, error instanceof Error ? error : crashed(String(error)))
    }
  }

  #rest(slot: Slot): void {
    slot.timer = setTimeout(() => this.#end(slot), this.#settings.idleMs)
    slot.timer.unref()
  }

  #fail(slot: Slot, error: Error): void {
    if (!this.#slots.has(slot)) return
    const { pending } = slot
    this.#end(slot)
    pending?.reject(error)
    this.#next()
  }

  #end(slot: Slot): void {
    clearTimeout(slot.timer)
    slot.pending = null
    this.#slots.delete(slot)
    slot.worker.terminate()
  }
}

async function takeNothing(): Promise<void> {}

function isLarge({ size }: Pending): boolean {
  return size >= LARGE_BYTES
}

// A Worker keeps no process alive; the timer of a job under way does.
function startWorker(url: string = workerUrl()): Worker {
  return new Worker(url, { ref: false })
}

/** Beside this file; in the binary, where all code lies in one folder, at its path below src/. */
function workerUrl(): string {
  const isSource = import.meta.path.endsWith('/packument-pool.ts')
  const path = isSource ? './packument-worker.ts' : './registries/packument/packument-worker.ts'
  return new URL(path, import.meta.url).href
}

function busy(why: string): RegistryError {
  return new RegistryError('busy', `try again: ${why}`, { retryAfterSeconds: RETRY_AFTER_SECONDS })
}

function crashed(why: string): RegistryError {
  return new RegistryError('internal', `a packument worker failed: ${why}`)
}

function wrongResult(result: Result): RegistryError {
  return new RegistryError('internal', `a packument worker answered with "${result.kind}"`)
}
