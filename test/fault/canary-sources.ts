/**
 * Registries of every kind of credential, each with a recorder before it: one that needs none, one
 * each with a token, a password and a client certificate, a mirror with a token, and a stranger to
 * whom one of them redirects.
 * @module
 */
import { Recorder } from '../fixtures/recorder.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../fixtures/registry.ts'
import { TEST_CERTIFICATE, TEST_KEY } from '../unit/registries/test-certificates.ts'

const VERSIONS = [{ version: '1.0.0' }, { version: '1.1.0' }]

type Name = 'npm' | 'mirror' | 'acme' | 'basic' | 'closed' | 'stranger'
/** Names of their own; the rest have those of every fixture. */
const OWN: Partial<Record<Name, string[]>> = {
  acme: ['@acme/one', '@acme/moved'],
  basic: ['@basic/one'],
  closed: ['@closed/one'],
  stranger: ['@acme/one', '@acme/moved'],
}

/** What is behind, and what the server speaks to. */
export type Sources = {
  behind: Record<Name, FixtureRegistry>
  at: Record<Name, Recorder>
}

/** Starts all of them. @param stack ends them */
export function startSources(stack: AsyncDisposableStack): Sources {
  const behind = each(name => stack.use(startOne(name)))
  const tls = {
    key: TEST_KEY,
    cert: TEST_CERTIFICATE,
    ca: TEST_CERTIFICATE,
    requestCert: true,
    rejectUnauthorized: true,
  }
  const own: Partial<Record<Name, { tls?: typeof tls }>> = { acme: {}, basic: {}, closed: { tls } }
  const at = each(name => stack.use(new Recorder(behind[name], own[name])))
  at.acme.instead = path => {
    const isMoved = /moved|one-1\.0\.0\.tgz/.test(path)
    return isMoved ? Response.redirect(new URL(path.slice(1), at.stranger.url)) : null
  }
  return { behind, at }
}

function startOne(name: Name): FixtureRegistry {
  const names = OWN[name]
  // Another name than the server's: some clients send a token wherever the name is the same.
  const host = 'localhost'
  if (names === undefined) return startFixtureRegistry({ host })
  const packages = names.map(own => ({ name: own, versions: VERSIONS }))
  return startFixtureRegistry({ packages, seed: name, host })
}

function each<Made>(make: (name: Name) => Made): Record<Name, Made> {
  return {
    npm: make('npm'),
    mirror: make('mirror'),
    acme: make('acme'),
    basic: make('basic'),
    closed: make('closed'),
    stranger: make('stranger'),
  }
}
