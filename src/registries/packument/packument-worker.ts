/**
 * The Worker in which packuments are inspected, rendered and packed, so that the main thread never
 * waits for a document of 100 MB. An entry point of the build (`new Worker` finds it by its URL).
 * One job at a time; the pool sees to that.
 *
 * @module
 */
import { packError, RegistryError } from '../errors.ts'
import { GO_ON, type Job, type Reply, runJob, type Send } from './packument-jobs.ts'

declare const self: Worker

const send: Send = (reply, transfer) => self.postMessage(reply, transfer)

let goOn = () => {}
const taken = () =>
  new Promise<void>(resolve => {
    goOn = resolve
  })

self.addEventListener('message', ({ data }: MessageEvent<Job | typeof GO_ON>) => {
  if (data === GO_ON) goOn()
  else runJob(data, send, taken).catch((error: unknown) => send(failure(error), []))
})

function failure(error: unknown): Reply {
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return { ok: false, error: error instanceof RegistryError ? packError(error) : null, message }
}
