// Talk to a system: connect the microphone, and show what both say as it happens.
// All that people or models say is put in as text, never as HTML.

const RATE = 16000;
const SILENCE = 2; // seconds without a word after which a new row begins
const PATIENCE = 6000; // milliseconds for WebRTC to connect before the socket is taken
const DECISIONS = { respond: ["<1>", "answering"], ignore: ["<2>", "ignored"] };

const $ = (id) => document.getElementById(id);
let talk = null; // the connection: {close}
let about = {};
const WORDS = { // a study has them in the participant's language
  start: "Start talking", stop: "Stop", preparing: "The system is made ready …", heard: "you are heard",
  refused: "The microphone was refused: allow it for this page in the browser, then start again.",
  missing: "There is no microphone that can be used.", left: "{time} left",
  busy: "Others are talking just now. Please wait: you are next as soon as there is room.",
  over: "This conversation is over.",
};

// -- the lanes ------------------------------------------------------------------------------

const lanes = { rows: [], fresh: new Set() };
let ghost = null;

function element(tag, className, text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function clock(at) {
  const seconds = Math.floor(at);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

function beginRow(at) {
  const row = { end: at, node: element("div", "row"), you: element("span", "you"),
    system: element("span", "system") };
  row.node.append(element("span", "time", clock(at)), row.you, row.system);
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
    case "caption": $("caption").textContent = message.text; break; // of a study
    case "tentative": tentative(message.text); break;
    case "state":
      document.body.dataset.speaking = message.speaking;
      state.heard = message.held ? "the voice waits for you" : message.speaking ? WORDS.heard : "";
      break;
    case "status":
      state.busy = message.busy ? "the system is speaking" : "";
      state.late = message.lag > 0.2 ? `the model is ${message.lag.toFixed(1)} s slower than speech` : "";
  }
  drawState();
}
const state = {};

function drawState() {
  $("state").textContent = Object.values(state).filter(Boolean).join(" · ");
}

function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

// -- the connection -------------------------------------------------------------------------

async function post(path, content) {
  const answer = await fetch(path, { method: "POST", body: JSON.stringify(content),
    headers: { "Content-Type": "application/json" } });
  const body = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(body.detail), { busy: answer.status === 503 });
  return body;
}

function message(data) {
  const parsed = JSON.parse(data);
  if (parsed.type === "talk") show(parsed);
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
  const socket = new WebSocket(new URL("api/sound", location.href).href.replace(/^http/, "ws"));
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
    return overSocket(microphone);
  }
}

// -- the button -----------------------------------------------------------------------------

async function start() {
  const choice = Number($("choice").value);
  const resume = about.waits === choice && lanes.rows.length > 0;
  const microphone = await open(); // before anything begins that would count
  const close = () => microphone.getTracks().forEach((track) => track.stop());
  try {
    notice(WORDS.preparing);
    const ready = await prepare({ choice, record: $("record").checked, resume });
    if (!resume) forget();
    const connection = await connect(microphone);
    const limit = about.study && countDown(about.study.seconds);
    talk = { close: () => { clearInterval(limit); connection.close(); close(); } };
    notice(ready.recorded ? `Recorded on this computer in ${ready.recorded}` : "");
  } catch (error) {
    close();
    throw error;
  }
}

/** Have a conversation made ready, as soon as there is room for it. */
async function prepare(wanted) {
  for (;;) {
    try {
      return await post("api/prepare", wanted);
    } catch (error) {
      if (!error.busy) throw error;
      notice(WORDS.busy);
      await new Promise((later) => setTimeout(later, 3000));
      notice(WORDS.preparing);
    }
  }
}

function countDown(seconds) {
  const end = performance.now() + 1000 * seconds;
  return setInterval(() => {
    state.left = WORDS.left.replace("{time}", clock(Math.max(0, (end - performance.now()) / 1000)));
    drawState();
  }, 500);
}

async function open() {
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: {
      echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 } });
  } catch (error) {
    throw new Error(error.name === "NotAllowedError"
      ? WORDS.refused : `${WORDS.missing} (${error.message})`);
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
  const ending = talk;
  talk = null;
  await fetch("api/leave", { method: "POST", body: "ended" }).catch(() => {});
  ending?.close(); // after that: a connection that is gone would not say why
  drawButton();
  if (about.study) return over();
  await refresh();
}

async function lost() {
  if (!talk) return;
  if (about.study) {
    talk.close();
    talk = null;
    return over();
  }
  await stop();
  notice(about.problem || "The connection was lost. What was said is kept: go on when you like.");
}

/** End the one conversation that a page of a study is for. */
function over() {
  $("talk").hidden = true;
  caption(null);
  $("state").textContent = "";
  notice(WORDS.over);
}

function drawButton() {
  $("talk").textContent = talk ? WORDS.stop : about.waits === Number($("choice").value)
    && lanes.rows.length ? "Go on talking" : WORDS.start;
  $("talk").setAttribute("aria-pressed", String(Boolean(talk)));
  $("choice").disabled = $("record").disabled = Boolean(talk);
}

async function refresh() {
  about = await (await fetch("api/choices")).json();
  if (about.problem) notice(about.problem);
  drawButton();
}

async function begin() {
  about = await (await fetch("api/choices")).json();
  about.socket ??= new URLSearchParams(location.search).has("socket");
  Object.assign(WORDS, about.study?.words);
  document.body.classList.toggle("study", Boolean(about.study));
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
