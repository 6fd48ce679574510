import { describe, expect, it } from 'vitest';
import { Brokers } from '../api';
import { entry } from './double';
import { FakeServer } from './server';

describe('Brokers', () => {
  it('lists, starts and stops', async () => {
    const server = new FakeServer()
      .on('GET brokers', () => [])
      .on('POST brokers', request => request.json().then(() => null))
      .on('DELETE brokers/b', () => null);
    const brokers = new Brokers(server.settings);
    await brokers.list();
    await brokers.start('b');
    await brokers.stop('b');
    expect(server.log).toEqual([
      'GET brokers',
      'POST brokers',
      'DELETE brokers/b'
    ]);
  });
});

describe('BrokerApi', () => {
  const root = 'brokers/b/api';

  it('loads the tree in pages', async () => {
    const keys = Array.from({ length: 2700 }, (_, at) =>
      entry(`/task/a/t${at}`)
    );
    const server = new FakeServer().on(`GET ${root}/config/range`, (_, url) => {
      const start = Number(url.searchParams.get('start'));
      return keys.slice(start, start + Number(url.searchParams.get('limit')));
    });
    const api = new Brokers(server.settings).api('b');
    expect(await api.entries()).toEqual(keys);
    expect(server.log).toHaveLength(2);
    expect(server.log[0]).toContain('key=/&start=0');
  });

  it('asks each verb at its path', async () => {
    const server = new FakeServer()
      .on(`GET ${root}/config`, () => entry('/task/a/t'))
      .on(`POST ${root}/config`, () => entry('/task/a/t'))
      .on(`DELETE ${root}/config`, () => null)
      .on(`POST ${root}/config/notify`, () => null)
      .on(`GET ${root}/streams`, () => [])
      .on(`POST ${root}/streams/stop`, () => null)
      .on(`GET ${root}/instances`, () => [])
      .on(`GET ${root}/schema/task`, () => ({}))
      .on(`GET ${root}/schema/sink/kafka`, () => ({}));
    const api = new Brokers(server.settings).api('b');
    await api.entry('/task/a/t');
    await api.save('/task/a/t', {}, '"1"');
    await api.remove('/task/a/t');
    await api.apply('/task/a/t');
    await api.streams();
    await api.command('stop', '/stream/a/t/s');
    await api.instances();
    await api.schema('task', '');
    await api.schema('sink', 'kafka');
    expect(server.log).toHaveLength(9);
    expect(server.log).toContain(`POST ${root}/config/notify?key=/task/a/t`);
  });

  it('opens the socket of events', () => {
    const server = new FakeServer();
    new Brokers(server.settings).api('b').events();
    expect(server.sockets).toHaveLength(1);
  });
});
