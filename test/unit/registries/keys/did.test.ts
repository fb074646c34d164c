/**
 * The DID document of an instance: its form by the specifications of did:web and DID Core, that
 * what one instance writes another reads, and that nothing else passes for it.
 *
 * @module
 */
import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { generateLogKey } from '../../../../src/log/note.ts'
import {
  DID_BYTES_MAX,
  didDocument,
  didOf,
  identityOf,
} from '../../../../src/registries/keys/did.ts'
import { RegistryError } from '../../../../src/registries/errors.ts'
import { checkName } from '../../../../src/registries/name.ts'
import { generateSigningKey, publishedKey } from '../../../../src/registries/keys/own-key.ts'
import { encode } from '../vectors.ts'

const HOST = 'npm.example'
const DID = 'did:web:npm.example'
const key = publishedKey(generateSigningKey())
const other = publishedKey(generateSigningKey())
const { vkey } = generateLogKey(`${HOST}/log`, new Uint8Array(32).fill(9))

type Method = {
  id: string
  type: string
  controller: string
  publicKeyJwk: Record<string, string>
}
type Service = { id: string; type: string | string[]; serviceEndpoint: string; vkey?: string }
type Doc = {
  '@context': string[]
  'id': string
  'verificationMethod': [Method, Method]
  'assertionMethod': string[]
  'service': [Service, Service]
}

function documentOf(publicUrl = `https://${HOST}/`): Doc {
  return JSON.parse(didDocument({ publicUrl, key, vkey }))
}

function identity(document: unknown, host = HOST) {
  return identityOf(encode(JSON.stringify(document)), host)
}

/** A document in which one thing was changed. */
function changed(change: (document: Doc) => void): Doc {
  const document = documentOf()
  change(document)
  return document
}

describe('didOf()', () => {
  // did:web, section 2.5.2 "Read (Resolve)": colons are slashes; no path means /.well-known.
  test.each([
    ['https://npm.example/', DID],
    ['https://npm.example:8443/', 'did:web:npm.example%3A8443'],
    ['http://127.0.0.1:6769/', 'did:web:127.0.0.1%3A6769'],
    ['https://npm.example/npm/', 'did:web:npm.example:npm:.well-known'],
    ['https://npm.example/a/b/', 'did:web:npm.example:a:b:.well-known'],
  ])('%s is %s, and resolves to where it is served', (publicUrl, did) => {
    expect(didOf(publicUrl)).toBe(did)
    const [host = '', ...path] = did.slice('did:web:'.length).split(':')
    const folder = path.length === 0 ? '.well-known' : path.join('/')
    const { protocol } = new URL(publicUrl)
    const resolved = `${protocol}//${decodeURIComponent(host)}/${folder}/did.json`
    expect(resolved).toBe(`${publicUrl}.well-known/did.json`)
  })

  test('stands where no package can', () => {
    for (const name of ['.well-known', '.well-known/did.json']) {
      expect(() => checkName(name)).toThrow(RegistryError)
    }
    // The shorter form of a did:web below a path would be a package.
    expect(() => checkName('did.json')).not.toThrow()
  })
})

describe('didDocument()', () => {
  test('names the registry key and the log key, and where they are used', () => {
    const document = documentOf()
    expect(document.id).toBe(DID)
    expect(document['@context'][0]).toBe('https://www.w3.org/ns/did/v1')
    const [registry, log] = document.verificationMethod
    expect(registry).toMatchObject({ type: 'JsonWebKey', controller: DID })
    expect(registry.publicKeyJwk).toMatchObject({ kty: 'EC', crv: 'P-256', kid: key.keyid })
    expect(log.publicKeyJwk).toMatchObject({ kty: 'OKP', crv: 'Ed25519' })
    const bytes = Buffer.from(vkey.split('+').at(-1) ?? '', 'base64').subarray(1)
    expect(log.publicKeyJwk['x']).toBe(bytes.toString('base64url'))
    expect(document.assertionMethod).toEqual([registry.id, log.id])
    expect(document.service).toMatchObject([
      { type: 'NpmRegistry', serviceEndpoint: `https://${HOST}/` },
      { serviceEndpoint: `https://${HOST}/-/sumdb/`, vkey },
    ])
    expect(JSON.stringify(document)).not.toContain('"d"')
  })

  test('names the keys that signed before, which stay its own', () => {
    const formerKeys = [publishedKey(generateSigningKey()), publishedKey(generateSigningKey())]
    const document = JSON.parse(
      didDocument({ publicUrl: `https://${HOST}/`, key, formerKeys, vkey }),
    )
    expect(identity(document).keyids).toEqual([key, ...formerKeys].map(({ keyid }) => keyid))
  })

  test('takes a vkey with a plus sign in its base64', () => {
    for (let seed = 0; seed < 64; seed += 1) {
      const each = generateLogKey(`${HOST}/log`, new Uint8Array(32).fill(seed)).vkey
      const document: Doc = JSON.parse(
        didDocument({ publicUrl: `https://${HOST}/`, key, vkey: each }),
      )
      const text = each.slice(each.indexOf('+', each.indexOf('+') + 1) + 1)
      const x = Buffer.from(text, 'base64').subarray(1).toString('base64url')
      expect(document.verificationMethod[1].publicKeyJwk['x']).toBe(x)
    }
  })
})

