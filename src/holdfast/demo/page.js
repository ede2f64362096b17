// Four ways to receive, each as short as it can be: followStream, followEvents, followPolls and followSocket.
// The rest shows what they do.
"use strict";

const RETRY_MS = 1000;
const HELD_AFTER_MS = 150; // a poll that is not answered by then is being held
const MAX_ENTRIES = 200;

/** What one pane of the page shows: a state, some counters, a log with the newest message first. */
class Pane {
  constructor(name) {
    this.name = name;
    this.element = document.getElementById(name);
    this.log = this.element.querySelector(".log");
    this.openSince = null;
  }

  set state(value) {
    this.element.dataset.state = value;
    this.element.querySelector(".state").textContent = value;
    this.openSince = value === "connected" ? performance.now() : null;
    this.showOpenTime();
  }

  count(what) {
    const element = this.element.querySelector(`[data-count="${what}"]`);
    element.textContent = Number(element.textContent) + 1;
  }

  showOpenTime() {
    const element = this.element.querySelector('[data-count="open"]');
    if (this.openSince === null) {
      element.textContent = "–";
      return;
    }
    const seconds = Math.floor((performance.now() - this.openSince) / 1000);
    element.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  }

  message(text) {
    this.count("messages");
    this.add(text, publication.arrivedIn(this.name, text));
  }

  note(text) {
    this.add(text, "").className = "note";
  }

  add(text, delay) {
    const entry = document.createElement("li");
    const time = document.createElement("time");
    time.textContent = new Date().toLocaleTimeString([], { hour12: false });
    entry.append(time, span("text", text), span("delay", delay));
    this.log.prepend(entry);
    if (this.log.childElementCount > MAX_ENTRIES) this.log.lastElementChild.remove();
    return entry;
  }
}

function span(className, text) {
  const element = document.createElement("span");
  element.className = className;
  element.textContent = text;
  return element;
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Call `connect` again and again: it returns or throws when its connection is over. */
async function keepFollowing(pane, connect) {
  for (;;) {
    pane.state = "connecting";
    try {
      await connect(pane);
    } catch {
      // the state says it
    }
    pane.state = "reconnecting";
    await pause(RETRY_MS);
  }
}

async function get(path) {
  const response = await fetch(path, { cache: "no-store" });
  if (!response.ok) throw new Error(`${path}: status ${response.status}`);
  return response;
}

// --- HTTP stream: one response, read as it grows. A keep-alive of the proxy is an empty line. ---

async function followStream(pane) {
  const response = await get("/stream");
  pane.state = "connected";
  let rest = "";
  let greeted = false;
  for await (const chunk of chunksOf(response.body.pipeThrough(new TextDecoderStream()))) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line === "") pane.count("keepalives");
      else if (greeted) pane.message(line);
      else pane.note(line);
      greeted = true;
    }
  }
}

async function* chunksOf(stream) {
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}

// --- Server-sent events: EventSource reads the format and reconnects by itself. ---

function followEvents(pane) {
  return new Promise((resolve) => {
    const source = new EventSource("/events");
    let opened = 0;
    source.onopen = () => {
      pane.state = "connected";
      if (opened++ > 0) pane.count("reconnects");
    };
    source.onmessage = (event) => pane.message(event.data);
    source.onerror = () => {
      pane.state = "reconnecting";
      if (source.readyState === EventSource.CLOSED) resolve();
    };
  });
}

// --- Long poll: ask, wait for the answer, ask again. An empty answer means: no news for a while. ---

async function followPolls(pane) {
  for (;;) {
    const held = setTimeout(() => { pane.state = "connected"; }, HELD_AFTER_MS);
    pane.count("requests");
    try {
      const response = await get("/poll");
      const text = (await response.text()).trimEnd();
      if (text !== "") pane.message(text);
    } finally {
      clearTimeout(held);
    }
  }
}

// --- WebSocket: what is said on it goes to the backend as an HTTP request, and comes back to everybody. ---

let socket = null;

function followSocket(pane) {
  return new Promise((resolve) => {
    let greeted = false;
    socket = new WebSocket(`${location.origin.replace("http", "ws")}/socket`);
    socket.onopen = () => { pane.state = "connected"; };
    socket.onmessage = (event) => {
      if (greeted) pane.message(event.data);
      else pane.note(event.data);
      greeted = true;
    };
    socket.onclose = resolve;
  });
}

