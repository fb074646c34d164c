import { describe, expect, test } from 'bun:test'
import { signCheckpoint } from '../../../src/log/checkpoint.ts'
import { LogClient, LogMisbehaviour, type LogOps } from '../../../src/log/client.ts'
import { LogUnreachable, type MisbehaviourCode } from '../../../src/log/client.ts'
import { ProofError } from '../../../src/log/errors.ts'
import { checkFork, parseEvidence } from '../../../src/log/evidence.ts'
import { signNote } from '../../../src/log/note.ts'
import { encodeText } from '../../../src/log/text.ts'
import { EMPTY_ROOT } from '../../../src/log/tree.ts'
import { MemoryLog, flip, memoryOps, testKey, testLeaf } from './memory-log.ts'

const leaves = (from: number, to: number, name?: string) =>
  Array.from({ length: to - from }, (_, i) => testLeaf(from + i, name))

async function misbehaviour(run: Promise<unknown>): Promise<LogMisbehaviour> {
  const error: unknown = await run.then(
    () => undefined,
    (cause: unknown) => cause,
  )
  if (error instanceof LogMisbehaviour) return error
  throw new Error(`expected misbehaviour, got ${String(error)}`)
}

async function codeOf(run: Promise<unknown>): Promise<MisbehaviourCode> {
  return (await misbehaviour(run)).code
}

const tilesAsked = (asked: readonly string[]) => asked.filter(path => path.startsWith('tile/'))

describe('LogClient', () => {
  const big = new MemoryLog(leaves(0, 70_000))

  test('lookup() proves records of logs of many sizes', async () => {
    for (const size of [1, 2, 255, 256, 257, 259, 600, 1000]) {
      const log = new MemoryLog(leaves(0, size))
      const client = new LogClient(memoryOps(log), log.verifier)
      for (const n of [0, Math.floor(size / 2), size - 1]) {
        const found = await client.lookup('left-pad', `1.0.${n}`, 'npm')
        expect(found).toEqual({ index: n, leaf: testLeaf(n) })
      }
      expect(client.latest).toBe(log.note())
      expect(client.checkpoint?.size).toBe(size)
    }
  })

  test('update() follows a log and never goes back', async () => {
    const log = new MemoryLog()
    const client = new LogClient(memoryOps(log), log.verifier)
    expect(client.latest).toBeUndefined()
    expect((await client.update()).size).toBe(0)
    for (const size of [1, 2, 255, 256, 300, 513, 70_000 / 100]) {
      for (const leaf of leaves(log.size, size)) log.append(leaf)
      expect((await client.update()).size).toBe(size)
    }
    // A cache that lags behind is no fork.
    const stale = { ...memoryOps(log), readCheckpoint: async () => log.note(257) }
    const next = new LogClient(stale, log.verifier, client.latest)
    expect((await next.update()).size).toBe(700)
    expect(next.latest).toBe(client.latest)
  })

  test('500 lookups in a growing log ask for each once and for the one tile that grew', async () => {
    const log = big
    const ops = memoryOps(log)
    const client = new LogClient(ops, log.verifier)
    await client.update()
    ops.asked.length = 0
    for (let i = 0; i < 500; i++) {
      log.append(testLeaf(log.size))
      const n = log.size - 1
      const note = log.note()
      const lookup: LogOps['lookup'] = async () => log.answer(n, note)
      ops.lookup = lookup
      expect((await client.lookup('left-pad', `1.0.${n}`)).index).toBe(n)
    }
    const asked = tilesAsked(ops.asked)
    expect(new Set(asked).size).toBe(asked.length)
    // One tile of level 0 for each, two more where it fills up or begins, the upper levels once.
    expect(asked.length).toBeLessThan(510)
  }, 20_000)

  test('500 lookups all over a log that stands still ask for each tile once', async () => {
    const log = big
    const ops = memoryOps(log)
    const note = log.note(70_000)
    ops.lookup = async (_, version) => log.answer(Number(version.slice(4)), note)
    const client = new LogClient(ops, log.verifier)
    const wanted = Array.from({ length: 500 }, (_, i) => (i * 137) % 70_000)
    const found = await Promise.all(wanted.map(n => client.lookup('left-pad', `1.0.${n}`)))
    expect(found.map(({ index }) => index)).toEqual(wanted)
    const asked = tilesAsked(ops.asked)
    expect(new Set(asked).size).toBe(asked.length)
    expect(asked.length).toBeLessThanOrEqual(274 + 2 + 1)
  }, 20_000)

  test('asks only for tiles that a verified checkpoint implies', async () => {
    const log = new MemoryLog(leaves(0, 259))
    const ops = memoryOps(log)
    await new LogClient(ops, log.verifier).lookup('left-pad', '1.0.5')
    expect(tilesAsked(ops.asked)).toEqual(['tile/0/001.p/3', 'tile/1/000.p/1', 'tile/0/000'])
    const forged = { ...ops, readCheckpoint: async () => log.note().replace('259', '260') }
    ops.asked.length = 0
    expect(await codeOf(new LogClient(forged, log.verifier).update())).toBe('bad-signature')
    expect(ops.asked).toEqual([])
  })

  test('takes the full tile when a partial one is gone', async () => {
    const log = new MemoryLog(leaves(0, 512))
    const note = log.note(300)
    const ops = memoryOps(log)
    const gone: LogOps = {
      ...ops,
      readTile: async path => {
        if (path === 'tile/0/001.p/44') throw new Error('404')
        return ops.readTile(path)
      },
      lookup: async (_, version) => log.answer(Number(version.slice(4)), note),
    }
    const client = new LogClient(gone, log.verifier)
    expect((await client.lookup('left-pad', '1.0.299')).index).toBe(299)
    expect(ops.asked).toContain('tile/0/001')
    const lying: LogOps = {
      ...gone,
      readTile: async path => {
        const bytes = await gone.readTile(path)
        return path === 'tile/0/001' ? bytes.subarray(32) : bytes
      },
    }
    const fooled = new LogClient(lying, log.verifier).lookup('left-pad', '1.0.299')
    expect(await codeOf(fooled)).toBe('bad-tile')
  })

  test('what cannot be had is unreachable, never bad and never good', async () => {
    const log = new MemoryLog(leaves(0, 300))
    const down = async () => {
      throw new Error('connection refused')
    }
    const noHead = new LogClient({ ...memoryOps(log), readCheckpoint: down }, log.verifier)
    const head: unknown = await noHead.update().catch((error: unknown) => error)
    expect(head).toBeInstanceOf(LogUnreachable)
    const noTiles = new LogClient({ ...memoryOps(log), readTile: down }, log.verifier)
    const tile: unknown = await noTiles.lookup('left-pad', '1.0.1').catch((error: unknown) => error)
    expect(tile).toBeInstanceOf(LogUnreachable)
    if (tile instanceof LogUnreachable) expect(String(tile.cause)).toContain('refused')
    // What a lookup rejects with is the caller's own, a 404 for instance.
    const missing = new LogClient(memoryOps(log), log.verifier).lookup('right-pad', '1.0.0')
    await expect(missing).rejects.toThrow('404')
  })

  test('a tile that changes in the caller’s hands after the check is not kept so', async () => {
    const log = new MemoryLog(leaves(0, 300))
    const given: Uint8Array[] = []
    const ops = memoryOps(log)
    const shared: LogOps = {
      ...ops,
      readTile: async path => {
        const bytes = await ops.readTile(path)
        given.push(bytes)
        return bytes
      },
    }
    const client = new LogClient(shared, log.verifier)
    await client.lookup('left-pad', '1.0.1')
    for (const bytes of given) bytes.fill(0)
    expect((await client.lookup('left-pad', '1.0.2')).index).toBe(2)
  })
})

