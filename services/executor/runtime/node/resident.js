'use strict';
// Serves the executor: specialises once, then answers calls until the executor closes the connection.

const v8 = require('node:v8');

const { attempt, watch } = require('./attempt');
const { Children } = require('./children');
const { Context } = require('./context');
const environment = require('./environment');
const { FunctionFailed, describe } = require('./failures');
const loading = require('./loading');
const { encode } = require('./results');
const { split } = require('./wire');

const SMALL_MB = 256; // below this, V8 should rather collect than grow
const parse = JSON.parse;

/** Serves one function over a wire. */
class Resident {
  #wire;
  #function;
  #handler;
  #event;
  #onTaken;

  /** `onTaken` is called when a call has arrived, before it runs. */
  constructor(wire, onTaken = () => {}) {
    this.#wire = wire;
    this.#onTaken = onTaken;
  }

  serve() {
    this.#wire.onEnd = () => process.reallyExit(0);
    this.#wire.onFrame = (kind, body) => {
      if (kind !== 'S') process.reallyExit(0);
      this.#specialise(parse(body.toString()));
    };
  }

  #specialise(wanted) {
    this.#function = wanted;
    try {
      const found = loading.find(wanted.handler, wanted.code);
      const inChildren = found.isProgram || wanted.mode === 'fresh' || environment.needsProcess(wanted.env);
      if (inChildren) new Children(this.#wire, wanted, found).serve();
      else this.#load(found);
    } catch (error) {
      this.#refuse(error);
    }
  }

  #load(found) {
    const { code, env, memory_mb: memoryMb } = this.#function;
    if (memoryMb < SMALL_MB) v8.setFlagsFromString('--optimize-for-size');
    environment.prepare(env);
    if ('NODE_PATH' in env) require('node:module')._initPaths();
    process.chdir(code);
    process.argv[1] = found.file;
    watch(() => new FunctionFailed(this.#handler ? 'HandlerError' : 'InitError', this.#stuck()));
    this.#run(
      () => loading.load(found, code),
      (failed, handler) => {
        if (failed) return this.#refuse(failed.error);
        this.#handler = handler;
        this.#wire.onFrame = (kind, body) => this.#call(kind, body);
        return this.#wire.send('R', { kind: 'handler' });
      },
    );
  }

  #call(kind, body) {
    if (kind !== 'C') process.reallyExit(0);
    this.#onTaken();
    const [header, payload] = split(body);
    this.#run(
      () => {
        environment.setCall(header.job_id, payload);
        const handler = this.#handler; // called without a `this`
        this.#event = parse(payload.toString());
        return handler(this.#event, new Context(header, this.#function));
      },
      (failed, value) => this.#answer(failed, value),
    );
  }

  #answer(failed, value) {
    let problem = failed;
    if (!problem) {
      try {
        this.#wire.send('D', {}, encode(value, this.#function.result_bytes));
        this.#event = undefined;
        return;
      } catch (error) {
        problem = { error };
      }
    }
    this.#wire.send('D', { error: describe(problem.error, 'HandlerError', this.#event) }, Buffer.alloc(0));
  }

  /** Run user code. Meanwhile only what it waits for keeps the process alive: waiting for nothing is noticed. */
  #run(work, onEnd) {
    this.#wire.hold(false);
    attempt(work, (failed, value) => {
      this.#wire.hold(true);
      onEnd(failed, value);
    });
  }

  #refuse(error) {
    this.#wire.send('X', describe(error, 'InitError'));
    this.#wire.end();
  }

  #stuck() {
    const what = this.#handler ? 'the promise of the handler' : 'the module';
    return `${what} never settles: nothing is left that it could wait for`;
  }
}

module.exports = { Resident };
