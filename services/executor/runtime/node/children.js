'use strict';
// Runs calls in child processes: each call of a fresh handler or a program in its own, or all calls in one that was
// started with the variables of its function. Node cannot fork a loaded process, so the next child is started as soon
// as the last one has ended, and waits for its call with everything loaded.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { spawn } = require('node:child_process');
const { Socket } = require('node:net');

const { forChild } = require('./environment');
const { Wire } = require('./wire');

const SIGNALLED = 128;
const SMALL_MB = 256; // as in the resident process
const SIGNAL_MS = 1000;
const NOTHING = Buffer.alloc(0);

/** One child. It calls `ready`, `failed(error)`, `taken`, `done(body)` and last `exited(code, signal)` of `events`. */
class Child {
  #process;
  #wire;

  constructor({ program, code, args, env }, events) {
    const stdin = program ? fs.openSync(env.PAYLOAD_FILE, 'r') : 'ignore';
    this.#process = spawn(process.execPath, args, { cwd: code, env, stdio: [stdin, 'inherit', 'inherit', 'pipe'] });
    if (program) fs.closeSync(stdin);
    this.#process.once('error', () => events.exited(1, 0)); // no process could be had
    this.#process.once('exit', (status, name) => {
      const signal = name === null ? 0 : os.constants.signals[name];
      events.exited(status ?? SIGNALLED + signal, signal);
    });
    this.#wire = new Wire(this.#process.stdio[3] ?? new Socket());
    this.#wire.onFrame = (kind, body) => {
      if (kind === 'R') events.ready();
      else if (kind === 'X') events.failed(JSON.parse(body.toString()));
      else if (kind === 'T') events.taken();
      else if (kind === 'D') events.done(body);
    };
  }

  send(kind, body) {
    this.#wire.forward(kind, [body]);
  }

  kill() {
    this.#process.kill('SIGKILL');
  }
}

/** Answers the executor with what the children do. */
class Children {
  #wire;
  #function;
  #found;
  #keeps; // whether one child serves call after call
  #child;
  #call; // the call that waits for an answer, as it came
  #loading = false; // whether the child has yet to say how loading went
  #ready = false;
  #failure; // why the waiting child cannot serve
  #serving = false; // whether the child has the call
  #taken = false; // whether it knows
  #again = false; // whether the call met a child that did not even take it
  #answer; // what it said
  #greeted = false; // whether the executor was told how loading went

  constructor(wire, wanted, found) {
    this.#wire = wire;
    this.#function = wanted;
    this.#found = found;
    this.#keeps = !found.isProgram && wanted.mode === 'reuse';
  }

  serve() {
    this.#wire.onFrame = (kind, body) => {
      if (kind !== 'C') process.reallyExit(0);
      this.#call = body;
      this.#next();
    };
    if (this.#found.isProgram) this.#greet('program');
    this.#start();
  }

  #greet(kind) {
    this.#greeted = true;
    this.#wire.send('R', { kind });
  }

  #start() {
    const { isProgram, file } = this.#found;
    const { code, env: own, memory_mb: memoryMb } = this.#function;
    const size = memoryMb < SMALL_MB ? ['--optimize-for-size'] : [];
    const entry = path.join(__dirname, isProgram ? 'program.js' : 'child.js');
    const what = isProgram ? ['--require', entry, file] : [entry];
    const args = [...process.execArgv, ...size, ...what];
    [this.#ready, this.#loading] = [isProgram, !isProgram];
    this.#child = new Child(
      { program: isProgram, code, args, env: isProgram ? { ...process.env, ...own } : forChild(own) },
      {
        ready: () => this.#onReady(),
        failed: (error) => this.#onFailed(error),
        taken: () => { this.#taken = true; },
        done: (body) => this.#onDone(body),
        exited: (code, signal) => this.#onExited(code, signal),
      },
    );
    if (isProgram) this.#next();
    else this.#child.send('S', Buffer.from(JSON.stringify({ ...this.#function, mode: 'reuse' })));
  }

  /** Give the waiting call to the child, or say why it cannot have it. */
  #next() {
    if (!this.#call || this.#serving) return;
    if (this.#failure) {
      this.#wire.send('D', { error: this.#failure }, NOTHING);
      [this.#call, this.#failure] = [undefined, undefined];
    } else if (!this.#child) {
      this.#start();
    } else if (this.#ready) {
      [this.#serving, this.#taken] = [true, false];
      this.#child.send('C', this.#call);
    }
  }

  #onReady() {
    [this.#ready, this.#loading] = [true, false];
    if (!this.#greeted) this.#greet('handler');
    this.#next();
  }

  #onFailed(error) {
    this.#loading = false;
    if (this.#greeted) {
      this.#failure = error;
      this.#next();
    } else {
      this.#wire.send('X', error);
      this.#wire.end();
    }
  }

  /** The answer waits for the end of its process: what that used is not to count for the next call. */
  #onDone(body) {
    if (!this.#serving || this.#answer) return;
    if (this.#keeps) {
      this.#wire.forward('D', [body]);
      [this.#call, this.#serving] = [undefined, false];
    } else {
      this.#answer = body;
      this.#child.kill();
    }
  }

  #onExited(code, signal) {
    // The executor knows best what to call the end of a function that was still being loaded, or of its only process.
    if (!this.#greeted || this.#keeps) return endLike(code, signal);
    // A call that met a child already ending goes to the next one, once: the call may be what ends them.
    const served = this.#serving && (this.#taken || this.#again);
    [this.#again, this.#serving] = [this.#serving && !served, false];
    if (this.#loading) {
      const message = `the function exited while it was loaded (status ${code})`;
      this.#failure = { type: 'InitError', message, stack: '' };
    }
    this.#child = undefined;
    this.#cleanUp();
    if (served) {
      this.#conclude(code, signal);
      this.#start();
    } else {
      this.#next(); // one that ended unasked is replaced when it is needed: the next might do the same, for ever
    }
    return undefined;
  }

  #conclude(code, signal) {
    if (this.#answer) this.#wire.forward('D', [this.#answer]);
    else this.#wire.send('D', { exit_code: code, signal }, NOTHING);
    [this.#call, this.#answer] = [undefined, undefined];
  }

  /** Nothing a call started outlives it, where we are sure that all we can see is the sandbox's. */
  #cleanUp() {
    if (!this.#function.own_pids) return;
    try {
      process.kill(-1, 'SIGKILL');
    } catch (error) {
      if (error.code !== 'ESRCH') throw error; // ESRCH: it left nothing
    }
  }
}

/** End this process as another one ended. */
function endLike(code, signal) {
  if (signal) process.kill(process.pid, signal);
  // A signal that does not kill, or not at once, is no reason to go on.
  setTimeout(() => process.reallyExit(code), signal ? SIGNAL_MS : 0);
}

module.exports = { Children };
