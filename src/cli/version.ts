/**
 * `version`: which build this is.
 * @module
 */
import { commit, version } from '../version.ts'
import { EXIT, type Io } from './io.ts'

export function printVersion(shape: { json: boolean }, io: Io): number {
  const runtime = process.versions['bun'] ?? null
  if (shape.json) {
    io.out(`${JSON.stringify({ version, commit, bun: runtime })}\n`)
  } else {
    io.out(`npmx-registry ${version} (commit ${commit ?? 'unknown'}, bun ${runtime ?? 'none'})\n`)
  }
  return EXIT.ok
}
