/**
 * A client whose log shows a smaller tree than the one that it remembers: a lagging cache, a log
 * that was rolled back, or a server that does not answer are three things.
 * @module
 */
import { expect, test } from 'bun:test'
import { LogClient, LogMisbehaviour, type LogOps, LogUnreachable } from '../../../src/log/client.ts'
import { LogFileMissing } from '../../../src/log/errors.ts'
import { parseEvidence } from '../../../src/log/evidence.ts'
import { MemoryLog, memoryOps, testLeaf } from './memory-log.ts'

const honest = new MemoryLog(Array.from({ length: 700 }, (_, n) => testLeaf(n)))

test('a log that went back behind what it signed is seen; a server that does not answer is not', async () => {
  const missing = (log: MemoryLog) => async (path: string) => {
    try {
      return log.read(path)
    } catch {
      throw new LogFileMissing(`${path}: 404`)
    }
  }
  for (const [before, now] of [
    [700, 699],
    [700, 400],
    [257, 256],
    [256, 255],
    [2, 1],
    [1, 0],
  ] as const) {
    const backup = new MemoryLog(honest.leaves.slice(0, now))
    const ops = { ...memoryOps(backup), readTile: missing(backup) }
    const client = new LogClient(ops, honest.verifier, honest.note(before))
    const error: unknown = await client.update().catch((thrown: unknown) => thrown)
    if (!(error instanceof LogMisbehaviour)) throw new TypeError(String(error))
    expect(error.code).toBe('rollback')
    const { kind, parts } = parseEvidence(error.evidence)
    expect(kind).toBe('rollback')
    expect(parts.get('checkpoint before')).toBe(honest.note(before))
    expect(parts.get('checkpoint now')).toBe(backup.note())
    expect(parts.get('answer for a tile')).toContain('404')
    expect(client.latest).toBe(honest.note(before))
    // Without its own tiles it is no log that went back, only one that cannot be read.
    const none = { ...ops, readTile: missing(new MemoryLog()) }
    if (now > 0) await expectUnreachable(none, honest.note(before))
    const silent = { ...ops, readTile: () => Promise.reject(new Error('no route')) }
    await expectUnreachable(silent, honest.note(before))
    // It says of the partial tile that there is none, and of the full one nothing.
    const half = async (path: string) => {
      if (!path.includes('.p/')) throw new Error('no route')
      return await ops.readTile(path)
    }
    await expectUnreachable({ ...ops, readTile: half }, honest.note(before))
  }
})

async function expectUnreachable(ops: LogOps, remembered: string): Promise<void> {
  const client = new LogClient(ops, honest.verifier, remembered)
  const error: unknown = await client.update().catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(LogUnreachable)
}
