/** What a browser has and jsdom has not. */

import { cleanup } from '@testing-library/react';
import { afterEach } from 'vitest';

const browser = globalThis as unknown as Record<string, unknown>;

browser.DragEvent ??= class extends Event {};
browser.ResizeObserver ??= class {
  observe(): void {}
  unobserve(): void {}
  disconnect(): void {}
};
browser.requestIdleCallback ??= (act: () => void) => setTimeout(act, 0);
browser.cancelIdleCallback ??= clearTimeout;
browser.CSS ??= {};
(browser.CSS as { escape?: unknown }).escape ??= (text: string) =>
  text.replace(/[^\w-]/g, char => `\\${char}`);
browser.matchMedia ??= (query: string) =>
  ({
    matches: false,
    media: query,
    addEventListener: () => {},
    removeEventListener: () => {},
    addListener: () => {},
    removeListener: () => {}
  }) as unknown as MediaQueryList;
Object.assign(Element.prototype, { scrollIntoView: () => {} });

afterEach(cleanup);
