'use strict';
// Sends and receives frames: 4 bytes of big-endian length, 1 byte of kind, then the body (the length counts both).

const LENGTH_BYTES = 4;
const { parse, stringify } = JSON; // a function may put something else in their place

/** One end of a socket. `onFrame(kind, body)` receives frames, `onEnd()` is called once when the other end is gone. */
class Wire {
  #socket;
  #chunks = [];
  #size = 0;

  constructor(socket) {
    this.#socket = socket;
    this.onFrame = () => {};
    this.onEnd = () => {};
    socket.on('data', (chunk) => this.#take(chunk));
    socket.on('error', () => {}); // 'close' follows
    socket.once('close', () => this.onEnd());
  }

  /** Send a frame of JSON, or one of a JSON header and a body after it. */
  send(kind, header, body) {
    const head = Buffer.from(stringify(header));
    this.forward(kind, body === undefined ? [head] : [uint32(head.length), head, body]);
  }

  /** Send a frame as it is. */
  forward(kind, parts) {
    const size = parts.reduce((sum, part) => sum + part.length, 1);
    this.#socket.cork();
    this.#socket.write(Buffer.concat([uint32(size), Buffer.from(kind)]));
    for (const part of parts) if (part.length > 0) this.#socket.write(part);
    this.#socket.uncork();
  }

  /** Send everything pending, then close the connection. */
  end() {
    this.#socket.end();
  }

  /** Whether waiting for the other end keeps this process alive. */
  hold(held) {
    if (held) this.#socket.ref();
    else this.#socket.unref();
  }

  #take(chunk) {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    while (this.#size >= LENGTH_BYTES) {
      if (this.#chunks[0].length < LENGTH_BYTES) this.#join();
      const end = LENGTH_BYTES + this.#chunks[0].readUInt32BE(0);
      if (this.#size < end) return;
      this.#join();
      const [all] = this.#chunks;
      this.#chunks = [all.subarray(end)];
      this.#size -= end;
      this.onFrame(String.fromCharCode(all[LENGTH_BYTES]), all.subarray(LENGTH_BYTES + 1, end));
    }
  }

  #join() {
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)];
  }
}

function uint32(value) {
  const buffer = Buffer.allocUnsafe(LENGTH_BYTES);
  buffer.writeUInt32BE(value, 0);
  return buffer;
}

/** Split a body into its JSON header and the rest. */
function split(body) {
  const end = LENGTH_BYTES + body.readUInt32BE(0);
  return [parse(body.toString('utf8', LENGTH_BYTES, end)), body.subarray(end)];
}

module.exports = { Wire, split };
