'use strict';

const NO_LIMIT_MS = 2 ** 31 - 1; // remaining time of a call without a deadline

// Libraries take an ARN apart by its colons, and look for a region and an account of twelve digits in it.
const ACCOUNT = '000000000000';
const REGION = 'us-east-1';

/** The context of a call for its handler, with AWS Lambda's names and forms where it has them. */
class Context {
  #deadlineMs;
  functionVersion = '$LATEST';
  callbackWaitsForEmptyEventLoop = false; // an answer never waits here for what is left
  identity = undefined; // who mobile SDKs say is calling, and what they send along: here there are none
  clientContext = undefined;

  constructor(header, { function_id: functionId, memory_mb: memoryMb }) {
    this.job_id = this.jobId = this.awsRequestId = header.job_id;
    this.functionId = this.functionName = functionId;
    this.memoryLimitInMB = `${memoryMb}`; // a text there too
    const region = process.env.AWS_REGION || process.env.AWS_DEFAULT_REGION || REGION;
    this.invokedFunctionArn = `arn:aws:lambda:${region}:${ACCOUNT}:function:${functionId}`;
    this.logGroupName = `/nanogrid/functions/${functionId}`;
    this.logStreamName = header.job_id;
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
