'use strict';
// Runs user code and reports its end, in every form: a return value, an exception, an exception thrown later by code it
// left behind, or nothing left that could end it.

let current;

/** Run `work`. `onEnd(error)` or `onEnd(undefined, value)` is called exactly once. */
function attempt(work, onEnd) {
  const mine = {
    end(error, value) {
      if (current !== mine) return; // it has ended before: a leftover
      current = undefined;
      onEnd(error, value);
    },
  };
  current = mine;
  try {
    const value = work();
    if (typeof value?.then === 'function') {
      Promise.resolve(value).then(
        (result) => mine.end(undefined, result),
        (error) => mine.end({ error }),
      );
    } else {
      mine.end(undefined, value);
    }
  } catch (error) {
    mine.end({ error });
  }
}

/** Treat an uncaught exception as the end of the running code. `stuck()` is the error of code that can never end. */
function watch(stuck) {
  const uncaught = (error) => {
    if (process.listenerCount('uncaughtException') > 1) return; // the function looks after itself
    if (current) current.end({ error });
    else console.error(error);
  };
  process.on('uncaughtException', uncaught);
  process.on('beforeExit', () => current?.end({ error: stuck() }));
}

module.exports = { attempt, watch };
