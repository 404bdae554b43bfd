// Talk to a system: connect the microphone, and show what both say as it happens.
// All that people or models say is put in as text, never as HTML.

const RATE = 16000;
const SILENCE = 2; // seconds without a word after which a new row begins
const PATIENCE = 6000; // milliseconds for WebRTC to connect before the socket is taken
const DECISIONS = { respond: ["<1>", "answering"], ignore: ["<2>", "ignored"] };

const $ = (id) => document.getElementById(id);
let talk = null; // the connection: {close}
let about = {};

// -- the lanes ------------------------------------------------------------------------------

const lanes = { rows: [], fresh: new Set() };
let ghost = null;

function element(tag, className, text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function beginRow(at) {
  const seconds = Math.floor(at);
  const clock = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  const row = { end: at, node: element("div", "row"), you: element("span", "you"),
    system: element("span", "system") };
  row.node.append(element("span", "time", clock), row.you, row.system);
  $("lanes").append(row.node);
  lanes.rows.push(row);
  lanes.fresh.clear();
  return row;
}

function put(lane, text, at, className = "") {
  let row = lanes.rows.at(-1);
  const isNew = !row || at - row.end > SILENCE || row[lane].textContent.length > 160
    || (lanes.fresh.has(lane) && row[lane].textContent);
  if (isNew) row = beginRow(at);
  row[lane].append(element("span", className, text));
  row.end = Math.max(row.end, at);
  lanes.fresh.delete(lane);
  const near = document.documentElement.scrollHeight - innerHeight - scrollY < 300;
  if (near) scrollTo(0, document.documentElement.scrollHeight);
}

// Strike the latest words of a lane: as many characters as the text has, without its blanks.
function strike(lane, text) {
  let left = text.replace(/\s/g, "").length;
  for (const row of lanes.rows.toReversed()) {
    for (const word of [...row[lane].children].reverse()) {
      if (left <= 0) return;
      if (word.className) continue;
      left -= word.textContent.replace(/\s/g, "").length;
      word.className = "gone";
    }
  }
}

function tentative(text) {
  ghost?.remove();
  ghost = text ? element("span", "ghost", ` ${text}`) : null;
  if (ghost) (lanes.rows.at(-1) ?? beginRow(0)).you.append(ghost);
}

let heard = ""; // of the utterance that is open
function showEvent(event) {
  const at = event.start ?? 0, text = event.text ?? "";
  switch (event.kind) {
    case "word":
      tentative("");
      heard += text;
      put("you", text, at);
      break;
    case "revision":
      tentative("");
      strike("you", heard);
      heard = text;
      put("you", ` ${text}`, at);
      break;
    case "respond":
    case "ignore": {
      const [token, what] = DECISIONS[event.kind];
      put("you", `${event.by === "state" ? token : `${event.by}:`} ${what}`, at, event.kind);
      lanes.fresh.add("you");
      heard = "";
      break;
    }
    case "speech":
      put("system", text, at);
      caption(text);
      break;
    case "answer_end":
      put("system", " ■", at, "mark");
      lanes.fresh.add("system");
      break;
    case "cut":
      strike("system", text);
      put("system", " ✂ cut", at, "mark");
      lanes.fresh.add("system");
      caption(null);
      break;
    case "note":
      if (event.channel === "system") { // of the recording, not of the system
        state.note = text;
        break;
      }
      put("system", text, at, "note");
      lanes.fresh.add("system");
  }
}

let shown = "";
function caption(text) {
  shown = text === null || /[.!?]\s*$/.test(shown) ? text ?? "" : shown + text;
  $("caption").textContent = shown.trim();
}

function show(message) {
  switch (message.what) {
    case "event": showEvent(message); break;
    case "tentative": tentative(message.text); break;
    case "state":
      document.body.dataset.speaking = message.speaking;
      state.heard = message.held ? "the voice waits for you" : message.speaking ? "you are heard" : "";
      break;
    case "status":
      state.busy = message.busy ? "the system is speaking" : "";
      state.late = message.lag > 0.2 ? `the model is ${message.lag.toFixed(1)} s slower than speech` : "";
  }
  $("state").textContent = Object.values(state).filter(Boolean).join(" · ");
}
const state = {};

function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

// -- the connection -------------------------------------------------------------------------

async function post(path, content) {
  const answer = await fetch(path, { method: "POST", body: JSON.stringify(content),
    headers: { "Content-Type": "application/json" } });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.detail);
  return body;
}

function message(data) {
  const parsed = JSON.parse(data);
  if (parsed.type === "duo") show(parsed);
}

async function overWebRtc(microphone) {
  const peer = new RTCPeerConnection();
  const channel = peer.createDataChannel("messages", { ordered: true });
  const pings = setInterval(() => channel.readyState === "open" && channel.send("ping"), 1000);
  const close = () => { clearInterval(pings); peer.close(); };
  channel.onmessage = (event) => message(event.data);
  peer.ontrack = (event) => { $("voice").srcObject = new MediaStream([event.track]); };
  try {
    microphone.getAudioTracks().forEach((track) => peer.addTrack(track, microphone));
    await peer.setLocalDescription(await peer.createOffer());
    await within(PATIENCE, new Promise((found) => {
      if (peer.iceGatheringState === "complete") found();
      peer.onicegatheringstatechange = () => peer.iceGatheringState === "complete" && found();
    }));
    const answer = await post("api/offer", { sdp: peer.localDescription.sdp });
    await peer.setRemoteDescription(answer);
    await within(PATIENCE, new Promise((found, failed) => {
      peer.onconnectionstatechange = () => {
        if (peer.connectionState === "connected") found();
        if (["failed", "closed"].includes(peer.connectionState)) failed(new Error("no connection"));
      };
    }));
  } catch (error) {
    close();
    throw error;
  }
  peer.onconnectionstatechange = () =>
    ["failed", "closed", "disconnected"].includes(peer.connectionState) && lost();
  return { close };
}

