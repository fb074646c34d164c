/**
 * A client that trusts a log's key and nothing else: neither the server nor the wire. It remembers
 * the newest checkpoint, checks that every other one is consistent with it, and takes a record only
 * when its bytes are proven, by tiles, to stand in that tree. The ways of golang.org/x/mod/sumdb and
 * https://c2sp.org/tlog-tiles; what is checked how stands in `tile-hashes.ts`.
 *
 * The world is reached through `LogOps` alone: no clock, no file, no network in here.
 *
 * @module
 */
import { type Checkpoint, openCheckpoint } from './checkpoint.ts'
import {
  CheckpointError,
  LeafError,
  LogFileMissing,
  LookupError,
  NoteError,
  TileError,
} from './errors.ts'
import { type SignedCheckpoint, formatEvidence, formatFork } from './evidence.ts'
import { type Leaf, type VersionLeaf, parseLeaf } from './leaf.ts'
import { type LookupAnswer, parseLookup } from './lookup.ts'
import type { Verifier } from './note.ts'
import { decodeText, encodeBase64, equalBytes } from './text.ts'
import { type TileBatch, TileCache } from './tile-cache.ts'
import { type TilePlan, checkTiles, planTiles } from './tile-hashes.ts'
import { type Tile, tilePath } from './tile.ts'
import {
  type ReadHash,
  type Subtree,
  leafHash,
  proveTree,
  rootSubtrees,
  treeProofSubtrees,
  treeRoot,
} from './tree.ts'

/** How a client reaches a log. */
export interface LogOps {
  /** The newest signed checkpoint. */
  readCheckpoint(): Promise<string>
  /** A tile by its path; rejects when it cannot be had, with `LogFileMissing` when there is none. */
  readTile(path: string): Promise<Uint8Array>
  /** `<index>\n<record>\n\n<note>`. What this rejects with reaches the caller as it is. */
  lookup(name: string, version: string, namespace?: string): Promise<Uint8Array>
}

export type MisbehaviourCode =
  /** two signed trees that are not one history */
  | 'fork'
  /** a smaller tree than one that it signed, whose tiles it does not have (any more) */
  | 'rollback'
  /** a checkpoint that the log's key did not sign */
  | 'bad-signature'
  /** a signed text that is no checkpoint */
  | 'bad-checkpoint'
  /** a checkpoint signed by the log's key for another origin */
  | 'wrong-origin'
  /** a tile that does not belong to the signed tree */
  | 'bad-tile'
  /** a record that is malformed, or not the one asked for */
  | 'bad-record'
  /** a record that is not in the signed tree */
  | 'bad-proof'

/** The log, or whoever answers for it, lied. `evidence` is a text that stands alone. */
export class LogMisbehaviour extends Error {
  override readonly name = 'LogMisbehaviour'
  readonly code: MisbehaviourCode
  readonly evidence: string

  constructor(code: MisbehaviourCode, message: string, evidence: string) {
    super(message)
    this.code = code
    this.evidence = evidence
  }
}

/** The log could not be asked: nothing is known, good or bad. `cause` says why. */
export class LogUnreachable extends Error {
  override readonly name = 'LogUnreachable'
  readonly code = 'log-unreachable'
}

/** A record that is proven to be in the log. */
export type FoundRecord = { readonly index: number; readonly leaf: Uint8Array }

/** Follows one log and looks records up in it. Calls may overlap. */
export class LogClient {
  readonly #ops: LogOps
  readonly #verifier: Verifier
  readonly #tiles: TileCache
  #latest: SignedCheckpoint | undefined

