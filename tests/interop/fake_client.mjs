/** Stands in for engine.io-client: its sessions open and close when a test says so. */
export const sockets = [];

export class Socket {
  constructor(url, options) {
    Object.assign(this, { url, options, sent: [], heard: {} });
    sockets.push(this);
  }

  on(event, then) {
    this.heard[event] = then;
  }

  send(data) {
    this.sent.push(data);
  }

  close() {
    this.heard.close("forced close");
  }
}
