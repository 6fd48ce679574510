/** What tests of views share: waiting for the toolkit and for frames, and mounting React below one element. */

import { Widget } from '@lumino/widgets';
import { act, render, type RenderResult } from '@testing-library/react';
import type { ReactElement } from 'react';

/** Let promises, the toolkit's queue and animation frames run. */
export async function settle(): Promise<void> {
  await act(async () => {
    for (let frame = 0; frame < 4; frame += 1) {
      await new Promise(resolve => requestAnimationFrame(resolve));
      await new Promise(resolve => setTimeout(resolve, 0));
    }
  });
}

/** Mount and settle. */
export async function mount(element: ReactElement): Promise<RenderResult> {
  const result = render(element);
  await settle();
  return result;
}

/** The one element, or a failure that names it. */
export function find(root: ParentNode, selector: string): HTMLElement {
  const found = root.querySelector<HTMLElement>(selector);
  if (!found) {
    throw new Error(`There is no ${selector}.`);
  }
  return found;
}

export function texts(root: ParentNode, selector: string): string[] {
  return [...root.querySelectorAll(selector)].map(
    element => element.textContent ?? ''
  );
}

/** Put a Lumino widget into the page. */
export async function attach(widget: Widget): Promise<void> {
  act(() => Widget.attach(widget, document.body));
  await settle();
}
