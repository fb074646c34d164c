/**
 * Collecting garbage on the way through a large document. The runtime counts the document itself
 * into what is alive, so it would let parsed slices pile up to several times its size.
 * @module
 */

/** A document below this never waits for a collection; one of 100 MB waits 25 times some 10 ms. */
const COLLECT_EVERY_BYTES = 4 * 1024 * 1024

/** A function to be told how far the work has come, in bytes; it collects now and then. */
export function garbageCollector(everyBytes: number = COLLECT_EVERY_BYTES): (done: number) => void {
  let collected = 0
  return done => {
    if (done - collected <= everyBytes) return
    Bun.gc(true)
    collected = done
  }
}