describe('a record is taken only when its own bytes are proven (CVE-2026-56864)', () => {
  const log = new MemoryLog([...leaves(0, 20), testLeaf(3, 'left-pad-b'), testLeaf(4, 'a')])
  const text = (index: number) => new TextDecoder().decode(log.answer(index))

  function client(answer: string | Uint8Array): LogClient {
    const bytes = typeof answer === 'string' ? encodeText(answer) : answer
    return new LogClient({ ...memoryOps(log), lookup: async () => bytes }, log.verifier)
  }

  test('lines outside the record are never content', async () => {
    const forged = 'npm/left-pad@1.0.3 sha512-AAAA\n'
    const lines = text(3).split('\n')
    const extra = {
      before: forged + text(3),
      within: lines.toSpliced(1, 0, forged.trimEnd()).join('\n'),
      afterIndex: lines.toSpliced(2, 0, forged.trimEnd()).join('\n'),
      endOfRecord: text(3).replace('Z\n\n', `Z\n${forged}\n`),
      secondRecord: text(3).replace('Z\n\n', `Z\n\n${forged}\n`),
      afterNote: text(3) + forged,
      unsigned: `${text(3)}\n${forged}`,
    }
    for (const [where, answer] of Object.entries(extra)) {
      const code = await codeOf(client(answer).lookup('left-pad', '1.0.3'))
      expect(code, where).toBeOneOf(['bad-record', 'bad-signature'])
    }
    const honest = await client(text(3)).lookup('left-pad', '1.0.3')
    expect(honest.leaf).toEqual(testLeaf(3))
  })

  test('an unknown signature in the note is ignored', async () => {
    const signed = `${text(3)}— witness.example AAAAAAAAAAAA\n`
    expect((await client(signed).lookup('left-pad', '1.0.3')).index).toBe(3)
  })

  test('a proven record of another name, version or namespace is not the answer', async () => {
    const asked = [
      ['left-pad', '1.0.4', undefined],
      ['left-pad', '1.0', undefined],
      ['left-pad', '1.0.33', undefined],
      ['left-pa', '1.0.3', undefined],
      ['left-pad-b', '1.0.3', undefined],
      ['@left/pad', '1.0.3', undefined],
      ['Left-pad', '1.0.3', undefined],
      ['left-pad', '1.0.3', 'npm.example'],
      ['left-pad', '1.0.3', ''],
    ] as const
    for (const [name, version, namespace] of asked) {
      const code = await codeOf(client(text(3)).lookup(name, version, namespace))
      expect(code, `${namespace}/${name}@${version}`).toBe('bad-record')
    }
    const key = await codeOf(client(text(20)).lookup('left-pad', '1.0.3'))
    expect(key).toBe('bad-record')
  })

  test('a record under another index, beyond the tree or changed is refused', async () => {
    const swap = (index: string) => text(3).replace(/^3\n/, `${index}\n`)
    expect(await codeOf(client(swap('4')).lookup('left-pad', '1.0.3'))).toBe('bad-proof')
    for (const index of ['22', '9007199254740991', '03', '-1', '3.0', '']) {
      const code = await codeOf(client(swap(index)).lookup('left-pad', '1.0.3'))
      expect(code, index).toBe('bad-record')
    }
    const later = text(3).replace('2026-11-22T08:31:07Z', '2026-11-22T08:31:08Z')
    expect(await codeOf(client(later).lookup('left-pad', '1.0.3'))).toBe('bad-proof')
    // The checkpoint of the answer has to hold the record, whatever the newest one holds.
    const early = new LogClient(
      { ...memoryOps(log), lookup: async () => log.answer(10, log.note(10)) },
      log.verifier,
      log.note(),
    )
    expect(await codeOf(early.lookup('left-pad', '1.0.10'))).toBe('bad-record')
  })

  test('no answer with one byte changed gives another record', async () => {
    const bytes = log.answer(3)
    for (let at = 0; at < bytes.length; at++) {
      for (const mask of [1, 0x20, 0x80]) {
        const code = await codeOf(client(flip(bytes, at, mask)).lookup('left-pad', '1.0.3'))
        expect(code).toBeOneOf(['bad-record', 'bad-signature', 'bad-proof'])
      }
    }
  })

  test('an answer that is no lookup at all is refused with what was sent', async () => {
    const page = '<!doctype html>\n<title>Sign in to this network</title>\n'
    const error = await misbehaviour(client(page).lookup('left-pad', '1.0.3'))
    expect(error.code).toBe('bad-record')
    expect(parseEvidence(error.evidence).parts.get('answer')).toBe(page)
  })
})

