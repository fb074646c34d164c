/**
 * `key rotate` and `upstream retire-key`: another key for our own signatures, and the end of a
 * registry's, of a running server or of a data dir that no server has open.
 * @module
 */
import type { Flags } from '../config.ts'
import { withOperations } from './control-client.ts'
import { EXIT, type Io } from './io.ts'
import { keysText } from './upstream-text.ts'

type Shape = { json: boolean }

export async function keyRotate(flags: Flags, shape: Shape, io: Io): Promise<number> {
  return await withOperations(flags, io, async ({ keys }) => {
    const done = await keys.rotate()
    const { keyid, replaced, leaf } = done
    io.out(
      shape.json
        ? `${JSON.stringify(done)}\n`
        : `signs now  ${keyid} (leaf ${leaf})\nsigned     ${replaced}, still published\n`,
    )
    return EXIT.ok
  })
}

export async function upstreamRetireKey(
  flags: Flags,
  [name, keyid]: [name: string, keyid: string],
  shape: Shape,
  io: Io,
): Promise<number> {
  return await withOperations(flags, io, async ({ keys }) => {
    const key = await keys.retire(name, keyid)
    io.out(shape.json ? `${JSON.stringify(key)}\n` : keysText([key]))
    return EXIT.ok
  })
}
