/**
 * `npmx-registry verify`: every entry of a project's lockfiles against a transparency log. Nothing
 * is believed but the log's key: the newest checkpoint must be signed by it and consistent with the
 * one remembered, each record must be proven to stand in that tree, and its integrity must be the
 * one that the lockfile pins.
 *
 * Exit codes: 0 all verified; 1 findings; 2 usage, unreadable lockfile or state; 3 the log or a
 * part of it could not be asked; 4 the log misbehaved, and the evidence is in a file.
 *
 * The report's JSON form is described in `verify-report.ts`.
 *
 * @module
 */
import { dirname, join, relative, resolve } from 'node:path'
import { openCheckpoint } from '../log/checkpoint.ts'
import { LogClient, LogMisbehaviour, LogUnreachable } from '../log/client.ts'
import { NoteError } from '../log/errors.ts'
import { newVerifier, type Verifier } from '../log/note.ts'
import { writeReplacing } from '../db/durable.ts'
import { LockfileError, type Lockfile } from '../registries/lockfile/lockfile-entry.ts'
import { NpmrcError, readNpmSettings, type NpmSettings } from '../registries/lockfile/npmrc.ts'
import { EXIT } from './io.ts'
import { httpReader, LogHttpError, type Pace, type RegistryReader } from './log-http.ts'
import { startProgress } from './progress.ts'
import { checkEntries, describeUnreachable, type Checked, type CheckNeeds } from './verify-check.ts'
import { findLockfiles, readLockfile } from './verify-files.ts'
import { type Asking, logOfSettings, originOf, prepareAsking } from './verify-lens.ts'
import { matcherOf } from './verify-patterns.ts'
import { makeReport, type Findings, type LogSeen, type Report } from './verify-report.ts'
import { formatSarif } from './verify-sarif.ts'
import {
  defaultStatePath,
  findLog,
  readState,
  rememberLog,
  StateError,
  type RememberedLog,
} from './verify-state.ts'
import { formatAnnotations, formatText, plain } from './verify-text.ts'

export type VerifyOptions = {
  /** Found in the current folder when none is named. */
  lockfiles: readonly string[]
  url?: string | undefined
  key?: string | undefined
  state?: string | undefined
  allowMissing?: readonly string[] | undefined
  allowRevisions?: readonly string[] | undefined
  format?: 'text' | 'json' | 'sarif' | undefined
  json?: boolean | undefined
  fetch?: boolean | undefined
}

export type VerifyIo = {
  stdout: (text: string) => void
  stderr: (text: string) => void
  env: Readonly<Record<string, string | undefined>>
  cwd: string
  /** Whether a person looks at stderr. */
  tty: boolean
  /** How long to wait between tries; tests wait less. */
  pace?: Pace
}

/** Something that the person who runs the command can put right. */
class UsageError extends Error {
  override readonly name = 'UsageError'
  readonly code = 'usage'
}

type ReadLockfile = { path: string; lockfile: Lockfile }
type Project = ReadLockfile & { settings: NpmSettings }
type Plan = {
  url: string
  statePath: string
  logs: RememberedLog[]
  lockfiles: ReadLockfile[]
  entries: Checked[]
  isAllowed: (name: string, version: string) => boolean
  mayRevise: (name: string, version: string) => boolean
}
type Trusted = { vkey: string; verifier: Verifier; from: LogSeen['keyFrom'] }

export async function verify(options: VerifyOptions, io: VerifyIo): Promise<number> {
  try {
    const plan = await makePlan(options, io)
    const report = await run(plan, options, io)
    print(report, options, io)
    return report.exitCode
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof StateError)) throw error
    io.stderr(`npmx-registry verify: ${plain(error.message)}\n`)
    return EXIT.usage
  }
}

async function makePlan(options: VerifyOptions, io: VerifyIo): Promise<Plan> {
  const lockfiles = readLockfiles(options.lockfiles, io.cwd)
  const projects = await Promise.all(lockfiles.map(async read => withSettings(read, io)))
  const url = readUrl(options.url ?? findUrl(projects[0]?.settings))
  const state = options.state
  const statePath = state === undefined ? defaultStatePath(io.env) : resolve(io.cwd, state)
  return {
    url,
    statePath,
    logs: readState(statePath),
    lockfiles,
    entries: projects.flatMap(project => checkedOf(project, url)),
    isAllowed: usage('--allow-missing', () => matcherOf(options.allowMissing ?? [])),
    mayRevise: usage('--allow-revisions', () => matcherOf(options.allowRevisions ?? [])),
  }
}

