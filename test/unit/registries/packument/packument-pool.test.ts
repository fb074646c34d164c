/**
 * The Workers: results and errors come back whole, bytes move, a Worker that crashes or hangs harms
 * only its own job, and none keeps a process alive.
 *
 * @module
 */
import { afterAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { gunzipSync } from 'node:zlib'
import {
  type InspectedVersion,
  type InspectInput,
  inspectPackument,
} from '../../../../src/registries/packument/inspect.ts'
import { PackumentPool } from '../../../../src/registries/packument/packument-pool.ts'
import type { Variant } from '../../../../src/registries/packument/render.ts'
import {
  renderManifest,
  renderPackument,
} from '../../../../src/registries/packument/render-packument.ts'
import { encode, makeInput, makeKey, makePackument, makePlan } from '../vectors.ts'

const variant: Variant = { form: 'full', tarballs: 'own', tombstones: 'kept' }
const versions = Array.from({ length: 2_345 }, (_, i) => `1.0.${i}`)
const packument = makePackument('pkg', versions, [])
const input = makeInput('pkg')
const plan = makePlan(versions)
const folder = mkdtempSync(join(tmpdir(), 'packument-pool-'))

afterAll(() => rmSync(folder, { recursive: true }))

function bytes(value: unknown = packument): ArrayBuffer {
  return encode(value).buffer
}

// Not `expect().rejects`: that spins the event loop itself, and messages of Workers starve.
function failureOf(job: Promise<unknown>): Promise<unknown> {
  return job.then(
    () => undefined,
    (error: unknown) => error,
  )
}

/** An inspection with all its versions. */
async function inspect(pool: PackumentPool, raw: ArrayBuffer, about: InspectInput) {
  const found: InspectedVersion[] = []
  const done = await pool.inspect(raw, about, async batch => void found.push(...batch))
  return { bytes: done.bytes, inspection: { ...done.inspection, versions: found } }
}

/** A Worker module of a test's own. */
function workerUrl(name: string, source: string): string {
  const path = join(folder, name)
  writeFileSync(path, source)
  return pathToFileURL(path).href
}

describe('PackumentPool', () => {
  test('gives what the functions give, and the bytes back', async () => {
    await using pool = new PackumentPool()
    const raw = bytes()
    const { length } = encode(packument)
    const inspected = await inspect(pool, raw, input)
    expect(raw.byteLength).toBe(0)
    expect(inspected.bytes.byteLength).toBe(length)
    expect(inspected.inspection).toEqual(inspectPackument(encode(packument), input))
    const { rendered, ...rest } = await pool.render(inspected.bytes, plan, variant)
    const expected = await renderPackument(encode(packument), plan, variant)
    expect(rendered).toEqual({
      ...expected,
      gzip: new Uint8Array(expected.gzip),
    })
    expect(gunzipSync(rendered.gzip)).toHaveLength(rendered.length)
    const found = await pool.manifest(rest.bytes, plan, 'own', 'latest')
    const manifest = renderManifest(encode(packument), plan, 'own', 'latest')
    expect(Buffer.from(found.manifest ?? []).equals(manifest ?? Buffer.of(1))).toBe(true)
    expect((await pool.manifest(found.bytes, plan, 'own', 'absent')).manifest).toBeNull()
  })

  test('unpacks what it packed', async () => {
    await using pool = new PackumentPool()
    const { bytes: raw, packed } = await pool.pack(bytes())
    expect(packed.length).toBeLessThan(raw.byteLength / 2)
    const unpacked = await pool.unpack(packed)
    expect(Buffer.from(unpacked).equals(Buffer.from(raw))).toBe(true)
    expect(packed.length).toBeGreaterThan(0)
    expect(await failureOf(pool.unpack(packed.subarray(1)))).toMatchObject({ code: 'internal' })
    const empty = await pool.pack(new ArrayBuffer(0))
    expect((await pool.unpack(empty.packed)).byteLength).toBe(0)
  })

  test('brings errors back with their code, sentence and package, and goes on', async () => {
    await using pool = new PackumentPool({ workersMax: 1 })
    expect(await failureOf(inspect(pool, bytes('<html>'), input))).toMatchObject({
      name: 'RegistryError',
      code: 'upstream-bad-answer',
      message: 'the answer is not JSON: it has "<" at byte 0, where an object belongs',
    })
    expect(await failureOf(inspect(pool, bytes('{"name":"x"}'), input))).toMatchObject({
      code: 'upstream-bad-answer',
      package: 'pkg',
    })
    expect(await failureOf(pool.render(bytes(), makePlan([]), variant))).toMatchObject({
      code: 'internal',
    })
    expect((await inspect(pool, bytes(), input)).inspection.versions).toHaveLength(versions.length)
  })

  test('does many jobs with few Workers, each with its own answer', async () => {
    await using pool = new PackumentPool()
    const names = Array.from({ length: 40 }, (_, i) => `pkg-${i}`)
    const answers = await Promise.all(
      names.map(name => inspect(pool, bytes(makePackument(name, ['1.0.0'], [])), makeInput(name))),
    )
    expect(answers.map(({ inspection }) => inspection.name)).toEqual(names)
  })

  test('verifies signatures in the Worker', async () => {
    await using pool = new PackumentPool()
    const key = makeKey()
    const { sign: _, ...trusted } = key
    const signed = makeInput('pkg', { keys: [trusted], registrySigns: true })
    const { inspection } = await inspect(
      pool,
      bytes(makePackument('pkg', ['1.0.0'], [key])),
      signed,
    )
    expect(inspection.versions.map(({ verdict }) => verdict)).toEqual(['valid'])
  })

  test('hands versions over in batches, and makes the next when one was taken in', async () => {
    await using pool = new PackumentPool({ workersMax: 1 })
    let busy = 0
    const sizes: number[] = []
    await pool.inspect(bytes(), input, async batch => {
      expect(++busy).toBe(1)
      sizes.push(batch.length)
      await Bun.sleep(20)
      busy -= 1
    })
    expect(sizes.length).toBeGreaterThan(2)
    expect(Math.max(...sizes)).toBeLessThanOrEqual(1_000)
    expect(sizes.reduce((sum, size) => sum + size)).toBe(versions.length)
  })

  test('ends the job with the error of whoever takes the versions, and works on', async () => {
    await using pool = new PackumentPool({ workersMax: 1 })
    const full = new RangeError('the disk is full')
    const failing = pool.inspect(bytes(), input, () => Promise.reject(full))
    expect(await failureOf(failing)).toBe(full)
    expect((await inspect(pool, bytes(), input)).inspection.name).toBe('pkg')
  })

  test('fails the job of a Worker that crashes, and starts another one', async () => {
    const source = `self.onmessage = ({ data }) => {
        if (data.kind === 'pack') throw new Error('boom')
        if (data.kind === 'unpack') process.exit(3)
        self.postMessage({ ok: false, error: null, message: 'a bug' })
      }`
    await using pool = new PackumentPool({ workersMax: 1, url: workerUrl('crash.ts', source) })
    for (let round = 0; round < 2; round++) {
      expect(await failureOf(pool.pack(bytes()))).toMatchObject({ code: 'internal' })
      expect(await failureOf(pool.unpack(Buffer.of(1)))).toMatchObject({ code: 'internal' })
      expect(String(await failureOf(inspect(pool, bytes(), input)))).toContain('a bug')
    }
  })

  test('fails the job of a Worker that cannot start', async () => {
    await using pool = new PackumentPool({ url: pathToFileURL(join(folder, 'absent.ts')).href })
    expect(await failureOf(pool.pack(bytes()))).toMatchObject({ code: 'internal' })
  })

  test('fails the job of a Worker that hangs, after its time, and the next one works', async () => {
    const source = `self.onmessage = ({ data }) => {
      if (data.kind === 'pack') while (true) {}
      self.postMessage({ ok: true, bytes: data.bytes, result: { kind: 'unpack' } })
    }`
    const url = workerUrl('hang.ts', source)
    await using pool = new PackumentPool({ workersMax: 1, jobTimeoutMs: 3_000, url })
    const hanging = pool.pack(bytes())
    const next = pool.unpack(Buffer.of(1, 2, 3))
    expect(String(await failureOf(hanging))).toContain('no answer in 3000 ms')
    expect((await next).byteLength).toBe(3)
    expect(String(await failureOf(pool.manifest(bytes(), plan, 'own', 'x')))).toContain(
      'answered with "unpack"',
    )
  })

  test('fails what waits when it is disposed of, and takes nothing more', async () => {
    const pool = new PackumentPool({ workersMax: 1 })
    const jobs = [pool.pack(bytes()), pool.pack(bytes())]
    await pool[Symbol.asyncDispose]()
    for (const job of jobs) expect(await failureOf(job)).toMatchObject({ code: 'busy' })
    expect(await failureOf(pool.pack(bytes()))).toMatchObject({
      code: 'busy',
      retryAfterSeconds: 5,
    })
  })

  test('lets the process end while a Worker is idle', async () => {
    const pool = import.meta.resolve('../../../../src/registries/packument/packument-pool.ts')
    const script = `const { PackumentPool } = await import(${JSON.stringify(pool)})
      const { packed } = await new PackumentPool().pack(new ArrayBuffer(10))
      console.log(packed.length > 0)`
    const started = performance.now()
    const child = Bun.spawn([process.execPath, '-e', script], { stderr: 'inherit' })
    expect(await new Response(child.stdout).text()).toBe('true\n')
    expect(await child.exited).toBe(0)
    expect(performance.now() - started).toBeLessThan(5_000)
  })

  test('works on one large document at a time, and on small ones beside it', async () => {
    const source = `self.onmessage = async ({ data }) => {
      const started = performance.timeOrigin + performance.now()
      await Bun.sleep(data.bytes.byteLength > 1000 ? 500 : 0)
      const ended = performance.timeOrigin + performance.now()
      const packed = new TextEncoder().encode(JSON.stringify([started, ended]))
      self.postMessage({ ok: true, bytes: data.bytes, result: { kind: 'pack', packed } })
    }`
    await using pool = new PackumentPool({ url: workerUrl('large.ts', source) })
    const sizes = [32, 32, 32].map(megabytes => megabytes * 1024 * 1024)
    const order: number[] = []
    const jobs = [...sizes, 1].map(async (size, i) => {
      const { packed } = await pool.pack(new ArrayBuffer(size))
      order.push(i)
      const [started, ended]: number[] = JSON.parse(new TextDecoder().decode(packed))
      return { started: started ?? 0, ended: ended ?? 0 }
    })
    const spans = await Promise.all(jobs)
    for (const [i, span] of spans.slice(1, 3).entries()) {
      expect(span.started).toBeGreaterThanOrEqual(spans[i]?.ended ?? Number.POSITIVE_INFINITY)
    }
    expect(order[3]).toBe(2)
    expect(order.indexOf(3)).toBeLessThan(2)
  })

  test('ends idle Workers after their time', async () => {
    const source = `const packed = new Uint8Array([Math.random() * 256])
      self.onmessage = ({ data }) => self.postMessage({
        ok: true, bytes: data.bytes, result: { kind: 'pack', packed },
      })`
    const url = workerUrl('idle.ts', source)
    await using patient = new PackumentPool({ url })
    await using hasty = new PackumentPool({ idleMs: 1, url })
    const lasting = new Set<number | undefined>()
    const born = new Set<number | undefined>()
    for (let job = 0; job < 6; job++) {
      lasting.add((await patient.pack(bytes(''))).packed[0])
      born.add((await hasty.pack(bytes(''))).packed[0])
      await Bun.sleep(30)
    }
    expect(lasting.size).toBe(1)
    expect(born.size).toBeGreaterThan(2)
  })
})
