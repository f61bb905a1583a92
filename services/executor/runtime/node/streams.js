'use strict';
// Replaces stdout and stderr by streams that write before `write` returns. Node's own buffer output when a pipe is
// full, and lose it when the process exits.

const fs = require('node:fs');
const { Writable } = require('node:stream');

const FULL_WAIT_MS = 1;
const never = new Int32Array(new SharedArrayBuffer(4));

function writeAll(fd, buffer) {
  for (let offset = 0; offset < buffer.length; ) {
    try {
      offset += fs.writeSync(fd, buffer, offset);
    } catch (error) {
      // A child that shares the pipe has made it non-blocking, and it is full.
      if (error.code !== 'EAGAIN') throw error;
      Atomics.wait(never, 0, 0, FULL_WAIT_MS);
    }
  }
}

class Descriptor extends Writable {
  constructor(fd) {
    super({ decodeStrings: true, autoDestroy: false, emitClose: false });
    this.fd = fd;
  }

  _write(chunk, encoding, callback) {
    try {
      writeAll(this.fd, chunk);
    } catch (error) {
      callback(error);
      return;
    }
    callback();
  }

  _destroy(error, callback) {
    callback(error); // the descriptor stays: children use it
  }
}

/** Replace process.stdout and process.stderr. */
function install() {
  for (const [name, fd] of [['stdout', 1], ['stderr', 2]]) {
    const stream = new Descriptor(fd);
    stream.on('error', () => {}); // nobody is there to read: no reason to end the function
    Object.defineProperty(process, name, { configurable: true, enumerable: true, get: () => stream });
  }
}

module.exports = { install };
