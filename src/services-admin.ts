/**
 * The operator's side of a running instance: the operations on upstreams over its parts, and the
 * control socket through which the command line reaches them.
 * @module
 */
import { chmodSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Audit } from './db/audit.ts'
import type { Documents } from './db/documents.ts'
import { UpstreamAdmin, type UpstreamAdminNeeds } from './registries/operator/upstream-admin.ts'
import { answerControl, type ControlNeeds } from './routes/control.ts'

/** Certificates and a table of ten thousand names fit many times. */
const CONTROL_BODY_BYTES_MAX = 8 * 1024 * 1024
/** No limit of its own: whoever asks has one, and a file of many registries takes minutes. */
const CONTROL_IDLE_SECONDS = 0

/** Where the socket is. */
export const controlPath = (dataDir: string): string => join(dataDir, 'control.sock')

/** What the operations are made of. @property forgetHeld drops answers that are held in memory */
export type AdminParts = Omit<UpstreamAdminNeeds, 'audit' | 'changed'> & {
  documents: Documents
  forgetHeld: () => void
  warn: (message: string) => void
}

/** The operations on upstreams. @param actor who is written into the audit trail */
export function makeUpstreamAdmin(parts: AdminParts, actor: string): UpstreamAdmin {
  const changed = (forgotten: readonly string[]) => {
    parts.forgetHeld()
    for (const upstream of forgotten) {
      // Nobody asks for these any more: what the end of the process leaves goes with the oldest.
      forgetDocuments(parts.documents, upstream).catch((error: unknown) =>
        parts.warn(`old documents of ${upstream} stay in the cache: ${String(error)}`),
      )
    }
  }
  return new UpstreamAdmin({ ...parts, audit: new Audit(parts.db), changed }, actor)
}

async function forgetDocuments(documents: Documents, upstream: string): Promise<void> {
  while (documents.forgetSome(upstream)) await new Promise(resolve => setImmediate(resolve))
}

/**
 * Listens on the control socket until disposed of. The caller holds the data dir, so a socket that
 * is there already was left by a process that was killed.
 * @throws Error with the system's code, for example when the path is too long for a socket
 */
export function listenControl(dataDir: string, needs: ControlNeeds): AsyncDisposable {
  const path = controlPath(dataDir)
  rmSync(path, { force: true })
  const server = Bun.serve({
    unix: path,
    maxRequestBodySize: CONTROL_BODY_BYTES_MAX,
    fetch(request, self) {
      self.timeout(request, CONTROL_IDLE_SECONDS)
      return answerControl(request, needs)
    },
  })
  // The folder is this user's alone, so nobody else could open it before this either.
  chmodSync(path, 0o600)
  return {
    async [Symbol.asyncDispose]() {
      await server.stop()
      rmSync(path, { force: true })
    },
  }
}

/** Who it is that comes through the socket: only this user, or root, can open it. */
export function socketActor(): string {
  return `socket:${process.getuid?.() ?? 'unknown'}`
}
