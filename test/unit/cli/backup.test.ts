import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { run } from '../../../src/cli/program.ts'
import { readLogKey } from '../../../src/db/keys.ts'
import { Log } from '../../../src/log/log.ts'
import { SqliteLogStore } from '../../../src/db/log-store.ts'
import { openRegistry } from '../../../src/db/open.ts'
import { openCheckpoint } from '../../../src/log/checkpoint.ts'
import { newSigner, newVerifier } from '../../../src/log/note.ts'
import { Instance } from '../../fixtures/instance.ts'
import { startFixtureRegistry, type FixtureRegistry } from '../../fixtures/registry.ts'
import { type TemporaryDir, temporaryDir } from '../db/data-dir.ts'
import { versionLeaves } from '../log/leaves.ts'
import { publish, ROW, rowsOf, TARBALL } from './backed-up.ts'

type Said = { code: number; out: string; err: string }

async function command(...args: string[]): Promise<Said> {
  const [out, err]: [string[], string[]] = [[], []]
  const code = await run(args, {
    out: text => void out.push(text),
    err: text => void err.push(text),
    errIsTty: false,
    onStop: () => undefined,
    exit: () => undefined,
  })
  return { code, out: out.join(''), err: err.join('') }
}

/** Some more than one full tile, and the versions of the fixture. */
const LEAVES = 300

let upstream: FixtureRegistry
let room: TemporaryDir
let instance: Instance
let at: (name: string) => string
/** A checkpoint that the public saw after the backups were made. */
let later: string

/** Puts leaves into the log of a data dir that nobody has open. */
function grow(dataDir: string, from: number, to: number): string {
  using db = openRegistry(dataDir)
  const store = new SqliteLogStore(db, dataDir)
  const log = Log.open(store, newSigner(readLogKey(dataDir).skey))
  log.append(versionLeaves(from, to))
  log.publish()
  return log.checkpoint
}

let blob: string

beforeAll(async () => {
  upstream = startFixtureRegistry({})
  room = temporaryDir()
  at = name => join(room.path, name)
  instance = await Instance.start(upstream.url)
  await instance.packument('alpha')
  await instance.stop()
  grow(instance.dataDir, 0, LEAVES)
  blob = publish(instance.dataDir)
  await instance.restart()
  for (const [target, ...more] of [['a.tar', '--with-keys'], ['b.tar'], ['f/', '--with-keys']]) {
    const made = await command('backup', at(target ?? ''), '--data-dir', instance.dataDir, ...more)
    expect(made).toMatchObject({ code: 0 })
  }
  await instance.stop()
  later = grow(instance.dataDir, LEAVES, LEAVES + 5)
  await instance.restart()
})

afterAll(async () => {
  await instance[Symbol.asyncDispose]()
  await upstream[Symbol.asyncDispose]()
  room[Symbol.dispose]()
})

function restore(from: string, to: string, ...more: string[]): Promise<Said> {
  return command('restore', at(from), '--data-dir', at(to), ...more)
}

/** Nothing but what a lock leaves behind. */
function isEmpty(name: string): boolean {
  return readdirSync(at(name)).every(file => file.startsWith('lock.'))
}

