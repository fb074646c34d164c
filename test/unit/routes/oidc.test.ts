/**
 * Publishing from CI without a stored token, through the front door of a whole instance, against an
 * issuer on loopback: what is exchanged for what, what is not, and what the token is then good for.
 *
 * @module
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { Value } from '@sinclair/typebox/value'
import { generateKeyPair } from 'jose'
import { errorOf } from '../../fixtures/instance.ts'
import { type TokenOptions } from '../../fixtures/oidc-issuer.ts'
import {
  AUDIENCE,
  escaped,
  EXCHANGE,
  ExchangedShape,
  JOB,
  TrustLab,
} from '../../fixtures/trust-lab.ts'

let lab: TrustLab

beforeAll(async () => {
  lab = await TrustLab.start()
})

afterAll(async () => {
  await lab[Symbol.asyncDispose]()
})

describe('a job of the trusted publisher', () => {
  test('gets a token that publishes its package, and nothing else', async () => {
    const name = await lab.trusting()
    const other = await lab.trusting()
    const answer = await lab.exchange(name, await lab.issuer.token(JOB))
    const minutes = 16 * 60_000
    const { expires } = Value.Parse(ExchangedShape, await answer.clone().json())
    expect(Date.parse(expires) - Date.now()).toBeLessThan(minutes)
    const job = await lab.exchanged(answer)
    expect((await job.publish({ name, version: '1.1.0' })).status).toBe(201)
    expect((await lab.instance.packument(name))['dist-tags']).toEqual({ latest: '1.1.0' })
    expect((await job.publish({ name: other, version: '1.1.0' })).status).toBe(403)
    expect((await job.publish({ name: 'quite-new', version: '1.0.0' })).status).toBe(403)
    expect((await job.get('-/npm/v1/tokens')).status).toBe(403)
    expect((await job.get('-/oidc/issuers')).status).toBe(403)
    expect((await job.get(`-/package/${escaped(name)}/trust`)).status).toBe(403)
  })

  test('finds the exchange at the root of the origin, as clients build its URL', async () => {
    const name = await lab.trusting()
    const root = new URL('/', lab.instance.url).href
    await lab.exchanged(await lab.exchange(name, await lab.issuer.token(JOB), root))
    const wrong = await lab.exchange(name, await lab.issuer.token({ ...JOB, aud: 'x' }), root)
    expect(wrong.status).toBe(401)
    expect((await fetch(`${root}${EXCHANGE}${escaped(name)}`)).status).toBe(404)
  })

  test('stands in the audit trail', async () => {
    const name = await lab.trusting()
    await lab.exchanged(await lab.exchange(name, await lab.issuer.token(JOB)))
    const page = await (await lab.admin.get('-/api/audit')).text()
    expect(page).toContain('trust.exchange')
    expect(page).toContain(JOB.workflow_ref)
  })
})

describe('tokens that are refused', () => {
  const soon = 600
  for (const [what, claims, options, status] of [
    ['another audience', { aud: 'npm:other.example' }, {}, 401],
    ['no audience', { aud: undefined }, {}, 401],
    ['two audiences', { aud: [AUDIENCE, 'npm:other.example'] }, {}, 401],
    ['the audience of a client id', { aud: 'https://github.com/roe' }, {}, 401],
    ['no subject', { sub: undefined }, {}, 401],
    ['no end', { exp: undefined }, {}, 401],
    ['no beginning', { iat: undefined }, {}, 401],
    ['expired', {}, { expires: -60 }, 401],
    ['of the future', {}, { issued: soon, expires: 2 * soon }, 401],
    ['not yet good', {}, { notBefore: soon }, 401],
    ['too old, whatever it says', {}, { issued: -25 * 3600, expires: soon }, 401],
    ['a critical header', {}, { header: { crit: ['x'], x: 1 } }, 401],
    ['another repository', { repository: 'roe/other' }, {}, 403],
    ['no repository', { repository: undefined }, {}, 403],
    [
      'another workflow',
      {
        workflow_ref: 'Roe/kit/.github/workflows/evil.yml@refs/heads/main',
      },
      {},
      403,
    ],
    [
      'a workflow whose name begins so',
      {
        workflow_ref: 'Roe/kit/.github/workflows/release.yml.evil@refs/heads/main',
      },
      {},
      403,
    ],
    [
      'a workflow of another repository',
      {
        workflow_ref: 'evil/kit/.github/workflows/release.yml@refs/heads/main',
      },
      {},
      403,
    ],
    ['another environment', { environment: 'test' }, {}, 403],
    ['no environment', { environment: undefined }, {}, 403],
    ['an issuer that is not on the list', { iss: 'https://evil.example' }, {}, 403],
    ['no issuer', { iss: undefined }, {}, 403],
  ] satisfies [string, Record<string, unknown>, TokenOptions, number][]) {
    test(what, async () => {
      const name = await lab.trusting()
      const token = await lab.issuer.token({ ...JOB, ...claims }, options)
      const answer = await lab.exchange(name, token)
      expect(answer.status).toBe(status)
      expect((await errorOf(answer)).error).not.toContain(token.slice(0, 30))
    })
  }

  test('the algorithm none, and a public key taken for a secret', async () => {
    const name = await lab.trusting()
    const [, payload] = (await lab.issuer.token(JOB)).split('.')
    const header = Buffer.from('{"alg":"none","kid":"first"}').toString('base64url')
    for (const token of [`${header}.${payload}.`, `${header}.${payload}.AA`]) {
      expect((await lab.exchange(name, token)).status).toBe(401)
    }
    const { keys } = await lab.issuer.jwks()
    const secret = new TextEncoder().encode(JSON.stringify(keys[0]).padEnd(64, 'x'))
    const confused = await lab.issuer.token(JOB, { alg: 'HS256', key: secret })
    expect((await lab.exchange(name, confused)).status).toBe(401)
  })

  test('the key of somebody else under a known name, also one that the token brings', async () => {
    const name = await lab.trusting()
    const { privateKey } = await generateKeyPair('ES256')
    const stolen = await lab.issuer.token(JOB, { key: privateKey, kid: 'first' })
    expect((await lab.exchange(name, stolen)).status).toBe(401)
    const header = { jku: 'http://127.0.0.1:1/keys', jwk: { kty: 'EC' } }
    const brought = await lab.issuer.token(JOB, { key: privateKey, kid: 'own', header })
    expect((await lab.exchange(name, brought)).status).toBe(401)
  })

  test('a byte of the signature or of the claims changed', async () => {
    const name = await lab.trusting()
    const token = await lab.issuer.token(JOB)
    for (const at of [token.length - 10, token.indexOf('.') + 20]) {
      const byte = token[at] === 'A' ? 'B' : 'A'
      const changed = token.slice(0, at) + byte + token.slice(at + 1)
      expect([401, 403]).toContain((await lab.exchange(name, changed)).status)
    }
  })

  test('no token, no JWT, a very long one', async () => {
    const name = await lab.trusting()
    for (const token of ['', 'hello', 'a.b.c', `${'a'.repeat(13_000)}.b.c`]) {
      expect((await lab.exchange(name, token)).status).toBe(401)
    }
  })

  test('one that was used, but once for each package', async () => {
    const [name, other] = [await lab.trusting(), await lab.trusting()]
    const token = await lab.issuer.token(JOB)
    await lab.exchanged(await lab.exchange(name, token))
    const again = await lab.exchange(name, token)
    expect(again.status).toBe(401)
    expect((await errorOf(again)).error).toContain('before')
    await lab.exchanged(await lab.exchange(other, token))
    const unnamed = await lab.issuer.token({ ...JOB, jti: undefined })
    await lab.exchanged(await lab.exchange(name, unnamed))
    expect((await lab.exchange(name, unnamed)).status).toBe(401)
  })

  test('two at once: one of them', async () => {
    const name = await lab.trusting()
    const token = await lab.issuer.token(JOB)
    const answers = await Promise.all([lab.exchange(name, token), lab.exchange(name, token)])
    const statuses = answers.map(({ status }) => status)
    expect(statuses.toSorted((a, b) => a - b)).toEqual([201, 401])
  })

  test('a package that trusts nobody, and one that does not exist, look the same', async () => {
    await lab.roe.publish({ name: '@roe/plain', version: '1.0.0', access: 'restricted' })
    const texts: string[] = []
    for (const name of ['@roe/plain', '@roe/never']) {
      const answer = await lab.exchange(name, await lab.issuer.token(JOB))
      const { error } = await errorOf(answer)
      texts.push(`${answer.status} ${error.replace(name, 'NAME')}`)
    }
    expect(texts[0]).toBe(texts[1] ?? '')
    expect(texts[0]).toStartWith('403 ')
  })

  test('the repository that took the name of another', async () => {
    const name = await lab.trusting()
    await lab.exchanged(await lab.exchange(name, await lab.issuer.token(JOB)))
    const taken = await lab.issuer.token({
      ...JOB,
      repository_id: '1000',
      repository_owner_id: '9',
    })
    expect((await lab.exchange(name, taken)).status).toBe(403)
    await lab.exchanged(await lab.exchange(name, await lab.issuer.token(JOB)))
  })
})
