/**
 * Changes that are committed together: each is told what became of it, and none of another's fate.
 */
import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { openRegistry } from '../../../src/db/open.ts'
import { LogFatalError } from '../../../src/log/log.ts'
import { RegistryError } from '../../../src/registries/errors.ts'
import { GroupCommit } from '../../../src/registries/group-commit.ts'
import { temporaryDir } from '../db/data-dir.ts'

/** What a part does: it is made, refused beforehand, or fails after it has written. */
type Fate = 'made' | 'refused' | 'broken'

/** A table of its own, and counters of what happened. */
function open(path: string) {
  const db = openRegistry(path)
  db.database.run('CREATE TABLE made (n INTEGER PRIMARY KEY)')
  const seen = { published: 0, begun: 0, after: new Array<number>() }
  const group = new GroupCommit({
    db,
    log: { batch: action => action(), publish: () => void (seen.published += 1) },
    before: () => void (seen.begun += 1),
  })
  const part = (n: number, fate: Fate = 'made') => ({
    assertPossible: () => {
      if (fate === 'refused') throw new RegistryError('forbidden', `${n} may not be`)
    },
    write: () => {
      db.database.run('INSERT INTO made (n) VALUES (?)', [n])
      if (fate === 'broken') throw new RegistryError('unprocessable', `${n} cannot be`)
      return n * 2
    },
    after: () => void seen.after.push(n),
  })
  const add = (n: number, fate?: Fate) => group.run(part(n, fate))
  const rows = () =>
    db.database
      .query<{ n: number }, []>('SELECT n FROM made ORDER BY n')
      .all()
      .map(({ n }) => n)
  return { db, group, seen, part, add, rows, [Symbol.dispose]: () => db[Symbol.dispose]() }
}

const codeOf = (error: unknown) => (error instanceof RegistryError ? error.code : String(error))
const told = (result: PromiseSettledResult<number>) =>
  result.status === 'fulfilled' ? result.value : codeOf(result.reason)

describe('changes that come at the same time', () => {
  test('share one transaction, and are told when it is durable', async () => {
    using dir = temporaryDir()
    using opened = open(dir.path)
    const { add, rows, seen } = opened
    expect(await Promise.all([add(1), add(2), add(3)])).toEqual([2, 4, 6])
    expect(rows()).toEqual([1, 2, 3])
    expect(seen).toEqual({ published: 1, begun: 1, after: [1, 2, 3] })
  })

  test('any mix of fates: each is told its own, and only what was told is there', async () => {
    using dir = temporaryDir()
    using opened = open(dir.path)
    let next = 0
    const fates = fc.array(fc.constantFrom<Fate>('made', 'made', 'refused', 'broken'), {
      maxLength: 12,
    })
    const property = fc.asyncProperty(fates, async list => {
      const before = opened.rows()
      const numbered = list.map(fate => ({ fate, n: (next += 1) }))
      const results = await Promise.allSettled(numbered.map(({ n, fate }) => opened.add(n, fate)))
      expect(results.map(told)).toEqual(
        numbered.map(({ n, fate }) => {
          if (fate === 'made') return n * 2
          return fate === 'refused' ? 'forbidden' : 'unprocessable'
        }),
      )
      const made = numbered.filter(({ fate }) => fate === 'made').map(({ n }) => n)
      expect(opened.rows()).toEqual([...before, ...made])
    })
    await fc.assert(property, { numRuns: 40 })
  })

  test('after a commit that nobody can say happened, nobody is told that it did', async () => {
    using dir = temporaryDir()
    using opened = open(dir.path)
    const { group, add, rows } = opened
    const fatal = new LogFatalError('storage-failed', 'the disk is gone')
    const broken = group.run({
      assertPossible: () => undefined,
      write: (): number => {
        throw fatal
      },
      after: () => undefined,
    })
    const results = await Promise.allSettled([add(1), broken, add(2)])
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
    expect(rows()).toEqual([])
    expect(await Promise.allSettled([add(3)])).toEqual([{ status: 'rejected', reason: fatal }])
  })

  test('what cannot begin fails for whoever waits, and for nobody after', async () => {
    using dir = temporaryDir()
    using db = openRegistry(dir.path)
    let isOpen = false
    const group = new GroupCommit({
      db,
      log: { batch: action => action(), publish: () => undefined },
      before: () => {
        if (!isOpen) throw new RegistryError('conflict', 'not now')
      },
    })
    const part = { assertPossible: () => undefined, write: () => 1, after: () => undefined }
    const results = await Promise.allSettled([group.run(part), group.run(part)])
    expect(results.map(told)).toEqual(['conflict', 'conflict'])
    isOpen = true
    expect(await group.run(part)).toBe(1)
  })
})
