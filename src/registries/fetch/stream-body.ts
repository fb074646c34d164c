/**
 * A body on its way through: pieces are read from the upstream when the reader asks for them.
 *
 * @module
 */
import { UnreachableError } from './unreachable.ts'
import type { BodyReader } from './read-body.ts'

/**
 * The body as a stream. Its end, however it comes, is told once to `release`. A reader that takes
 * nothing for `readerTimeoutMs` loses the stream: it would hold a place for ever.
 */
export function openStream(
  reader: BodyReader,
  options: { readerTimeoutMs: number; release: () => void },
): ReadableStream<Uint8Array> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const end = (): void => {
    clearTimeout(timer)
    options.release()
  }
  const watch = (controller: ReadableStreamDefaultController<Uint8Array>): void => {
    timer = setTimeout(() => {
      reader.cancel()
      end()
      controller.error(new UnreachableError('timeout', 'nobody reads this body'))
    }, options.readerTimeoutMs)
  }
  return new ReadableStream<Uint8Array>(
    {
      start: watch,
      async pull(controller) {
        clearTimeout(timer)
        try {
          const piece = await reader.read()
          if (piece === undefined) {
            end()
            controller.close()
          } else {
            controller.enqueue(piece)
            watch(controller)
          }
        } catch (error) {
          end()
          throw error
        }
      },
      cancel() {
        reader.cancel()
        end()
      },
    },
    // Nothing is read ahead: the reader's pace is the upstream's.
    { highWaterMark: 0 },
  )
}
