/**
 * `config apply -f`: what an operator wants, from a file: upstreams, the keys that are trusted, the
 * rules for serving. It looks at all of it and shows what would change before it changes anything,
 * and asks where fingerprints are new. What the file does not name stays as it is. All of it is
 * changed, in one transaction, or nothing.
 *
 *     [[upstream]]
 *     name = "acme"
 *     url = "https://npm.acme.example/"
 *     names = ["@acme/*"]
 *     keys = ["SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"]
 *     tokenFile = "acme.token"
 *
 *     [[policy]]
 *     match = "**"
 *     action = "quarantine"
 *     minAge = "7d"
 * @module
 */
import { isAbsolute, join } from 'node:path'
import { type Static, Type } from '@sinclair/typebox'
import type { Flags } from '../config.ts'
import { ConfigError } from '../config-values.ts'
import {
  changeIn,
  type Step,
  stepsTo,
  type Wanted,
  type WantedUpstream,
} from '../registries/operator/operator-apply.ts'
import { NewUpstreamShape } from '../registries/sources/upstream-request.ts'
import { withOperations } from './control-client.ts'
import { EXIT, type Io } from './io.ts'
import { checked, checkKeys, type OperatorFile, readOperatorFile } from './operator-file.ts'
import { rulesIn } from './policy-file.ts'
import { conditionsText } from './policy-text.ts'
import { type Input, processInput, readSecret, type SecretFlags } from './upstream-input.ts'
import { probeText } from './upstream-text.ts'

const FileShape = Type.Object({
  upstream: Type.Optional(Type.Array(Type.Record(Type.String(), Type.Unknown()))),
  policy: Type.Optional(Type.Unknown()),
})
const Path = Type.Optional(Type.String({ minLength: 1 }))
/** Secrets are named by the file that they are in, never written into this one. */
const EntryShape = Type.Composite(
  [
    Type.Omit(NewUpstreamShape, ['secret', 'url']),
    Type.Object({
      url: Type.Optional(NewUpstreamShape.properties.url),
      keys: Type.Optional(Type.Array(Type.String({ maxLength: 128 }), { maxItems: 64 })),
      tokenFile: Path,
      basicFile: Path,
      caFile: Path,
      certFile: Path,
      keyFile: Path,
    }),
  ],
  { additionalProperties: false },
)
type Entry = Static<typeof EntryShape>

/** How it is carried out. */
export type ApplyFlags = { file?: string; dryRun?: true; yes?: true; credentials?: true }

export async function configApply(
  flags: Flags,
  given: ApplyFlags,
  shape: { json: boolean },
  io: Io,
  input: Input = processInput(),
): Promise<number> {
  if (given.file === undefined) throw new ConfigError('say which file with -f; - is stdin')
  const wanted = await wantedOf(await readOperatorFile(given.file, input), input)
  const how = { renewsCredentials: given.credentials === true }
  return await withOperations(flags, io, async on => {
    const steps = await stepsTo(wanted, on, how)
    if (!shape.json) io.out(steps.length === 0 ? 'nothing to change\n' : steps.map(text).join(''))
    const isDry = given.dryRun === true
    if (!isDry && !(await isConfirmed(steps, given, io, input))) return EXIT.usage
    if (!isDry && steps.length > 0) await on.config.apply(steps.map(changeIn))
    if (shape.json) io.out(`${JSON.stringify({ applied: !isDry, changes: steps.map(shown) })}\n`)
    return EXIT.ok
  })
}

async function wantedOf(file: OperatorFile, input: Input): Promise<Wanted> {
  checkKeys(file, FileShape, file.value, [])
  const { upstream = [], policy } = checked(file, FileShape, file.value)
  const upstreams: WantedUpstream[] = []
  for (const [i, entry] of upstream.entries()) {
    const at = ['upstream', i]
    checkKeys(file, EntryShape, entry, at)
    const found = checked(file, EntryShape, entry, at)
    if (upstreams.some(({ name }) => name === found.name)) {
      throw new ConfigError(`${file.where(at)}: ${found.name} stands in the file twice`)
    }
    upstreams.push(await upstreamOf(found, file, input))
  }
  return { upstreams, policy: policy === undefined ? null : rulesIn(file, policy, ['policy']) }
}

async function upstreamOf(entry: Entry, file: OperatorFile, input: Input): Promise<WantedUpstream> {
  const { tokenFile, basicFile, caFile, certFile, keyFile, ...upstream } = entry
  const named = { tokenFile, basicFile, caFile, certFile, keyFile }
  const files: SecretFlags = {}
  for (const [flag, path] of Object.entries(named)) {
    if (path === undefined) continue
    Object.assign(files, { [flag]: isAbsolute(path) ? path : join(file.folder, path) })
  }
  const secret = await readSecret(files, input)
  return { ...upstream, ...(secret !== undefined && { secret }) }
}

/** A person, or --yes, agrees to keys that the file does not name. */
async function isConfirmed(
  steps: readonly Step[],
  given: ApplyFlags,
  io: Io,
  input: Input,
): Promise<boolean> {
  const open = steps.flatMap(step =>
    (step.do === 'add-upstream' || step.do === 'set-upstream') && !step.isAgreed ? [step] : [],
  )
  if (open.length === 0) return true
  for (const step of open) {
    const name = step.do === 'add-upstream' ? step.upstream.name : step.name
    if (step.found === null) continue
    io.err(probeText(name, step.found, false))
    if (step.found.bindings.some(({ state }) => state === 'different')) {
      io.err(`npmx-registry: nothing was changed; look at ${name} and add it with 'upstream add'\n`)
      return false
    }
  }
  if (given.yes === true) return true
  if (!io.errIsTty || !input.isTty) {
    io.err('npmx-registry: nothing was changed; name the keys in the file, or pass --yes\n')
    return false
  }
  const answered = await input.ask('Is this what you expect? [y/N] ')
  if (/^y(?:es)?$/i.test(answered.trim())) return true
  io.err('nothing was changed\n')
  return false
}

/** What a step does, without any secret. */
function shown(step: Step): Record<string, unknown> {
  switch (step.do) {
    case 'add-upstream':
      return { do: step.do, name: step.upstream.name, settings: withoutSecret(step.upstream) }
    case 'set-upstream':
      return { do: step.do, name: step.name, settings: withoutSecret(step.settings) }
    case 'approve-key':
      return step
    default:
      return { do: step.do, before: step.before, after: step.after }
  }
}

function withoutSecret({ secret, ...settings }: { secret?: unknown }): Record<string, unknown> {
  return secret === undefined ? settings : { ...settings, credential: 'written' }
}

function text(step: Step): string {
  switch (step.do) {
    case 'add-upstream':
      return `+ upstream ${step.upstream.name}: ${JSON.stringify(withoutSecret(step.upstream))}\n`
    case 'set-upstream':
      return `~ upstream ${step.name}: ${JSON.stringify(withoutSecret(step.settings))}\n`
    case 'approve-key':
      return `+ key ${step.keyid} of ${step.name}\n`
    default:
      return rulesChange(step)
  }
}

function rulesChange({ before, after }: Extract<Step, { do: 'set-policy' }>): string {
  const line = (rule: (typeof before)[number], i: number) =>
    `${i + 1} ${rule.action} ${rule.match} (${conditionsText(rule)})\n`
  const gone = before.map((rule, i) => `- rule ${line(rule, i)}`)
  const come = after.map((rule, i) => `+ rule ${line(rule, i)}`)
  return [...gone, ...come].join('')
}
