'use strict';
// Entry of a child that serves one call of a handler in mode fresh. The resident process plays its executor.

const net = require('node:net');

const { hidePreload } = require('./environment');
const streams = require('./streams');
const { Resident } = require('./resident');
const { Wire } = require('./wire');

const PARENT = 3;

hidePreload();
streams.install();
const wire = new Wire(new net.Socket({ fd: PARENT, readable: true, writable: true }));
new Resident(wire, () => wire.send('T', {})).serve();
