/**
 * What the log's parsers and checkers throw. One class per kind, each with a `code` for programs;
 * the message is one line for people. A log that lies is not here: that is `LogMisbehaviour` of
 * `client.ts`, which carries evidence.
 *
 * @module
 */

/** Bytes or fields that are not a record as docs/leaf.md defines it. */
export class LeafError extends Error {
  override readonly name = 'LeafError'
  readonly code = 'bad-leaf'
}

export type NoteErrorCode =
  /** not a signed note at all */
  | 'malformed-note'
  /** a vkey or skey that cannot be read */
  | 'bad-key'
  /** well formed, but no known key signed it */
  | 'unverified-note'
  /** a known key's signature is wrong */
  | 'bad-signature'
  /** two known keys share a name and a key hash */
  | 'ambiguous-key'

/** A signed note, or a key for one, that is refused. */
export class NoteError extends Error {
  override readonly name = 'NoteError'
  readonly code: NoteErrorCode

  constructor(code: NoteErrorCode, message: string) {
    super(message)
    this.code = code
  }
}

/** Text that is not a checkpoint, or one of another log. */
export class CheckpointError extends Error {
  override readonly name = 'CheckpointError'
  readonly code: 'bad-checkpoint' | 'wrong-origin'

  constructor(message: string, code: 'bad-checkpoint' | 'wrong-origin' = 'bad-checkpoint') {
    super(message)
    this.code = code
  }
}

/** A tile or entry bundle that does not exist, has the wrong length, or contradicts its tree. */
export class TileError extends Error {
  override readonly name = 'TileError'
  readonly code = 'bad-tile'
}

/**
 * The log answers that it has no such file; whoever reads a log's files may reject with it, to tell
 * this from an answer that does not come.
 */
export class LogFileMissing extends Error {
  override readonly name = 'LogFileMissing'
  readonly code = 'log-file-missing'
}

/** A proof that does not prove what it should. */
export class ProofError extends Error {
  override readonly name = 'ProofError'
  readonly code = 'bad-proof'
}

/** A lookup answer that is not `<index>\n<record>\n\n<note>`. */
export class LookupError extends Error {
  override readonly name = 'LookupError'
  readonly code = 'bad-record'
}
