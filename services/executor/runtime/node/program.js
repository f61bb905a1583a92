'use strict';
// Preloaded into a child that runs a program: waits for the call with node already started, then lets the program run.

const fs = require('node:fs');
const { isMainThread } = require('node:worker_threads');

const PARENT = 3;
const TAKEN = Buffer.from('\0\0\0\x01T'); // a frame without a body

function exactly(size) {
  const buffer = Buffer.allocUnsafe(size);
  for (let filled = 0; filled < size; ) {
    const got = fs.readSync(PARENT, buffer, filled, size - filled, null);
    if (got === 0) process.reallyExit(0); // the resident process is gone
    filled += got;
  }
  return buffer;
}

// The program's worker threads preload this too, and have nothing to wait for.
if (isMainThread) {
  const { setOnce } = require('./environment');
  const { split } = require('./wire');
  require('./streams').install();
  process.execArgv.splice(process.execArgv.indexOf('--require'), 2); // what the program forks is not to wait here
  const frame = exactly(exactly(4).readUInt32BE(0));
  fs.writeSync(PARENT, TAKEN);
  fs.closeSync(PARENT);
  const [header, payload] = split(frame.subarray(1));
  setOnce(header.job_id, payload);
}
