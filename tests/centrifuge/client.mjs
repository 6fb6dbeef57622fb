// npm `centrifuge`, unchanged, driven line by line.
//
//   node client.mjs URL [--token TOKEN] [--header 'Name: value']... CHANNEL...
//
// Connects, subscribes to the channels and prints every event as one JSON object a line:
//   {"event":"connected","client":…}  {"event":"subscribed","channel":…,"recovered":…,"wasRecovering":…,"offset":…,"epoch":…}
//   {"event":"publication","channel":…,"offset":…,"data":…}  {"event":"unsubscribed",…}  {"event":"connecting",…}
//   {"event":"disconnected","code":…,"reason":…}  {"event":"error",…}  {"event":"answer","to":…,…}
//
// Reads commands from standard input, one a line:
//   cut                  break the connection and stay away
//   resume               come back; the client recovers by itself
//   history CHANNEL [N]  the last N publications, newest first
//   publish CHANNEL      try to publish (the server refuses)
//   presence CHANNEL     ask for presence (the server refuses)
//   rest                 wait for two pings of the server
//   unsubscribe CHANNEL, subscribe CHANNEL
//   exit                 disconnect and end
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { Centrifuge } from 'centrifuge';
import WebSocket from 'ws';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { token: { type: 'string' }, header: { type: 'string', multiple: true, default: [] } },
});
const [url, ...channels] = positionals;
if (!url || channels.length === 0) {
  console.error("usage: client.mjs URL [--token TOKEN] [--header 'Name: value']... CHANNEL...");
  process.exit(2);
}
const headers = Object.fromEntries(
  values.header.map((line) => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
  }),
);

const print = (event, fields = {}) => process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`);

let away = false;
let socket;
let pings = 0;

// The client makes its sockets from this class; it adds the headers a browser would send as cookies.
class Socket extends WebSocket {
  constructor(address, protocols) {
    // Port 1 answers nobody: that is how it feels to be cut off.
    super(away ? 'ws://127.0.0.1:1/' : address, protocols, { headers });
    socket = this;
    this.on('message', (data) => {
      if (String(data) === '{}') pings += 1;
    });
  }
}

const client = new Centrifuge(url, {
  websocket: Socket,
  minReconnectDelay: 50,
  maxReconnectDelay: 200,
  ...(values.token ? { token: values.token } : {}),
});
client.on('connecting', ({ code, reason }) => print('connecting', { code, reason }));
client.on('connected', ({ client: id, transport }) => print('connected', { client: id, transport }));
client.on('disconnected', ({ code, reason }) => print('disconnected', { code, reason }));
client.on('error', ({ type, error }) => {
  if (!away) print('error', { type, code: error.code, message: error.message });
});

const subscriptions = new Map();
for (const channel of channels) {
  const subscription = client.newSubscription(channel);
  subscription.on('subscribed', ({ wasRecovering, recovered, recoverable, streamPosition }) =>
    print('subscribed', { channel, wasRecovering, recovered, recoverable, ...streamPosition }),
  );
  subscription.on('publication', ({ offset, data }) => print('publication', { channel, offset, data }));
  subscription.on('unsubscribed', ({ code, reason }) => print('unsubscribed', { channel, code, reason }));
  subscription.on('error', ({ error }) => print('error', { channel, code: error.code, message: error.message }));
  subscription.subscribe();
  subscriptions.set(channel, subscription);
}
client.connect();

const answer = async (to, promise) => {
  try {
    print('answer', { to, ...(await promise) });
  } catch (error) {
    print('answer', { to, error: error.code, message: error.message });
  }
};

const commands = {
  cut() {
    away = true;
    socket.terminate();
    print('answer', { to: 'cut' });
  },
  resume() {
    away = false;
    print('answer', { to: 'resume' });
  },
  history(channel, limit) {
    const filter = { limit: Number(limit ?? -1), reverse: true };
    answer('history', subscriptions.get(channel).history(filter));
  },
  publish: (channel) => answer('publish', client.publish(channel, { from: 'client' })),
  presence: (channel) => answer('presence', subscriptions.get(channel).presence()),
  unsubscribe: (channel) => subscriptions.get(channel).unsubscribe(),
  subscribe: (channel) => subscriptions.get(channel).subscribe(),
  rest() {
    const enough = pings + 2;
    socket.on('message', () => {
      if (pings === enough) print('answer', { to: 'rest', pings });
    });
  },
  exit: () => lines.close(),
};
const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => {
  const [verb, ...rest] = line.trim().split(/\s+/);
  const command = commands[verb];
  if (command) command(...rest);
  else if (verb) print('error', { message: `unknown command ${verb}` });
});
lines.on('close', () => {
  client.disconnect();
  process.stdin.destroy();
});
