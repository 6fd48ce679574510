/** A server extension in memory: answers by path, so that api, snapshot and model can be tested whole. */

import { ServerConnection } from '@jupyterlab/services';
import { FakeSocket } from './socket';

type Answer = (request: Request, url: URL) => unknown;

/** An answer with another status than 200. */
export class Refusal {
  constructor(
    readonly status: number,
    readonly message: string
  ) {}
}

export class FakeServer {
  /** By `METHOD path`, below `/teleporter-lab/`. */
  readonly routes = new Map<string, Answer>();
  readonly sockets: FakeSocket[] = [];
  /** Each request as `METHOD path?query`. */
  readonly log: string[] = [];

  on(route: string, answer: Answer): this {
    this.routes.set(route, answer);
    return this;
  }

  get settings(): ServerConnection.ISettings {
    const { sockets } = this;
    return {
      ...ServerConnection.makeSettings({
        baseUrl: 'http://lab/',
        fetch: (request: RequestInfo | URL) => this.answer(request as Request)
      }),
      WebSocket: class {
        static readonly OPEN = 1;
        constructor() {
          const socket = new FakeSocket();
          sockets.push(socket);
          return socket;
        }
      } as unknown as typeof WebSocket
    };
  }

  private answer(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const path = url.pathname.replace('/teleporter-lab/', '');
    const query = decodeURIComponent(url.search).replace(/[?&]\d+$/, '');
    this.log.push(`${request.method} ${path}${query}`);
    const answer = this.routes.get(`${request.method} ${path}`);
    const data = answer
      ? answer(request, url)
      : new Refusal(404, `nothing at ${request.method} ${path}`);
    const refused = data instanceof Refusal;
    const body = refused ? { code: 'x', message: data.message } : data;
    const status = refused ? data.status : 200;
    return Promise.resolve(new Response(JSON.stringify(body), { status }));
  }
}
