/**
 * What `doctor` looks at in a data dir, one function for each. A check says what it found and, when
 * something is wrong, what to do; it changes nothing. What a whole log takes is `log fsck`'s.
 * @module
 */
import { holderOf, ownerOf, readableByOthers, roomIn } from '../db/data-dir.ts'
import { readKey, readLogKey } from '../db/keys.ts'
import type { SqliteLogStore } from '../db/log-store.ts'
import { tilesDir } from '../db/log-store.ts'
import { checkRestored } from '../db/restoring.ts'
import { openCheckpoint } from '../log/checkpoint.ts'
import { edgeRoot, parseEdge } from '../log/edge.ts'
import { checkFullTile, filesOf, fullTiles } from '../log/full-tiles.ts'
import { parseLeaf } from '../log/leaf.ts'
import type { LogState } from '../log/log.ts'
import { newVerifier } from '../log/note.ts'
import { equalBytes } from '../log/text.ts'
import { levelWidth, TILE_WIDTH, tilePath } from '../log/tile.ts'
import { OWN_KEY_FILE, publishedKey } from '../registries/keys/own-key.ts'

/** `skipped`: it could not be looked at, and why is another check's or said. */
export type Status = 'ok' | 'warning' | 'failed' | 'skipped'

export type Check = { name: string; status: Status; says: string }

/** Below this the next giant packument or a backup may not fit. */
const ROOM_BYTES_WARN = 1024 ** 3
/** Below this writes are about to fail. */
const ROOM_BYTES_MIN = 64 * 1024 ** 2
/** Tiles and cached documents are files of their own. */
const ROOM_FILES_MIN = 10_000
/** Clocks that are kept by NTP are within a second. */
const CLOCK_SKEW_MS_MAX = 60_000

export const ok = (name: string, says: string): Check => ({ name, status: 'ok', says })
export const warning = (name: string, says: string): Check => ({ name, status: 'warning', says })
export const failed = (name: string, says: string): Check => ({ name, status: 'failed', says })
export const skipped = (name: string, says: string): Check => ({ name, status: 'skipped', says })

/** The check, or that it failed with what it threw. */
export async function attempt(name: string, check: () => Check | Promise<Check>): Promise<Check> {
  try {
    return await check()
  } catch (error) {
    return failed(name, error instanceof Error ? error.message : String(error))
  }
}

export function checkFolder(dataDir: string): Check {
  checkRestored(dataDir)
  const open = readableByOthers(dataDir)
  if (open.length > 0) {
    return failed('data dir', `others may open ${open.join(', ')}: chmod go= them`)
  }
  const [owner, self] = [ownerOf(dataDir), process.getuid?.()]
  const says = `${dataDir}, nobody else's`
  if (self === undefined || owner === self) return ok('data dir', says)
  return warning('data dir', `${dataDir} belongs to user ${owner}, this is user ${self}`)
}

export function checkHolder(dataDir: string): Check & { isServed: boolean } {
  const { isHeld, pid } = holderOf(dataDir)
  const says = isHeld ? `in use by process ${pid}` : 'no server runs on it'
  return { ...ok('lock', says), isServed: isHeld }
}

export function checkRoom(dataDir: string): Check {
  const { bytes, files } = roomIn(dataDir)
  const says = `${(bytes / 1e9).toFixed(1)} GB free`
  if (files < ROOM_FILES_MIN) return failed('disk', `${says}, but only ${files} more files`)
  if (bytes < ROOM_BYTES_MIN) return failed('disk', `${says}: writes are about to fail`)
  return bytes < ROOM_BYTES_WARN ? warning('disk', says) : ok('disk', says)
}

export function checkKeys(dataDir: string): Check {
  const { vkey } = readLogKey(dataDir)
  const { keyid } = publishedKey(readKey(dataDir, OWN_KEY_FILE))
  readKey(dataDir, 'secrets.key')
  return ok('keys', `log ${vkey}, registry ${keyid}`)
}

/**
 * The signed state against its own key, the edge, the rows, and the newest tile of each level. The
 * caller has a transaction open: a server may be writing.
 */
export function checkLogState(store: SqliteLogStore, dataDir: string): Check {
  const [state, end] = [store.readState(), store.leafEnd()]
  if (state === null) return failed('log', 'registry.db holds no log')
  const { size, root } = openCheckpoint(state.note, newVerifier(readLogKey(dataDir).vkey))
  if (size !== state.size || !equalBytes(root, state.root)) {
    return failed('log', 'the signed checkpoint is of another tree than the one that is stored')
  }
  if (!equalBytes(edgeRoot(parseEdge(state.edge, size)), root)) {
    return failed('log', 'the right edge of the tree does not hash to the signed root')
  }
  if (end !== size) return failed('log', `${end} leaves are stored, ${size} are signed`)
  const missing = checkTiles(store, state)
  if (missing > 0) {
    const says = `${missing} files are missing in ${tilesDir(dataDir)}: the next start makes them`
    return warning('log', says)
  }
  return ok('log', `${size} leaves; 'log fsck' looks at each of them`)
}

/** How many files are missing. @throws TileError when the newest of a level is not what was signed */
function checkTiles(store: SqliteLogStore, state: LogState): number {
  let missing = 0
  for (const tile of fullTiles(0, state.size)) {
    const gone = filesOf(tile).filter(path => !store.hasFile(path)).length
    missing += gone
    const isLast = tile.index === levelWidth(state.size, tile.level + 1) - 1
    if (!isLast || gone > 0) continue
    const bytes = store.readFile(tilePath({ ...tile, width: TILE_WIDTH }))
    checkFullTile(store, tile, bytes, state)
  }
  return missing
}

/** A clock behind the log's newest record is wrong; so is one that another server contradicts. */
export function checkClock(
  store: SqliteLogStore,
  now: Date,
  others: readonly { name: string; date: Date }[],
): Check {
  const size = store.readState()?.size ?? 0
  const [newest] = size > 0 ? store.readLeaves(size - 1, size) : []
  const leaf = newest === undefined ? undefined : parseLeaf(newest)
  if (leaf?.kind === 'version' && Date.parse(leaf.seen) > now.getTime() + CLOCK_SKEW_MS_MAX) {
    return failed('clock', `it is ${now.toISOString()} here, and the log has ${leaf.seen} already`)
  }
  const off = others.find(
    ({ date }) => Math.abs(date.getTime() - now.getTime()) > CLOCK_SKEW_MS_MAX,
  )
  if (off === undefined) return ok('clock', now.toISOString())
  const says = `it is ${now.toISOString()} here and ${off.date.toISOString()} at ${off.name}`
  return warning('clock', says)
}
