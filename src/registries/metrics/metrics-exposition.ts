/**
 * What `/-/metrics` shows, in the words of Prometheus; loaded when somebody first looks.
 *
 * Names and units follow Prometheus' conventions (https://prometheus.io/docs/practices/naming/). No
 * label ever holds the name of a package, a user or a secret: labels are surfaces, codes and the
 * names of upstreams that the operator chose.
 * @module
 */
import { Counter, Gauge, Registry } from 'prom-client'
import type { MetricsNeeds } from './metrics-needs.ts'
import type { LoopWatch } from './metrics-runtime.ts'

const PREFIX = 'npmx_registry_'

type Sample = [labels: Record<string, string>, value: number]

/** The metrics of this instance. */
export class Exposition {
  readonly #registry = new Registry()
  readonly #loop: LoopWatch
  readonly #needs: MetricsNeeds

  constructor(needs: MetricsNeeds, loop: LoopWatch) {
    this.#needs = needs
    this.#loop = loop
    this.#addServing()
    this.#addUpstreams()
    this.#addLog()
    this.#addSampler()
    this.#addProcess()
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  /** The exposition. */
  text(): Promise<string> {
    return this.#registry.metrics()
  }

  #addServing(): void {
    const { requests, alerts, webhook } = this.#needs
    this.#count(
      'requests_total',
      'Answers by surface and class of status.',
      ['surface', 'status'],
      () =>
        [...requests.requests()].map(({ surface, status, count }) => [{ surface, status }, count]),
    )
    this.#count(
      'refusals_total',
      'Refused versions that somebody asked for, by reason.',
      ['reason'],
      () => [...requests.refusals()].map(([reason, count]) => [{ reason }, count]),
    )
    this.#count('incidents_total', 'New incidents, by code.', ['code'], () =>
      [...alerts.counts].map(([code, count]) => [{ code }, count]),
    )
    this.#count(
      'webhook_messages_total',
      'Alerts sent to the webhook, by result.',
      ['result'],
      () => Object.entries(webhook?.counts ?? {}).map(([result, count]) => [{ result }, count]),
    )
  }

  #addUpstreams(): void {
    const { fetcher, upstreams } = this.#needs
    const perUpstream = (value: (origin: string) => number) => () =>
      upstreams
        .list()
        .filter(({ url }) => URL.canParse(url))
        .map(({ name, url }): Sample => [{ upstream: name }, value(new URL(url).origin)])
    this.#count(
      'upstream_requests_total',
      'Requests to the origin of an upstream that had an end.',
      ['upstream'],
      perUpstream(origin => {
        const { succeeded, failed } = fetcher.countsOf(origin)
        return succeeded + failed
      }),
    )
    this.#count(
      'upstream_failures_total',
      'Requests to the origin of an upstream that failed.',
      ['upstream'],
      perUpstream(origin => fetcher.countsOf(origin).failed),
    )
    this.#gauge(
      'upstream_up',
      'Whether an upstream is asked: 0 while its circuit breaker is open.',
      ['upstream'],
      perUpstream(origin => (fetcher.stateOf(origin) === 'open' ? 0 : 1)),
    )
  }

  #addLog(): void {
    const { log, newestSeconds, cacheBytes } = this.#needs
    this.#gauge('log_size', 'Records in the log.', [], () => [[{}, log.size]])
    this.#gauge('checkpoint_timestamp_seconds', 'Unix time of the newest checkpoint.', [], () => {
      const seconds = newestSeconds()
      return seconds === null ? [] : [[{}, seconds]]
    })
    this.#gauge('cache_bytes', 'Bytes that are kept and may be wiped, by kind.', ['kind'], () =>
      Object.entries(cacheBytes()).map(([kind, bytes]) => [{ kind }, bytes]),
    )
  }

  #addSampler(): void {
    const { sampler, strict } = this.#needs
    this.#count(
      'sampler_tarballs_total',
      'Tarballs compared in the background.',
      ['result'],
      () => {
        const { same, other, mismatch, failed } = sampler.counts
        const results = { same: same - mismatch, other, mismatch, failed }
        return Object.entries(results).map(([result, count]) => [{ result }, count])
      },
    )
    this.#count('sampler_bytes_total', 'Bytes fetched for that.', [], () => [
      [{}, sampler.counts.bytes],
    ])
    this.#gauge('sampler_waiting', 'Tarballs that wait to be compared.', ['mode'], () => [
      [{ mode: 'background' }, sampler.waiting],
      [{ mode: 'strict' }, strict.waiting],
    ])
  }

  #addProcess(): void {
    const { version } = this.#needs
    this.#gauge('build_info', 'The version of this program.', ['version'], () => [[{ version }, 1]])
    this.#gauge('event_loop_lag_seconds', 'Longest stall since the last scrape.', [], () => [
      [{}, this.#loop.takeWorstSeconds()],
    ])
    this.#add(Gauge, 'process_resident_memory_bytes', 'Memory in use.', [], () => [
      [{}, process.memoryUsage.rss()],
    ])
    this.#add(Counter, 'process_cpu_seconds_total', 'CPU time.', [], () => {
      const { user, system } = process.cpuUsage()
      return [[{}, (user + system) / 1e6]]
    })
    const started = Date.now() / 1000 - process.uptime()
    this.#add(Gauge, 'process_start_time_seconds', 'Start, Unix time.', [], () => [[{}, started]])
  }

  #count(name: string, help: string, labelNames: string[], read: () => Sample[]): void {
    this.#add(Counter, PREFIX + name, help, labelNames, read)
  }

  #gauge(name: string, help: string, labelNames: string[], read: () => Sample[]): void {
    this.#add(Gauge, PREFIX + name, help, labelNames, read)
  }

  /** A metric whose value lives elsewhere and is read when somebody looks. */
  #add(
    Kind: typeof Counter | typeof Gauge,
    name: string,
    help: string,
    labelNames: string[],
    read: () => Sample[],
  ): void {
    const metric = new Kind<string>({
      name,
      help,
      labelNames,
      registers: [this.#registry],
      collect() {
        metric.reset()
        for (const [labels, value] of read()) metric.inc(labels, value)
      },
    })
  }
}
