import { Database } from 'bun:sqlite'
import { describe, expect, test } from 'bun:test'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cacheMigrations, registryMigrations, SchemaError } from '../../../src/db/migrations.ts'
import {
  cachePath,
  openCache,
  openRegistry,
  openRegistryReadonly,
  registryPath,
} from '../../../src/db/open.ts'
import { temporaryDir } from './data-dir.ts'

const ROOT = join(import.meta.dir, '../../..')

function pragma(database: Database, name: string): unknown {
  const row = database.query<Record<string, unknown>, []>(`PRAGMA ${name}`).get()
  return Object.values(row ?? {})[0]
}

describe('openRegistry()', () => {
  test('sets what durability rests on, and keeps the data dir private', () => {
    using dir = temporaryDir()
    const dataDir = join(dir.path, 'data')
    using db = openRegistry(dataDir)
    expect(pragma(db.database, 'journal_mode')).toBe('wal')
    expect(pragma(db.database, 'synchronous')).toBe(2)
    expect(pragma(db.database, 'busy_timeout')).toBe(5000)
    expect(pragma(db.database, 'trusted_schema')).toBe(0)
    expect(statSync(dataDir).mode & 0o777).toBe(0o700)
    expect(statSync(registryPath(dataDir)).mode & 0o777).toBe(0o600)
  })

  test('makes an existing data dir private', () => {
    using dir = temporaryDir()
    mkdirSync(join(dir.path, 'data'), { mode: 0o755 })
    using db = openRegistry(join(dir.path, 'data'))
    expect(db.database.inTransaction).toBe(false)
    expect(statSync(join(dir.path, 'data')).mode & 0o777).toBe(0o700)
  })

  test('keeps rows, and applies each migration once', () => {
    using dir = temporaryDir()
    {
      using db = openRegistry(dir.path)
      db.database.run("INSERT INTO package VALUES ('npm', 'a', '2026-11-22T08:31:07Z')")
    }
    using db = openRegistry(dir.path)
    expect(db.database.query('SELECT name FROM package').values()).toEqual([['a']])
    const applied = db.database.query('SELECT tag FROM migration').values()
    expect(applied).toEqual(registryMigrations.map(({ tag }) => [tag]))
  })

  test('refuses a newer schema and an edited migration, and changes nothing', () => {
    using dir = temporaryDir()
    const change = (sql: string) => {
      using db = new Database(registryPath(dir.path))
      db.run(sql)
    }
    openRegistry(dir.path)[Symbol.dispose]()
    change("INSERT INTO migration VALUES (99, '0099_future', 'x')")
    expect(() => openRegistry(dir.path)).toThrow('use a newer program')
    expect(() => openRegistryReadonly(dir.path)).toThrow(SchemaError)
    change('DELETE FROM migration WHERE idx = 99')
    openRegistry(dir.path)[Symbol.dispose]()
    change("UPDATE migration SET sha256 = 'x' WHERE idx = 0")
    expect(() => openRegistry(dir.path)).toThrow('is not the 0000_init')
  })

  test('never replaces a damaged registry.db', () => {
    using dir = temporaryDir()
    writeFileSync(registryPath(dir.path), 'no database at all, but 64 bytes long, or a little more')
    expect(() => openRegistry(dir.path)).toThrow('not a database')
    expect(readFileSync(registryPath(dir.path), 'utf8')).toStartWith('no database')
  })
})

describe('openRegistryReadonly()', () => {
  test('reads beside a writer, and writes nothing', () => {
    using dir = temporaryDir()
    using writer = openRegistry(dir.path)
    using reader = openRegistryReadonly(dir.path)
    writer.database.run("INSERT INTO package VALUES ('npm', 'a', '2026-11-22T08:31:07Z')")
    expect(reader.database.query('SELECT name FROM package').values()).toEqual([['a']])
    expect(() => reader.database.run('DELETE FROM package')).toThrow('readonly')
  })

  test('asks for an upgrade where there is no schema yet', () => {
    using dir = temporaryDir()
    new Database(registryPath(dir.path), { create: true }).close()
    expect(() => openRegistryReadonly(dir.path)).toThrow()
  })
})

describe('openCache()', () => {
  test('is NORMAL, and its folder private', () => {
    using dir = temporaryDir()
    using cache = openCache(dir.path)
    expect(pragma(cache.database, 'synchronous')).toBe(1)
    expect(pragma(cache.database, 'journal_mode')).toBe('wal')
    expect(statSync(join(dir.path, 'cache')).mode & 0o777).toBe(0o700)
  })

  test('makes a damaged or newer file anew', () => {
    using dir = temporaryDir()
    mkdirSync(join(dir.path, 'cache'))
    writeFileSync(cachePath(dir.path), 'no database at all, but 64 bytes long, or a little more')
    {
      using cache = openCache(dir.path)
      cache.database.run("INSERT INTO migration VALUES (99, '0099_future', 'x')")
    }
    using cache = openCache(dir.path)
    expect(cache.database.query('SELECT count(*) FROM migration').values()).toEqual([[1]])
  })
})

describe('migrations', () => {
  const folders = [
    { folder: 'registry', migrations: registryMigrations },
    { folder: 'cache', migrations: cacheMigrations },
  ]

  test.each(folders)(
    'drizzle/$folder: journal, files and imports agree',
    ({ folder, migrations }) => {
      const path = join(ROOT, 'drizzle', folder)
      const files = readdirSync(path).filter(name => name.endsWith('.sql'))
      expect(migrations.map(({ tag }) => `${tag}.sql`)).toEqual(files.toSorted())
      for (const { tag, sql } of migrations) {
        expect(sql).toBe(readFileSync(join(path, `${tag}.sql`), 'utf8'))
      }
    },
  )

  test('are inside a compiled binary', async () => {
    using dir = temporaryDir()
    const source = join(dir.path, 'probe.ts')
    const binary = join(dir.path, 'probe')
    const openModule = JSON.stringify(join(ROOT, 'src/db/open.ts'))
    writeFileSync(
      source,
      `import { openCache, openRegistry } from ${openModule}
       using registry = openRegistry('data')
       using cache = openCache('data')
       const count = 'SELECT count(*) FROM sqlite_schema'
       console.log(registry.database.query(count).values()[0][0] > 5)
       console.log(cache.database.query(count).values()[0][0] > 2)`,
    )
    const build = Bun.spawn([process.execPath, 'build', '--compile', source, '--outfile', binary], {
      cwd: ROOT,
      stdout: 'pipe',
      stderr: 'pipe',
    })
    expect(await new Response(build.stderr).text()).toBe('')
    expect(await build.exited).toBe(0)
    const run = Bun.spawn([binary], { cwd: dir.path, stdout: 'pipe', stderr: 'pipe' })
    const output = await new Response(run.stdout).text()
    expect(await new Response(run.stderr).text()).toBe('')
    expect(output).toBe('true\ntrue\n')
    expect(existsSync(join(dir.path, 'data/cache/cache.db'))).toBe(true)
  }, 30_000)
})
