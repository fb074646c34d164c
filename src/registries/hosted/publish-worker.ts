/**
 * The Worker in which a large publish body is read. An entry point of the build (`new Worker` finds
 * it by its URL). One job, then whoever started it ends it.
 *
 * @module
 */
import { packError, RegistryError } from '../errors.ts'
import { type PublishJob, type PublishReply, readPublishHere } from './publish-reader.ts'

declare const self: Worker

self.addEventListener('message', ({ data }: MessageEvent<PublishJob>) => {
  run(data).catch((error: unknown) => self.postMessage(failure(error), []))
})

async function run({ name, body }: PublishJob): Promise<void> {
  const read = await readPublishHere(name, body)
  const reply: PublishReply = { ok: true, read }
  const { buffer } = read.kind === 'publish' ? read.version.tarball : new Uint8Array()
  self.postMessage(reply, buffer instanceof ArrayBuffer ? [buffer] : [])
}

function failure(error: unknown): PublishReply {
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return { ok: false, error: error instanceof RegistryError ? packError(error) : null, message }
}
