/**
 * What a reviewer who meant harm found of publishing from CI: a job that stays, and a package that
 * shows itself to nobody's token. Each of these worked once.
 * @module
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { generateKeyPair } from 'jose'
import { givenUser, operate } from '../../fixtures/accounts.ts'
import { errorOf } from '../../fixtures/instance.ts'
import { OidcIssuer } from '../../fixtures/oidc-issuer.ts'
import { escaped, GITHUB, JOB, TrustLab } from '../../fixtures/trust-lab.ts'

let lab: TrustLab

beforeAll(async () => {
  lab = await TrustLab.start()
  const settings = { names: ['@roe/*'] }
  await operate(lab.instance, 'upstream/set', { name: 'hosted', settings, confirm: [] })
})

afterAll(async () => {
  await lab[Symbol.asyncDispose]()
})

describe('the token of a job', () => {
  test('names no maintainer, hides, shows, tags and unpublishes nothing', async () => {
    await givenUser(lab.instance, { name: 'mallory' })
    const name = await lab.trusting()
    const job = await lab.exchanged(await lab.exchange(name, await lab.issuer.token(JOB)))
    const document = await lab.roe.document(name)
    const rev = String(document['_rev'])
    const path = escaped(name)
    const taken = { ...document, maintainers: [{ name: 'mallory', email: '' }] }
    const asked = [
      job.send('PUT', `${path}/-rev/${rev}`, taken),
      job.send('PUT', path, { ...document, versions: {} }),
      job.send('DELETE', `${path}/-rev/${rev}`),
      job.send('PUT', `-/package/${path}/dist-tags/beta`, '1.0.0'),
      job.send('DELETE', `-/package/${path}/dist-tags/beta`),
      job.send('POST', `-/package/${path}/access`, { access: 'public' }),
    ]
    for (const answer of await Promise.all(asked)) {
      expect(answer.status).toBe(403)
      expect((await errorOf(answer)).error).toContain('publishes new versions')
    }
    expect((await job.publish({ name, version: '1.1.0' })).status).toBe(201)
    expect((await lab.roe.document(name))['maintainers']).toMatchObject([{ name: 'roe' }])
  })
})

describe('a package that is not for everybody', () => {
  test('shows to a forged token no more than one that does not exist', async () => {
    const name = '@roe/hidden'
    const made = await lab.roe.publish({ name, version: '1.0.0', access: 'restricted' })
    expect(made.status).toBe(201)
    const trust = { ...GITHUB, issuer: lab.issuer.url }
    const trusted = await lab.roe.send('POST', `-/package/${escaped(name)}/trust`, [trust])
    expect(trusted.status).toBe(201)
    const { privateKey } = await generateKeyPair('ES256')
    const forged = await lab.issuer.token(JOB, { key: privateKey, kid: 'first' })
    const stranger = await lab.issuer.token({ ...JOB, repository: 'evil/kit' })
    for (const token of [forged, stranger]) {
      const told: string[] = []
      for (const asked of [name, '@roe/never-there']) {
        const answer = await lab.exchange(asked, token)
        const { error } = await errorOf(answer)
        told.push(`${answer.status} ${error.replace(asked, 'NAME')}`)
      }
      expect(told[0]).toBe(told[1] ?? '')
    }
  })

  test('no issuer is asked that neither the operator nor a package has named', async () => {
    await using other = await OidcIssuer.start()
    const answer = await lab.exchange('@roe/never-there', await other.token(JOB))
    expect(answer.status).toBe(403)
    expect(other.asked).toEqual([])
  })
})
