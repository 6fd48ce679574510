import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Brokers } from '../api';
import { Teleporter } from '../model';
import type { IBroker, Topic } from '../tokens';
import { entry, stream } from './double';
import { FakeServer, Refusal } from './server';

const TASK = entry('/task/a/t');
const STREAM = stream('/stream/a/t/s', { status: 'STOPPED' });

function broker(name: string, alive: boolean): IBroker {
  const [url, id, started, version] = ['http://x', name, '', '0.1.0'];
  return { name, alive, url, pid: 1, id, started, version };
}

function serve(server: FakeServer, name: string): void {
  const root = `brokers/${name}/api`;
  server
    .on(`GET ${root}/config/range`, () => [TASK])
    .on(`GET ${root}/streams`, () => [STREAM])
    .on(`GET ${root}/instances`, () => [])
    .on(`GET ${root}/schema/task`, () => ({ type: 'object' }))
    .on(`POST ${root}/config`, () => entry('/task/a/new'))
    .on(`DELETE ${root}/config`, () => null)
    .on(`POST ${root}/streams/start`, () => ({ ...STREAM, status: 'RUNNING' }))
    .on(`POST ${root}/config/notify`, () => ({
      key: TASK.key,
      notified: [],
      problems: []
    }));
}

describe('Teleporter', () => {
  let server: FakeServer;
  let known: IBroker[];
  let model: Teleporter;
  let told: Topic[];

  beforeEach(() => {
    vi.useFakeTimers();
    known = [broker('dead', false), broker('b', true)];
    server = new FakeServer().on('GET brokers', () => known);
    serve(server, 'b');
    serve(server, 'c');
    model = new Teleporter(new Brokers(server.settings));
    told = [];
    model.changed.connect((_, topic) => told.push(topic));
  });

  afterEach(() => {
    model.dispose();
    vi.useRealTimers();
  });

  async function pass(milliseconds = 10): Promise<void> {
    await vi.advanceTimersByTimeAsync(milliseconds);
  }

  async function ready(): Promise<void> {
    model.activate();
    await pass();
    server.sockets[0]?.accept();
    await pass();
  }

  it('is idle until somebody looks', async () => {
    await pass(60_000);
    expect(server.log).toEqual([]);
    expect([model.phase, model.broker, model.error]).toEqual([
      'idle',
      null,
      ''
    ]);
    expect(model.entries.size + model.streams.size).toBe(0);
  });

  it('chooses the first living broker and follows it', async () => {
    await ready();
    expect(model.broker).toBe('b');
    expect([model.phase, model.live]).toEqual(['ready', true]);
    expect(model.entries.get(TASK.key)).toEqual(TASK);
    expect(model.streams.size).toBe(1);
    expect(model.instances.size).toBe(0);
    expect(new Set(told)).toEqual(
      new Set(['brokers', 'config', 'streams', 'selection'])
    );
  });

  it('lets go while nobody looks and keeps what it knows', async () => {
    await ready();
    model.deactivate();
    const asked = server.log.length;
    await pass(60_000);
    expect(server.log).toHaveLength(asked);
    expect(server.sockets[0]?.readyState).toBe(3);
    expect(model.live).toBe(false);
    expect(model.entries.size).toBe(1);
    model.activate();
    await pass();
    expect(server.sockets).toHaveLength(2);
  });

  it('forgets one broker for another', async () => {
    await ready();
    model.select(TASK.key);
    model.choose('c');
    expect([model.broker, model.phase]).toEqual(['c', 'loading']);
    expect([model.selected, model.entries.size]).toEqual([null, 0]);
    await pass();
    server.sockets[1]?.accept();
    await pass();
    expect(model.phase).toBe('ready');
  });

  it('says why a broker does not answer, and finds it again', async () => {
    await ready();
    server.on('GET brokers/b/api/streams', () => new Refusal(503, 'Down.'));
    await pass(3000);
    server.sockets[0]?.close();
    await pass();
    server.sockets[1]?.close();
    await pass();
    expect([model.phase, model.error]).toEqual(['offline', 'Down.']);
    expect(model.entries.size).toBe(1);
    serve(server, 'b');
    void model.reload();
    await pass();
    server.sockets[2]?.accept();
    await pass();
    expect([model.phase, model.error]).toEqual(['ready', '']);
  });

  it('says why there are no brokers', async () => {
    server.on('GET brokers', () => new Refusal(500, 'No list.'));
    model.activate();
    await pass();
    expect(model.error).toBe('No list.');
    expect(model.broker).toBeNull();
  });

  it('starts a broker and chooses it', async () => {
    known = [];
    server.on('POST brokers', () => {
      known = [broker('c', true)];
      return known[0];
    });
    model.activate();
    await pass();
    const started = model.startBroker('c');
    expect(model.busy).toBe('c');
    await pass();
    server.sockets[0]?.accept();
    await pass();
    await started;
    expect([model.broker, model.busy]).toEqual(['c', null]);
  });

  it('stops a broker', async () => {
    await ready();
    server.on('DELETE brokers/b', () => {
      known = [];
      return null;
    });
    await model.stopBroker('b');
    expect([model.phase, model.busy]).toEqual(['offline', null]);
    expect(model.error).toContain('stopped');
  });

  it('is not busy after a start that failed', async () => {
    server.on('POST brokers', () => new Refusal(500, 'No port.'));
    await expect(model.startBroker('x')).rejects.toThrow('No port.');
    expect(model.busy).toBeNull();
  });

  it('does the verbs of nodes and streams', async () => {
    await ready();
    await model.save('/task/a/new', {}, null);
    expect(model.entries.has('/task/a/new')).toBe(true);
    model.select('/task/a/new');
    await model.remove('/task/a/new');
    expect([model.selected, model.entries.size]).toEqual([null, 1]);
    expect((await model.apply(TASK.key)).problems).toEqual([]);
  });

  it('takes the state of a stream from events, from answers without them', async () => {
    await ready();
    await model.command('start', STREAM.key);
    expect(model.streams.get(STREAM.key)?.status).toBe('STOPPED');
    server.sockets[0]?.close();
    await model.command('start', STREAM.key);
    expect(model.streams.get(STREAM.key)?.status).toBe('RUNNING');
  });

  it('fetches a schema once, again only after a failure', async () => {
    await ready();
    await model.schema(TASK.key, '');
    await model.schema(TASK.key, '');
    const asked = server.log.filter(line => line.includes('schema'));
    expect(asked).toHaveLength(1);
    await expect(model.schema(TASK.key, 'x')).rejects.toThrow();
    await expect(model.schema(TASK.key, 'x')).rejects.toThrow();
    expect(server.log.filter(line => line.includes('/x'))).toHaveLength(2);
  });

  it('refuses verbs without a broker', async () => {
    await expect(model.command('stop', STREAM.key)).rejects.toThrow(
      /No broker/
    );
  });

  it('tells a selection once', () => {
    model.select(TASK.key);
    model.select(TASK.key);
    expect(told).toEqual(['selection']);
  });
});
