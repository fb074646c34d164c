/**
 * npm's 130 real signatures, served by a registry that publishes npm's real keys: the server
 * records every one of them, none of them with one character changed in name, version, integrity
 * or signature, and none of the 4 that are invalid. Source: test/vectors/npm/README.md.
 *
 * @module
 */

import { describe, expect, test } from 'bun:test'
import { startFixtureRegistry } from '../fixtures/registry.ts'
import {
  readSignatureVectors,
  readVectorKeys,
  type SignatureVector,
  vectorPackages,
} from '../fixtures/registry-vectors.ts'
import { serverReady } from './ready.ts'
import { startServer } from './server.ts'

const TEST_TIMEOUT_MS = 300_000
const CONCURRENT = 16

describe.skipIf(!(await serverReady()))("npm's real signatures", () => {
  test(
    'all 130 are recorded, with the integrity that was signed',
    async () => {
      const vectors = await readSignatureVectors('npm-signatures.json')
      expect(vectors).toHaveLength(130)
      const answers = await lookUp(vectors)
      expect(answers.filter(({ status }) => status !== 200)).toEqual([])
      for (const { text, vector } of answers) expect(text).toContain(` ${vector.integrity}\n`)
    },
    TEST_TIMEOUT_MS,
  )

  test(
    'the 4 invalid ones are refused',
    async () => {
      const vectors = await readSignatureVectors('npm-signatures-invalid.json')
      expect(vectors).toHaveLength(4)
      expect((await lookUp(vectors)).map(({ status }) => status)).toEqual([403, 403, 403, 403])
    },
    TEST_TIMEOUT_MS,
  )

  test.each(['name', 'version', 'integrity', 'sig'] as const)(
    'each is refused with one character of its %s changed',
    async field => {
      const vectors = await readSignatureVectors('npm-signatures.json')
      const changed = vectors.map((vector, index) => withOneCharacterChanged(vector, field, index))
      const answers = await lookUp(changed)
      expect(answers).toHaveLength(130)
      expect(answers.filter(({ status }) => status !== 403)).toEqual([])
    },
    TEST_TIMEOUT_MS,
  )
})

type Answer = { vector: SignatureVector; status: number; text: string }

/** Serves the vectors, and asks the server's log for each of them. */
async function lookUp(vectors: SignatureVector[]): Promise<Answer[]> {
  await using registry = startFixtureRegistry({
    packages: [],
    stored: vectorPackages(vectors),
    keys: await readVectorKeys(),
  })
  await using server = await startServer({ upstream: registry.url })
  const answers: Answer[] = []
  for (let from = 0; from < vectors.length; from += CONCURRENT) {
    const batch = vectors.slice(from, from + CONCURRENT).map(async vector => {
      const path = `-/sumdb/lookup/${vector.name}@${vector.version}`
      const response = await fetch(server.url + path)
      return { vector, status: response.status, text: await response.text() }
    })
    answers.push(...(await Promise.all(batch)))
  }
  return answers
}

/** `index` spreads the changes over the whole field. */
function withOneCharacterChanged(
  vector: SignatureVector,
  field: 'name' | 'version' | 'integrity' | 'sig',
  index: number,
): SignatureVector {
  const value = vector[field]
  const places = [...value.matchAll(changeable(field))].map(match => match.index)
  const at = places[(index * 7) % places.length]
  if (at === undefined) throw new RangeError(`${field}: nothing to change in ${value}`)
  const old = value[at]
  const other = field === 'version' ? nextDigit(old) : old === 'a' ? 'b' : 'a'
  return { ...vector, [field]: value.slice(0, at) + other + value.slice(at + 1) }
}

/** Characters whose change leaves a field of the same form. */
function changeable(field: 'name' | 'version' | 'integrity' | 'sig'): RegExp {
  if (field === 'version') return /\d/g
  if (field === 'name') return /[a-z]/g
  // Not the algorithm's name, nor the last character before the padding, whose low bits are none.
  return field === 'integrity' ? /(?<=^sha512-.*)[A-Za-z0-9+/](?=.{4})/g : /[A-Za-z0-9+/](?=.{4})/g
}

/** Never makes a zero, which could lead a number. */
function nextDigit(digit: string | undefined): string {
  return digit === '1' ? '2' : '1'
}
