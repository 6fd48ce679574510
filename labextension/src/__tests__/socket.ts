/** A websocket whose other end is the test. */

export class FakeSocket {
  static readonly OPEN = 1;

  readyState = 0;
  onopen: (() => void) | null = null;
  onmessage: ((message: { data: string }) => void) | null = null;
  onclose: (() => void) | null = null;

  get socket(): WebSocket {
    return this as unknown as WebSocket;
  }

  accept(): void {
    this.readyState = 1;
    this.onopen?.();
  }

  say(event: object): void {
    this.onmessage?.({ data: JSON.stringify(event) });
  }

  close(): void {
    if (this.readyState !== 3) {
      this.readyState = 3;
      this.onclose?.();
    }
  }
}
