/**
 * Our own signing keys: the fingerprint that OpenSSH shows, and that a replaced key is never lost.
 *
 * @module
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { Upstreams } from '../../../../src/db/upstreams.ts'
import { parseKeys } from '../../../../src/registries/keys/keys.ts'
import {
  generateSigningKey,
  OwnKeys,
  publishedKey,
} from '../../../../src/registries/keys/own-key.ts'
import { checkSignature } from '../../../../src/registries/keys/signature.ts'
import { opensshLine } from '../../../fixtures/openssh-line.ts'
import { openLog, type OpenLog, type TemporaryDir, temporaryDir } from '../../db/data-dir.ts'
import { encode } from '../vectors.ts'

const NOW = '2026-11-22T00:00:00Z'
const SSH_KEYGEN = Bun.which('ssh-keygen')
if (SSH_KEYGEN === null) console.error('SKIPPED: there is no ssh-keygen here')

let dir: TemporaryDir
let open: OpenLog
let store: Upstreams
beforeAll(() => {
  dir = temporaryDir()
  open = openLog(dir.path)
  store = new Upstreams(open.db)
})
afterAll(() => {
  open[Symbol.dispose]()
  dir[Symbol.dispose]()
})

describe('the registry key', () => {
  test.skipIf(SSH_KEYGEN === null)('has the keyid that ssh-keygen -lf shows', async () => {
    for (let i = 0; i < 3; i += 1) {
      const { key, keyid } = publishedKey(generateSigningKey())
      const file = join(dir.path, `key-${i}.pub`)
      await Bun.write(file, opensshLine(key))
      const shown = Bun.spawnSync([SSH_KEYGEN ?? '', '-lf', file])
      expect(shown.stdout.toString().split(' ')[1]).toBe(keyid)
    }
  })

  test('is published in the form that its own reader of keys takes', () => {
    const key = publishedKey(generateSigningKey())
    expect(parseKeys(encode({ keys: [key] }))).toMatchObject({
      keys: [{ keyid: key.keyid, spki: key.key, expires: null }],
      refused: [],
    })
  })
})

describe('OwnKeys', () => {
  test('sign with the key of the file', () => {
    const keys = new OwnKeys(generateSigningKey(), store, NOW)
    const sig = keys.sign('a@1.0.0:sha512-x')
    expect(checkSignature(keys.current.key, 'a@1.0.0:sha512-x', sig)).toBe(true)
    expect(checkSignature(keys.current.key, 'a@1.0.1:sha512-x', sig)).toBe(false)
  })

  test('go on publishing a key that was replaced, and are no keys of an upstream', () => {
    const pem = generateSigningKey()
    const before = new OwnKeys(pem, store, NOW)
    const again = new OwnKeys(pem, store, NOW)
    expect(again.published()).toEqual(before.published())
    const after = new OwnKeys(generateSigningKey(), store, NOW)
    expect(after.current.keyid).not.toBe(before.current.keyid)
    const old = after.published().get(before.current.keyid) ?? ''
    expect(JSON.parse(old)).toEqual(before.current)
    expect(after.published().has(after.current.keyid)).toBe(true)
    expect(store.keys('npm')).toEqual([])
    expect(store.list()).toEqual([])
  })
})
