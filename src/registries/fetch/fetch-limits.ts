/**
 * The limits of outbound requests, each with its reason. A test or a small machine overrides some.
 *
 * @module
 */

export type FetchLimits = {
  /** From sending to the headers of the answer, connecting included. */
  headersTimeoutMs: number
  idleTimeoutMs: number
  /** Whole request, waiting in line and second tries included; a body that keeps pace gets more. */
  totalTimeoutMs: number
  bytesPerSecondMin: number
  bodyTimeoutMsMax: number
  streamTimeoutMsMax: number
  /** A reader that takes nothing for so long gives its place to the next. */
  readerTimeoutMs: number
  requestsMax: number
  streamsMax: number
  queueMax: number
  retriesMax: number
  retryDelayMs: number
  retryAfterSecondsMax: number
}

export const FETCH_LIMITS: FetchLimits = {
  // npm's registry answers in well under 1 s; a company mirror that fetches first may take 10 s.
  headersTimeoutMs: 15_000,
  idleTimeoutMs: 10_000,
  // Clients give up after 30 to 60 s; an answer must be out before that.
  totalTimeoutMs: 30_000,
  // 20 MB over a poor line (0.5 Mbit/s) still comes through; a slow-loris does not.
  bytesPerSecondMin: 64 * 1024,
  bodyTimeoutMsMax: 300_000,
  streamTimeoutMsMax: 1_800_000,
  readerTimeoutMs: 60_000,
  // Together below the 256 requests that the runtime has under way at once.
  requestsMax: 64,
  streamsMax: 96,
  // A cold install asks for some 500 names; four at once wait, a flood is turned away.
  queueMax: 2_000,
  retriesMax: 2,
  retryDelayMs: 250,
  // A client is waiting: what takes longer is told to it instead.
  retryAfterSecondsMax: 5,
}
