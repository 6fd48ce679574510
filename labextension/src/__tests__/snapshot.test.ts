import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Brokers } from '../api';
import { Snapshot } from '../snapshot';
import type { Topic } from '../tokens';
import { entry, stream } from './double';
import { FakeServer, Refusal } from './server';

const ROOT = 'GET brokers/b/api';
const STREAM = stream('/stream/a/t/s');

describe('Snapshot', () => {
  let server: FakeServer;
  let told: Topic[];
  let snapshot: Snapshot;

  beforeEach(async () => {
    server = new FakeServer()
      .on(`${ROOT}/config/range`, () => [entry('/task/a/t')])
      .on(`${ROOT}/streams`, () => [STREAM])
      .on(`${ROOT}/instances`, () => [
        { key: '/instance/a/i', status: 'online' }
      ]);
    told = [];
    const api = new Brokers(server.settings).api('b');
    snapshot = new Snapshot(api, topic => told.push(topic));
    await snapshot.load();
    told.length = 0;
    server.log.length = 0;
    vi.useFakeTimers();
  });

  afterEach(() => {
    snapshot.dispose();
    vi.useRealTimers();
  });

  it('holds what was loaded', () => {
    expect([...snapshot.entries.keys()]).toEqual(['/task/a/t']);
    expect(snapshot.streams.get(STREAM.key)).toEqual(STREAM);
    expect(snapshot.instances.get('/instance/a/i')).toBe('online');
  });

  it('takes streams and instances from events', () => {
    snapshot.receive({ type: 'stream', ...STREAM, status: 'FAILURE' });
    snapshot.receive({ type: 'instance', key: '/instance/a/j', status: 'x' });
    expect(snapshot.streams.get(STREAM.key)?.status).toBe('FAILURE');
    expect(snapshot.instances.get('/instance/a/j')).toBe('x');
    expect(told).toEqual(['streams', 'config']);
  });

  it('fetches an entry that was changed, once for many events', async () => {
    const changed = entry('/task/a/t', { group: '/group/a/g' }, 'e2');
    server.on(`${ROOT}/config`, () => changed);
    for (let times = 0; times < 5; times += 1) {
      snapshot.receive({ type: 'config', key: changed.key, action: 'UPDATE' });
    }
    await vi.advanceTimersByTimeAsync(100);
    expect(server.log).toHaveLength(1);
    expect(snapshot.entries.get(changed.key)).toEqual(changed);
    expect(told).toEqual(['config']);
  });

  it('drops what was removed', () => {
    const key = '/task/a/t';
    snapshot.receive({ type: 'config', key, action: 'REMOVE' });
    snapshot.receive({ type: 'config', key: STREAM.key, action: 'REMOVE' });
    expect(snapshot.entries.size + snapshot.streams.size).toBe(0);
    expect(told).toEqual(['config', 'streams']);
  });

  it('loads the tree when very much was changed', async () => {
    for (let at = 0; at < 50; at += 1) {
      snapshot.receive({ type: 'config', key: `/task/a/${at}`, action: 'ADD' });
    }
    await vi.advanceTimersByTimeAsync(100);
    expect(server.log).toHaveLength(1);
    expect(server.log[0]).toContain('config/range');
  });

  it('bears an entry that is gone when it is asked for', async () => {
    server.on(`${ROOT}/config`, () => new Refusal(404, 'gone'));
    snapshot.receive({ type: 'config', key: '/task/a/x', action: 'ADD' });
    await vi.advanceTimersByTimeAsync(100);
    expect(told).toEqual([]);
  });

  it('tells nothing when an entry is as it was', () => {
    snapshot.put(entry('/task/a/t'));
    expect(told).toEqual([]);
  });
});
