// A SockJS client that is told what to send by lines of JSON texts, and tells what happens in lines of JSON lists.
// node client.js URL TRANSPORT
const readline = require("readline");
const SockJS = require("sockjs-client");

const [url, transport] = process.argv.slice(2);
const client = new SockJS(url, null, { transports: [transport], timeout: 10000 });
const tell = (...what) => console.log(JSON.stringify(what));

client.onopen = () => tell("open", client.transport);
client.onmessage = (event) => tell("message", event.data);
client.onclose = (event) => {
  tell("close", event.code, event.reason);
  process.exit(0);
};

readline
  .createInterface({ input: process.stdin })
  .on("line", (line) => client.send(JSON.parse(line)))
  .on("close", () => client.close(3456, "enough"));
