/**
 * What a command writes when nobody reads it.
 */
import { expect, test } from 'bun:test'
import { join } from 'node:path'

const MAIN = join(import.meta.dir, '../../../src/main.ts')
const RUNS = 5

test('a reader that has read enough does not change the exit code', async () => {
  for (const [command, exitCode] of [
    ['--help', 0],
    ['no-such-command', 2],
  ] as const) {
    for (let run = 0; run < RUNS; run++) {
      const script = `set -o pipefail; "$0" "$1" ${command} 2>&1 | true`
      const child = Bun.spawn(['bash', '-c', script, process.execPath, MAIN], {
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      expect([command, await child.exited]).toEqual([command, exitCode])
      expect(await new Response(child.stderr).text()).toBe('')
    }
  }
})
