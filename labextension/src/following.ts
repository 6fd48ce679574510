/**
 * One chosen broker: what is known of it, whether it answers, and the wish to keep it true while somebody looks.
 *
 * Owns the snapshot and the live connection of that broker. Refuses to choose a broker or to change one.
 */

import type { IDisposable } from '@lumino/disposable';
import type { JSONSchema7 } from 'json-schema';
import type { BrokerApi } from './api';
import { Live } from './live';
import { messageOf } from './request';
import { Snapshot } from './snapshot';
import type { IConnector, Phase, Topic } from './tokens';

export class Following implements IDisposable {
  constructor(
    readonly api: BrokerApi,
    private readonly tell: (...topics: Topic[]) => void
  ) {
    this.snapshot = new Snapshot(api, topic => this.pass(topic));
  }

  readonly snapshot: Snapshot;
  phase: Phase = 'loading';
  error = '';
  live = false;

  get isDisposed(): boolean {
    return this._disposed;
  }

  /** The schema of a form; fetched once, as a broker's connectors do not change while it runs. */
  schema(table: string, category: string): Promise<JSONSchema7> {
    return this.once(`${table}/${category}`, () =>
      this.api.schema(table, category)
    );
  }

  connectors(): Promise<IConnector[]> {
    return this.once('connectors', () => this.api.connectors());
  }

  /** Connect and load; `interval` is the number of milliseconds between loads without a websocket. */
  resume(interval: number): void {
    if (this._live || this._disposed) {
      return;
    }
    this._live = new Live({
      connect: () => this.api.events(),
      load: () => this.load(),
      event: event => this.snapshot.receive(event),
      changed: live => this.heard(live),
      interval
    });
    void this._live.start();
  }

  /** Let go of the connection and keep what is known. */
  pause(): void {
    this._live?.dispose();
    this._live = null;
    this.heard(false);
  }

  async refresh(): Promise<void> {
    await this._live?.refresh();
  }

  /** The broker does not answer; what was known stays to be read. */
  fail(reason: string): void {
    this.phase = 'offline';
    this.error = reason;
    this.pass('brokers', 'config', 'streams', 'selection');
  }

  dispose(): void {
    this._disposed = true;
    this.pause();
    this.snapshot.dispose();
  }

  /** What was fetched under this name, or what `fetch` gives; a failure is forgotten. */
  private once<T>(name: string, fetch: () => Promise<T>): Promise<T> {
    let known = this._fetched.get(name) as Promise<T> | undefined;
    if (!known) {
      known = fetch();
      this._fetched.set(name, known);
      known.catch(() => this._fetched.delete(name));
    }
    return known;
  }

  private async load(): Promise<void> {
    try {
      await this.snapshot.load();
    } catch (error) {
      this.fail(messageOf(error));
      throw error;
    }
    if (this.phase !== 'ready') {
      this.phase = 'ready';
      this.error = '';
      this.pass('brokers', 'config', 'streams', 'selection');
    }
  }

  private heard(live: boolean): void {
    if (this.live !== live) {
      this.live = live;
      this.pass('brokers');
    }
  }

  /** A broker that is no longer chosen tells nothing more. */
  private pass(...topics: Topic[]): void {
    if (!this._disposed) {
      this.tell(...topics);
    }
  }

  private readonly _fetched = new Map<string, Promise<unknown>>();
  private _live: Live | null = null;
  private _disposed = false;
}
