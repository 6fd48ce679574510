/** A model without a server: what tests of views and of the editor drive. */

import type { ReadonlyJSONObject } from '@lumino/coreutils';
import { Signal } from '@lumino/signaling';
import type { JSONSchema7 } from 'json-schema';
import { RequestError } from '../request';
import type {
  IApplied,
  IBroker,
  IEntry,
  IProblem,
  IStream,
  ITeleporter,
  Phase,
  StreamAction,
  Topic
} from '../tokens';

export const STREAM_SCHEMA: JSONSchema7 = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  title: 'StreamNode',
  type: 'object',
  properties: {
    id: { anyOf: [{ type: 'integer' }, { type: 'string' }, { type: 'null' }] },
    cron: {
      title: 'Cron',
      description: 'When it runs.',
      anyOf: [{ type: 'string' }, { type: 'null' }],
      default: null
    },
    status: { title: 'Status', type: 'string', enum: ['NORMAL', 'STOPPED'] },
    template: { title: 'Template', type: 'string' }
  },
  additionalProperties: false
};

export function entry(
  key: string,
  value: ReadonlyJSONObject = {},
  etag = 'e1'
): IEntry {
  return { key, value, etag };
}

export function stream(key: string, more: Partial<IStream> = {}): IStream {
  return { key, status: 'RUNNING', ...more };
}

export class Double implements ITeleporter {
  readonly changed = new Signal<this, Topic>(this);
  brokers: readonly IBroker[] = [];
  broker: string | null = 'default';
  busy: string | null = null;
  phase: Phase = 'ready';
  error = '';
  live = true;
  entries = new Map<string, IEntry>();
  streams = new Map<string, IStream>();
  instances = new Map<string, string>();
  selected: string | null = null;

  /** What was asked of it, in order. */
  readonly log: string[] = [];
  /** What the broker finds wrong with the next save. */
  problems: readonly IProblem[] = [];
  known: string[] = [];
  applied: IApplied = { key: '', notified: ['/instance/a/i'], problems: [] };

  with(...entries: IEntry[]): this {
    entries.forEach(one => this.entries.set(one.key, one));
    return this;
  }

  activate(): void {
    this.log.push('activate');
  }

  deactivate(): void {
    this.log.push('deactivate');
  }

  choose(name: string | null): void {
    this.broker = name;
    this.log.push(`choose ${name}`);
    this.changed.emit('brokers');
  }

  startBroker(name: string): Promise<void> {
    this.log.push(`start broker ${name}`);
    return Promise.resolve();
  }

  stopBroker(name: string): Promise<void> {
    this.log.push(`stop broker ${name}`);
    return Promise.resolve();
  }

  reload(): Promise<void> {
    this.log.push('reload');
    return Promise.resolve();
  }

  select(key: string | null): void {
    this.selected = key;
    this.log.push(`select ${key}`);
    this.changed.emit('selection');
  }

  schema(key: string, category: string): Promise<JSONSchema7> {
    this.log.push(`schema ${key} ${category}`);
    return Promise.resolve(STREAM_SCHEMA);
  }

  categories(): Promise<string[]> {
    return Promise.resolve(this.known);
  }

  save(
    key: string,
    value: ReadonlyJSONObject,
    etag: string | null
  ): Promise<IEntry> {
    this.log.push(`save ${key} ${etag}`);
    if (this.problems.length) {
      const why = 'The value is not valid.';
      return Promise.reject(
        new RequestError(why, 422, 'invalid_config', this.problems)
      );
    }
    const stored = entry(key, value, `${etag}+`);
    this.with(stored);
    return Promise.resolve(stored);
  }

  remove(key: string): Promise<void> {
    this.log.push(`remove ${key}`);
    this.entries.delete(key);
    return Promise.resolve();
  }

  apply(key: string): Promise<IApplied> {
    this.log.push(`apply ${key}`);
    return Promise.resolve({ ...this.applied, key });
  }

  command(action: StreamAction, key: string): Promise<void> {
    this.log.push(`${action} ${key}`);
    return Promise.resolve();
  }
}