async function overSocket(microphone) {
  const sound = new AudioContext({ sampleRate: RATE });
  await sound.audioWorklet.addModule("microphone.js");
  const source = sound.createMediaStreamSource(microphone);
  const pieces = new AudioWorkletNode(sound, "microphone", { numberOfOutputs: 0 });
  const socket = new WebSocket(`ws://${location.host}/api/sound`);
  socket.binaryType = "arraybuffer";
  let playedUntil = 0;
  socket.onmessage = (event) => {
    if (typeof event.data === "string") return message(event.data);
    const samples = Float32Array.from(new Int16Array(event.data), (one) => one / 32768);
    const buffer = sound.createBuffer(1, samples.length, RATE);
    buffer.copyToChannel(samples, 0);
    const node = new AudioBufferSourceNode(sound, { buffer });
    node.connect(sound.destination);
    playedUntil = Math.max(playedUntil, sound.currentTime + 0.02);
    node.start(playedUntil);
    playedUntil += buffer.duration;
  };
  await new Promise((found, failed) => {
    socket.onopen = found;
    socket.onclose = () => failed(new Error("no connection"));
  });
  socket.onclose = lost;
  pieces.port.onmessage = (event) =>
    socket.readyState === WebSocket.OPEN && socket.send(event.data.buffer);
  source.connect(pieces);
  return { close: () => { socket.onclose = null; socket.close(); sound.close(); } };
}

function within(milliseconds, promise) {
  const late = new Promise((_, failed) =>
    setTimeout(() => failed(new Error("no connection in time")), milliseconds));
  return Promise.race([promise, late]);
}

async function connect(microphone) {
  if (about.socket) return overSocket(microphone);
  try {
    return await overWebRtc(microphone);
  } catch (error) {
    await post("api/leave", {}).catch(() => {});
    await new Promise((later) => setTimeout(later, 500)); // until the server has let go
    return overSocket(microphone);
  }
}

// -- the button -----------------------------------------------------------------------------

async function start() {
  const choice = Number($("choice").value);
  const resume = about.waits === choice && lanes.rows.length > 0;
  notice("The system is made ready …");
  const ready = await post("api/prepare", { choice, record: $("record").checked, resume });
  if (!resume) forget();
  const microphone = await open();
  const close = () => microphone.getTracks().forEach((track) => track.stop());
  try {
    const connection = await connect(microphone);
    talk = { close: () => { connection.close(); close(); } };
    notice(ready.recorded ? `Recorded on this computer in ${ready.recorded}` : "");
  } catch (error) {
    close();
    throw error;
  }
}

async function open() {
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: {
      echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 } });
  } catch (error) {
    throw new Error(error.name === "NotAllowedError"
      ? "The microphone was refused: allow it for this page in the browser, then start again."
      : `There is no microphone that can be used (${error.message}).`);
  }
}

function forget() {
  $("lanes").replaceChildren();
  lanes.rows = [];
  lanes.fresh.clear();
  [ghost, heard] = [null, ""];
  caption(null);
}

async function stop() {
  talk?.close();
  talk = null;
  await post("api/leave", {}).catch(() => {});
  drawButton();
  await refresh();
}

async function lost() {
  if (!talk) return;
  await stop();
  notice(about.problem || "The connection was lost. What was said is kept: go on when you like.");
}

function drawButton() {
  $("talk").textContent = talk ? "Stop" : about.waits === Number($("choice").value)
    && lanes.rows.length ? "Go on talking" : "Start talking";
  $("talk").setAttribute("aria-pressed", String(Boolean(talk)));
  $("choice").disabled = $("record").disabled = Boolean(talk);
}

async function refresh() {
  await new Promise((later) => setTimeout(later, 300)); // until the server has saved
  about = await (await fetch("api/choices")).json();
  if (about.problem) notice(about.problem);
  drawButton();
}

async function begin() {
  about = await (await fetch("api/choices")).json();
  about.socket = new URLSearchParams(location.search).has("socket");
  $("about").textContent = about.text;
  $("consent").title = about.consent;
  $("consent").lastChild.textContent = ` Record this conversation: ${about.consent}`;
  about.choices.forEach(([system, model], number) => {
    const option = element("option", "", `${system} · ${model}`);
    option.value = number;
    $("choice").append(option);
  });
  const named = () => { $("name").textContent = $("choice").selectedOptions[0].textContent; };
  $("choice").onchange = () => { named(); drawButton(); };
  $("talk").onclick = async () => {
    $("talk").disabled = true;
    try {
      await (talk ? stop() : start());
    } catch (error) {
      notice(error.message);
    }
    $("talk").disabled = false;
    drawButton();
  };
  addEventListener("pagehide", () => talk && navigator.sendBeacon("api/leave"));
  named();
  drawButton();
}

begin();