function readLockfiles(named: readonly string[], cwd: string): ReadLockfile[] {
  const paths = named.length > 0 ? named.map(path => resolve(cwd, path)) : findLockfiles(cwd)
  if (paths.length === 0) {
    throw new UsageError(
      'no lockfile here (package-lock.json, npm-shrinkwrap.json, pnpm-lock.yaml, yarn.lock, ' +
        'bun.lock): name one',
    )
  }
  return paths.map(absolute => {
    const inside = relative(cwd, absolute)
    const path = inside === '' || inside.startsWith('..') ? absolute : inside
    try {
      return { path, lockfile: readLockfile(absolute) }
    } catch (error) {
      if (!(error instanceof LockfileError)) throw error
      throw new UsageError(`${path}:${error.line}: ${error.message}`, { cause: error })
    }
  })
}

/** With the settings that count where it lies. */
async function withSettings(read: ReadLockfile, io: VerifyIo): Promise<Project> {
  const dir = dirname(resolve(io.cwd, read.path))
  try {
    const home = io.env['HOME'] ?? null
    return { ...read, settings: await readNpmSettings({ dir, home, env: io.env }) }
  } catch (error) {
    if (!(error instanceof NpmrcError)) throw error
    throw new UsageError(error.message, { cause: error })
  }
}

/** The log of the registry that the project installs from. */
function findUrl(settings: NpmSettings | undefined): string {
  const url = settings === undefined ? undefined : logOfSettings(settings)
  if (url !== undefined) return url
  throw new UsageError('no .npmrc names a registry: say with --url which one holds the log')
}

function checkedOf({ path, lockfile, settings }: Project, url: string): Checked[] {
  const { format, entries } = lockfile
  return entries.map(entry => {
    return { lockfile: path, format, entry, origin: originOf(entry, settings, url) }
  })
}

function readUrl(text: string): string {
  const url = usage('--url', () => new URL(text))
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new UsageError(`${text} is no http or https URL`)
  }
  // Credentials are for clients that install; the log is open to everybody.
  url.username = ''
  url.password = ''
  url.search = ''
  url.hash = ''
  if (!url.pathname.endsWith('/')) url.pathname += '/'
  return url.href
}

async function run(plan: Plan, options: VerifyOptions, io: VerifyIo): Promise<Report> {
  const { url } = plan
  const reader = httpReader(url, io.pace)
  const findings: Findings = {
    url,
    log: null,
    lockfiles: plan.lockfiles.map(({ path, lockfile: { format, version, entries } }) => {
      return { path, format, version, entries: entries.length }
    }),
    entries: [],
    misbehaviour: null,
    error: null,
  }
  try {
    await check(plan, reader, findings, options, io)
  } catch (error) {
    if (error instanceof LogMisbehaviour) {
      findings.misbehaviour = {
        code: error.code,
        message: error.message,
        evidence: writeEvidence(error, url, io),
      }
    } else if (error instanceof LogUnreachable) {
      findings.error = describeUnreachable(error)
    } else if (error instanceof LogHttpError) {
      findings.error = error.message
    } else {
      throw error
    }
  }
  return makeReport(findings)
}

/** Fills the findings in; throws when the log lies or cannot be asked. */
async function check(
  plan: Plan,
  reader: RegistryReader,
  findings: Findings,
  options: VerifyOptions,
  io: VerifyIo,
): Promise<void> {
  const { url, statePath } = plan
  const known = findLog(plan.logs, url, options.key)
  const trusted = await findKey(plan, reader, options, io)
  const remembered = known?.vkey === trusted.vkey ? known : undefined
  const rememberedSize = remembered === undefined ? null : sizeOf(remembered, trusted, statePath)
  const origins = plan.entries.map(({ origin }) => origin)
  const asking = await prepareAsking(origins, { url, reader, pace: io.pace })
  const client = new LogClient(asking.ops, trusted.verifier, remembered?.checkpoint)
  await client.update()
  findings.entries = await checkAll(plan, client, asking, options, io)
  const { checkpoint, latest } = client
  if (checkpoint === undefined || latest === undefined) throw new TypeError('no checkpoint')
  const { origin, size } = checkpoint
  findings.log = { origin, size, vkey: trusted.vkey, keyFrom: trusted.from, rememberedSize }
  remember(plan, { url, vkey: trusted.vkey, checkpoint: latest, seen: now() }, options, io)
}

