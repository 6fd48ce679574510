/**
 * The words of the panel: what travels, what the model offers and the token under which plugins find it. No code.
 */

import type { ReadonlyJSONObject } from '@lumino/coreutils';
import { Token } from '@lumino/coreutils';
import type { ISignal } from '@lumino/signaling';
import type { JSONSchema7 } from 'json-schema';

/** One broker as the server extension lists it; its token is never here. */
export interface IBroker {
  readonly name: string;
  readonly url: string;
  readonly pid: number;
  readonly id: string;
  readonly started: string;
  readonly version: string;
  /** Whether a health call was answered by this very broker. */
  readonly alive: boolean;
}

/** One node of the configuration tree. */
export interface IEntry {
  readonly key: string;
  readonly value: ReadonlyJSONObject;
  readonly etag: string;
}

/** One mistake: where (`client.topics`, empty for the whole value) and a sentence that says what is right. */
export interface IProblem {
  readonly path: string;
  readonly message: string;
}

/** One technology, and whether it can be an address, a source, a sink. */
export interface IConnector {
  readonly category: string;
  readonly description: string;
  readonly address: boolean;
  readonly source: boolean;
  readonly sink: boolean;
}

/** Names of a stream's counters, in the order in which they are told. */
export type Counter =
  | 'read'
  | 'written'
  | 'filtered'
  | 'skipped'
  | 'dead_lettered'
  | 'expanded'
  | 'merged'
  | 'in_flight';

/** What a stream does now. */
export interface IStream {
  readonly key: string;
  readonly status: string;
  readonly wanted?: string | null;
  readonly instance?: string | null;
  readonly partition?: string | null;
  /** Seconds since the epoch, 0 when not known. */
  readonly since?: number | null;
  readonly restarts?: number | null;
  readonly error?: string | null;
  readonly counts?: Partial<Record<Counter, number>> | null;
  /** Records a second. */
  readonly rate?: number | null;
}

/** What `/events` sends, and `lost` of the relay when a slow browser missed some. */
export type BrokerEvent =
  | { readonly type: 'config'; readonly key: string; readonly action: string }
  | ({ readonly type: 'stream' } & IStream)
  | { readonly type: 'instance'; readonly key: string; readonly status: string }
  | { readonly type: 'lost'; readonly dropped: number };

/** What applying a key did. */
export interface IApplied {
  readonly key: string;
  readonly notified: readonly string[];
  readonly problems: readonly IProblem[];
}

export type StreamAction = 'start' | 'stop' | 'restart' | 'refresh';

/** Parts of the model that change apart from each other. */
export type Topic = 'brokers' | 'config' | 'streams' | 'selection';

/** `idle`: no broker chosen. `offline`: chosen, does not answer; `error` says why. */
export type Phase = 'idle' | 'loading' | 'ready' | 'offline';

/** The state of the panel and all that can be done to a broker. */
export interface ITeleporter {
  readonly changed: ISignal<ITeleporter, Topic>;
  readonly brokers: readonly IBroker[];
  /** Name of the chosen broker. */
  readonly broker: string | null;
  /** Name of the broker that is being started or stopped. */
  readonly busy: string | null;
  readonly phase: Phase;
  /** Why the broker list or the broker does not answer, empty when it does. */
  readonly error: string;
  /** Whether changes arrive by themselves; otherwise they are polled. */
  readonly live: boolean;
  readonly entries: ReadonlyMap<string, IEntry>;
  readonly streams: ReadonlyMap<string, IStream>;
  /** Status of each instance that has told one. */
  readonly instances: ReadonlyMap<string, string>;
  readonly selected: string | null;

  /** Begin and end following the broker; the panel calls them as it is shown and hidden. */
  activate(): void;
  deactivate(): void;

  choose(name: string | null): void;
  startBroker(name: string): Promise<void>;
  stopBroker(name: string): Promise<void>;
  reload(): Promise<void>;
  select(key: string | null): void;

  /** The schema of a key's value; `category` empty for a table without, or a node that has none yet. */
  schema(key: string, category: string): Promise<JSONSchema7>;
  /** What a key's `category` can be, empty for a table without. */
  categories(key: string): Promise<string[]>;
  save(
    key: string,
    value: ReadonlyJSONObject,
    etag: string | null
  ): Promise<IEntry>;
  remove(key: string): Promise<void>;
  apply(key: string): Promise<IApplied>;
  command(action: StreamAction, key: string): Promise<void>;
}

export const ITeleporter = new Token<ITeleporter>(
  'teleporter-lab:ITeleporter',
  'The state of the teleporter-lab panel: brokers, configuration and streams.'
);

/** Ids of the commands, for menus, palette and buttons. */
export const CommandIDs = {
  open: 'teleporter-lab:open',
  reload: 'teleporter-lab:reload',
  startBroker: 'teleporter-lab:start-broker',
  stopBroker: 'teleporter-lab:stop-broker',
  newNode: 'teleporter-lab:new-node',
  deleteNode: 'teleporter-lab:delete-node',
  applyNode: 'teleporter-lab:apply-node',
  copyKey: 'teleporter-lab:copy-key',
  startStream: 'teleporter-lab:start-stream',
  stopStream: 'teleporter-lab:stop-stream',
  restartStream: 'teleporter-lab:restart-stream',
  refreshStream: 'teleporter-lab:refresh-stream'
} as const;
