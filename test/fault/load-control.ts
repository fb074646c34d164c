/**
 * The control of the load tests: a server that does no more than send a few bytes and, as a server
 * that keeps a log must, compute for some milliseconds and wait for the disk a few times in a row.
 * What keeps it waiting keeps every such server on this machine waiting, so the one under test is
 * judged beside it. `bun load-control.ts` prints its URL.
 * @module
 */
import { createHash } from 'node:crypto'
import { fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** The name under which a helper starts it. */
export const CONTROL = 'load-control.ts'

const BODY = 'x'.repeat(10_000)
const WRITE_EVERY_MS = 25
/** A commit, and a tile with its bundle. */
const SYNCS = 3
const PAGE = Buffer.alloc(4096)
/** Some 3 ms of hashing. */
const WORK = Buffer.alloc(2 * 1024 * 1024)

function run(): string {
  const dir = mkdtempSync(join(tmpdir(), 'npmx-registry-control-'))
  process.on('SIGTERM', () => {
    rmSync(dir, { recursive: true, force: true })
    process.exit(0)
  })
  const file = openSync(join(dir, 'page'), 'w')
  setInterval(() => {
    createHash('sha256').update(WORK).digest()
    for (let i = 0; i < SYNCS; i++) {
      writeSync(file, PAGE, 0, PAGE.length, i * PAGE.length)
      fdatasyncSync(file)
    }
  }, WRITE_EVERY_MS)
  const server = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: () => new Response(BODY) })
  return server.url.href
}

if (import.meta.main) console.log(run())