describe('backup', () => {
  test('holds the database, full tiles and tarballs; keys on request; nobody else reads it', () => {
    const listing = (name: string) =>
      Bun.spawnSync(['tar', 'tf', at(name)])
        .stdout.toString()
        .trim()
        .split('\n')
        .toSorted()
    const without = [
      blob,
      'manifest.json',
      'manifest.json.sha256',
      'registry.db',
      'tiles/tile/0/000',
      'tiles/tile/entries/000',
    ]
    const keys = ['keys/log.key', 'keys/registry.key', 'keys/secrets.key']
    expect(listing('b.tar')).toEqual(without)
    expect(listing('a.tar')).toEqual([...without, ...keys].toSorted())
    expect(statSync(at('a.tar')).mode & 0o777).toBe(0o600)
    expect(statSync(at('f')).mode & 0o777).toBe(0o700)
    expect(statSync(at('f/keys/log.key')).mode & 0o777).toBe(0o600)
    // The two of them and nothing half made.
    expect(readdirSync(room.path).filter(name => name.includes('partial'))).toEqual([])
  })

  test('overwrites nothing, and needs a data dir', async () => {
    const again = await command('backup', at('a.tar'), '--data-dir', instance.dataDir)
    expect(again).toMatchObject({ code: 2, out: '' })
    expect(again.err).toContain('is there already')
    expect(await command('backup', at('c.tar'), '--data-dir', at('none'))).toMatchObject({
      code: 2,
    })
    expect(existsSync(at('c.tar'))).toBe(false)
  })

  test('says what it made as JSON', async () => {
    const { out } = await command('backup', at('j.tar'), '--data-dir', instance.dataDir, '--json')
    const { vkey } = readLogKey(instance.dataDir)
    const { size } = openCheckpoint(later, newVerifier(vkey))
    expect(JSON.parse(out)).toMatchObject({ files: 4, keys: false, log: { vkey, size } })
  })

  test('a tile or a tarball that is not what it was makes no backup', async () => {
    for (const path of ['tiles/tile/0/000', 'tiles/tile/entries/000', blob]) {
      cpSync(instance.dataDir, at('damaged'), { recursive: true, filter: isPlainFile })
      const bytes = readFileSync(at(`damaged/${path}`))
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1
      rmSync(at(`damaged/${path}`))
      writeFileSync(at(`damaged/${path}`), bytes)
      const said = await command('backup', at('d.tar'), '--data-dir', at('damaged'))
      expect({ path, said }).toMatchObject({ path, said: { code: 1, out: '' } })
      expect(existsSync(at('d.tar'))).toBe(false)
      rmSync(at('damaged'), { recursive: true })
    }
  })
})

test('a tarball in the database that is not what it was, or is gone, makes no backup', async () => {
  for (const damage of ["UPDATE hosted_tarball SET bytes = x'00'", 'DELETE FROM hosted_tarball']) {
    cpSync(instance.dataDir, at('damaged'), { recursive: true, filter: isPlainFile })
    {
      using db = openRegistry(at('damaged'))
      db.database.run(damage)
    }
    const said = await command('backup', at('d.tar'), '--data-dir', at('damaged'))
    expect({ damage, said }).toMatchObject({ damage, said: { code: 1, out: '' } })
    expect(said.err).toMatch(/tarball .*(?:damaged|missing)/)
    expect(existsSync(at('d.tar'))).toBe(false)
    rmSync(at('damaged'), { recursive: true })
  }
})

test('a data dir of an older version of this program makes no backup, and that is said', async () => {
  cpSync(instance.dataDir, at('older'), { recursive: true, filter: isPlainFile })
  {
    using db = openRegistry(at('older'))
    db.database.run('DELETE FROM migration WHERE idx = (SELECT max(idx) FROM migration)')
  }
  const said = await command('backup', at('d.tar'), '--data-dir', at('older'))
  expect(said).toMatchObject({ code: 2, out: '' })
  expect(said.err).toContain(join(at('older'), 'registry.db'))
  expect(said.err).toContain('version of this program that used it last')
  expect(said.err).not.toContain('should not have happened')
  expect(existsSync(at('d.tar'))).toBe(false)
  rmSync(at('older'), { recursive: true })
})

function isPlainFile(path: string): boolean {
  return !path.endsWith('.sock')
}

