'use strict';
// Sets the environment variables of each call without leaking memory, and knows those that only a new process reads.
//
// Node uses `setenv`, which keeps every value it was ever given, so that old payloads would fill the memory of a busy
// sandbox. These two variables are therefore kept in JavaScript, in front of the real environment. Children get them.

const PAYLOAD_BYTES = 96 * 1024; // no string of more than 128 KiB can be passed to a child process

const perCall = Object.assign(Object.create(null), { JOB_ID: '', PAYLOAD: '' });
const isOurs = (name) => typeof name === 'string' && name in perCall;

const overlay = {
  get: (real, name) => (isOurs(name) ? perCall[name] : real[name]),
  has: (real, name) => isOurs(name) || name in real,
  set(real, name, value) {
    if (isOurs(name)) perCall[name] = `${value}`;
    else real[name] = value;
    return true;
  },
  deleteProperty(real, name) {
    if (isOurs(name)) perCall[name] = '';
    else delete real[name];
    return true;
  },
  ownKeys: (real) => [...Reflect.ownKeys(real).filter((name) => !isOurs(name)), ...Object.keys(perCall)],
  getOwnPropertyDescriptor(real, name) {
    if (!isOurs(name)) return Reflect.getOwnPropertyDescriptor(real, name);
    return { value: perCall[name], writable: true, enumerable: true, configurable: true };
  },
};

// Read once, when a process starts: by the dynamic loader, glibc and its malloc, OpenSSL, ICU, libuv and Node.
const READ_AT_START = new RegExp(
  '^(?:GLIBC_|LC_|LD_|MALLOC_|OPENSSL_|SSL_CERT_|UV_)|' +
    '^NODE_(?:COMPILE_|DEBUG|DISABLE_|NO_|PENDING_|PRESERVE_|USE_)|' +
    '^(?:LANG|LANGUAGE|NODE_(?:EXTRA_CA_CERTS|ICU_DATA|OPTIONS|REDIRECT_WARNINGS|V8_COVERAGE))$',
);
const PRELOADED = 'libstdbuf.so'; // stdbuf's, which keeps C from holding back what it prints

let preload = {};

/** Take the library that this process was started with out of the environment: the function's children do without. */
function hidePreload() {
  const { LD_PRELOAD: libraries = '', _STDBUF_O: mode } = process.env;
  if (!libraries.includes(PRELOADED)) return;
  const isOurs = (name) => name.includes(PRELOADED);
  preload = { LD_PRELOAD: libraries.split(':').find(isOurs), _STDBUF_O: mode };
  delete process.env._STDBUF_O;
  const others = libraries.split(':').filter((name) => !isOurs(name));
  if (others.length > 0) process.env.LD_PRELOAD = others.join(':');
  else delete process.env.LD_PRELOAD;
}

/** The environment of a child that is to load the function, whose own variables are `variables`. */
function forChild(variables) {
  const env = { ...process.env, ...variables, ...preload };
  if (preload.LD_PRELOAD && variables.LD_PRELOAD) env.LD_PRELOAD = `${variables.LD_PRELOAD}:${preload.LD_PRELOAD}`;
  return env;
}

/** Whether a function has variables that this process should have been started with. */
function needsProcess(variables) {
  return Object.entries(variables).some(([name, value]) => READ_AT_START.test(name) && process.env[name] !== value);
}

/** Set the function's own variables, and put the overlay in front. */
function prepare(variables) {
  Object.assign(process.env, variables);
  process.env = new Proxy(process.env, overlay);
}

/** Set JOB_ID and PAYLOAD. A payload beyond 96 KiB is in PAYLOAD_FILE only, and PAYLOAD is empty. */
function setCall(jobId, payload) {
  perCall.JOB_ID = jobId;
  perCall.PAYLOAD = asVariable(payload);
}

/** The same in a process that serves one call, where nothing can pile up. */
function setOnce(jobId, payload) {
  process.env.JOB_ID = jobId;
  process.env.PAYLOAD = asVariable(payload);
}

const asVariable = (payload) => (payload.length > PAYLOAD_BYTES ? '' : payload.toString());

module.exports = { forChild, hidePreload, needsProcess, prepare, setCall, setOnce };
