/**
 * The peer: Verdaccio, pinned in bench/peers with a lockfile, installed into bench/.peers the first
 * time it is asked for (it needs Node 22 or later, which comes along). Where it cannot be had the
 * bench says so and goes on without it.
 * @module
 */
import { cpSync, existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { freePort, launch, type Server } from './processes.ts'

const PINNED = join(import.meta.dir, 'peers')
const FOLDER = join(import.meta.dir, '.peers')
const PROGRAM = join(FOLDER, 'node_modules/verdaccio/bin/verdaccio')
const NODE_MAJOR_MIN = 22
/** About 80 MB over the network. */
const INSTALL_MS_MAX = 300_000

/** The peer, or why it is not there. */
export type Peer = { node: string; program: string } | { missing: string }

/** Installs the peer when it is not there as pinned. */
export function preparePeer(): Peer {
  mkdirSync(FOLDER, { recursive: true })
  for (const file of ['package.json', 'bun.lock']) cpSync(join(PINNED, file), join(FOLDER, file))
  const { exitCode, stderr } = Bun.spawnSync(
    [process.execPath, 'install', '--frozen-lockfile', '--ignore-scripts'],
    { cwd: FOLDER, timeout: INSTALL_MS_MAX },
  )
  if (exitCode !== 0 || !existsSync(PROGRAM)) {
    return { missing: `Verdaccio could not be installed: ${lastLine(stderr.toString())}` }
  }
  const node = [join(FOLDER, 'node_modules/.bin/node'), 'node'].find(path => isNewNode(path))
  if (node === undefined) return { missing: `Verdaccio needs Node ${NODE_MAJOR_MIN} or later` }
  return { node, program: PROGRAM }
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? ''
}

function isNewNode(path: string): boolean {
  if (Bun.which(path) === null) return false
  const { stdout } = Bun.spawnSync([path, '--version'])
  return Number(/^v(\d+)\./.exec(stdout.toString())?.[1] ?? 0) >= NODE_MAJOR_MIN
}

/** Whoever publishes in the bench. */
const PERSON = { name: 'bench', password: 'only for the bench' }

/** How its tokens are: as it comes they hold a password, checked by bcrypt at each request. */
export type PeerTokens = 'default' | 'signed'

const SIGNED = { security: { api: { legacy: false, jwt: { sign: { expiresIn: '1d' } } } } }

/**
 * Its default settings, but for logging; a document stays fresh for as long as the bench runs; and
 * of the scope that is published in no other registry is asked.
 */
function settings(folder: string, upstream: string, tokens: PeerTokens): string {
  return JSON.stringify({
    storage: join(folder, 'storage'),
    auth: { htpasswd: { file: join(folder, 'htpasswd') } },
    uplinks: { upstream: { url: upstream, maxage: '60m', timeout: '60s' } },
    ...(tokens === 'signed' && SIGNED),
    packages: {
      '@bench/*': { access: '$all', publish: '$authenticated' },
      '**': { access: '$all', publish: '$authenticated', proxy: 'upstream' },
    },
    log: { type: 'stdout', format: 'json', level: 'fatal' },
  })
}

export async function launchVerdaccio(
  peer: { node: string; program: string },
  folder: string,
  upstream: string,
  tokens: PeerTokens = 'default',
): Promise<Server> {
  const port = freePort()
  const config = join(folder, 'config.yaml') // JSON is YAML
  await Bun.write(config, settings(folder, upstream, tokens))
  const listen = ['--config', config, '--listen', `127.0.0.1:${port}`]
  const command = [peer.node, peer.program, ...listen]
  return launch({ command, home: folder, url: `http://127.0.0.1:${port}`, readyPath: '/-/ping' })
}

/** Makes an account. @returns its token */
export async function verdaccioToken(url: string): Promise<string> {
  const answer = await fetch(`${url}/-/user/org.couchdb.user:${PERSON.name}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(PERSON),
  })
  const body: unknown = await answer.json()
  const { token } = { token: null, ...(typeof body === 'object' ? body : null) }
  if (typeof token === 'string') return token
  throw new Error(`Verdaccio made no account: ${answer.status}`)
}