describe('restore', () => {
  test.each(['a.tar', 'f'])('%s: a whole data dir, of the same log', async from => {
    const said = await restore(from, `r-${from}`, '--accept-rollback')
    expect(said).toMatchObject({ code: 0 })
    const there = at(`r-${from}`)
    expect(readLogKey(there).vkey).toBe(instance.vkey)
    expect(readFileSync(join(there, blob), 'utf8')).toBe(TARBALL)
    expect(rowsOf(there)).toEqual([ROW])
    expect(await command('log', 'fsck', '--data-dir', there)).toMatchObject({ code: 0 })
    expect(statSync(there).mode & 0o777).toBe(0o700)
    expect(existsSync(join(there, 'restoring'))).toBe(false)
    // It can be written to: the log goes on.
    expect(grow(there, 1000, 1001)).toContain('\n')
  })

  test('an empty data dir, or nothing', async () => {
    mkdirSync(at('full/lost+found'), { recursive: true })
    writeFileSync(at('full/registry.db'), '')
    const said = await restore('a.tar', 'full', '--accept-rollback')
    expect(said).toMatchObject({ code: 2, out: '' })
    expect(said.err).toContain('is not empty')
    rmSync(at('full/registry.db'))
    expect(await restore('a.tar', 'full', '--accept-rollback')).toMatchObject({ code: 0 })
  })

  test('one of the three ways to go on has to be chosen, and one alone', async () => {
    const none = await restore('a.tar', 'ways')
    expect(none).toMatchObject({ code: 2, out: '' })
    expect(none.err).toContain('--seen')
    const two = await restore('a.tar', 'ways', '--accept-rollback', '--new-log')
    expect(two).toMatchObject({ code: 2, out: '' })
    expect(existsSync(at('ways'))).toBe(false)
  })

  test('without keys it asks for them, and takes those of this log alone', async () => {
    const none = await restore('b.tar', 'keys', '--accept-rollback')
    expect(none).toMatchObject({ code: 2, out: '' })
    expect(none.err).toContain('--keys')
    expect(isEmpty('keys')).toBe(true)
    await using other = await Instance.start(upstream.url)
    const wrong = await restore(
      'b.tar',
      'keys',
      '--accept-rollback',
      '--keys',
      join(other.dataDir, 'keys'),
    )
    expect(wrong).toMatchObject({ code: 2, out: '' })
    expect(wrong.err).toContain('another log')
    expect(isEmpty('keys')).toBe(true)
    const own = ['--keys', join(instance.dataDir, 'keys')]
    expect(await restore('b.tar', 'keys', '--accept-rollback', ...own)).toMatchObject({ code: 0 })
    expect(readLogKey(at('keys')).vkey).toBe(instance.vkey)
  })

  test('every file: with one byte changed nothing is restored', async () => {
    const files = [...new Bun.Glob('**/*').scanSync({ cwd: at('f') })]
    expect(files.length).toBeGreaterThan(7)
    for (const path of files) {
      cpSync(at('f'), at('bad'), { recursive: true })
      const bytes = readFileSync(at(`bad/${path}`))
      const place = Math.floor(bytes.length * Math.random())
      bytes[place] = (bytes[place] ?? 0) ^ 1
      writeFileSync(at(`bad/${path}`), bytes)
      const said = await restore('bad', 'nothing', '--accept-rollback')
      expect({ path, place, said }).toMatchObject({ path, place, said: { code: 1, out: '' } })
      expect(isEmpty('nothing')).toBe(true)
      rmSync(at('bad'), { recursive: true })
      cpSync(at('f'), at('bad'), { recursive: true })
      rmSync(at(`bad/${path}`))
      const gone = await restore('bad', 'nothing', '--accept-rollback')
      expect(gone.code).toBeOneOf([1, 3])
      expect(isEmpty('nothing')).toBe(true)
      rmSync(at('bad'), { recursive: true })
    }
  })

  test('a tar that is cut, or has one byte changed in a file or a header', async () => {
    const whole = readFileSync(at('a.tar'))
    for (let turn = 0; turn < 40; turn++) {
      const bytes = Buffer.from(whole)
      const place = Math.floor((turn / 40) * whole.length)
      bytes[place] = (bytes[place] ?? 0) ^ 0x10
      writeFileSync(at('bad.tar'), bytes)
      const said = await restore('bad.tar', 'nothing', '--accept-rollback')
      // Between two files there is padding, which says nothing.
      if (said.code === 0) expect(whole[place]).toBe(0)
      if (said.code === 0) rmSync(at('nothing'), { recursive: true })
      else expect(isEmpty('nothing')).toBe(true)
    }
    for (const share of [0, 0.001, 0.3, 0.9, 0.995]) {
      writeFileSync(at('bad.tar'), whole.subarray(0, Math.floor(whole.length * share)))
      expect(await restore('bad.tar', 'nothing', '--accept-rollback')).toMatchObject({ code: 1 })
      expect(isEmpty('nothing')).toBe(true)
    }
  })

  test('a tar with something else in it', async () => {
    for (const path of ['../outside', 'cache/cache.db', 'keys/../../outside', 'lock.db']) {
      cpSync(at('a.tar'), at('more.tar'))
      mkdirSync(at(`more/${dirname(path)}`), { recursive: true })
      writeFileSync(at('strange'), 'x')
      const name = `--transform=s#^strange$#${path}#`
      const added = Bun.spawnSync(
        ['tar', 'rPf', at('more.tar'), '-C', room.path, name, 'strange'],
        { stderr: 'pipe' },
      )
      expect(added.stderr.toString()).toBe('')
      expect(await restore('more.tar', 'more-into', '--accept-rollback')).toMatchObject({ code: 1 })
      expect(isEmpty('more-into')).toBe(true)
    }
    expect(existsSync(at('outside'))).toBe(false)
    rmSync(at('more.tar'))
  })

  test('what is left of an unfinished restore is served by nobody', async () => {
    await restore('a.tar', 'unfinished', '--accept-rollback')
    mkdirSync(at('unfinished/restoring'))
    const served = await command('serve', '--listen', '127.0.0.1:0', '--data-dir', at('unfinished'))
    expect(served).toMatchObject({ code: 2, out: '' })
    expect(served.err).toContain('unfinished restore')
    const again = await restore('a.tar', 'unfinished', '--accept-rollback')
    expect(again).toMatchObject({ code: 2 })
    expect(again.err).toContain('unfinished restore')
  })
})

