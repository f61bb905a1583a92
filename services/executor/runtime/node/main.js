'use strict';
// Entry of the resident process: connects to the executor, sends hello and serves.

const fs = require('node:fs');
const net = require('node:net');

const { hidePreload } = require('./environment');
const streams = require('./streams');
const { Resident } = require('./resident');
const { Wire } = require('./wire');

function dial(folder) {
  // A socket's path is limited to 107 bytes, which the folder's descriptor avoids.
  const descriptor = fs.openSync(folder, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  const socket = net.connect(`/proc/self/fd/${descriptor}/control.sock`);
  socket.once('connect', () => fs.closeSync(descriptor));
  return socket;
}

const folder = process.env.NANOGRID_IO || '/run/nanogrid';
delete process.env.NANOGRID_IO;
hidePreload();
streams.install();
const wire = new Wire(dial(folder));
wire.send('H', { runtime: 'node', version: process.versions.node, pid: process.pid });
new Resident(wire).serve();
