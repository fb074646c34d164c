/**
 * The log itself: assigns indexes, keeps one leaf per identity, signs checkpoints, writes tiles,
 * and comes back after a crash. Synchronous and pure over `LogStore`; no clock, no randomness.
 * Formats are https://c2sp.org/tlog-tiles and https://c2sp.org/tlog-checkpoint; the crash order is
 * that of FiloSottile/sunlight `internal/ctlog`, with one SQLite transaction in place of its
 * staging bundle and lock.
 *
 *     append   one transaction: leaves, keys, edge, signed note     <- the commit point
 *     batch    as many appends as come within it, in one such transaction
 *     publish  full tiles durable, then the note is visible to readers
 *     open     edge against note, leaves against edge, missing tiles written again, publish
 *
 * The log holds no tree in memory that a rolled back transaction could leave behind: each append
 * reads the state it extends, and checks it against its own signature first.
 *
 * It does not talk to witnesses and does not decide what deserves a leaf.
 *
 * @module
 */
import { appendToEdge, edgeRoot, encodeEdge, parseEdge } from './edge.ts'
import { signCheckpoint } from './checkpoint.ts'
import { TileError } from './errors.ts'
import { checkFullTile, filesOf, fullTiles, type TileFiles, writeFullTiles } from './full-tiles.ts'
import { encodeLeaf, identityKey, type Leaf, parseLeaf } from './leaf.ts'
import type { Signer } from './note.ts'
import { equalBytes } from './text.ts'
import { levelWidth, type Tile, TILE_WIDTH, tilePath } from './tile.ts'
import { EMPTY_ROOT, leafHash } from './tree.ts'

/** What one committed append leaves behind. */
export type LogState = {
  readonly size: number
  readonly root: Uint8Array
  /** `encodeEdge` of the tree of this size. */
  readonly edge: Uint8Array
  /** The signed checkpoint of this size and root. */
  readonly note: string
  /** Full tiles below this size are durable. May lag behind the truth, never leads. */
  readonly publishedSize: number
}

/**
 * What the log needs of a store. A method that cannot say whether it happened (a failed commit or
 * fsync) throws `LogFatalError`; any other error means that it did not happen.
 */
export interface LogStore extends TileFiles {
  /** Runs the action atomically and durably, or joins the transaction that is open. */
  transaction<T>(action: () => T): T
  readonly inTransaction: boolean
  readState(): LogState | null
  /** Compare and swap: false when the stored state is not `from` (null: nothing stored). */
  advance(from: LogState | null, to: LogState): boolean
  /** The index of the leaf with this 32-byte identity key. */
  findIndex(key: Uint8Array): number | null
  /** Throws when the index or the key is taken. */
  insertLeaf(index: number, key: Uint8Array, leaf: Uint8Array): void
  /** One more than the highest index; 0 when there is no leaf. */
  leafEnd(): number
}

export type LogFatalErrorCode =
  /** Parts of the stored log do not fit together; nothing was signed. */
  | 'contradiction'
  /** Another writer moved the log: there must not be one. */
  | 'lost-race'
  /** A commit or fsync failed: what is on disk is unknown until it is read again. */
  | 'storage-failed'

/** The log cannot go on in this process. The caller ends it; `Log.open` finds out what is true. */
export class LogFatalError extends Error {
  override readonly name = 'LogFatalError'
  readonly code: LogFatalErrorCode

  constructor(code: LogFatalErrorCode, message: string, cause?: unknown) {
    super(message, { cause })
    this.code = code
  }
}

export type AppendOutcome =
  | { outcome: 'added'; index: number; leaf: Uint8Array }
  /** The same claim was logged before: its first index and bytes. */
  | { outcome: 'known'; index: number; leaf: Uint8Array }
  /** Another integrity is logged for this identity: that leaf's index and bytes. */
  | { outcome: 'conflict'; index: number; leaf: Uint8Array }

/** Leaves in one append: keeps one transaction well below 50 ms, the longest the loop may stop. */
export const APPEND_LEAVES_MAX = 512

type Candidate = { key: Uint8Array; leaf: Leaf; bytes: Uint8Array }

/** Leaves that have their indexes but stand in no signed tree yet. @property from what they extend */
type Batch = { from: LogState; added: Uint8Array[] }

export class Log {
  readonly #store: LogStore
  readonly #signer: Signer
  #published: LogState
  /** The last state that was found sound; hashing its edge again would tell nothing new. */
  #sound: LogState
  #fatal: LogFatalError | undefined
  /** Of the transaction that is open. */
  #batch: Batch | undefined

  /** Use `Log.open`. */
  private constructor(store: LogStore, signer: Signer, state: LogState) {
    this.#store = store
    this.#signer = signer
    checkState(signer, state)
    this.#sound = state
    this.#published = state
  }

