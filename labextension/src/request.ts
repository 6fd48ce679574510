/**
 * The only place that talks to the server extension. Owns addresses, headers and the form of errors.
 *
 * Refuses to know the broker's address or token: the server extension holds both.
 */

import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import type { IProblem } from './tokens';

const BASE = 'teleporter-lab';

/** An answer that is no success: `code` is the stable name of the error, `status` 0 when nothing answered. */
export class RequestError extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly code: string,
    readonly problems: readonly IProblem[] = []
  ) {
    super(message);
    this.name = 'RequestError';
  }
}

export interface IAsk {
  readonly method?: 'GET' | 'POST' | 'DELETE';
  readonly query?: Readonly<Record<string, string | number>>;
  readonly body?: unknown;
  readonly etag?: string | null;
}

/** Where a path of the server extension is, segments encoded. */
export function address(
  base: string,
  path: string,
  query: IAsk['query'] = {}
): string {
  const pairs = Object.entries(query).map(
    ([name, value]) => `${name}=${encodeURIComponent(String(value))}`
  );
  const url = URLExt.join(base, BASE, path);
  return pairs.length ? `${url}?${pairs.join('&')}` : url;
}

/**
 * The JSON of an answer, `null` for an empty one.
 *
 * @throws RequestError
 */
export async function request<T>(
  settings: ServerConnection.ISettings,
  path: string,
  ask: IAsk = {}
): Promise<T> {
  const headers: Record<string, string> = {};
  const init: RequestInit = { method: ask.method ?? 'GET', headers };
  if (ask.body !== undefined) {
    init.body = JSON.stringify(ask.body);
    headers['Content-Type'] = 'application/json';
  }
  if (ask.etag) {
    headers['If-Match'] = ask.etag;
  }
  const url = address(settings.baseUrl, path, ask.query);
  const response = await reach(url, init, settings);
  const data = parse(await response.text());
  if (!response.ok) {
    throw failure(response, data);
  }
  return data as T;
}

/** A websocket to a path of the server extension; the cookie or the server's own token authenticates it. */
export function socket(
  settings: ServerConnection.ISettings,
  path: string
): WebSocket {
  const query: Record<string, string> =
    settings.appendToken && settings.token ? { token: settings.token } : {};
  return new settings.WebSocket(address(settings.wsUrl, path, query));
}

async function reach(
  url: string,
  init: RequestInit,
  settings: ServerConnection.ISettings
): Promise<Response> {
  try {
    return await ServerConnection.makeRequest(url, init, settings);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new RequestError(
      `The Jupyter server does not answer: ${reason}`,
      0,
      'unreachable'
    );
  }
}

function parse(text: string): unknown {
  if (!text) {
    return null;
  }
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return { message: text.slice(0, 200) };
  }
}

function failure(response: Response, data: unknown): RequestError {
  const body = (data ?? {}) as {
    code?: string;
    message?: string;
    problems?: IProblem[];
  };
  const missing =
    response.status === 404 && !body.code
      ? 'The server extension of teleporter-lab is not enabled on this Jupyter server.'
      : undefined;
  return new RequestError(
    missing ?? body.message ?? `${response.status} ${response.statusText}`,
    response.status,
    body.code ?? 'error',
    body.problems ?? []
  );
}

/** What to show of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
