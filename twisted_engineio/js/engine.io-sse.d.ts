import { Fetch } from "engine.io-client";

/** Passed as `transportOptions: { sse: {...} }`; times in milliseconds, sizes in bytes. */
export interface SSEOptions {
  /** Time that the WebSocket upgrade has before this one is tried; default 2000. */
  delay?: number;
  /** Attempts while the server is busy with the WebSocket upgrade; default 6. */
  attempts?: number;
  /** Time until a probe must be answered; default 3000. */
  probeTimeout?: number;
  /** Time until a lost stream is reopened if the browser does not; default 1000. */
  reconnect?: number;
  /** Consecutive attempts to reopen it; default 4. */
  reconnects?: number;
  /** Largest POST if the client's build hides the server's limit; default 100000. */
  maxPayload?: number;
  /** The EventSource class, such as a polyfill in Node; default the browser's. */
  EventSource?: new (
    url: string,
    init?: { withCredentials?: boolean },
  ) => {
    readonly readyState: number;
    onopen: ((event: any) => any) | null;
    onmessage: ((event: any) => any) | null;
    onerror: ((event: any) => any) | null;
    close(): void;
  };
}

/** Server-sent events, for `transports: [Fetch, SSE, WebSocket]`. */
export declare class SSE extends Fetch {
  get name(): string;
}