  /** Opens the log in this store, made anew when there is none, and brings it to its last commit. */
  static open(store: LogStore, signer: Signer): Log {
    const stored = store.readState() ?? createState(store, signer)
    const log = new Log(store, signer, stored)
    log.#recover(stored)
    return log
  }

  /** The newest signed checkpoint that readers may see. */
  get checkpoint(): string {
    return this.#published.note
  }

  /** The size of that checkpoint. */
  get size(): number {
    return this.#published.size
  }

  /** The whole published state: tiles that are not full are cut from its edge. */
  get published(): LogState {
    return this.#published
  }

  get origin(): string {
    return this.#signer.name
  }

  /**
   * Logs each leaf once and says for each what became of it. All or nothing; joins an open
   * transaction, so that rows which belong to the leaves commit with them. Nothing is visible to
   * readers, nor to be acknowledged, before `publish`.
   */
  append(leaves: readonly Leaf[]): AppendOutcome[] {
    if (leaves.length > APPEND_LEAVES_MAX) {
      throw new RangeError(
        `${leaves.length} leaves in one append, the most is ${APPEND_LEAVES_MAX}`,
      )
    }
    const candidates = leaves.map(leaf => ({
      leaf,
      key: identityKey(leaf),
      bytes: encodeLeaf(leaf),
    }))
    return this.#batched(batch => candidates.map(candidate => this.#add(candidate, batch)))
  }

  /**
   * Runs the action in one transaction, or in the one that is open. The tree is hashed and signed
   * once, at its end, however often it appends.
   */
  batch<T>(action: () => T): T {
    return this.#batched(action)
  }

  #batched<T>(action: (batch: Batch) => T): T {
    return this.#guarded(() =>
      this.#store.transaction(() => {
        if (this.#batch !== undefined) return action(this.#batch)
        const batch: Batch = { from: this.#readState(), added: [] }
        this.#batch = batch
        try {
          const result = action(batch)
          if (batch.added.length > 0) this.#advance(batch)
          return result
        } finally {
          this.#batch = undefined
        }
      }),
    )
  }

  /** Makes full tiles durable, then shows readers the last committed checkpoint. */
  publish(): void {
    this.#guarded(() => {
      // Inside a transaction the state is not committed: publishing it could fork the log.
      if (this.#store.inTransaction) throw new Error('publish() inside a transaction')
      const state = this.#readState()
      if (state.size === this.#published.size) return
      this.#writeTiles(fullTiles(this.#published.size, state.size), state)
      this.#published = state
    })
  }

  #add(candidate: Candidate, { from, added }: Batch): AppendOutcome {
    const end = from.size + added.length
    const index = this.#store.findIndex(candidate.key)
    if (index !== null) return this.#compareStored(candidate, index, end)
    this.#store.insertLeaf(end, candidate.key, candidate.bytes)
    added.push(candidate.bytes)
    return { outcome: 'added', index: end, leaf: candidate.bytes }
  }

  /**
   * COMMIT POINT: when the transaction around this commits, the leaves have their indexes and this
   * log has signed the tree that holds them, for ever. Before that, nothing has happened.
   */
  #advance({ from, added }: Batch): void {
    const { edge } = appendToEdge(parseEdge(from.edge, from.size), added.map(leafHash))
    const size = from.size + added.length
    const root = edgeRoot(edge)
    const next: LogState = {
      size,
      root,
      edge: encodeEdge(edge),
      note: signState(this.#signer, size, root),
      publishedSize: this.#published.size,
    }
    if (this.#store.advance(from, next)) {
      this.#sound = next
      return
    }
    throw new LogFatalError('lost-race', 'another writer moved the log: two processes on one log')
  }

  /** @param end one more than the highest index so far */
  #compareStored(candidate: Candidate, index: number, end: number): AppendOutcome {
    const [bytes] = index < end ? this.#store.readLeaves(index, index + 1) : []
    if (bytes === undefined) {
      throw contradiction(`row ${index} of table leaf`, `is beyond the signed tree of ${end}`)
    }
    const leaf = parseStored(bytes, index)
    if (!equalBytes(identityKey(leaf), candidate.key)) {
      throw contradiction(`row ${index} of table leaf`, 'has a key of another record')
    }
    return compare(candidate, index, bytes, leaf)
  }

  /** The committed state, after it was checked against itself and against our own signature. */
  #readState(): LogState {
    const state = this.#store.readState()
    if (state === null) throw contradiction('row 1 of table log_state', 'is gone')
    if (!isSame(state, this.#sound)) checkState(this.#signer, state)
    this.#sound = state
    return state
  }

  #recover(state: LogState): void {
    this.#checkNothingBeyond(state)
    this.#checkPartialTile(state)
    const full = fullTiles(0, state.size)
    this.#writeTiles(
      full.filter(tile => !filesOf(tile).every(path => this.#store.hasFile(path))),
      state,
    )
    this.#checkLastTiles(full, state)
  }

  /** Leaves or tiles of a larger tree mean that the database is an older copy of itself. */
  #checkNothingBeyond(state: LogState): void {
    const end = this.#store.leafEnd()
    if (end !== state.size) {
      const reason = `ends at row ${end}, the signed tree has ${state.size} leaves`
      throw contradiction('table leaf', reason)
    }
    const next = { level: 0, index: levelWidth(state.size, 1), width: TILE_WIDTH }
    const beyond = filesOf(next).find(path => this.#store.hasFile(path))
    if (beyond === undefined) return
    const reason = `belongs to a larger tree than the signed one of ${state.size} leaves`
    throw contradiction(beyond, `${reason}; was the database restored from an older copy?`)
  }

  /** The leaves after the last full tile against the edge, which the note has vouched for. */
  #checkPartialTile(state: LogState): void {
    const start = levelWidth(state.size, 1) * TILE_WIDTH
    const [hashes = new Uint8Array(0)] = parseEdge(state.edge, state.size)
    for (const [offset, leaf] of this.#store.readLeaves(start, state.size).entries()) {
      const wanted = hashes.subarray(offset * 32, offset * 32 + 32)
      if (equalBytes(leafHash(leaf), wanted)) continue
      throw contradiction(`row ${start + offset} of table leaf`, 'does not hash to the signed tree')
    }
  }

  /** On each level the last full tile against the tree. `fsck` looks at all of them. */
  #checkLastTiles(full: readonly Tile[], state: LogState): void {
    for (const tile of full) {
      if (tile.index !== levelWidth(state.size, tile.level + 1) - 1) continue
      asContradiction(() => {
        checkFullTile(this.#store, tile, this.#store.readFile(tilePath(tile)), state)
      })
    }
  }

  /** Writes full tiles, lowest level first, each checked against the tree above it. */
  #writeTiles(tiles: readonly Tile[], state: LogState): void {
    asContradiction(() => writeFullTiles(this.#store, tiles, state))
  }

  /** After a fatal error this object refuses everything. */
  #guarded<T>(action: () => T): T {
    if (this.#fatal !== undefined) throw this.#fatal
    try {
      return action()
    } catch (error) {
      if (error instanceof LogFatalError) this.#fatal = error
      throw error
    }
  }
}

