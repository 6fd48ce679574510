/**
 * What is known of one broker: its entries, streams and instances, loaded whole and kept true by events.
 *
 * Owns the three maps. Refuses to decide when to load; asks the broker only for an entry that an event named.
 */

import type { BrokerApi } from './api';
import { RequestError } from './request';
import type { BrokerEvent, IEntry, IStream, Topic } from './tokens';

/** Above this number of changed keys at once, the whole tree is loaded instead of each. */
const MANY = 20;

/** Milliseconds in which changed keys are gathered. */
const GATHER = 50;

export class Snapshot {
  constructor(
    private readonly api: BrokerApi,
    private readonly changed: (topic: Topic) => void
  ) {}

  readonly entries = new Map<string, IEntry>();
  readonly streams = new Map<string, IStream>();
  readonly instances = new Map<string, string>();

  /** Load everything. @throws RequestError */
  async load(): Promise<void> {
    const [entries, streams, instances] = await Promise.all([
      this.api.entries(),
      this.api.streams(),
      this.api.instances()
    ]);
    refill(this.entries, entries, entry => entry);
    refill(this.streams, streams, stream => stream);
    refill(this.instances, instances, instance => instance.status);
    this.changed('config');
    this.changed('streams');
  }

  receive(event: BrokerEvent): void {
    switch (event.type) {
      case 'config':
        this.touched(event.key, event.action);
        break;
      case 'stream':
        this.stream(event);
        break;
      case 'instance':
        this.instances.set(event.key, event.status);
        this.changed('config');
        break;
    }
  }

  put(entry: IEntry): void {
    if (this.entries.get(entry.key)?.etag !== entry.etag) {
      this.entries.set(entry.key, entry);
      this.changed('config');
    }
  }

  drop(key: string): void {
    const had = this.entries.delete(key);
    if (this.streams.delete(key)) {
      this.changed('streams');
    }
    if (had) {
      this.changed('config');
    }
  }

  stream(stream: IStream): void {
    this.streams.set(stream.key, stream);
    this.changed('streams');
  }

  dispose(): void {
    clearTimeout(this._timer);
    this._disposed = true;
  }

  private touched(key: string, action: string): void {
    if (action === 'REMOVE') {
      this.drop(key);
      return;
    }
    this._touched.add(key);
    this._timer ??= setTimeout(() => {
      this._timer = undefined;
      const keys = [...this._touched];
      this._touched.clear();
      void this.fetch(keys);
    }, GATHER);
  }

  private async fetch(keys: string[]): Promise<void> {
    if (keys.length > MANY) {
      const entries = await this.api.entries().catch(forgive);
      if (entries && !this._disposed) {
        refill(this.entries, entries, entry => entry);
        this.changed('config');
      }
      return;
    }
    await Promise.all(keys.map(key => this.fetchOne(key)));
  }

  private async fetchOne(key: string): Promise<void> {
    const entry = await this.api.entry(key).catch(forgive);
    if (this._disposed) {
      return;
    }
    if (entry) {
      this.put(entry);
    }
  }

  private readonly _touched = new Set<string>();
  private _timer: ReturnType<typeof setTimeout> | undefined;
  private _disposed = false;
}

/** An entry that went away again, or a broker that did: the next load tells, so this is no error of its own. */
function forgive(error: unknown): null {
  if (error instanceof RequestError) {
    return null;
  }
  throw error;
}

function refill<T extends { key: string }, V>(
  map: Map<string, V>,
  rows: readonly T[],
  value: (row: T) => V
): void {
  map.clear();
  rows.forEach(row => map.set(row.key, value(row)));
}
