'use strict';

const NO_LIMIT_MS = 2 ** 31 - 1; // remaining time of a call without a deadline

/** The context of a call for its handler, with AWS Lambda's names where it has them. */
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
