import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  NpmrcError,
  parseNpmrc,
  readNpmSettings,
} from '../../../../src/registries/lockfile/npmrc.ts'

let root = ''
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'npmrc-'))
})
afterAll(async () => {
  await rm(root, { recursive: true })
})

/** A project in a folder of its own, with files by path. */
async function project(files: Record<string, string>): Promise<string> {
  const dir = await mkdtemp(join(root, 'p-'))
  await mkdir(join(dir, 'home'))
  await mkdir(join(dir, 'work', 'packages', 'app'), { recursive: true })
  for (const [path, text] of Object.entries(files)) await writeFile(join(dir, path), text)
  return dir
}

async function registryOf(
  dir: string,
  env: Record<string, string> = {},
): Promise<string | undefined> {
  const settings = await readNpmSettings({
    dir: join(dir, 'work', 'packages', 'app'),
    home: join(dir, 'home'),
    env,
  })
  return settings.registry?.url
}

describe('readNpmSettings()', () => {
  test('takes the nearest .npmrc from the lockfile upwards', async () => {
    const dir = await project({
      'work/.npmrc': 'registry=https://outer.example',
      'work/packages/app/.npmrc': 'registry = https://inner.example/npm ; mine',
    })
    expect(await registryOf(dir)).toBe('https://inner.example/npm/')
  })

  test('goes up to find one, then to the home', async () => {
    const up = await project({ 'work/.npmrc': 'registry=https://outer.example' })
    expect(await registryOf(up)).toBe('https://outer.example/')
    const home = await project({ 'home/.npmrc': 'registry=http://127.0.0.1:6769/' })
    expect(await registryOf(home)).toBe('http://127.0.0.1:6769/')
  })

  test('lets the environment win, in either case', async () => {
    const dir = await project({ 'work/.npmrc': 'registry=https://file.example/' })
    expect(await registryOf(dir, { npm_config_registry: 'https://env.example' })).toBe(
      'https://env.example/',
    )
    expect(await registryOf(dir, { NPM_CONFIG_REGISTRY: 'https://env.example' })).toBe(
      'https://env.example/',
    )
  })

  test('reads scopes from the project first and keeps the rest of the user', async () => {
    const dir = await project({
      'work/.npmrc': '@acme:registry=https://project.example',
      'home/.npmrc':
        'registry=https://user.example\n@acme:registry=https://old.example\n@b:registry=https://b.example',
    })
    const settings = await readNpmSettings({
      dir: join(dir, 'work'),
      home: join(dir, 'home'),
      env: {},
    })
    expect(settings.registry).toEqual({
      url: 'https://user.example/',
      source: join(dir, 'home', '.npmrc'),
    })
    expect([...settings.scopes].map(([scope, { url }]) => [scope, url])).toEqual([
      ['@acme', 'https://project.example/'],
      ['@b', 'https://b.example/'],
    ])
  })

  test('says where no setting is: nowhere', async () => {
    const dir = await project({
      'work/.npmrc': 'save-exact=true\n//registry.example/:_authToken=x',
    })
    const settings = await readNpmSettings({ dir: join(dir, 'work'), home: null, env: {} })
    expect(settings).toEqual({ registry: null, scopes: new Map() })
  })

  test('reads another user file when the environment names one', async () => {
    const dir = await project({ 'work/user.ini': 'registry=https://named.example' })
    expect(await registryOf(dir, { npm_config_userconfig: join(dir, 'work', 'user.ini') })).toBe(
      'https://named.example/',
    )
  })

  const unusable = [
    'ftp://registry.example',
    'registry.example',
    'file:///x',
    'https://u:p@r.example',
  ]
  test.each([...unusable, 'https://${UNSET}/'])('refuses registry=%s', async url => {
    const dir = await project({ 'work/.npmrc': `registry=${url}` })
    await expect(registryOf(dir)).rejects.toBeInstanceOf(NpmrcError)
  })

  test('does not repeat a password in its error', async () => {
    const dir = await project({ 'work/.npmrc': 'registry=https://me:canary@registry.example' })
    const error = await registryOf(dir).catch(String)
    expect(error).toContain('.npmrc')
    expect(error).not.toContain('canary')
  })
})

// The expressions of npm's own tests (@npmcli/config, test/env-replace.js).
describe('parseNpmrc() replaces variables as npm does', () => {
  const env = { foo: 'bar', bar: 'baz', ENV_VAR: 'ENV_VALUE' }
  const cases: [string, string][] = [
    ['${foo}', 'bar'],
    ['${foo?}', 'bar'],
    ['x${foo}y${bar}z', 'xbarybazz'],
    ['${none}', '${none}'],
    ['${none?}', ''],
    ['${NONE?}x', 'x'],
    ['$foo', '$foo'],
  ]
  test.each(cases)('%s is %j', (text, value) => {
    expect(parseNpmrc(`key=${text}`, env).get('key')).toBe(value)
  })

  test('without touching prototypes', () => {
    const settings = parseNpmrc('__proto__=x\nconstructor=y\n[section]\nregistry=z', {})
    expect(settings.get('registry')).toBeUndefined()
    expect(settings.get('constructor')).toBe('y')
  })
})
