/**
 * Whom a package trusts and whose id tokens are taken, through the front door: who may say so, what
 * may be said, and what issuers are asked.
 *
 * @module
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { OidcIssuer } from '../../fixtures/oidc-issuer.ts'
import { Client } from '../../fixtures/publishing.ts'
import { escaped, GITHUB, JOB, TrustLab } from '../../fixtures/trust-lab.ts'

const TrustShape = Type.Array(
  Type.Object({ id: Type.String(), type: Type.String(), claims: Type.Unknown() }),
)

let lab: TrustLab

beforeAll(async () => {
  lab = await TrustLab.start()
})

afterAll(async () => {
  await lab[Symbol.asyncDispose]()
})

describe('the issuer', () => {
  test('is not asked for what no package trusts', async () => {
    const before = lab.issuer.asked.length
    expect((await lab.exchange('@roe/never', await lab.issuer.token(JOB))).status).toBe(403)
    expect(lab.issuer.asked.length).toBe(before)
  })

  test('is asked once for many, and again for a key that is new', async () => {
    await using other = await OidcIssuer.start()
    await lab.allow(other)
    const name = await lab.trusting(other)
    for (let i = 0; i < 3; i++)
      await lab.exchanged(await lab.exchange(name, await other.token(JOB)))
    expect(other.asked).toEqual(['/.well-known/openid-configuration', '/keys'])
    await other.rotate('second')
    // Asked again no sooner than after half a minute: whoever makes keys up costs nothing.
    expect((await lab.exchange(name, await other.token(JOB))).status).toBe(401)
    expect(other.asked).toHaveLength(2)
  })

  for (const [what, path, body] of [
    [
      'describes another',
      '/.well-known/openid-configuration',
      {
        issuer: 'https://evil.example',
        jwks_uri: 'https://evil.example/keys',
      },
    ],
    [
      'has its keys elsewhere',
      '/.well-known/openid-configuration',
      {
        issuer: 'SELF',
        jwks_uri: 'http://127.0.0.1:1/keys',
      },
    ],
    ['has no keys', '/keys', { keys: 'none' }],
  ] as const) {
    test(`${what}: nothing is exchanged`, async () => {
      await using other = await OidcIssuer.start()
      const text = JSON.stringify(body).replace('SELF', other.url)
      other.answers.set(path, () => new Response(text))
      await lab.allow(other)
      const name = await lab.trusting(other)
      const answer = await lab.exchange(name, await other.token(JOB))
      expect(answer.status).toBe(502)
    })
  }

  test('that was taken off the list is asked no more', async () => {
    await using other = await OidcIssuer.start()
    await lab.allow(other)
    const name = await lab.trusting(other)
    await lab.exchanged(await lab.exchange(name, await other.token(JOB)))
    expect((await lab.admin.send('DELETE', '-/oidc/issuers', { issuer: other.url })).status).toBe(
      200,
    )
    expect((await lab.exchange(name, await other.token(JOB))).status).toBe(403)
  })

  test('is named by an admin alone, and is a plain https URL', async () => {
    const body = { issuer: 'https://ci.example', type: 'generic' }
    expect((await lab.roe.send('POST', '-/oidc/issuers', body)).status).toBe(403)
    expect((await lab.roe.get('-/oidc/issuers')).status).toBe(403)
    for (const url of [
      'http://ci.example',
      'ftp://ci.example',
      'https://a:b@ci.example',
      'x',
      'https://ci.example/?a',
    ]) {
      const answer = await lab.admin.send('POST', '-/oidc/issuers', { ...body, issuer: url })
      expect(answer.status).toBe(422)
    }
    expect((await lab.admin.send('POST', '-/oidc/issuers', body)).status).toBe(201)
    expect((await lab.admin.send('POST', '-/oidc/issuers', body)).status).toBe(409)
    expect(await (await lab.admin.get('-/oidc/issuers')).text()).toContain('githubusercontent')
  })
})

describe('trust', () => {
  test('is listed as npm shows it, and taken back with its tokens', async () => {
    const name = await lab.trusting()
    const path = `-/package/${escaped(name)}/trust`
    const list = Value.Parse(TrustShape, await (await lab.roe.get(path)).json())
    expect(list).toHaveLength(1)
    expect(list[0]).toMatchObject({ type: 'github', claims: GITHUB.claims })
    const job = await lab.exchanged(await lab.exchange(name, await lab.issuer.token(JOB)))
    expect((await job.publish({ name, version: '1.1.0' })).status).toBe(201)
    expect((await lab.roe.send('DELETE', `${path}/${list[0]?.id}`)).status).toBe(200)
    expect((await job.publish({ name, version: '1.2.0' })).status).toBe(401)
    expect((await lab.exchange(name, await lab.issuer.token(JOB))).status).toBe(403)
    expect((await lab.roe.send('DELETE', `${path}/${list[0]?.id}`)).status).toBe(404)
  })

  test('is for whoever may write the package, in person', async () => {
    const name = await lab.trusting()
    const path = `-/package/${escaped(name)}/trust`
    const stranger = await Client.named(lab.instance, 'stranger')
    const publisher = await Client.named(lab.instance, 'publisher', { scopes: ['publish'] })
    const nobody = new Client(lab.instance)
    for (const [client, status] of [
      [stranger, 403],
      [publisher, 403],
      [nobody, 401],
    ] as const) {
      expect((await client.get(path)).status).toBe(status)
      expect((await client.send('POST', path, [GITHUB])).status).toBe(status)
      expect((await client.send('DELETE', `${path}/x`)).status).toBe(status)
    }
    expect((await lab.roe.get('-/package/@roe%2fnever/trust')).status).toBe(404)
  })

  const uuid = crypto.randomUUID()
  for (const [what, body, status] of [
    ['no claims', { type: 'github', claims: {} }, 400],
    ['a repository of one word', { ...GITHUB, claims: { ...GITHUB.claims, repository: 'x' } }, 400],
    [
      'a workflow in a folder',
      {
        ...GITHUB,
        claims: { ...GITHUB.claims, workflow_ref: { file: '../x.yml' } },
      },
      400,
    ],
    [
      'a workflow that ends a claim',
      {
        ...GITHUB,
        claims: { ...GITHUB.claims, workflow_ref: { file: 'x@y.yml' } },
      },
      400,
    ],
    ['claims that nobody checks', { ...GITHUB, claims: { ...GITHUB.claims, more: 'x' } }, 400],
    ['a type of nobody', { type: 'jenkins', claims: {} }, 400],
    ['an issuer that is not on the list', { ...GITHUB, issuer: 'https://evil.example' }, 422],
    [
      'an issuer of another type',
      { type: 'generic', issuer: 'https://gitlab.com', claims: { sub: 'x' } },
      422,
    ],
    ['generic without a subject', { type: 'generic', claims: { ref: 'x' } }, 400],
    ['generic without an issuer', { type: 'generic', claims: { sub: 'x' } }, 400],
    ['only staging', { ...GITHUB, permissions: ['createStagedPackage'] }, 422],
    ['no permission', { ...GITHUB, permissions: [] }, 400],
    ['github', GITHUB, 201],
    ['github as npm 11 sends it', { type: 'github', claims: GITHUB.claims }, 201],
    [
      'gitlab',
      {
        type: 'gitlab',
        claims: { project_path: 'a/b/c', ci_config_ref_uri: { file: '.gitlab-ci.yml' } },
      },
      201,
    ],
    [
      'circleci',
      {
        type: 'circleci',
        claims: {
          'oidc.circleci.com/org-id': uuid,
          'oidc.circleci.com/project-id': uuid,
          'oidc.circleci.com/pipeline-definition-id': uuid,
          'oidc.circleci.com/vcs-origin': 'github.com/roe/kit',
          'oidc.circleci.com/context-ids': [uuid],
        },
      },
      201,
    ],
  ] as const) {
    test(`${what}: ${status}`, async () => {
      const name = await lab.package()
      const answer = await lab.roe.send('POST', `-/package/${escaped(name)}/trust`, [body])
      expect([answer.status, await answer.text()]).toEqual([status, expect.any(String)])
    })
  }

  test('has a limit for each package', async () => {
    const name = await lab.trusting()
    const path = `-/package/${escaped(name)}/trust`
    const many = Array.from({ length: 9 }, () => GITHUB)
    expect((await lab.roe.send('POST', path, many)).status).toBe(201)
    expect((await lab.roe.send('POST', path, GITHUB)).status).toBe(409)
  })
})
