/**
 * The goals of the project for what is measured here, each beside its result. A goal not met is
 * told, and no fault of the bench: it judges nothing and exits with 0.
 * @module
 */
import type { Hot, HotRow } from './hot.ts'
import type { InstallRow } from './install.ts'
import type { Publish } from './publish.ts'
import type { Start } from './start.ts'

export type Results = {
  hot: Hot | null
  start: Start | null
  publish: Publish | null
  installs: InstallRow[] | null
}

/** @property value in the unit of the text; null could not be measured */
export type Goal = { goal: string; result: string; value: number | null; met: boolean | null }

const OF_BARE_MIN = 0.6
const OVER_VERDACCIO_MIN = 100
const READY_MS_MAX = 150
const IDLE_MB_MAX = 80
const WARM_OVER_DIRECT_MAX = 1.1
const PUBLISH_OVER_BARE_MAX = 3
const PUBLISH_OVER_VERDACCIO_MIN = 5

export function goalsOf({ hot, start, publish, installs }: Results): Goal[] {
  return [
    ...(hot === null ? [] : hotGoals(hot.rows)),
    ...(start === null ? [] : startGoals(start)),
    ...(publish === null ? [] : publishGoals(publish)),
    ...(installs ?? []).filter(row => row.client === 'bun').map(row => warmGoal(row)),
  ]
}

function hotGoals(rows: readonly HotRow[]): Goal[] {
  const sizes = [...new Set(rows.map(row => row.size))]
  const ofBare = sizes.map(size => {
    const worst = Math.min(...rows.filter(row => row.size === size).map(row => row.ofBare))
    const goal = `hot ${size} packument: at least ${OF_BARE_MIN} of the bare server`
    return judged(goal, worst, worst >= OF_BARE_MIN, worst.toFixed(2))
  })
  const overs = rows.filter(row => row.size === 'middle').map(row => row.overVerdaccio)
  const goal = `hot middle packument: at least ${OVER_VERDACCIO_MIN} times Verdaccio`
  const over = overs.includes(null) ? null : Math.min(...overs.map(Number))
  if (over === null) return [...ofBare, { goal, result: 'not measured', value: null, met: null }]
  return [...ofBare, judged(goal, over, over >= OVER_VERDACCIO_MIN, `${over.toFixed(0)} times`)]
}

function startGoals({ freshMs, existingMs, idle }: Start): Goal[] {
  const worst = Math.max(freshMs, existingMs)
  const megabytes = idle.resident / 1e6
  return [
    judged(
      `ready in less than ${READY_MS_MAX} ms`,
      worst,
      worst < READY_MS_MAX,
      `${worst.toFixed(0)} ms`,
    ),
    judged(
      `idle memory below ${IDLE_MB_MAX} MB`,
      megabytes,
      megabytes < IDLE_MB_MAX,
      `${megabytes.toFixed(0)} MB`,
    ),
  ]
}

function publishGoals({ p95OverBare, overVerdaccio: over }: Publish): Goal[] {
  const ofBare = judged(
    `p95 of a publish: at most ${PUBLISH_OVER_BARE_MAX} times a bare fsync'd write`,
    p95OverBare,
    p95OverBare <= PUBLISH_OVER_BARE_MAX,
    `${p95OverBare.toFixed(1)} times`,
  )
  const goal = `publishes per second: at least ${PUBLISH_OVER_VERDACCIO_MIN} times Verdaccio as it comes`
  if (over === null) return [ofBare, { goal, result: 'not measured', value: null, met: null }]
  return [
    ofBare,
    judged(goal, over, over >= PUBLISH_OVER_VERDACCIO_MIN, `${over.toFixed(1)} times`),
  ]
}

function warmGoal({ warmOverDirect: value }: InstallRow): Goal {
  const goal = `warm bun install: at most ${WARM_OVER_DIRECT_MAX} times direct`
  return judged(goal, value, value <= WARM_OVER_DIRECT_MAX, `${value.toFixed(2)} times`)
}

function judged(goal: string, value: number, met: boolean, result: string): Goal {
  return { goal, result, value, met }
}
