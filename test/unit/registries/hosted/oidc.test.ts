import { describe, expect, test } from 'bun:test'
import { Fetcher } from '../../../../src/registries/fetch/fetcher.ts'
import { isJobOf, issuerOf, pinnedOf } from '../../../../src/registries/accounts/oidc-claims.ts'
import { IssuerKeys } from '../../../../src/registries/accounts/oidc-keys.ts'
import { audiencesOf } from '../../../../src/registries/hosted/oidc.ts'
import { OidcIssuer } from '../../../fixtures/oidc-issuer.ts'

const MINUTE_MS = 60_000
const AUDIENCE = 'npm:registry.example'

function publisher(
  type: 'github' | 'gitlab' | 'circleci' | 'generic',
  claims: Record<string, unknown>,
) {
  const rest = { id: 'x', package: 'x', pinned: null, creator: 'x', created: 'x' }
  return { ...rest, type, claims, issuer: 'https://gitlab.example' }
}

describe('the keys of an issuer', () => {
  test('follow a rotation, and a key that is gone vouches no more', async () => {
    await using issuer = await OidcIssuer.start()
    let now = new Date()
    const keys = new IssuerKeys(new Fetcher({ userAgent: 'test' }), () => now)
    const verify = async (token: string) => await keys.verify(token, issuer.url, [AUDIENCE])
    const old = await issuer.token({ aud: AUDIENCE }, { expires: 3600 })
    expect(await verify(old)).toMatchObject({ sub: 'job' })
    await issuer.rotate('second', false)
    const next = await issuer.token({ aud: AUDIENCE }, { expires: 3600 })
    await expect(verify(next)).rejects.toMatchObject({ code: 'unauthorized' })
    now = new Date(now.getTime() + MINUTE_MS)
    expect(await verify(next)).toMatchObject({ sub: 'job' })
    await expect(verify(old)).rejects.toMatchObject({ code: 'unauthorized' })
    expect(issuer.asked).toHaveLength(4)
    const hour = 60 * MINUTE_MS
    now = new Date(now.getTime() + hour)
    await expect(verify(next)).rejects.toMatchObject({ code: 'unauthorized' })
  })

  test('are asked for once while it is down, and again later', async () => {
    await using issuer = await OidcIssuer.start()
    let now = new Date()
    const keys = new IssuerKeys(new Fetcher({ userAgent: 'test' }), () => now)
    issuer.answers.set('/keys', () => new Response('', { status: 404 }))
    const token = await issuer.token({ aud: AUDIENCE }, { expires: 3600 })
    for (let i = 0; i < 5; i++) {
      const answer = keys.verify(token, issuer.url, [AUDIENCE])
      await expect(answer).rejects.toMatchObject({ code: 'upstream-bad-answer' })
    }
    expect(issuer.asked).toHaveLength(2)
    issuer.answers.clear()
    now = new Date(now.getTime() + MINUTE_MS)
    expect(await keys.verify(token, issuer.url, [AUDIENCE])).toMatchObject({ sub: 'job' })
  })
})

test('the names of this registry, as npm and as yarn 4 write them', () => {
  expect(audiencesOf('https://registry.example/npm/')).toEqual(['npm:registry.example'])
  const withPort = ['npm:registry.example', 'npm:registry.example:8443']
  expect(audiencesOf('https://registry.example:8443/')).toEqual(withPort)
})

describe('GitLab', () => {
  const wanted = { project_path: 'roe/kit', ci_config_ref_uri: { file: '.gitlab-ci.yml' } }
  const job = {
    project_path: 'roe/kit',
    ci_config_ref_uri: 'gitlab.example/roe/kit//.gitlab-ci.yml@refs/heads/main',
    project_id: '1',
    namespace_id: '2',
  }
  const row = publisher('gitlab', wanted)

  test('a job of the project by its pipeline', () => {
    expect(isJobOf(row, job)).toBe(true)
    expect(isJobOf(publisher('gitlab', { ...wanted, environment: 'npm' }), job)).toBe(false)
    expect(pinnedOf(row, job)).toEqual({ project_id: '1', namespace_id: '2' })
  })

  for (const change of [
    { project_path: 'roe/other' },
    { project_path: 'roe/kit/sub' },
    { ci_config_ref_uri: null },
    { ci_config_ref_uri: 'gitlab.example/roe/kit//other.yml@refs/heads/main' },
    { ci_config_ref_uri: 'evil.example/roe/kit//.gitlab-ci.yml@refs/heads/main' },
    { ci_config_ref_uri: 'gitlab.example/roe/kit-evil//.gitlab-ci.yml@refs/heads/main' },
    { ci_config_ref_uri: 'gitlab.example/roe/kit//.gitlab-ci.yml' },
  ]) {
    test(`not ${JSON.stringify(change)}`, () => {
      expect(isJobOf(row, { ...job, ...change })).toBe(false)
    })
  }
})

describe('CircleCI', () => {
  const key = (name: string) => `oidc.circleci.com/${name}`
  const job = {
    [key('org-id')]: 'o',
    [key('project-id')]: 'p',
    [key('pipeline-definition-id')]: 'd',
    [key('vcs-origin')]: 'github.com/roe/kit',
  }
  const contexts = (...ids: string[]) => ({ [key('context-ids')]: ids })

  test('a job of the pipeline, in all contexts that are asked for', () => {
    expect(isJobOf(publisher('circleci', job), job)).toBe(true)
    const wanted = publisher('circleci', { ...job, ...contexts('a', 'b') })
    expect(isJobOf(wanted, { ...job, ...contexts('b', 'c', 'a') })).toBe(true)
    expect(isJobOf(wanted, { ...job, ...contexts('a') })).toBe(false)
    expect(isJobOf(wanted, job)).toBe(false)
    expect(isJobOf(wanted, { ...job, [key('context-ids')]: 'a b' })).toBe(false)
  })

  test('not of another', () => {
    for (const name of Object.keys(job)) {
      expect(isJobOf(publisher('circleci', job), { ...job, [name]: 'other' })).toBe(false)
      const { [name]: _, ...without } = job
      expect(isJobOf(publisher('circleci', job), without)).toBe(false)
      expect(isJobOf(publisher('circleci', without), without)).toBe(false)
    }
  })
})

describe('any other issuer', () => {
  const row = publisher('generic', { sub: 'repo:roe/kit', ref: 'main' })

  test('all claims, letter for letter', () => {
    expect(isJobOf(row, { sub: 'repo:roe/kit', ref: 'main', more: 1 })).toBe(true)
    expect(isJobOf(row, { sub: 'repo:roe/Kit', ref: 'main' })).toBe(false)
    expect(isJobOf(row, { sub: 'repo:roe/kit' })).toBe(false)
    expect(isJobOf(publisher('generic', {}), { sub: 'x' })).toBe(false)
    expect(isJobOf(publisher('generic', { ref: 'main' }), { ref: 'main' })).toBe(false)
  })
})

describe('the usual issuers', () => {
  test('by type', () => {
    const file = { file: 'a.yml' }
    const github = { repository: 'a/b', workflow_ref: file }
    expect(issuerOf({ type: 'github', claims: github })).toContain('githubusercontent')
    const gitlab = { project_path: 'a/b', ci_config_ref_uri: file }
    expect(issuerOf({ type: 'gitlab', claims: gitlab })).toBe('https://gitlab.com')
    const own = { type: 'gitlab', claims: gitlab, issuer: 'https://gitlab.example' } as const
    expect(issuerOf(own)).toBe('https://gitlab.example')
  })
})
