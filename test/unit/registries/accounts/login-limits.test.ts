/**
 * How often somebody may try, with a clock in hand (facts of OWASP's Authentication Cheat Sheet:
 * an account must not be lockable by others).
 */
import { describe, expect, test } from 'bun:test'
import { RegistryError } from '../../../../src/registries/errors.ts'
import { LoginLimits } from '../../../../src/registries/accounts/login-limits.ts'

function limits() {
  const clock = { ms: Date.parse('2026-11-22T08:31:07Z') }
  const made = new LoginLimits(() => new Date(clock.ms))
  const tries = (count: number, name: string, address: string | null) => {
    for (let i = 0; i < count; i++) made.attempt(name, address)
  }
  return { made, clock, tries }
}

function refusal(action: () => void): RegistryError | null {
  try {
    action()
    return null
  } catch (error) {
    if (error instanceof RegistryError) return error
    throw error
  }
}

describe('attempt()', () => {
  test('counts by name and address, and says when to come back', () => {
    const { made, clock, tries } = limits()
    tries(10, 'ana', '192.0.2.1')
    clock.ms += 20_500
    const refused = refusal(() => made.attempt('ana', '192.0.2.1'))
    expect(refused?.code).toBe('too-many-requests')
    expect(refused?.retryAfterSeconds).toBe(40)
    expect(refusal(() => made.attempt('ana', '192.0.2.2'))).toBeNull()
    expect(refusal(() => made.attempt('bob', '192.0.2.1'))).toBeNull()
    clock.ms += 39_500
    expect(refusal(() => made.attempt('ana', '192.0.2.1'))).toBeNull()
  })

  test('counts by address over all names', () => {
    const { made, tries } = limits()
    for (let i = 0; i < 30; i++) tries(1, `name${i}`, '192.0.2.1')
    expect(refusal(() => made.attempt('ana', '192.0.2.1'))?.code).toBe('too-many-requests')
    expect(refusal(() => made.attempt('ana', '::ffff:192.0.2.1'))?.code).toBe('too-many-requests')
    expect(refusal(() => made.attempt('ana', '192.0.2.2'))).toBeNull()
  })

  test('an IPv6 network is one place', () => {
    const { made, tries } = limits()
    for (let i = 0; i < 30; i++) tries(1, `name${i}`, `2001:db8:0:1::${i}`)
    expect(refusal(() => made.attempt('ana', '2001:db8:0:1:ffff::'))).not.toBeNull()
    expect(refusal(() => made.attempt('ana', '2001:db8:0:2::1'))).toBeNull()
  })

  test('addresses that nobody knows are one place', () => {
    const { made, tries } = limits()
    tries(10, 'ana', null)
    expect(refusal(() => made.attempt('ana', 'nonsense'))).not.toBeNull()
  })

  test('an attack from everywhere slows down, and keeps nobody else out', () => {
    const { made, tries } = limits()
    for (let i = 0; i < 25; i++) tries(2, 'ana', `198.51.100.${i}`)
    expect(refusal(() => made.attempt('ana', '198.51.100.1'))?.code).toBe('too-many-requests')
    expect(refusal(() => made.attempt('ana', '192.0.2.1'))).toBeNull()
    expect(refusal(() => made.attempt('ana', '192.0.2.1'))?.code).toBe('too-many-requests')
  })

  test('a success is taken back', () => {
    const { made } = limits()
    for (let i = 0; i < 100; i++) made.attempt('ana', '192.0.2.1').succeeded()
    expect(refusal(() => made.attempt('ana', '192.0.2.1'))).toBeNull()
  })
})

test('what is sent in place of a name is not remembered at length: it is one name', () => {
  const { made, tries } = limits()
  for (let i = 0; i < 10; i++) tries(1, String(i).repeat(60_000), '192.0.2.7')
  expect(refusal(() => made.attempt('x'.repeat(60_000), '192.0.2.7'))?.code).toBe(
    'too-many-requests',
  )
  expect(refusal(() => made.attempt('ana', '192.0.2.7'))).toBeNull()
})
