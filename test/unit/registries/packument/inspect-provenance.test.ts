/**
 * The provenance that a registry names in a packument: noted when it is what npm writes, and only
 * then. What a rule makes of it is in test/unit/routes/policy.test.ts.
 */
import { expect, test } from 'bun:test'
import { inspectPackument } from '../../../../src/registries/packument/inspect.ts'
import { encode, makeInput } from '../vectors.ts'

function provenanceOf(dist: object): string | undefined {
  const manifest = { name: 'pkg', version: '1.0.0', dist }
  const document = encode({ name: 'pkg', versions: { '1.0.0': manifest } })
  const [version] = inspectPackument(document, makeInput('pkg')).versions
  if (version === undefined) throw new Error('no version was found')
  return version.provenance
}

test('a provenance that its registry names is noted, in the form that npm has alone', () => {
  const tarball = 'https://registry.example/pkg/-/pkg-1.0.0.tgz'
  const named = (attestations: unknown) => provenanceOf({ tarball, attestations })
  const predicateType = 'https://slsa.dev/provenance/v1'
  expect(named({ url: 'x', provenance: { predicateType } })).toBe(predicateType)
  for (const other of [
    undefined,
    null,
    true,
    { url: 'x' },
    { provenance: null },
    { provenance: { predicateType: '' } },
    { provenance: { predicateType: 1 } },
    { provenance: { predicateType: 'x'.repeat(300) } },
  ]) {
    expect(named(other)).toBeUndefined()
  }
})