describe('what others have seen of the log', () => {
  test('a later checkpoint: the key does not go on', async () => {
    writeFileSync(at('later'), later)
    for (const seen of [at('later'), instance.url]) {
      const said = await restore('a.tar', 'behind', '--seen', seen)
      expect(said).toMatchObject({ code: 1, out: '' })
      expect(said.err).toContain('second history')
      expect(said.err).toContain('--new-log')
      expect(isEmpty('behind')).toBe(true)
    }
  })

  test('an earlier one, or that of the backup: it goes on', async () => {
    const { vkey } = readLogKey(at('r-a.tar'))
    const logs = [{ url: instance.url, vkey, checkpoint: noteOf('j.tar'), seen: '2026-11-22' }]
    writeFileSync(at('state.json'), JSON.stringify({ version: 1, logs }))
    writeFileSync(at('earlier'), noteOf('a.tar'))
    const shown = ['--seen', at('earlier'), '--seen', instance.url, '--seen', at('state.json')]
    const said = await restore('j.tar', 'ahead', ...shown, '--keys', join(at('f'), 'keys'))
    expect(said).toMatchObject({ code: 0 })
  })

  /** The signed checkpoint inside a backup. */
  function noteOf(name: string): string {
    mkdirSync(at('note'), { recursive: true })
    Bun.spawnSync(['tar', 'xf', at(name), '-C', at('note'), 'registry.db'])
    using db = openRegistry(at('note'))
    const note = new SqliteLogStore(db, at('note')).readState()?.note ?? ''
    db.database.run('PRAGMA wal_checkpoint(TRUNCATE)')
    renameSync(at('note'), at(`note-${Bun.randomUUIDv7()}`))
    return note
  }

  test('another history: evidence, and exit code 4', async () => {
    expect(await restore('a.tar', 'fork', '--accept-rollback')).toMatchObject({ code: 0 })
    // The same key signs on: another leaf at the place where the public has one already.
    writeFileSync(at('forked'), grow(at('fork'), 5000, 5003))
    const said = await restore('j.tar', 'no', '--seen', at('forked'), '--keys', at('f/keys'))
    expect(said).toMatchObject({ code: 4, out: '' })
    expect(said.err).toContain('npmx-registry/log-evidence@v1 fork')
    expect(isEmpty('no')).toBe(true)
  })

  test('what is no checkpoint of this log, or cannot be asked', async () => {
    writeFileSync(at('nonsense'), 'nonsense\n')
    for (const seen of [at('nonsense'), at('state-of-nobody.json')]) {
      expect(await restore('a.tar', 'no', '--seen', seen)).toMatchObject({ code: 2, out: '' })
    }
    await using other = await Instance.start(upstream.url)
    expect(await restore('a.tar', 'no', '--seen', other.url)).toMatchObject({ code: 2, out: '' })
    expect(isEmpty('no')).toBe(true)
  })

  test('a new log: the same leaves, another name and key, and no key is needed', async () => {
    expect(await restore('b.tar', 'new', '--new-log')).toMatchObject({ code: 0 })
    const { vkey } = readLogKey(at('new'))
    const [host = ''] = instance.vkey.split('/')
    expect(vkey).toStartWith(`${host}/log-20`)
    expect(vkey).not.toBe(instance.vkey)
    expect(await command('log', 'fsck', '--data-dir', at('new'))).toMatchObject({ code: 0 })
    const before = openCheckpoint(later, newVerifier(instance.vkey)).size - 5
    const { size } = openCheckpoint(grow(at('new'), 7000, 7001), newVerifier(vkey))
    expect(size).toBe(before + 1)
    // With the keys in it: the old key is gone all the same.
    expect(await restore('a.tar', 'new-too', '--new-log')).toMatchObject({ code: 0 })
    expect(readLogKey(at('new-too')).vkey).not.toBe(instance.vkey)
  })
})
