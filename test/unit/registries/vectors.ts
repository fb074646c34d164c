/**
 * The real signatures and keys of ../../vectors/npm, and keys and documents of the tests' own.
 *
 * @module
 */
import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type {
  InspectInput,
  KnownVersion,
  TrustedKey,
} from '../../../src/registries/packument/inspect.ts'
import { keyidOf } from '../../../src/registries/keys/keys.ts'
import type { RenderPlan } from '../../../src/registries/packument/render.ts'
import npmKeys from '../../vectors/npm/npm-keys.json'
import invalidSignatures from '../../vectors/npm/npm-signatures-invalid.json'
import validSignatures from '../../vectors/npm/npm-signatures.json'

const SignatureVectors = Type.Array(
  Type.Object({
    name: Type.String(),
    version: Type.String(),
    integrity: Type.String(),
    keyid: Type.String(),
    sig: Type.String(),
  }),
)

export const realKeys: TrustedKey[] = npmKeys.keys.map(({ keyid, key, expires }) => ({
  keyid,
  spki: key,
  expires,
}))
export const realSignatures = Value.Decode(SignatureVectors, validSignatures)
export const wrongSignatures = Value.Decode(SignatureVectors, invalidSignatures)
export const keysAnswer = new TextEncoder().encode(JSON.stringify(npmKeys))

/** The base64 of the real key with this id. */
export function spkiOf(keyid: string): string {
  return realKeys.find(key => key.keyid === keyid)?.spki ?? ''
}

/** A signing key as a registry would have it. */
export type TestKey = TrustedKey & { sign: (message: string) => string }

export function makeKey(expires: string | null = null): TestKey {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const spki = publicKey.export({ type: 'spki', format: 'der' }).toString('base64')
  const keyid = keyidOf(spki) ?? ''
  return {
    keyid,
    spki,
    expires,
    sign: message => sign('sha256', Buffer.from(message), privateKey).toString('base64'),
  }
}

export function integrityFor(seed: string): string {
  return `sha512-${createHash('sha512').update(seed).digest('base64')}`
}

/** The `dist` of a version, signed by these keys. */
export function makeDist(name: string, version: string, keys: readonly TestKey[]) {
  const integrity = integrityFor(`${name} ${version}`)
  const file = `${name.slice(name.indexOf('/') + 1)}-${version}.tgz`
  return {
    integrity,
    shasum: createHash('sha1').update(version).digest('hex'),
    tarball: `https://registry.example/${name}/-/${file}`,
    signatures: keys.map(key => ({
      keyid: key.keyid,
      sig: key.sign(`${name}@${version}:${integrity}`),
    })),
  }
}

/** A manifest that a test may spoil as it likes. */
export type TestManifest = {
  name?: string
  version?: string
  dist?: object
  [key: string]: unknown
}

/** A packument as an object, to be changed and then encoded. */
export function makePackument(name: string, versions: readonly string[], keys: readonly TestKey[]) {
  const manifests = versions.map((version): [string, TestManifest] => [
    version,
    { name, version, dist: makeDist(name, version, keys) },
  ])
  return {
    name,
    'dist-tags': { latest: versions.at(-1) ?? '' },
    'versions': Object.fromEntries(manifests),
    'time': Object.fromEntries([
      ['modified', '2026-01-02T00:00:00.000Z'],
      ...versions.map(version => [version, '2026-01-01T00:00:00.000Z']),
    ]),
  }
}

export function encode(value: unknown): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value))
}

export function makeInput(name: string, more: Partial<InspectInput> = {}): InspectInput {
  return {
    name,
    keys: [],
    registrySigns: false,
    known: [],
    packageKnown: false,
    now: '2026-11-22T08:31:07Z',
    ...more,
  }
}

export function makeKnown(version: string, integrity: string): KnownVersion {
  return { version, integrity, manifestHash: '', signature: null, sinceFirstSight: false }
}

export function makePlan(versions: readonly string[], more: Partial<RenderPlan> = {}): RenderPlan {
  return {
    base: 'http://127.0.0.1:6769/',
    canonicalOrigin: 'https://registry.example',
    files: versions.map(version => [version, `pkg-${version}.tgz`]),
    refused: [],
    overrides: [],
    ...more,
  }
}
