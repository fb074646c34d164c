/**
 * The `upstream` commands as a shell runs them, on one data dir, without a person at a terminal
 * unless a test plays one.
 * @module
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Io } from '../../../src/cli/io.ts'
import { run } from '../../../src/cli/program.ts'

export type Ran = { code: number; out: string; err: string }

export class Shell {
  readonly folder = mkdtempSync(join(tmpdir(), 'npmx-registry-shell-'))
  readonly #dataDir: string

  constructor(dataDir: string) {
    this.#dataDir = dataDir
    // A file of its own keeps the settings of whoever runs the tests out.
    writeFileSync(join(this.folder, 'npmx-registry.toml'), 'log-level = "silent"\n')
  }

  /** `upstream <args>`. */
  async upstream(...args: string[]): Promise<Ran> {
    return await this.run('upstream', ...args)
  }

  /** `<group> <command> <args>`. */
  async run(group: string, ...args: string[]): Promise<Ran> {
    const written = { out: '', err: '' }
    const where = ['--data-dir', this.#dataDir, '--config', join(this.folder, 'npmx-registry.toml')]
    const [command = '', ...rest] = args
    const code = await run([group, command, ...where, ...rest], recordingIo(written))
    return { code, ...written }
  }

  /** A file with a secret in it; its path. */
  file(name: string, text: string): string {
    const path = join(this.folder, name)
    writeFileSync(path, text, { mode: 0o600 })
    return path
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}

export function recordingIo(written: { out: string; err: string }, errIsTty = false): Io {
  return {
    out: text => void (written.out += text),
    err: text => void (written.err += text),
    errIsTty,
    onStop() {},
    exit() {},
  }
}