function say(text, pane) {
  if (socket?.readyState !== WebSocket.OPEN) {
    showResult("The WebSocket is not connected.", "bad");
    return;
  }
  publication.begin(text, "Sent over the WebSocket");
  socket.send(text);
  pane.count("sent");
}

// --- Publishing: the text goes to the backend, which publishes it to Holdfast. ---

const HINT_AFTER_MS = 2500;

const publication = {
  text: null,
  sentAt: 0,
  awaited: new Set(),
  delay: null,
  outcome: null,

  /** Expect `text` in every pane. Until the outcome is known, nothing is shown. */
  begin(text, outcome = null) {
    Object.assign(this, { text, sentAt: performance.now(), delay: null, outcome });
    this.awaited = new Set(panes.map((pane) => pane.name));
  },

  async send(text) {
    this.begin(text);
    const hint = setTimeout(showConnectionHint, HINT_AFTER_MS);
    try {
      const response = await fetch("/publish", { method: "POST", body: text });
      if (response.ok) this.outcome = `Delivered to ${countReceivers(await response.json())} clients`;
      else showResult((await response.text()).trim(), "bad");
    } catch {
      showResult("The message could not be sent.", "bad");
    } finally {
      clearTimeout(hint);
    }
    this.show();
  },

  /** Note that `text` has arrived in a pane; returns how long that took, for messages sent from this page. */
  arrivedIn(pane, text) {
    if (text !== this.text || !this.awaited.delete(pane)) return "";
    this.delay = `${Math.max(1, Math.round(performance.now() - this.sentAt))} ms`;
    this.show();
    return this.delay;
  },

  show() {
    if (this.outcome === null || this.awaited.size > 0) return;
    showResult(`${this.outcome}, and in all four panes ${this.delay} after the click.`, "good");
  },
};

/** The clients that an item was written to, over all items of the publish. */
function countReceivers(answer) {
  return answer.items.reduce((sum, item) => sum + item.receivers, 0);
}

function showResult(text, kind) {
  const output = document.getElementById("result");
  output.textContent = text;
  output.dataset.kind = kind;
}

function showConnectionHint() {
  const other = location.hostname === "localhost" ? "127.0.0.1" : "localhost";
  showResult(
    "Still sending. Browsers open at most six HTTP/1.1 connections to one address, and each window with this page " +
      `needs three: open the others at http://${other}:${location.port || 80}/.`,
    "bad",
  );
}

// --- The same from a terminal: the command publishes what the box says. ---

function publishCommand(text) {
  const line = JSON.stringify(`${text}\n`);
  const event = JSON.stringify(`data: ${text}\n\n`);
  const body = `{"items": [
  {"channel": "demo", "formats": {
    "http-stream": {"content": ${line}},
    "http-response": {"body": ${line}},
    "ws-message": {"content": ${JSON.stringify(text)}}}},
  {"channel": "demo-events", "formats": {
    "http-stream": {"content": ${event}}}}]}`;
  const url = document.querySelector('meta[name="holdfast-publish-url"]').content;
  return `curl ${url} -d '${body.replaceAll("'", "'\\''")}'`;
}

function showCommands() {
  const text = document.getElementById("text").value.trim() || "hello from curl";
  document.getElementById("curl-stream").textContent = `curl -N ${location.origin}/stream`;
  document.getElementById("curl-publish").textContent = publishCommand(text);
}

async function copy(button) {
  const code = document.getElementById(button.dataset.copies);
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(code);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

// --- Start ---

const panes = ["stream", "events", "poll", "socket"].map((name) => new Pane(name));
const followers = [followStream, followEvents, followPolls, followSocket];
panes.forEach((pane, index) => keepFollowing(pane, followers[index]));
setInterval(() => panes.forEach((pane) => pane.showOpenTime()), 1000);

function onSubmit(formId, inputId, act) {
  document.getElementById(formId).addEventListener("submit", (event) => {
    event.preventDefault();
    const input = document.getElementById(inputId);
    const text = input.value.trim();
    if (text !== "") act(text);
    input.select();
  });
}

onSubmit("composer", "text", (text) => publication.send(text));
onSubmit("chat", "chat-text", (text) => say(text, panes[3]));
document.getElementById("text").addEventListener("input", showCommands);
for (const button of document.querySelectorAll("[data-copies]")) {
  button.addEventListener("click", () => copy(button));
}
showCommands();