  /** @param remembered the `latest` of an earlier client of this log */
  constructor(ops: LogOps, verifier: Verifier, remembered?: string) {
    this.#ops = ops
    this.#verifier = verifier
    this.#tiles = new TileCache(path =>
      ops.readTile(path).catch((cause: unknown) => {
        throw cause instanceof LogFileMissing ? cause : unreachable(`cannot read ${path}`, cause)
      }),
    )
    if (remembered !== undefined) this.#latest = this.#open(remembered)
  }

  /** The newest signed checkpoint that was seen and is consistent with all others: remember it. */
  get latest(): string | undefined {
    return this.#latest?.note
  }

  /** What `latest` says. */
  get checkpoint(): Checkpoint | undefined {
    return this.#latest?.checkpoint
  }

  /** Asks for the newest checkpoint and checks it; answers with the newest one known. */
  async update(): Promise<Checkpoint> {
    const note = await this.#ops.readCheckpoint().catch((cause: unknown) => {
      throw unreachable('cannot read the checkpoint', cause)
    })
    const { latest } = await this.#merge(note)
    return latest.checkpoint
  }

  /**
   * The record of a version, proven to be in the log. Without a namespace the answer's own is
   * accepted: callers that know which registry a name belongs to name it.
   */
  async lookup(name: string, version: string, namespace?: string): Promise<FoundRecord> {
    const bytes = await this.#ops.lookup(name, version, namespace)
    const asked = `${namespace === undefined ? '' : `${namespace}/`}${name}@${version}`
    const answer = readAnswer(bytes, asked)
    const { index, leaf, note } = answer
    const record = readRecord(answer, bytes, asked)
    const same = record.name === name && record.version === version
    if (!same || (namespace !== undefined && record.namespace !== namespace)) {
      const found = `${record.namespace}/${record.name}@${record.version}`
      throw badRecord(`asked for ${asked}, got the record of ${found}`, bytes)
    }
    const { seen, latest } = await this.#merge(note)
    if (index >= seen.checkpoint.size) {
      throw badRecord(`${asked}: no record ${index} in a tree of ${seen.checkpoint.size}`, bytes)
    }
    const place = { level: 0, index }
    const { read, keep } = await this.#readHashes(latest, [place])
    keep()
    if (!equalBytes(read(place), leafHash(leaf))) {
      throw badRecord(`${asked}: record ${index} of the log is another one`, bytes, 'bad-proof')
    }
    return { index, leaf }
  }

  // Fits a checkpoint into the one history. Others may do so at the same time: the newest wins, and
  // every step from one newest to the next has been checked.
  async #merge(note: string): Promise<{ seen: SignedCheckpoint; latest: SignedCheckpoint }> {
    const known = this.#latest
    // Most answers repeat the checkpoint of the last one.
    if (known?.note === note) return { seen: known, latest: known }
    const seen = this.#open(note)
    for (;;) {
      const latest = this.#latest
      if (latest !== undefined && seen.checkpoint.size <= latest.checkpoint.size) {
        const isOlder = seen.checkpoint.size < latest.checkpoint.size
        await (isOlder ? this.#checkOlder(seen, latest) : this.#checkTrees(latest, seen))
        return { seen, latest }
      }
      if (latest !== undefined) await this.#checkTrees(latest, seen)
      // Unless another call was faster; then the newest is another one, and larger.
      if (this.#latest === latest) {
        this.#latest = seen
        return { seen, latest: seen }
      }
    }
  }

  // An older checkpoint from a cache that lags is fine: the log still has the newer tree. One that
  // has the tiles of the older tree alone went back behind what it signed.
  async #checkOlder(older: SignedCheckpoint, newer: SignedCheckpoint): Promise<void> {
    try {
      await this.#checkTrees(older, newer)
    } catch (error) {
      const missing = error instanceof LogUnreachable ? error.cause : undefined
      if (!(missing instanceof LogFileMissing)) throw error
      await this.#readHashes(older, rootSubtrees(older.checkpoint.size))
      throw rollback(older, newer, missing)
    }
  }

  // Throws unless the newer tree begins with the older one.
  async #checkTrees(older: SignedCheckpoint, newer: SignedCheckpoint): Promise<void> {
    const size = older.checkpoint.size
    if (size === newer.checkpoint.size) {
      // Two signatures over two roots for one size: no tile is needed to see that.
      if (equalBytes(older.checkpoint.root, newer.checkpoint.root)) return
      throw fork(older, newer, newer.checkpoint.root, [])
    }
    // The proof's hashes lie in the same tiles, so that a fork can be proven without asking again.
    const planned = [...rootSubtrees(size), ...treeProofSubtrees(newer.checkpoint.size, size)]
    const { read, keep } = await this.#readHashes(newer, planned, [older])
    const root = treeRoot(size, read)
    if (equalBytes(root, older.checkpoint.root)) return keep()
    throw fork(older, newer, root, proveTree(newer.checkpoint.size, size, read))
  }

  // Reads the tiles for these subtrees and checks each of them against the signed root.
  async #readHashes(
    tree: SignedCheckpoint,
    subtrees: readonly Subtree[],
    context: readonly SignedCheckpoint[] = [],
  ): Promise<{ read: ReadHash; keep: () => void }> {
    const plan = planTiles(tree.checkpoint.size, subtrees)
    const tiles = [...plan.edge, ...plan.full]
    // Kept tiles belong to the history seen so far. If they do not fit this tree, then the server's
    // own tiles have to show what it signed: the same check once more, of nothing but its answers.
    const attempts = tiles.some(tile => this.#tiles.has(tile)) ? [false, true] : [true]
    let batch: TileBatch = new Map()
    let failure: TileError | undefined
    for (const fresh of attempts) {
      try {
        batch = await this.#tiles.read(tiles, fresh)
        const read = this.#checkBatch(tree, plan, batch)
        return { read, keep: () => this.#tiles.keep(batch) }
      } catch (error) {
        if (error instanceof LogFileMissing) throw unreachable('cannot read a tile', error)
        if (!(error instanceof TileError)) throw error
        failure = error
      }
    }
    throw badTile(failure, [...context, tree], batch)
  }

  #checkBatch(tree: SignedCheckpoint, plan: TilePlan, batch: TileBatch): ReadHash {
    const bytesOf = (tile: Tile) => batch.get(tile) ?? new Uint8Array(0)
    const rootOf = (bytes: Uint8Array) => this.#tiles.rootOf(bytes)
    return checkTiles(plan, tree.checkpoint.root, bytesOf, rootOf)
  }

  #open(note: string): SignedCheckpoint {
    try {
      return { note, checkpoint: openCheckpoint(note, this.#verifier) }
    } catch (error) {
      throw badCheckpoint(error, note, this.#verifier)
    }
  }
}

function readAnswer(bytes: Uint8Array, asked: string): LookupAnswer {
  try {
    return parseLookup(bytes)
  } catch (error) {
    if (error instanceof LookupError) throw badRecord(`${asked}: ${error.message}`, bytes)
    throw error
  }
}

function readRecord(answer: LookupAnswer, bytes: Uint8Array, asked: string): VersionLeaf {
  let leaf: Leaf
  try {
    leaf = parseLeaf(answer.leaf)
  } catch (error) {
    if (error instanceof LeafError) throw badRecord(`${asked}: ${error.message}`, bytes)
    throw error
  }
  if (leaf.kind !== 'version') throw badRecord(`asked for ${asked}, got a ${leaf.kind}`, bytes)
  return leaf
}

function fork(
  older: SignedCheckpoint,
  newer: SignedCheckpoint,
  root: Uint8Array,
  proof: readonly Uint8Array[],
): LogMisbehaviour {
  const { origin, size } = older.checkpoint
  const sizes = `sizes ${size} and ${newer.checkpoint.size}`
  const message = `${origin} signed two histories: its trees of ${sizes} contradict each other`
  return new LogMisbehaviour('fork', message, formatFork(older, newer, root, proof))
}

function rollback(
  older: SignedCheckpoint,
  newer: SignedCheckpoint,
  missing: LogFileMissing,
): LogMisbehaviour {
  const { origin, size } = newer.checkpoint
  const now = older.checkpoint.size
  const message = `${origin} shows a tree of ${now} and signed one of ${size} before, whose tiles it does not have: it was rolled back, as from an old backup, or this is an old copy of it`
  const evidence = formatEvidence('rollback', message, [
    ['checkpoint now', older.note],
    ['checkpoint before', newer.note],
    ['answer for a tile', missing.message],
  ])
  return new LogMisbehaviour('rollback', message, evidence)
}

function badTile(
  failure: TileError | undefined,
  trees: readonly SignedCheckpoint[],
  batch: TileBatch,
): LogMisbehaviour {
  const message = failure?.message ?? 'no tile'
  const notes = trees.map((tree, i) => [`checkpoint ${i + 1}`, tree.note] as const)
  const tiles = [...batch].map(([tile, bytes]) => [tilePath(tile), encodeBase64(bytes)] as const)
  return new LogMisbehaviour(
    'bad-tile',
    message,
    formatEvidence('bad-tile', message, [...notes, ...tiles]),
  )
}

function badRecord(message: string, bytes: Uint8Array, code: MisbehaviourCode = 'bad-record') {
  const shown = decodeText(bytes) ?? encodeBase64(bytes)
  return new LogMisbehaviour(code, message, formatEvidence(code, message, [['answer', shown]]))
}

function badCheckpoint(error: unknown, note: string, verifier: Verifier): unknown {
  if (!(error instanceof NoteError || error instanceof CheckpointError)) return error
  const code = checkpointCode(error)
  const parts = [
    ['key', verifier.vkey],
    ['checkpoint', note],
  ] as const
  return new LogMisbehaviour(code, error.message, formatEvidence(code, error.message, parts))
}

function checkpointCode(error: NoteError | CheckpointError): MisbehaviourCode {
  if (error instanceof NoteError) return 'bad-signature'
  return error.code
}

function unreachable(message: string, cause: unknown): LogUnreachable {
  return cause instanceof LogUnreachable ? cause : new LogUnreachable(message, { cause })
}