function createState(store: LogStore, signer: Signer): LogState {
  const state: LogState = {
    size: 0,
    root: EMPTY_ROOT,
    edge: new Uint8Array(0),
    note: signState(signer, 0, EMPTY_ROOT),
    publishedSize: 0,
  }
  store.transaction(() => {
    if (!store.advance(null, state)) throw new LogFatalError('lost-race', 'the log exists already')
  })
  return state
}

function signState(signer: Signer, size: number, root: Uint8Array): string {
  return signCheckpoint({ origin: signer.name, size, root }, signer)
}

function isSame(a: LogState, b: LogState): boolean {
  return (
    a.size === b.size &&
    a.note === b.note &&
    equalBytes(a.root, b.root) &&
    equalBytes(a.edge, b.edge)
  )
}

/** Ed25519 is deterministic: a note is ours, for this size and root, iff we would sign it again. */
function checkState(signer: Signer, state: LogState): void {
  if (state.note !== signState(signer, state.size, state.root)) {
    const reason = `is not what the log key of ${signer.name} signs for this size and root`
    throw contradiction('column note of table log_state', reason)
  }
  if (!equalBytes(edgeRoot(parseEdge(state.edge, state.size)), state.root)) {
    throw contradiction('column edge of table log_state', 'does not hash to the signed root')
  }
}

/** One identity is claimed twice: the same claim, or a conflict? */
function compare(
  candidate: Candidate,
  index: number,
  bytes: Uint8Array,
  stored: Leaf,
): AppendOutcome {
  const { leaf } = candidate
  // The identity of every other kind is its whole text: the same identity is the same claim.
  if (leaf.kind !== 'version' || stored.kind !== 'version') {
    return { outcome: 'known', index, leaf: bytes }
  }
  const outcome = leaf.integrity === stored.integrity ? 'known' : 'conflict'
  return { outcome, index, leaf: bytes }
}

function parseStored(bytes: Uint8Array, index: number): Leaf {
  try {
    return parseLeaf(bytes)
  } catch (error) {
    throw contradiction(`row ${index} of table leaf`, 'is not a record', error)
  }
}

function contradiction(what: string, reason: string, cause?: unknown): LogFatalError {
  return new LogFatalError('contradiction', `${what} ${reason}`, cause)
}

/** Files that do not fit the signed tree. */
function asContradiction(action: () => void): void {
  try {
    action()
  } catch (error) {
    if (!(error instanceof TileError)) throw error
    throw new LogFatalError('contradiction', error.message, error)
  }
}
