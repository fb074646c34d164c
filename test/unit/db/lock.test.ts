import { describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { LockedError, lockDataDir } from '../../../src/db/lock.ts'
import { temporaryDir } from './data-dir.ts'

const LOCK_MODULE = JSON.stringify(join(import.meta.dir, '../../../src/db/lock.ts'))

/** Another process that takes the lock, says so and keeps it until it is killed. */
function holder(dataDir: string) {
  const script = `import { lockDataDir } from ${LOCK_MODULE}
    try {
      lockDataDir(process.argv[1], process.pid)
      Bun.gc(true)
      console.log('held')
      setInterval(() => {}, 1000)
    } catch (error) {
      console.log(error.code + ' ' + error.pid)
    }`
  return Bun.spawn([process.execPath, '-e', script, dataDir], { stdout: 'pipe', stderr: 'ignore' })
}

async function firstLine(process: { stdout: ReadableStream<Uint8Array> }): Promise<string> {
  const reader = process.stdout.getReader()
  const { value } = await reader.read()
  reader.releaseLock()
  return new TextDecoder().decode(value).trim()
}

describe('lockDataDir()', () => {
  test('refuses a second one in this process, until the first is released', () => {
    using dir = temporaryDir()
    const lock = lockDataDir(dir.path, 4711)
    expect(() => lockDataDir(dir.path, 4712)).toThrow('in use by another process (pid 4711)')
    lock.release()
    using again = lockDataDir(dir.path, 4713)
    expect(again.release).toBeFunction()
  })

  test('refuses a second process at once, by name, and frees itself after kill -9', async () => {
    using dir = temporaryDir()
    const first = holder(dir.path)
    const second: { process?: ReturnType<typeof holder> } = {}
    try {
      expect(await firstLine(first)).toBe('held')
      const start = performance.now()
      second.process = holder(dir.path)
      expect(await firstLine(second.process)).toBe(`locked ${first.pid}`)
      expect(await second.process.exited).toBe(0)
      expect(performance.now() - start).toBeLessThan(2000)
      expect(() => lockDataDir(dir.path, 1)).toThrow(LockedError)
      first.kill('SIGKILL')
      await first.exited
      using lock = lockDataDir(dir.path, 1)
      expect(lock.release).toBeFunction()
    } finally {
      first.kill('SIGKILL')
      second.process?.kill('SIGKILL')
    }
  })
})
