/**
 * What must be true of a data dir after any fault: it is sound as it lies there, it opens without a
 * hand, every acknowledged leaf is at its index, and no checkpoint ever seen is contradicted.
 * @module
 */
import { DataDirReader } from '../../src/db/fsck-reader.ts'
import { SqliteLogStore } from '../../src/db/log-store.ts'
import { openRegistryReadonly } from '../../src/db/open.ts'
import { openCheckpoint } from '../../src/log/checkpoint.ts'
import { appendToEdge, type Edge, edgeRoot, EMPTY_EDGE } from '../../src/log/edge.ts'
import { fsck } from '../../src/log/fsck.ts'
import { encodeLeaf } from '../../src/log/leaf.ts'
import { equalBytes } from '../../src/log/text.ts'
import { leafHash } from '../../src/log/tree.ts'
import { openLog, VERIFIER } from '../unit/db/data-dir.ts'
import { versionLeaf } from '../unit/log/leaves.ts'

/** What a writer said before it was killed. */
export type Witnessed = { leaves: Map<number, number>; notes: Set<string> }

/** Adds the complete lines of a writer's output; the last one may have been cut. */
export function witness(output: string, seen: Witnessed): void {
  const lines = output.split('\n')
  for (const line of lines.slice(0, -1)) {
    const [kind, first = '', second = ''] = line.split(' ')
    if (kind === 'leaf') seen.leaves.set(Number(first), Number(second))
    if (kind === 'note') seen.notes.add(atob(first).replaceAll(/^- /gm, '— '))
  }
}

/** The faults found as the data dir lies there, before anything is repaired. */
export async function findingsAsItLies(dataDir: string): Promise<string[]> {
  using db = openRegistryReadonly(dataDir)
  const store = new SqliteLogStore(db, dataDir)
  if (store.readState() === null) return []
  return runFsck(store)
}

/** Opens the log, as a restart does, and compares it with what was witnessed. */
export async function findingsAfterRestart(dataDir: string, seen: Witnessed): Promise<string[]> {
  using opened = openLog(dataDir)
  const { log, store } = opened
  const faults = await runFsck(store)
  for (const [number, index] of seen.leaves) {
    const [stored] = index < log.size ? store.readLeaves(index, index + 1) : []
    if (stored !== undefined && equalBytes(stored, encodeLeaf(versionLeaf(number)))) continue
    faults.push(`acknowledged leaf ${number} is not at index ${index}`)
  }
  const heads = [...seen.notes].map(note => openCheckpoint(note, VERIFIER))
  let edge: Edge = EMPTY_EDGE
  let size = 0
  for (const head of heads.toSorted((a, b) => a.size - b.size)) {
    if (head.size > log.size) {
      faults.push(`a checkpoint of ${head.size} was seen, the log has ${log.size}`)
      continue
    }
    const hashes = store.readLeaves(size, head.size).map(leaf => leafHash(leaf))
    ;({ edge } = appendToEdge(edge, hashes))
    size = head.size
    if (!equalBytes(edgeRoot(edge), head.root)) {
      faults.push(`the checkpoint of ${head.size} that was seen is contradicted`)
    }
  }
  return faults
}

async function runFsck(store: SqliteLogStore): Promise<string[]> {
  const faults: string[] = []
  for await (const { path, what } of fsck(new DataDirReader(store), VERIFIER)) {
    faults.push(`${path}: ${what}`)
  }
  return faults
}
