/**
 * A data dir that is being filled from a backup. Everything lies in `restoring/` until it was found
 * whole and sound; then it is moved to its place, the database last. As long as that folder is
 * there, whoever would serve the data dir is refused: after a kill at any moment the data dir is
 * empty, refused, or whole.
 * @module
 */
import { existsSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { makeFolder, syncFolder } from './durable.ts'

const FOLDER = 'restoring'

/** What a data dir may hold and still be empty: its lock, and what file systems put there. */
const NOTHING = new Set(['lock.db', 'lock.db-journal', 'lock.pid', 'lost+found'])

export type RestoringErrorCode = 'not-empty' | 'unfinished'

/** The data dir cannot be restored into, or cannot be used. */
export class RestoringError extends Error {
  override readonly name = 'RestoringError'
  readonly code: RestoringErrorCode

  constructor(code: RestoringErrorCode, message: string) {
    super(message)
    this.code = code
  }
}

/** @throws RestoringError when a restore into this data dir did not come to its end */
export function checkRestored(dataDir: string): void {
  const path = join(dataDir, FOLDER)
  if (!existsSync(path)) return
  const advice = 'Empty the data dir and restore again'
  throw new RestoringError('unfinished', `${path} was left by an unfinished restore. ${advice}`)
}

/** A folder to restore into. The caller holds the data dir's lock. @throws RestoringError */
export function beginRestore(dataDir: string): string {
  checkRestored(dataDir)
  const found = readdirSync(dataDir).find(name => !NOTHING.has(name))
  if (found !== undefined) {
    const sentence = `${dataDir} is not empty (it holds ${found}): name a new folder`
    throw new RestoringError('not-empty', sentence)
  }
  const path = join(dataDir, FOLDER)
  makeFolder(path)
  return path
}

/** What was restored is no good: the data dir is as it was. */
export function giveUpRestore(dataDir: string): void {
  rmSync(join(dataDir, FOLDER), { recursive: true, force: true })
}

/** Puts everything in its place. What was restored is on the disk already. */
export function finishRestore(dataDir: string): void {
  const path = join(dataDir, FOLDER)
  const names = readdirSync(path).toSorted((a, b) => rank(a) - rank(b))
  for (const name of names) renameSync(join(path, name), join(dataDir, name))
  syncFolder(dataDir)
  rmSync(path, { recursive: true })
  syncFolder(dataDir)
}

function rank(name: string): number {
  return name.startsWith('registry.db') ? 1 : 0
}
