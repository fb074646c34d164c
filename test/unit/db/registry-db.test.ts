import { describe, expect, test } from 'bun:test'
import { openRegistry } from '../../../src/db/open.ts'
import { temporaryDir } from './data-dir.ts'

const INSERT = "INSERT INTO package VALUES ('npm', ?, '2026-11-22T08:31:07Z')"

describe('RegistryDb.transaction()', () => {
  function opened() {
    const dir = temporaryDir()
    const db = openRegistry(dir.path)
    const names = () => db.database.query('SELECT name FROM package ORDER BY name').values().flat()
    const insert = (name: string) => db.database.query(INSERT).run(name)
    const dispose = () => {
      db[Symbol.dispose]()
      dir[Symbol.dispose]()
    }
    return { db, names, insert, [Symbol.dispose]: dispose }
  }

  test('commits as a whole, inner ones with the outer one', () => {
    using t = opened()
    const result = t.db.transaction(() => {
      t.insert('a')
      return t.db.transaction(() => {
        t.insert('b')
        return t.db.database.inTransaction
      })
    })
    expect(result).toBe(true)
    expect(t.db.database.inTransaction).toBe(false)
    expect(t.names()).toEqual(['a', 'b'])
  })

  test('an error takes everything back and leaves the connection usable', () => {
    using t = opened()
    const fail = () =>
      t.db.transaction(() => {
        t.insert('a')
        throw new Error('no')
      })
    expect(fail).toThrow('no')
    expect(t.names()).toEqual([])
    t.db.transaction(() => t.insert('b'))
    expect(t.names()).toEqual(['b'])
  })

  test('what waits for the commit runs after it, in order, and not when it is rolled back', () => {
    using t = opened()
    const told: string[] = []
    const note = (what: string) =>
      t.db.afterCommit(() => told.push(`${what} ${t.db.database.inTransaction}`))
    t.db.transaction(() => {
      t.db.transaction(() => note('inner'))
      note('outer')
      expect(told).toEqual([])
    })
    expect(told).toEqual(['inner false', 'outer false'])
    const fail = () =>
      t.db.transaction(() => {
        note('never')
        throw new Error('no')
      })
    expect(fail).toThrow('no')
    t.db.transaction(() => t.insert('a'))
    expect(told).toHaveLength(2)
    expect(() => t.db.afterCommit(() => undefined)).toThrow('no transaction')
  })

  test('a fault after the commit is told, and keeps nothing else from following', () => {
    using t = opened()
    const told: string[] = []
    const act = () =>
      t.db.transaction(() => {
        t.insert('a')
        t.db.afterCommit(() => {
          throw new Error('first')
        })
        t.db.afterCommit(() => t.db.transaction(() => told.push('second')))
      })
    expect(act).toThrow('first')
    expect(told).toEqual(['second'])
    expect(t.names()).toEqual(['a'])
  })

  test('a failed inner part dooms the whole, even when the outer action swallows the error', () => {
    using t = opened()
    const swallow = () =>
      t.db.transaction(() => {
        t.insert('a')
        expect(() =>
          t.db.transaction(() => {
            throw new Error('inner')
          }),
        ).toThrow('inner')
      })
    expect(swallow).toThrow('rolled back')
    expect(t.names()).toEqual([])
  })

  test('refuses an async action: it would commit at its first await', () => {
    using t = opened()
    const run = () =>
      t.db.transaction(async () => {
        t.insert('a')
      })
    expect(run).toThrow('must be synchronous')
    expect(t.names()).toEqual([])
  })
})
