/**
 * What is on disk: opened once for a data dir, with the first upstream in it.
 * @module
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from './config.ts'
import { Tokens, Users } from './db/accounts.ts'
import { CacheFiles } from './db/cache-files.ts'
import { Contents } from './db/contents.ts'
import { Disputes } from './db/disputes.ts'
import { Documents } from './db/documents.ts'
import { Incidents } from './db/incidents.ts'
import { openLogKey, readOrMakeKey, settleNextKey } from './db/keys.ts'
import { lockDataDir } from './db/lock.ts'
import { SqliteLogStore } from './db/log-store.ts'
import { openCache, openRegistry, registryPath } from './db/open.ts'
import { Packages } from './db/packages.ts'
import { PolicyRules, Provenances } from './db/policy-rules.ts'
import { Resolutions } from './db/resolutions.ts'
import { Removals } from './db/removals.ts'
import { Revisions } from './db/revisions.ts'
import { checkRestored } from './db/restoring.ts'
import { Secrets } from './db/secrets.ts'
import { Teams } from './db/teams.ts'
import { Upstreams } from './db/upstreams.ts'
import { Views } from './db/views.ts'
import { Log } from './log/log.ts'
import { defaultRegistryUrl } from './registries/default-registry.ts'
import { timestamp } from './registries/timestamp.ts'
import { generateSigningKey, isKept, OWN_KEY_FILE, OwnKeys } from './registries/keys/own-key.ts'
import { Policy } from './registries/policy/policy.ts'
import { FIRST_UPSTREAM } from './registries/sources/upstream-request.ts'

/** Bytes of an Ed25519 seed (RFC 8032, section 5.1.5). */
const SEED_BYTES = 32
/** Tarballs kept for registries in mode `cache`: those of some hundred applications. */
const TARBALL_CACHE_BYTES_MAX = 10 * 1024 * 1024 * 1024

/** The clock of everything. */
export const now = (): Date => new Date()

/** What is on disk, open: everything else is built over it. */
export type Storage = ReturnType<typeof openStorage>

/** Opens a data dir. @throws LockedError when another process has it */
export function openStorage(
  config: Config,
  stack: AsyncDisposableStack,
  warn: (message: string) => void,
) {
  const { dataDir } = config
  const dataDirIsNew = !existsSync(registryPath(dataDir))
  stack.use(lockDataDir(dataDir, process.pid))
  checkRestored(dataDir)
  const db = stack.use(openRegistry(dataDir))
  const documents = new Documents(stack.use(openCache(dataDir)))
  const upstreams = new Upstreams(db)
  const policyRules = new PolicyRules(db)
  const store = new SqliteLogStore(db, dataDir)
  const origin = `${new URL(config.publicUrl).host}/log`
  const logKey = openLogKey(dataDir, origin, store.readState() !== null, randomSeed)
  settleNextKey(dataDir, OWN_KEY_FILE, pem => isKept(upstreams, pem))
  return {
    dataDir,
    dataDirIsNew,
    db,
    removals: stack.use(new Removals(dataDir, warn)),
    documents,
    upstreams,
    secrets: new Secrets(db, dataDir),
    store,
    logKey,
    log: Log.open(store, logKey.signer),
    ownKeys: new OwnKeys(
      readOrMakeKey(dataDir, OWN_KEY_FILE, generateSigningKey),
      upstreams,
      timestamp(now()),
    ),
    packages: new Packages(db),
    incidents: new Incidents(db),
    disputes: new Disputes(db),
    revisions: new Revisions(db),
    resolutions: new Resolutions(db),
    policyRules,
    policy: new Policy({ policyRules, provenances: new Provenances(db), now }),
    views: new Views(db),
    contents: new Contents(db),
    users: new Users(db),
    tokens: new Tokens(db),
    teams: new Teams(db),
    files: new CacheFiles(join(dataDir, 'cache', 'files')),
    tarballs: new CacheFiles(join(dataDir, 'cache', 'tarballs'), TARBALL_CACHE_BYTES_MAX),
  }
}

/** The upstream `npm`: made on the first start; `--upstream` replaces its URL. */
export function settleFirstUpstream({ upstreams, documents }: Storage, config: Config): void {
  const url = config.upstreamUrl ?? defaultRegistryUrl()
  const known = upstreams.get(FIRST_UPSTREAM)
  if (known?.url === url) return
  if (known !== null) {
    upstreams.change(FIRST_UPSTREAM, { url })
    // Another address is another word for what a package is: nothing cached of the old one counts.
    documents.clear()
    return
  }
  upstreams.add({
    name: FIRST_UPSTREAM,
    url,
    kind: 'registry',
    mirrorOf: null,
    namespace: 'npm',
    names: ['**'],
    signatures: 'auto',
    tarballs: 'canonical',
    created: timestamp(now()),
  })
}

function randomSeed(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(SEED_BYTES))
}