describe('checkpoints', () => {
  const log = new MemoryLog(leaves(0, 10))
  const client = (note: string) =>
    new LogClient({ ...memoryOps(log), readCheckpoint: async () => note }, log.verifier)

  test('of another key, origin or form are refused, each under its name', async () => {
    const { signer } = log
    const stranger = testKey('other.example/log')
    const impostor = testKey(signer.name, 'impostor')
    const root = log.root()
    const other = signCheckpoint({ origin: 'other.example/log', size: 10, root }, stranger.signer)
    const forged = signCheckpoint({ origin: signer.name, size: 10, root }, impostor.signer)
    const elsewhere = signNote(`elsewhere.example\n10\n${root.toBase64()}\n`, signer)
    const emptyLie = signNote(`${signer.name}\n0\n${root.toBase64()}\n`, signer)
    expect(await codeOf(client(other).update())).toBe('bad-signature')
    expect(await codeOf(client(forged).update())).toBe('bad-signature')
    expect(await codeOf(client(log.note().replace('10', '11')).update())).toBe('bad-signature')
    expect(await codeOf(client('<html>').update())).toBe('bad-signature')
    expect(await codeOf(client(elsewhere).update())).toBe('wrong-origin')
    expect(await codeOf(client(signNote('hello\n', signer)).update())).toBe('bad-checkpoint')
    expect(await codeOf(client(emptyLie).update())).toBe('bad-checkpoint')
    expect(EMPTY_ROOT).not.toEqual(root)
  })

  test('a remembered note by another key is refused at once', () => {
    const other = testKey('other.example/log').verifier
    expect(() => new LogClient(memoryOps(log), other, log.note())).toThrow(LogMisbehaviour)
  })
})

