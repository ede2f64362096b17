// Express with serve-grip, as its documentation says: a WebSocket that echoes, and is subscribed to a channel.
// Run as `node server.js PORT CONTROL_URI`.
import express from 'express';
import { ServeGrip } from '@fanoutio/serve-grip';
import { WebSocketMessageFormat } from '@fanoutio/grip';

const [port, controlUri] = process.argv.slice(2);
const app = express();
const grip = new ServeGrip({ grip: { control_uri: controlUri, key: 'changeme' }, isGripProxyRequired: true });
app.use(grip);

app.post('/talk/:channel', (req, res) => {
  const socket = req.grip.wsContext;
  if (socket === null) {
    res.status(400).end('events, please\n');
    return;
  }
  if (socket.isOpening()) {
    socket.accept();
    socket.subscribe(req.params.channel);
    socket.meta.count = '0';
  }
  while (socket.canRecv()) {
    const message = socket.recvRaw();
    if (message === null) {
      socket.close(socket.closeCode ?? 1000);
      break;
    }
    socket.meta.count = String(Number(socket.meta.count) + 1);
    if (message === 'count?') {
      socket.send(socket.meta.count);
    } else if (message === 'leave me') {
      socket.close(4001);
    } else if (message === 'detach') {
      socket.detach();
    } else if (typeof message === 'string') {
      socket.send(message);
    } else {
      socket.sendBinary(message);
    }
  }
  res.end();
});

app.post('/tell/:channel', express.text({ type: '*/*' }), async (req, res) => {
  await grip.getPublisher().publishFormats(req.params.channel, new WebSocketMessageFormat(req.body));
  res.end('told\n');
});

app.listen(Number(port), '127.0.0.1');
