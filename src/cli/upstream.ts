/**
 * `upstream add|list|show|set|remove|keys|approve-key`: the registries and mirrors of a running
 * server, or of a data dir that no server has open. What is new is shown and asked for before it is
 * saved: fingerprints are for a person to compare.
 * @module
 */
import type { Flags } from '../config.ts'
import { ConfigError } from '../config-values.ts'
import type { UpstreamOperations } from '../registries/operator/upstream-admin.ts'
import type { NewUpstream, UpstreamSettings } from '../registries/sources/upstream-request.ts'
import { confirmationsOf } from '../registries/operator/upstream-keys.ts'
import type { ProbeView, UpstreamView } from '../registries/operator/upstream-view.ts'
import { withUpstreams } from './control-client.ts'
import { EXIT, type Io } from './io.ts'
import { type Input, processInput, readSecret, type SecretFlags } from './upstream-input.ts'
import { keysText, listText, probeText, showText } from './upstream-text.ts'

/** What `add` and `set` have in common, as commander reads it. */
export type SettingFlags = SecretFlags & {
  names?: string[]
  namespace?: string
  signatures?: 'auto' | 'require' | 'off'
  tarballs?: 'canonical' | 'redirect' | 'upstream' | 'stream' | 'cache'
  strict?: 'on' | 'off'
  revisions?: 'on' | 'off'
  tarballOrigins?: string[]
  sample?: string
  yes?: true
  acceptMismatch?: true
}
export type AddFlags = SettingFlags & { kind?: 'registry' | 'mirror'; of?: string }
/** `credential: false` is `--no-credential`. */
export type SetFlags = SettingFlags & { url?: string; credential?: boolean }

type Shape = { json: boolean }

export async function upstreamList(flags: Flags, shape: Shape, io: Io): Promise<number> {
  return await withUpstreams(flags, io, async upstreams => {
    const views = await upstreams.list()
    io.out(shape.json ? `${JSON.stringify({ upstreams: views })}\n` : listText(views))
    return EXIT.ok
  })
}

export async function upstreamShow(
  flags: Flags,
  name: string,
  shape: Shape,
  io: Io,
): Promise<number> {
  return await withUpstreams(flags, io, async upstreams =>
    answer(await upstreams.show(name), shape, io),
  )
}

export async function upstreamAdd(
  flags: Flags,
  [name, url]: [name: string, url: string],
  given: AddFlags,
  shape: Shape,
  io: Io,
  input: Input = processInput(),
): Promise<number> {
  const secret = await readSecret(given, input)
  const { kind, of } = given
  const asked: NewUpstream = {
    name,
    url,
    ...settingsOf(given),
    ...(kind !== undefined && { kind }),
    ...(of !== undefined && { of }),
    ...(secret !== undefined && { secret }),
  }
  return await withUpstreams(flags, io, async upstreams => {
    const found = await upstreams.probe(asked)
    if (!(await isConfirmed(name, found, given, io, input))) return EXIT.usage
    return answer(await upstreams.add(asked, confirmationsOf(found)), shape, io)
  })
}

export async function upstreamSet(
  flags: Flags,
  name: string,
  given: SetFlags,
  shape: Shape,
  io: Io,
  input: Input = processInput(),
): Promise<number> {
  const read = await readSecret(given, input)
  const isTaken = given.credential === false
  if (isTaken && read !== undefined) {
    throw new ConfigError('--no-credential takes the credential away, and another one is given')
  }
  const secret = isTaken ? null : read
  const settings: UpstreamSettings = {
    ...settingsOf(given),
    ...(given.url !== undefined && { url: given.url }),
    ...(secret !== undefined && { secret }),
  }
  return await withUpstreams(flags, io, upstreams =>
    change(upstreams, name, settings, given, shape, io, input),
  )
}

async function change(
  upstreams: UpstreamOperations,
  name: string,
  settings: UpstreamSettings,
  given: SetFlags,
  shape: Shape,
  io: Io,
  input: Input,
): Promise<number> {
  const found = await upstreams.probeChange(name, settings)
  if (found !== null && !(await isConfirmed(name, found, given, io, input))) return EXIT.usage
  const confirm = found === null ? [] : confirmationsOf(found)
  return answer(await upstreams.set(name, settings, confirm), shape, io)
}

export async function upstreamRemove(
  flags: Flags,
  name: string,
  shape: Shape,
  io: Io,
): Promise<number> {
  return await withUpstreams(flags, io, async upstreams => {
    const view = await upstreams.remove(name)
    io.out(shape.json ? `${JSON.stringify(view)}\n` : `${name} is removed; its records stay\n`)
    return EXIT.ok
  })
}

export async function upstreamKeys(
  flags: Flags,
  name: string,
  shape: Shape,
  io: Io,
): Promise<number> {
  return await withUpstreams(flags, io, async upstreams => {
    const keys = await upstreams.keys(name)
    io.out(shape.json ? `${JSON.stringify({ keys })}\n` : keysText(keys))
    return EXIT.ok
  })
}

export async function upstreamApproveKey(
  flags: Flags,
  [name, keyid]: [name: string, keyid: string],
  shape: Shape,
  io: Io,
): Promise<number> {
  return await withUpstreams(flags, io, async upstreams => {
    const key = await upstreams.approveKey(name, keyid)
    io.out(shape.json ? `${JSON.stringify(key)}\n` : keysText([key]))
    return EXIT.ok
  })
}

function settingsOf(given: SettingFlags): Omit<UpstreamSettings, 'url' | 'secret'> {
  const { names, namespace, signatures, tarballs, sample, strict, tarballOrigins } = given
  const { revisions } = given
  return {
    ...(names !== undefined && { names }),
    ...(namespace !== undefined && { namespace }),
    ...(signatures !== undefined && { signatures }),
    ...(tarballs !== undefined && { tarballs }),
    ...(strict !== undefined && { strict: strict === 'on' }),
    ...(revisions !== undefined && { revisions: revisions === 'on' }),
    ...(tarballOrigins !== undefined && { tarballOrigins: listed(tarballOrigins) }),
    ...(sample !== undefined && { sample }),
  }
}

/** `--tarball-origins none` takes all of them away. */
function listed(origins: string[]): string[] {
  return origins.length === 1 && origins[0] === 'none' ? [] : origins
}

/** Shows what was found; a person, or --yes, lets it in. */
async function isConfirmed(
  name: string,
  found: ProbeView,
  given: AddFlags,
  io: Io,
  input: Input,
): Promise<boolean> {
  io.err(probeText(name, found, given.kind === 'mirror'))
  const isDifferent = found.bindings.some(({ state }) => state === 'different')
  if (given.yes === true && (!isDifferent || given.acceptMismatch === true)) return true
  if (given.yes === true) {
    io.err('npmx-registry: nothing was saved; pass --accept-mismatch when you know why\n')
    return false
  }
  if (!io.errIsTty || !input.isTty) {
    io.err('npmx-registry: nothing was saved; pass --yes when this is what you expect\n')
    return false
  }
  const answered = await input.ask('Is this what you expect? [y/N] ')
  if (/^y(?:es)?$/i.test(answered.trim())) return true
  io.err('nothing was saved\n')
  return false
}

function answer(view: UpstreamView, shape: Shape, io: Io): number {
  io.out(shape.json ? `${JSON.stringify(view)}\n` : showText(view))
  return EXIT.ok
}
