import { Fetch } from "engine.io-client";

/** Given as `transportOptions: { sse: {...} }`; all in milliseconds or bytes. */
export interface SSEOptions {
  /** How long WebSocket has for its own upgrade before this one is tried; 2000. */
  delay?: number;
  /** How often a server that is busy with WebSocket's upgrade is asked; 6. */
  attempts?: number;
  /** How long the answer to a probe may take; 3000. */
  probeTimeout?: number;
  /** How long until we ask again where the browser doesn't; 1000. */
  reconnect?: number;
  /** How often we do so in a row; 4. */
  reconnects?: number;
  /** The largest POST, where the client's build hides the server's limit; 100000. */
  maxPayload?: number;
  /** An EventSource where there is none: a polyfill, in Node. */
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
