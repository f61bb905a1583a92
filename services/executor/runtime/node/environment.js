'use strict';
// Sets the environment variables of each call without leaking memory.
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

module.exports = { prepare, setCall, setOnce };