describe('identityOf()', () => {
  test.each([
    ['https://npm.example/', 'npm.example'],
    ['https://npm.example:8443/', 'npm.example:8443'],
    ['https://npm.example/npm/', 'npm.example'],
    ['http://127.0.0.1:6769/', '127.0.0.1:6769'],
  ])('reads what an instance at %s says', (publicUrl, host) => {
    expect(identity(documentOf(publicUrl), host)).toEqual({
      did: didOf(publicUrl),
      keyids: [key.keyid],
      registry: publicUrl,
    })
  })

  test('takes relative ids, the older type, more keys, and what it does not know', () => {
    const document = changed(doc => {
      const jwk = { ...documentOf().verificationMethod[0].publicKeyJwk }
      const spki = Buffer.from(other.key, 'base64')
      jwk['x'] = spki.subarray(27, 59).toString('base64url')
      jwk['y'] = spki.subarray(59).toString('base64url')
      delete jwk['kid']
      const more = { id: '#2', type: 'JsonWebKey2020', controller: DID, publicKeyJwk: jwk }
      Object.assign(doc, { alsoKnownAs: ['x'], keyAgreement: [] })
      doc.verificationMethod.push(more, { ...more, id: '#3', type: 'Multikey' })
      doc.assertionMethod.push('#2', '#3')
      doc.service[0].type = ['Other', 'NpmRegistry']
    })
    expect(identity(document).keyids).toEqual([key.keyid, other.keyid])
  })

  const REFUSED: [string, (document: Doc) => void, string][] = [
    ['another host', doc => (doc.id = 'did:web:evil.example'), 'is that of'],
    ['a host below', doc => (doc.id = 'did:web:npm.example.evil.example'), 'is that of'],
    ['another method', doc => (doc.id = 'did:plc:npm.example'), 'is that of'],
    ['a user name', doc => (doc.id = 'did:web:npm.example%40evil.example'), 'is that of'],
    ['a path that climbs', doc => (doc.id = 'did:web:npm.example:..'), 'is that of'],
    ['capitals', doc => (doc.id = 'did:web:NPM.example'), 'is that of'],
    [
      'a key of somebody else',
      doc => (doc.verificationMethod[0].id = 'did:web:a.example#1'),
      'key of',
    ],
    [
      'a key that somebody else controls',
      doc => (doc.verificationMethod[0].controller = 'did:web:a.example'),
      'controls',
    ],
    ['an id twice', doc => (doc.verificationMethod[1].id = doc.verificationMethod[0].id), 'gives'],
    ['a key that asserts nothing', doc => (doc.assertionMethod = []), 'no P-256 key'],
    ['a private key', doc => (doc.verificationMethod[0].publicKeyJwk['d'] = 'AAAA'), 'private key'],
    [
      'a point off the curve',
      doc => (doc.verificationMethod[0].publicKeyJwk['y'] = 'A'.repeat(43)),
      'key',
    ],
    ['half a key', doc => delete doc.verificationMethod[0].publicKeyJwk['y'], 'half of a key'],
    [
      'a kid of another key',
      doc => (doc.verificationMethod[0].publicKeyJwk['kid'] = other.keyid),
      'calls the key',
    ],
    ['only a log key', doc => void doc.verificationMethod.shift(), 'no P-256 key'],
    [
      'a registry elsewhere',
      doc => (doc.service[0].serviceEndpoint = 'https://evil.example/'),
      'no NpmRegistry',
    ],
    ['no registry', doc => void doc.service.shift(), 'no NpmRegistry'],
    [
      'too many keys',
      doc => {
        for (let i = 0; i < 64; i += 1) {
          doc.verificationMethod.push({ ...doc.verificationMethod[1], id: `#${i}` })
        }
      },
      'no DID document',
    ],
  ]
  test.each(REFUSED)('refuses %s', (_, change, why) => {
    const document = changed(change)
    expect(() => identity(document)).toThrow(why)
    expect(() => identity(document)).toThrow(RegistryError)
  })

  test('refuses what is no document at all', () => {
    const texts = ['', '[]', 'null', '{}', '<!doctype html>', '{"id":"did:web:npm.example"}']
    for (const text of texts) {
      expect(() => identityOf(encode(text), HOST)).toThrow(RegistryError)
    }
    expect(() => identityOf(new Uint8Array([0xff, 0xfe]), HOST)).toThrow('UTF-8')
    expect(() => identityOf(new Uint8Array(DID_BYTES_MAX + 1), HOST)).toThrow('larger than')
  })

  test('answers or refuses whatever comes, and never by another error', () => {
    fc.assert(
      fc.property(fc.json(), fc.domain(), (text, host) => {
        expect(() => identityOf(encode(text), host)).toThrow(RegistryError)
      }),
    )
  })

  test('with a bit of any byte flipped it never gives this host another key', () => {
    const bytes = new TextEncoder().encode(JSON.stringify(documentOf()))
    for (let at = 0; at < bytes.length; at += 1) {
      const wrong = bytes.slice()
      wrong[at] = (wrong[at] ?? 0) ^ 1
      try {
        expect(identityOf(wrong, HOST).keyids).toEqual([key.keyid])
      } catch (error) {
        expect(error).toBeInstanceOf(RegistryError)
      }
    }
  })
})
