import { ServerConnection } from '@jupyterlab/services';
import { describe, expect, it } from 'vitest';
import { address, messageOf, request, RequestError, socket } from '../request';

function answering(
  status: number,
  body: string,
  seen: Request[] = []
): ServerConnection.ISettings {
  return ServerConnection.makeSettings({
    baseUrl: 'http://lab/user/me/',
    wsUrl: 'ws://lab/user/me/',
    token: 'T',
    appendToken: true,
    fetch: (input: RequestInfo | URL) => {
      seen.push(input as Request);
      return Promise.resolve(new Response(body || null, { status }));
    }
  });
}

describe('request', () => {
  it('asks below the base address and gives the JSON', async () => {
    const seen: Request[] = [];
    const settings = answering(200, '[1]', seen);
    const query = { key: '/a b', start: 0 };
    expect(await request(settings, 'brokers', { query })).toEqual([1]);
    const url = new URL(seen[0]?.url ?? '');
    expect(url.pathname).toBe('/user/me/teleporter-lab/brokers');
    expect(url.searchParams.get('key')).toBe('/a b');
  });

  it('sends JSON, and the version that is to be replaced', async () => {
    const seen: Request[] = [];
    const settings = answering(204, '', seen);
    const ask = { method: 'POST', body: { a: 1 }, etag: '"7"' } as const;
    expect(await request(settings, 'x', ask)).toBeNull();
    expect(seen[0]?.headers.get('If-Match')).toBe('"7"');
    expect(seen[0]?.headers.get('Content-Type')).toBe('application/json');
    expect(await seen[0]?.json()).toEqual({ a: 1 });
  });

  it('raises the error of the body', async () => {
    const problems = [{ path: 'a', message: 'Wrong.' }];
    const body = JSON.stringify({ code: 'c', message: 'No.', problems });
    const error = await request(answering(422, body), 'x').catch(
      (e: unknown) => e
    );
    expect(error).toBeInstanceOf(RequestError);
    expect(error).toMatchObject({
      status: 422,
      code: 'c',
      message: 'No.',
      problems
    });
  });

  it('says so when the server extension is missing', async () => {
    const settings = answering(404, '<html>');
    await expect(request(settings, 'x')).rejects.toThrow(/not enabled/);
  });

  it('says so when nothing answers', async () => {
    const settings = ServerConnection.makeSettings({
      fetch: () => Promise.reject(new TypeError('down'))
    });
    const error = await request(settings, 'x').catch((e: unknown) => e);
    expect(error).toMatchObject({ status: 0, code: 'unreachable' });
  });
});

it('opens sockets with the server’s own token where it is wanted', () => {
  const opened: string[] = [];
  const settings = {
    ...answering(200, ''),
    WebSocket: class {
      constructor(url: string) {
        opened.push(url);
      }
    } as unknown as typeof WebSocket
  };
  socket(settings, 'brokers/b/ws/events');
  expect(opened).toEqual([
    'ws://lab/user/me/teleporter-lab/brokers/b/ws/events?token=T'
  ]);
});

it('joins addresses and tells errors', () => {
  expect(address('/', 'brokers')).toBe('/teleporter-lab/brokers');
  expect(messageOf(new Error('a'))).toBe('a');
  expect(messageOf('b')).toBe('b');
});