describe('a fork', () => {
  // Both histories begin with the same 100 records.
  const honest = new MemoryLog(leaves(0, 700))
  const forked = new MemoryLog([...leaves(0, 100), ...leaves(100, 900, 'evil')])

  const cases = [
    [101, 102],
    [150, 250],
    [256, 257],
    [300, 600],
    [600, 601],
    [699, 900],
    [300, 300],
    [512, 512],
    [257, 512],
  ] as const

  test.each(cases)('at sizes %d and %d is seen, and its evidence stands alone', async (a, b) => {
    const ops = { ...memoryOps(forked), readCheckpoint: async () => forked.note(b) }
    const error = await misbehaviour(new LogClient(ops, honest.verifier, honest.note(a)).update())
    expect(error.code).toBe('fork')
    expect(error.evidence).toContain(String(honest.note(a).split('\n')[2]))
    const { older, newer } = checkFork(error.evidence, honest.verifier)
    expect([older.size, newer.size]).toEqual([a, b])
    expect(older.root).toEqual(honest.root(a))
    expect(newer.root).toEqual(forked.root(b))
  })

  test('is seen through tiles kept from the first history', async () => {
    const ops = memoryOps(honest)
    const client = new LogClient(ops, honest.verifier)
    for (const n of [0, 99, 300, 699]) await client.lookup('left-pad', `1.0.${n}`)
    const lies = memoryOps(forked)
    ops.readTile = path => lies.readTile(path)
    ops.lookup = async () => forked.answer(750)
    const latest = client.latest
    const error = await misbehaviour(client.lookup('evil', '1.0.750'))
    expect(error.code).toBe('fork')
    checkFork(error.evidence, honest.verifier)
    // The client stays with the history that it has proven.
    expect(client.latest).toBe(latest)
    Object.assign(ops, memoryOps(honest))
    expect((await client.lookup('left-pad', '1.0.5')).index).toBe(5)
  })

  test('shown as an older checkpoint is seen too', async () => {
    const client = new LogClient(
      { ...memoryOps(honest), readCheckpoint: async () => forked.note(400) },
      honest.verifier,
      honest.note(),
    )
    const error = await misbehaviour(client.update())
    expect(error.code).toBe('fork')
    const { older, newer } = checkFork(error.evidence, honest.verifier)
    expect([older.size, newer.size]).toEqual([400, 700])
  })

  test('that serves no matching tiles is refused, with both checkpoints', async () => {
    const client = new LogClient(
      { ...memoryOps(honest), readCheckpoint: async () => forked.note(400) },
      honest.verifier,
      honest.note(300),
    )
    const error = await misbehaviour(client.update())
    expect(error.code).toBe('bad-tile')
    const { parts } = parseEvidence(error.evidence)
    expect(parts.get('checkpoint 1')).toBe(honest.note(300))
    expect(parts.get('checkpoint 2')).toBe(forked.note(400))
    expect(parts.has('tile/1/000.p/1')).toBe(true)
  })

  test('is not proven by evidence with any line changed, nor by an honest log', async () => {
    const ops = { ...memoryOps(forked), readCheckpoint: async () => forked.note(600) }
    const error = await misbehaviour(new LogClient(ops, honest.verifier, honest.note(300)).update())
    const lines = error.evidence.split('\n')
    // The sentence (line 2) is for people.
    for (let i = 0; i < lines.length - 1; i++) {
      if (i === 1) continue
      const line = lines[i] ?? ''
      expect(() => checkFork(lines.toSpliced(i, 1).join('\n'), honest.verifier)).toThrow()
      if (line === '' || line === '\t') continue
      const changed =
        line.slice(0, -2) +
        String.fromCharCode(line.charCodeAt(line.length - 2) ^ 1) +
        line.slice(-1)
      expect(() => checkFork(lines.with(i, changed).join('\n'), honest.verifier)).toThrow()
    }
    expect(() => checkFork('', honest.verifier)).toThrow(ProofError)
    expect(() => checkFork(error.evidence, testKey('x.example').verifier)).toThrow()
    const own = error.evidence.replaceAll(/^\t.*$/gm, '\t')
    expect(() => checkFork(own, honest.verifier)).toThrow()
  })

  test('what a server sends cannot fake a title in evidence', async () => {
    const answer = 'x\nolder checkpoint:\n\ty\n'
    const lookup = async () => encodeText(answer)
    const client = new LogClient({ ...memoryOps(honest), lookup }, honest.verifier)
    const { parts } = parseEvidence((await misbehaviour(client.lookup('a', '1.0.0'))).evidence)
    expect([...parts]).toEqual([['answer', answer]])
  })
})
