/**
 * The control of the load tests: a server that does nothing but send a few bytes, and fdatasync a
 * page from time to time. What keeps it waiting keeps every server on this machine waiting, so a
 * server under test is judged beside it. `bun load-control.ts` prints its URL.
 * @module
 */
import { fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const BODY = 'x'.repeat(10_000)
const SYNC_EVERY_MS = 50
const PAGE = Buffer.alloc(4096)

function run(): string {
  const dir = mkdtempSync(join(tmpdir(), 'npmx-registry-control-'))
  process.on('SIGTERM', () => {
    rmSync(dir, { recursive: true, force: true })
    process.exit(0)
  })
  const file = openSync(join(dir, 'page'), 'w')
  setInterval(() => {
    writeSync(file, PAGE, 0, PAGE.length, 0)
    fdatasyncSync(file)
  }, SYNC_EVERY_MS)
  const server = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: () => new Response(BODY) })
  return server.url.href
}

if (import.meta.main) console.log(run())
