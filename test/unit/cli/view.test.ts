/**
 * The `view` commands as a shell runs them, with a server and without one.
 */
import { expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from '../../../src/cli/program.ts'
import { Instance } from '../../fixtures/instance.ts'
import { startFixtureRegistry } from '../../fixtures/registry.ts'
import { recordingIo } from './upstream-shell.ts'

test('views are added, shown, changed and removed, with a server and without', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'npmx-registry-view-'))
  using _ = { [Symbol.dispose]: () => rmSync(folder, { recursive: true }) }
  const config = join(folder, 'npmx-registry.toml')
  writeFileSync(config, 'log-level = "silent"\n')
  await using npm = startFixtureRegistry()
  await using near = startFixtureRegistry()
  await using instance = await Instance.start(npm.url, '', [{ name: 'near', url: near.url }])
  const view = async (command: string, ...rest: string[]) => {
    const written = { out: '', err: '' }
    const where = ['--data-dir', instance.dataDir, '--config', config]
    const code = await run(['view', command, ...where, ...rest], recordingIo(written))
    return { code, ...written }
  }
  const added = await view('add', 'build', '--registries', 'npm', '--mirrors', 'npm=near')
  expect(added).toMatchObject({ code: 0, err: '' })
  expect(added.out).toContain('npm: near')
  expect(await view('add', 'build')).toMatchObject({ code: 2 })
  expect((await view('add', 'other', '--registries', 'nobody')).err).toContain('no registry nobody')
  const changed = await view('set', 'build', '--all-registries', '--keys', '--json')
  expect(JSON.parse(changed.out)).toMatchObject({ name: 'build', registries: null, keys: [] })
  expect((await view('set', 'build')).code).toBe(2)
  expect((await view('set', 'build', '--keys', 'a', '--all-keys')).code).toBe(2)
  expect((await view('set', 'build', '--mirrors', 'nonsense')).code).toBe(2)
  await instance.stop()
  expect((await view('list')).out).toMatch(/^build +all +none +npm$/m)
  expect((await view('show', 'build')).out).toContain('none')
  expect((await view('remove', 'build')).code).toBe(0)
  expect((await view('show', 'build')).code).toBe(2)
  expect((await view('list', '--json')).out).toBe('{"views":[]}\n')
  await instance.restart()
})
