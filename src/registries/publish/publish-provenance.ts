/**
 * The Sigstore bundle of a publish with provenance: is it about this tarball at all?
 *
 *     dsseEnvelope.payload = base64 of { "_type": "https://in-toto.io/Statement/v1",
 *       "subject": [{ "name": "pkg:npm/%40roe/kit@1.0.0", "digest": { "sha512": "<hex>" } }], … }
 *
 * (in-toto Statement, https://in-toto.io/Statement/v1; what npm's own registry asks for.) The bundle
 * is kept and served as it came. Its certificate and its signatures are for whoever installs
 * (`npm audit signatures`) to check: nothing here vouches for them.
 *
 * @module
 */
import { RegistryError } from '../errors.ts'
import { integrityToHex } from '../integrity.ts'
import { asRecord, parseObject } from './publish-json.ts'

/** As it came: the text of the bundle and what it says it is. */
export type Provenance = { mediaType: string; data: string }

const PAYLOAD_TYPE = 'application/vnd.in-toto+json'
const STATEMENTS: ReadonlySet<unknown> = new Set([
  'https://in-toto.io/Statement/v0.1',
  'https://in-toto.io/Statement/v1',
])

export type Subject = { name: string; version: string; integrity: string }

/** Throws `unprocessable` unless the bundle names this tarball and nothing else as its subject. */
export function checkProvenance(bundle: Provenance, subject: Subject): void {
  const statement = readStatement(bundle.data)
  const { name, version, integrity } = subject
  if (!STATEMENTS.has(statement['_type'])) throw wrong('holds no in-toto statement')
  const subjects: unknown = statement['subject']
  const only: unknown = Array.isArray(subjects) && subjects.length === 1 ? subjects[0] : undefined
  const found = asRecord(only)
  const purl = `pkg:npm/${name.replace('@', '%40')}@${version}`
  if (found?.['name'] !== purl) throw wrong(`is not about ${purl} alone`)
  const digest = asRecord(found['digest'])
  if (digest?.['sha512'] !== integrityToHex(integrity)) {
    throw wrong('is about a tarball of other bytes')
  }
}

function readStatement(data: string): Record<string, unknown> {
  try {
    const envelope = asRecord(parseObject(Buffer.from(data))['dsseEnvelope'])
    const payload = envelope?.['payload']
    if (envelope?.['payloadType'] !== PAYLOAD_TYPE || typeof payload !== 'string') {
      throw wrong('holds no DSSE envelope of an in-toto statement')
    }
    return parseObject(Uint8Array.fromBase64(payload))
  } catch (error) {
    if (error instanceof SyntaxError) throw wrong('holds a payload that is not base64')
    if (error instanceof RegistryError && error.code === 'bad-request') {
      throw wrong(`is not JSON that can be read: ${error.message}`)
    }
    throw error
  }
}

function wrong(why: string): RegistryError {
  return new RegistryError('unprocessable', `the provenance bundle ${why}`)
}