async function checkAll(
  plan: Plan,
  client: LogClient,
  { namespaces, readerOf }: Asking,
  options: VerifyOptions,
  io: VerifyIo,
): Promise<Findings['entries']> {
  const { entries } = plan
  const hashTarball: CheckNeeds['hashTarball'] = ({ entry, origin: { upstream } }) => {
    const namespace = upstream === null ? undefined : namespaces.get(upstream)
    return readerOf(namespace).hashTarball(entry.name, entry.version, entry.archive)
  }
  using progress = startProgress({
    label: 'checking',
    total: entries.length,
    tty: io.tty,
    write: io.stderr,
  })
  return await checkEntries(entries, {
    lookup: (name, version, namespace) => client.lookup(name, version, namespace),
    hashTarball: options.fetch === true ? hashTarball : undefined,
    url: plan.url,
    namespaces,
    isAllowed: plan.isAllowed,
    mayRevise: plan.mayRevise,
    advance: () => progress.advance(),
  })
}

async function findKey(
  plan: Plan,
  reader: RegistryReader,
  options: VerifyOptions,
  io: VerifyIo,
): Promise<Trusted> {
  const byUrl = findLog(plan.logs, plan.url, undefined)
  if (options.key !== undefined) {
    const vkey = options.key.trim()
    if (byUrl !== undefined && byUrl.vkey !== vkey) {
      io.stderr(`${plan.statePath} remembers another key for ${plan.url}: --key is used\n`)
    }
    return { vkey, verifier: usage('--key', () => newVerifier(vkey)), from: 'option' }
  }
  if (byUrl !== undefined) {
    const { vkey } = byUrl
    return { vkey, verifier: usage(plan.statePath, () => newVerifier(vkey)), from: 'state' }
  }
  const vkey = await reader.readVkey().catch((error: unknown) => {
    if (!(error instanceof LogHttpError)) throw error
    const hint = `${plan.url} names no log key; is it an npmx-registry? Name one with --url`
    throw new LogUnreachable(hint, { cause: error })
  })
  try {
    return { vkey, verifier: newVerifier(vkey), from: 'first-use' }
  } catch (error) {
    if (!(error instanceof NoteError)) throw error
    const hint = `${plan.url} names no log key; is it an npmx-registry? Name one with --url`
    throw new LogUnreachable(hint, { cause: error })
  }
}

/** The size of the remembered tree. A head that its own key did not sign was not written by us. */
function sizeOf(remembered: RememberedLog, trusted: Trusted, statePath: string): number {
  try {
    return openCheckpoint(remembered.checkpoint, trusted.verifier).size
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new StateError(statePath, `its checkpoint cannot be trusted: ${reason}`, error)
  }
}

function remember(plan: Plan, log: RememberedLog, options: VerifyOptions, io: VerifyIo): void {
  try {
    rememberLog(plan.statePath, log)
  } catch (error) {
    // A read-only home is no reason to fail; a file that was asked for is.
    if (!(error instanceof StateError) || options.state !== undefined) throw error
    io.stderr(`the log's head is not remembered: ${plain(error.message)}\n`)
  }
}

/** Writes what a stranger needs to see the misbehaviour; answers with the path. */
function writeEvidence(error: LogMisbehaviour, url: string, io: VerifyIo): string {
  const time = now()
  const name = `npmx-registry-evidence-${time.replaceAll(/[:-]/g, '')}.txt`
  const path = join(io.cwd, name)
  const head = `code ${error.code}\nlog ${url}\ntime ${time}\n${error.message}\n\n`
  writeReplacing({ path, bytes: Buffer.from(`${head}${error.evidence}`) }, 0o644)
  return path
}

function print(report: Report, options: VerifyOptions, io: VerifyIo): void {
  const format = options.json === true ? 'json' : (options.format ?? 'text')
  const annotations = io.env['GITHUB_ACTIONS'] === 'true' ? formatAnnotations(report) : ''
  if (format === 'json') io.stdout(`${JSON.stringify(report, undefined, 2)}\n`)
  else if (format === 'sarif') io.stdout(formatSarif(report))
  else io.stdout(annotations + formatText(report))
  if (format === 'text') return
  io.stderr(annotations)
  if (report.log?.keyFrom === 'first-use') {
    io.stderr(`key taken from the server on first use: --key '${plain(report.log.vkey)}'\n`)
  }
}

function usage<T>(what: string, action: () => T): T {
  try {
    return action()
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new UsageError(`${what}: ${reason}`, { cause: error })
  }
}

/** This moment in UTC, to the second. */
function now(): string {
  return `${new Date().toISOString().slice(0, 19)}Z`
}
