'use strict';
// Runs user code, one piece at a time, and hears every way it can end: it returned, it threw, something it left behind
// threw, or nothing is left that could ever end it.

let current;

/** Run `work`; `onEnd(error)` or `onEnd(undefined, value)` is called exactly once. */
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

/** Take what nobody else catches for the end of what runs. `stuck()` is the error of what can never end. */
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
