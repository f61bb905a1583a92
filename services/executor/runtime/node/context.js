'use strict';

const NO_LIMIT_MS = 2 ** 31 - 1; // what a call without a deadline has left: more than anyone waits for

/** What a handler learns about its call; the names are AWS Lambda's where it has one. */
class Context {
  #deadlineMs;

  constructor(header, { function_id: functionId, memory_mb: memoryMb }) {
    this.job_id = this.jobId = this.awsRequestId = header.job_id;
    this.functionId = this.functionName = functionId;
    this.memoryLimitInMB = memoryMb;
    this.#deadlineMs = header.deadline_ms;
    // Bound, so that a function may pass it around.
    this.getRemainingTimeInMillis = () => this.#remainingMs();
  }

  #remainingMs() {
    if (this.#deadlineMs === null || this.#deadlineMs === undefined) return NO_LIMIT_MS;
    return Math.max(0, Math.floor(this.#deadlineMs - Date.now()));
  }
}

module.exports = { Context };
