/**
 * The parts of the admin API by themselves: schemas of OpenAPI 3.0.3, repetitions and their bound,
 * the order of changes.
 * @module
 */
import { describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Type } from '@sinclair/typebox'
import { Idempotency } from '../../../src/db/idempotency.ts'
import { openRegistry } from '../../../src/db/open.ts'
import { ResourceTurns } from '../../../src/routes/api-answer.ts'
import { parseBody } from '../../../src/routes/api-body.ts'
import { type Finished, Repeats } from '../../../src/routes/api-repeat.ts'
import { openApiSchema } from '../../../src/routes/api-schema.ts'

const schemaOf = (shape: unknown) => openApiSchema(shape, new Map())

describe('schemas', () => {
  test('words, null, records and names, as 3.0.3 has them', () => {
    const words = Type.Union([Type.Literal('a'), Type.Literal('b')])
    expect(schemaOf(words)).toEqual({ type: 'string', enum: ['a', 'b'] })
    expect(schemaOf(Type.Union([Type.Literal('a'), Type.Null()]))).toEqual({
      type: 'string',
      enum: ['a', null],
      nullable: true,
    })
    const text = Type.String({ maxLength: 3 })
    expect(schemaOf(Type.Union([text, Type.Null()]))).toEqual({
      type: 'string',
      maxLength: 3,
      nullable: true,
    })
    expect(schemaOf(Type.Record(Type.String(), Type.Integer()))).toMatchObject({
      type: 'object',
      additionalProperties: { type: 'integer' },
    })
    const named = new Map()
    const shape = Type.Object({ x: text }, { $id: 'Named' })
    expect(openApiSchema(Type.Array(shape), named)).toEqual({
      type: 'array',
      items: { $ref: '#/components/schemas/Named' },
    })
    expect(named.get('Named')).toMatchObject({ properties: { x: { type: 'string' } } })
  })
})

describe('bodies', () => {
  test('half a character is refused, a whole one is not', () => {
    expect(parseBody('{"a":"\\ud83e\\udd8a"}')).toEqual({ a: '🦊' })
    for (const text of ['"\\ud800"', '{"a":[{"b":"x\\uDfffx"}]}', '{"\\ud800":1}']) {
      expect(() => parseBody(text)).toThrow('half a character')
    }
  })
})

describe('repetitions', () => {
  const done: Finished = { status: 201, text: '{}', etag: null, location: null, isSecret: false }

  function withKept(rowsMax: number, work: (kept: Idempotency) => Promise<void>) {
    const folder = mkdtempSync(join(tmpdir(), 'npmx-registry-repeats-'))
    const db = openRegistry(folder)
    return work(new Idempotency(db, rowsMax)).finally(() => {
      db[Symbol.dispose]()
      rmSync(folder, { recursive: true })
    })
  }

  test('end after a day, and belong to whoever asked', () =>
    withKept(10, async kept => {
      let nowMs = Date.UTC(2026, 10, 22)
      const repeats = new Repeats(kept, () => new Date(nowMs))
      let count = 0
      const work = async () => {
        count += 1
        return done
      }
      const asked = { scope: 'user:ada /x', key: 'k', body: '{}' }
      await repeats.once(asked, work)
      await repeats.once(asked, work)
      expect(count).toBe(1)
      await repeats.once({ ...asked, scope: 'user:bob /x' }, work)
      expect(count).toBe(2)
      nowMs += 25 * 60 * 60 * 1000
      await repeats.once(asked, work)
      expect(count).toBe(3)
      expect(repeats.once({ ...asked, key: 'no\nkey' }, work)).rejects.toThrow('Idempotency-Key')
    }))

  test('are bounded, and the newest stay', () =>
    withKept(10, async kept => {
      const repeats = new Repeats(kept, () => new Date(Date.UTC(2026, 10, 22)))
      let count = 0
      const ask = (key: string) =>
        repeats.once({ scope: 's', key, body: '' }, async () => {
          count += 1
          return done
        })
      for (let i = 0; i < 25; i += 1) await ask(`k${i}`)
      await ask('k24')
      expect(count).toBe(25)
      const before = count
      for (let i = 0; i < 25; i += 1) await ask(`k${i}`)
      expect(count - before).toBeGreaterThanOrEqual(15)
    }))
})

test('changes of one thing happen one after the other, also when one fails', async () => {
  const turns = new ResourceTurns()
  const order: string[] = []
  const slow = turns.run('a', async () => {
    await Bun.sleep(10)
    order.push('first')
    throw new Error('failed')
  })
  const next = turns.run('a', async () => order.push('second'))
  await turns.run('b', async () => order.push('other'))
  expect(slow).rejects.toThrow('failed')
  await next
  expect(order).toEqual(['other', 'first', 'second'])
})
