/**
 * The state of the panel: which brokers there are, which is chosen, what it holds and what is selected.
 *
 * Owns choosing and the verbs; views only read it and listen to `changed`. Refuses to draw.
 */

import type { ReadonlyJSONObject } from '@lumino/coreutils';
import type { IDisposable } from '@lumino/disposable';
import { Poll } from '@lumino/polling';
import { Signal, type ISignal } from '@lumino/signaling';
import type { JSONSchema7 } from 'json-schema';
import type { Brokers } from './api';
import { Following } from './following';
import { Key } from './key';
import { messageOf, RequestError } from './request';
import type {
  IApplied,
  IBroker,
  IEntry,
  IStream,
  ITeleporter,
  Phase,
  StreamAction,
  Topic
} from './tokens';

/** Milliseconds between two looks for brokers. */
const DISCOVERY = 10_000;

const EMPTY: ReadonlyMap<string, never> = new Map<string, never>();

export class Teleporter implements ITeleporter, IDisposable {
  /** `interval`: milliseconds between two loads while no websocket can be had; takes effect when next shown. */
  constructor(
    private readonly server: Brokers,
    public interval = 5000
  ) {}

  brokers: readonly IBroker[] = [];
  busy: string | null = null;
  selected: string | null = null;

  get changed(): ISignal<this, Topic> {
    return this._changed;
  }

  get broker(): string | null {
    return this._following?.api.name ?? null;
  }

  get phase(): Phase {
    return this._following?.phase ?? 'idle';
  }

  get error(): string {
    return this._trouble || (this._following?.error ?? '');
  }

  get live(): boolean {
    return this._following?.live ?? false;
  }

  get entries(): ReadonlyMap<string, IEntry> {
    return this._following?.snapshot.entries ?? EMPTY;
  }

  get streams(): ReadonlyMap<string, IStream> {
    return this._following?.snapshot.streams ?? EMPTY;
  }

  get instances(): ReadonlyMap<string, string> {
    return this._following?.snapshot.instances ?? EMPTY;
  }

  get isDisposed(): boolean {
    return this._disposed;
  }

  activate(): void {
    if (this._discovery || this._disposed) {
      return;
    }
    this._discovery = new Poll({
      name: 'teleporter-lab:brokers',
      auto: false,
      standby: 'when-hidden',
      frequency: { interval: DISCOVERY, backoff: true, max: 6 * DISCOVERY },
      factory: () => this.discover()
    });
    void this._discovery.start();
    this._following?.resume(this.interval);
  }

  deactivate(): void {
    this._discovery?.dispose();
    this._discovery = null;
    this._following?.pause();
  }

  dispose(): void {
    this.deactivate();
    this._following?.dispose();
    this._disposed = true;
    Signal.clearData(this);
  }

  choose(name: string | null): void {
    if (name === this.broker) {
      return;
    }
    this._following?.dispose();
    this.selected = null;
    this._following = name
      ? new Following(this.server.api(name), this.tell)
      : null;
    this.tell('brokers', 'config', 'streams', 'selection');
    if (this._discovery) {
      this._following?.resume(this.interval);
    }
  }

  async startBroker(name: string): Promise<void> {
    await this.occupied(name, () => this.server.start(name));
    this.choose(name);
    await this._following?.refresh();
  }

  async stopBroker(name: string): Promise<void> {
    await this.occupied(name, () => this.server.stop(name));
    if (name === this.broker) {
      this._following?.fail(`The broker "${name}" is stopped.`);
    }
  }

  async reload(): Promise<void> {
    await this.discover();
    await this._following?.refresh();
  }

  select(key: string | null): void {
    if (key !== this.selected) {
      this.selected = key;
      this.tell('selection');
    }
  }

  schema(key: string, category: string): Promise<JSONSchema7> {
    return this.chosen().schema(Key.parse(key).table, category);
  }

  async categories(key: string): Promise<string[]> {
    const { table } = Key.parse(key);
    if (table !== 'source' && table !== 'sink' && table !== 'address') {
      return [];
    }
    const connectors = await this.chosen().connectors();
    return connectors.filter(one => one[table]).map(one => one.category);
  }

  async save(
    key: string,
    value: ReadonlyJSONObject,
    etag: string | null
  ): Promise<IEntry> {
    const { api, snapshot } = this.chosen();
    const entry = await api.save(key, value, etag);
    snapshot.put(entry);
    return entry;
  }

  async remove(key: string): Promise<void> {
    const { api, snapshot } = this.chosen();
    await api.remove(key);
    snapshot.drop(key);
    if (this.selected === key) {
      this.select(null);
    }
  }

  apply(key: string): Promise<IApplied> {
    return this.chosen().api.apply(key);
  }

  async command(action: StreamAction, key: string): Promise<void> {
    const { api, snapshot, live } = this.chosen();
    const stream = await api.command(action, key);
    if (!live) {
      // Where events come by themselves they are newer than an answer that was long under way.
      snapshot.stream(stream);
    }
  }

  /** A start or stop takes seconds, during which the views show which broker is busy. */
  private async occupied(
    name: string,
    verb: () => Promise<unknown>
  ): Promise<void> {
    this.busy = name;
    this.tell('brokers');
    try {
      await verb();
    } finally {
      this.busy = null;
      await this.discover();
    }
  }

  /** @throws RequestError when no broker is chosen */
  private chosen(): Following {
    if (!this._following) {
      throw new RequestError('No broker is chosen.', 0, 'not_running');
    }
    return this._following;
  }

  /** Look for brokers; the first living one is chosen when none is. */
  private async discover(): Promise<void> {
    try {
      this.brokers = await this.server.list();
      this._trouble = '';
    } catch (error) {
      this._trouble = messageOf(error);
      throw error;
    } finally {
      this.tell('brokers');
    }
    if (this.broker === null) {
      const first = this.brokers.find(broker => broker.alive);
      this.choose((first ?? this.brokers[0])?.name ?? null);
    }
  }

  private readonly tell = (...topics: Topic[]): void => {
    topics.forEach(topic => this._changed.emit(topic));
  };

  private readonly _changed = new Signal<this, Topic>(this);
  private _following: Following | null = null;
  private _discovery: Poll | null = null;
  private _trouble = '';
  private _disposed = false;
}
