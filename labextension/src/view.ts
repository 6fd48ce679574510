/**
 * A React widget that draws only while it can be seen, and at most once per animation frame.
 *
 * Owns when to draw. Refuses to know what: a function gives the element.
 */

import { ReactWidget } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import type { ISignal } from '@lumino/signaling';
import type { ReactElement } from 'react';

export class View extends ReactWidget {
  constructor(private readonly draw: () => ReactElement) {
    super();
  }

  /** Draw again when `signal` says one of `wanted`, or anything without `wanted`. */
  follow<T>(signal: ISignal<unknown, T>, wanted?: readonly T[]): this {
    signal.connect((_: unknown, what: T) => {
      if (!wanted || wanted.includes(what)) {
        this.invalidate();
      }
    }, this);
    return this;
  }

  /** What is drawn is out of date. */
  invalidate(): void {
    this._stale = true;
    if (!this._frame && this.isVisible) {
      this._frame = requestAnimationFrame(() => {
        this._frame = 0;
        this.redraw();
      });
    }
  }

  override render(): ReactElement {
    return this.draw();
  }

  override dispose(): void {
    cancelAnimationFrame(this._frame);
    super.dispose();
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.redraw();
  }

  private redraw(): void {
    if (this._stale && this.isVisible) {
      this._stale = false;
      this.update();
    }
  }

  private _frame = 0;
  private _stale = false;
}
