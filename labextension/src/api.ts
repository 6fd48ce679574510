/**
 * The verbs of the server extension and of one broker's REST, one small function each. Owns paths; keeps no state.
 */

import type { ServerConnection } from '@jupyterlab/services';
import type { ReadonlyJSONObject } from '@lumino/coreutils';
import type { JSONSchema7 } from 'json-schema';
import { request, socket } from './request';
import type {
  IApplied,
  IBroker,
  IConnector,
  IEntry,
  IStream,
  StreamAction
} from './tokens';

const PAGE = 2000;

/** Rows are asked for in pages so that no answer is unbounded. */
async function pages<T>(
  page: (start: number, limit: number) => Promise<T[]>
): Promise<T[]> {
  const all: T[] = [];
  for (;;) {
    const some = await page(all.length, PAGE);
    all.push(...some);
    if (some.length < PAGE) {
      return all;
    }
  }
}

/** Discovery and lifecycle of brokers. */
export class Brokers {
  constructor(private readonly settings: ServerConnection.ISettings) {}

  list(): Promise<IBroker[]> {
    return request(this.settings, 'brokers');
  }

  start(name: string): Promise<IBroker> {
    return request(this.settings, 'brokers', {
      method: 'POST',
      body: { name }
    });
  }

  stop(name: string): Promise<null> {
    return request(this.settings, `brokers/${encodeURIComponent(name)}`, {
      method: 'DELETE'
    });
  }

  /** The REST of one broker. */
  api(name: string): BrokerApi {
    return new BrokerApi(this.settings, name);
  }
}

/** One broker's REST, through the relay. */
export class BrokerApi {
  constructor(
    private readonly settings: ServerConnection.ISettings,
    readonly name: string
  ) {
    this._root = `brokers/${encodeURIComponent(name)}`;
  }

  entry(key: string): Promise<IEntry> {
    return request(this.settings, this.path('config'), { query: { key } });
  }

  /** The whole tree. */
  entries(): Promise<IEntry[]> {
    return pages((start, limit) =>
      request(this.settings, this.path('config/range'), {
        query: { key: '/', start, limit }
      })
    );
  }

  streams(): Promise<IStream[]> {
    return pages((start, limit) =>
      request(this.settings, this.path('streams'), {
        query: { key: '/stream/', start, limit }
      })
    );
  }

  instances(): Promise<{ key: string; status: string }[]> {
    return request(this.settings, this.path('instances'));
  }

  schema(table: string, category: string): Promise<JSONSchema7> {
    const tail = category ? `/${encodeURIComponent(category)}` : '';
    return request(this.settings, this.path(`schema/${table}${tail}`));
  }

  connectors(): Promise<IConnector[]> {
    return request(this.settings, this.path('connectors'));
  }

  save(
    key: string,
    value: ReadonlyJSONObject,
    etag: string | null
  ): Promise<IEntry> {
    return request(this.settings, this.path('config'), {
      method: 'POST',
      body: { key, value },
      etag
    });
  }

  remove(key: string): Promise<null> {
    return request(this.settings, this.path('config'), {
      method: 'DELETE',
      query: { key }
    });
  }

  /** Applying changes what runs, so it goes as a POST, which the relay checks as a write. */
  apply(key: string): Promise<IApplied> {
    return request(this.settings, this.path('config/notify'), {
      method: 'POST',
      query: { key }
    });
  }

  command(action: StreamAction, key: string): Promise<IStream> {
    return request(this.settings, this.path(`streams/${action}`), {
      method: 'POST',
      body: { key }
    });
  }

  events(): WebSocket {
    return socket(this.settings, `${this._root}/ws/events`);
  }

  private path(tail: string): string {
    return `${this._root}/api/${tail}`;
  }

  private readonly _root: string;
}
