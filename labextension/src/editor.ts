/**
 * The editing of nodes: a draft for each key that was touched, its problems, and what the last verb said.
 *
 * Owns drafts, so that looking at another node loses nothing. Refuses to judge a value: the broker does, and its
 * sentences are shown. Knows no schema and no React.
 */

import { JSONExt, type ReadonlyJSONObject } from '@lumino/coreutils';
import { Signal, type ISignal } from '@lumino/signaling';
import { messageOf, RequestError } from './request';
import type { IProblem, ITeleporter } from './tokens';

export type Tone = 'info' | 'success' | 'warning' | 'error';

/** One sentence above the form. */
export interface INotice {
  readonly tone: Tone;
  readonly text: string;
}

/** All that is kept of one key while it is edited. */
export interface IDraft {
  readonly value: ReadonlyJSONObject;
  /** The version that the draft began from, null for a new node. */
  readonly etag: string | null;
  readonly problems: readonly IProblem[];
  readonly notice: INotice | null;
  readonly busy: boolean;
}

export class Editor {
  constructor(private readonly model: ITeleporter) {
    model.changed.connect((_, topic) => {
      if (topic === 'brokers' && model.broker !== this._broker) {
        this._broker = model.broker;
        this._drafts.clear();
      }
    });
    this._broker = model.broker;
  }

  get changed(): ISignal<this, string> {
    return this._changed;
  }

  /** What the form of a key shows: the draft, or the stored value where nothing was touched. */
  draft(key: string): IDraft {
    const entry = this.model.entries.get(key);
    return {
      value: entry?.value ?? JSONExt.emptyObject,
      etag: entry?.etag ?? null,
      problems: [],
      notice: null,
      busy: false,
      ...this._drafts.get(key)
    };
  }

  /** Whether there is something to save: a changed value, or a node that is not stored yet. */
  dirty(key: string): boolean {
    const value = this._drafts.get(key)?.value;
    const stored = this.model.entries.get(key)?.value;
    return !stored || (!!value && !JSONExt.deepEqual(value, stored));
  }

  /** Whether the node was changed elsewhere since the draft began. */
  outdated(key: string): boolean {
    const etag = this._drafts.get(key)?.etag;
    const stored = this.model.entries.get(key)?.etag ?? null;
    return etag !== undefined && etag !== stored && this.dirty(key);
  }

  edit(key: string, value: ReadonlyJSONObject): void {
    const { etag } = this.draft(key);
    this.put(key, { value, etag, notice: null });
  }

  /** Forget the draft. */
  revert(key: string): void {
    this._drafts.delete(key);
    this._changed.emit(key);
  }

  /** Store the draft; with `force` over whatever is there now. Problems land at their fields. */
  async save(key: string, force = false): Promise<boolean> {
    const { value, etag } = this.draft(key);
    return this.attempt(key, async () => {
      await this.model.save(key, value, force ? null : etag);
      this._drafts.delete(key);
      this.put(key, {
        notice: {
          tone: 'success',
          text: 'Saved. Refresh applies it to what is running.'
        }
      });
    });
  }

  /** Apply what is stored to what is running. */
  async apply(key: string): Promise<boolean> {
    return this.attempt(key, async () => {
      const { notified, problems } = await this.model.apply(key);
      this.put(key, { problems, notice: told(notified, problems) });
    });
  }

  async remove(key: string): Promise<boolean> {
    return this.attempt(key, async () => {
      await this.model.remove(key);
      this._drafts.delete(key);
    });
  }

  private async attempt(
    key: string,
    verb: () => Promise<void>
  ): Promise<boolean> {
    this.put(key, { busy: true, problems: [], notice: null });
    try {
      await verb();
      return true;
    } catch (error) {
      this.put(key, failure(error));
      return false;
    } finally {
      if (this._drafts.has(key)) {
        this.put(key, { busy: false });
      }
      this._changed.emit(key);
    }
  }

  private put(key: string, change: Partial<IDraft>): void {
    this._drafts.set(key, { ...this._drafts.get(key), ...change });
    this._changed.emit(key);
  }

  private readonly _changed = new Signal<this, string>(this);
  private readonly _drafts = new Map<string, Partial<IDraft>>();
  private _broker: string | null;
}

function told(
  notified: readonly string[],
  problems: readonly IProblem[]
): INotice {
  if (problems.length) {
    return {
      tone: 'error',
      text: 'Not applied everywhere; what ran before goes on.'
    };
  }
  return notified.length
    ? { tone: 'success', text: `Applied on ${notified.join(', ')}.` }
    : { tone: 'info', text: 'Nothing that runs uses this node now.' };
}

function failure(error: unknown): Partial<IDraft> {
  const problems = error instanceof RequestError ? error.problems : [];
  return { problems, notice: { tone: 'error', text: messageOf(error) } };
}
