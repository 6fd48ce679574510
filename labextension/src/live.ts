/**
 * Keeps a view of a broker fresh: one websocket for changes, a poll with back-off where it cannot be had.
 *
 * Owns the socket and the poll. Refuses to know what an event means; closes the socket while nobody looks,
 * because an open one keeps a hub from culling an idle server.
 */

import type { IDisposable } from '@lumino/disposable';
import { Poll } from '@lumino/polling';
import type { BrokerEvent } from './tokens';

export interface ILiveOptions {
  /** A fresh, connecting socket. */
  readonly connect: () => WebSocket;
  /** Load everything again; rejects when the broker does not answer. */
  readonly load: () => Promise<void>;
  readonly event: (event: BrokerEvent) => void;
  /** Told when the socket opens or closes. */
  readonly changed: (live: boolean) => void;
  /** Milliseconds between two loads while there is no socket. */
  readonly interval: number;
  /** Milliseconds to wait for the socket before loading without it. */
  readonly patience?: number;
}

const LONGEST = 60_000;

/** Milliseconds after which an open socket counts as one that works. */
const STEADY = 2000;

export class Live implements IDisposable {
  constructor(private readonly options: ILiveOptions) {
    this._poll = new Poll({
      name: 'teleporter-lab:live',
      auto: false,
      standby: 'when-hidden',
      linger: 0,
      frequency: {
        interval: options.interval,
        backoff: true,
        max: Math.max(LONGEST, options.interval)
      },
      factory: () => this.round()
    });
    document.addEventListener('visibilitychange', this.onVisibility);
  }

  get isDisposed(): boolean {
    return this._poll.isDisposed;
  }

  /** Whether changes arrive by themselves. */
  get connected(): boolean {
    return this._socket?.readyState === WebSocket.OPEN;
  }

  /** Begin: connect, then load. Settles when the first load has. */
  async start(): Promise<void> {
    await this._poll.start();
    await this._poll.tick.catch(() => undefined);
  }

  /** Load now, whatever the schedule says. */
  async refresh(): Promise<void> {
    this._stale = true;
    await this._poll.refresh();
    await this._poll.tick.catch(() => undefined);
  }

  dispose(): void {
    if (this.isDisposed) {
      return;
    }
    document.removeEventListener('visibilitychange', this.onVisibility);
    this._poll.dispose();
    this.hangUp();
  }

  /** The socket first, so that no change falls between loading and listening. */
  private async round(): Promise<void> {
    if (this.connected && !this._stale) {
      return;
    }
    await this.dial();
    if (this.isDisposed) {
      return;
    }
    this._stale = false;
    await this.options.load();
  }

  /** Settles when the socket is open, or failed, or took too long (it may still open later). */
  private dial(): Promise<void> {
    if (this._socket) {
      return Promise.resolve();
    }
    const socket = (this._socket = this.options.connect());
    return new Promise(resolve => {
      let waiting = true;
      const settle = (): void => {
        waiting = false;
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(settle, this.options.patience ?? 3000);
      socket.onopen = () => {
        const late = !waiting;
        settle();
        this.opened(late);
      };
      socket.onmessage = message => this.receive(String(message.data));
      socket.onclose = () => {
        settle();
        this.lost(socket);
      };
    });
  }

  private opened(late: boolean): void {
    this._openSince = Date.now();
    this.options.changed(true);
    if (late) {
      void this.refresh();
    }
  }

  private receive(text: string): void {
    const event = JSON.parse(text) as BrokerEvent;
    if (event.type === 'lost') {
      void this.refresh();
    } else {
      this.options.event(event);
    }
  }

  /** A socket that held for a while is dialled again at once; one that did not, at the next tick. */
  private lost(socket: WebSocket): void {
    if (this._socket !== socket) {
      return;
    }
    const held = this._openSince && Date.now() - this._openSince > STEADY;
    this._socket = null;
    this._openSince = 0;
    this._stale = true;
    this.options.changed(false);
    if (held) {
      void this.refresh();
    }
  }

  private hangUp(): void {
    const socket = this._socket;
    this._socket = null;
    this._openSince = 0;
    this._stale = true;
    if (socket) {
      socket.onopen = null;
      socket.onmessage = null;
      socket.close();
    }
  }

  private readonly onVisibility = (): void => {
    if (document.hidden) {
      this.hangUp();
      this.options.changed(false);
    } else {
      void this.refresh();
    }
  };

  private readonly _poll: Poll;
  private _socket: WebSocket | null = null;
  private _openSince = 0;
  private _stale = true;
}
