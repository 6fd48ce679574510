import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Live } from '../live';
import type { BrokerEvent } from '../tokens';
import { FakeSocket } from './socket';

describe('Live', () => {
  let sockets: FakeSocket[];
  let loads: number;
  let fails: boolean;
  let events: BrokerEvent[];
  let states: boolean[];
  let live: Live;

  beforeEach(() => {
    vi.useFakeTimers();
    sockets = [];
    loads = 0;
    fails = false;
    events = [];
    states = [];
    live = new Live({
      connect: () => {
        sockets.push(new FakeSocket());
        return last().socket;
      },
      load: () => {
        loads += 1;
        return fails ? Promise.reject(new Error('down')) : Promise.resolve();
      },
      event: event => events.push(event),
      changed: state => states.push(state),
      interval: 5000,
      patience: 1000
    });
  });

  afterEach(() => {
    live.dispose();
    vi.useRealTimers();
  });

  function last(): FakeSocket {
    return sockets[sockets.length - 1] as FakeSocket;
  }

  /** Let timers run for so many milliseconds, with all that they lead to. */
  const pass = (milliseconds: number): Promise<unknown> =>
    vi.advanceTimersByTimeAsync(milliseconds);

  async function begin(): Promise<void> {
    void live.start();
    await pass(1);
    last().accept();
    await pass(1);
  }

  it('listens first, loads once, then only hears events', async () => {
    void live.start();
    await pass(1);
    expect([sockets.length, loads]).toEqual([1, 0]);
    last().accept();
    await pass(60_000);
    expect([sockets.length, loads]).toEqual([1, 1]);
    expect(live.connected).toBe(true);
    last().say({ type: 'config', key: '/task/a/t', action: 'ADD' });
    expect(events).toHaveLength(1);
    expect(states).toEqual([true]);
  });

  it('polls where a socket is refused', async () => {
    void live.start();
    await pass(1);
    last().close();
    await pass(5001);
    last().close();
    await pass(1);
    expect([sockets.length, loads]).toEqual([2, 2]);
  });

  it('does not wait for a socket that hangs, and loads again when it opens', async () => {
    void live.start();
    await pass(1100);
    expect(loads).toBe(1);
    last().accept();
    await pass(10);
    expect(loads).toBe(2);
  });

  it('backs off while the broker is down', async () => {
    fails = true;
    void live.start();
    for (let second = 0; second < 120; second += 1) {
      await pass(1000);
      last().close();
    }
    expect(loads).toBeLessThan(20);
    expect(loads).toBeGreaterThan(2);
  });

  it('comes back at once when an open socket is lost', async () => {
    await begin();
    await pass(10_000);
    last().close();
    await pass(1);
    expect(sockets).toHaveLength(2);
    last().accept();
    await pass(1);
    expect(loads).toBe(2);
    expect(states).toEqual([true, false, true]);
  });

  it('does not spin when a socket opens and closes over and over', async () => {
    await begin();
    for (let second = 0; second < 60; second += 1) {
      if (last().readyState === 0) {
        last().accept();
      }
      last().close();
      await pass(1000);
    }
    expect(sockets.length).toBeLessThan(15);
  });

  it('loads again when the relay had to drop something', async () => {
    await begin();
    last().say({ type: 'lost', dropped: 3 });
    await pass(10);
    expect(loads).toBe(2);
    expect(events).toEqual([]);
  });

  it('lets go of the socket while the page is hidden', async () => {
    await begin();
    const hidden = vi.spyOn(document, 'hidden', 'get').mockReturnValue(true);
    const state = vi.spyOn(document, 'visibilityState', 'get');
    state.mockReturnValue('hidden');
    document.dispatchEvent(new Event('visibilitychange'));
    expect(last().readyState).toBe(3);
    await pass(60_000);
    expect(sockets).toHaveLength(1);
    hidden.mockReturnValue(false);
    state.mockReturnValue('visible');
    document.dispatchEvent(new Event('visibilitychange'));
    await pass(1);
    expect(sockets).toHaveLength(2);
    hidden.mockRestore();
    state.mockRestore();
  });

  it('is silent once disposed', async () => {
    await begin();
    live.dispose();
    live.dispose();
    await pass(60_000);
    expect(live.isDisposed).toBe(true);
    expect(last().readyState).toBe(3);
    expect([sockets.length, loads]).toEqual([1, 1]);
  });
});
