// Two-lane timelines of dialogues, and their replay. Texts only ever become text nodes.
// What stands at the same height happened at the same moment, in all lanes: a bubble begins and ends
// with what was said, and each line in it begins with its first word. Where words have no room at the
// usual pace, time takes more of the page there, for all alike.

const LEAST = 18, MOST = 40; // pixels that a second takes at least
const LINE = 18, PAD = 2, GAP = 4; // pixels: a line, above and below all lines, between two bubbles
const BESIDE = 16, NARROWEST = 40; // pixels: beside the words of a bubble; of a line
const INSTANT = 0.01; // seconds that what took no time takes here
const BETWEEN = 0.8; // seconds between dialogues that are played one after the other
const MOSTLY = 0.8; // share of a dialogue that must be played for it to be replayed

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

/** A text with values in its places; of its two forms, the one for the count. */
function fill(text, values = {}) {
  const form = typeof text === "string" ? text : text[values.count === 1 ? "one" : "other"];
  return form.replace(/\{([a-z]+)\}/g, (place, name) => values[name] ?? place);
}

function clock(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** When nobody speaks: [start, end] of each silence. */
function pauses(dialogue) {
  const silences = [];
  let quiet = 0;
  for (const [start, end] of dialogue.utterances.flatMap((u) => u.bars).sort((p, q) => p[0] - q[0])) {
    if (start > quiet) silences.push([quiet, start]);
    quiet = Math.max(quiet, end);
  }
  return silences;
}

/** The first bar of whoever begins to speak while the other one speaks. */
function entries(dialogue) {
  return dialogue.utterances.filter((u) => u.in).map((u) => u.bars[0]);
}

/** A strip: the whole dialogue at a glance, from left to right. */
function strip(dialogue, seconds) {
  const at = (element, [start, end]) => {
    element.style.left = `${(100 * start) / seconds}%`;
    element.style.width = `${(100 * (end - start)) / seconds}%`;
    return element;
  };
  const lanes = make("div", "lanes"), into = entries(dialogue);
  for (const span of dialogue.both) lanes.append(at(make("i", "both"), span));
  for (const u of dialogue.utterances)
    for (const span of u.bars) lanes.append(at(make("i", `bar ${u.who}${into.includes(span) ? " in" : ""}`), span));
  const head = make("i", "head");
  lanes.append(head);
  return { row: make("div", "strip", make("b", "", dialogue.label), lanes), head };
}

/** Let an element say which turn of an assistant it shows: a page may let raters mark it. */
function tell(element, dialogue, turn) {
  if (dialogue.utterances[turn].who === "assistant")
    Object.assign(element.dataset, { label: dialogue.label, turn });
  return element;
}

/** A dialogue word by word, from top to bottom: a column for each speaker. */
function column(dialogue, language, names) {
  const lanes = { user: make("div", "lane user"), assistant: make("div", "lane assistant") };
  const bubbles = [], marks = [];
  const into = entries(dialogue);
  const body = make("div", "body");
  for (const span of dialogue.both) marks.push([body.appendChild(make("i", "both")), ...span]);
  for (const [start, end] of pauses(dialogue).filter(([start, end]) => end - start >= 1.5 && start > 0))
    marks.push([body.appendChild(make("i", "silence",
      fill(names.silence, { seconds: (end - start).toFixed(1) }))), start, end]);
  for (const [turn, u] of dialogue.utterances.entries())
    u.bars.forEach((span, n) => {
      const words = u.words.filter(([start]) => start >= span[0] && !(start >= u.bars[n + 1]?.[0]));
      const bubble = lanes[u.who].appendChild(make("div", into.includes(span) ? "bubble in" : "bubble"));
      bubble.dir = "auto";
      bubble.lang = language;
      tell(bubble, dialogue, turn);
      bubbles.push({ bubble, words, who: u.who, start: span[0], end: span[1] });
      if (n) marks.push([lanes[u.who].appendChild(make("i", "on")), u.bars[n - 1][1], span[0]]);
    });
  const head = make("i", "head");
  body.append(lanes.user, lanes.assistant, head);
  const title = make("div", "title", make("b", "", dialogue.label));
  title.append(make("span", "", names.user), make("span", "", names.assistant));
  return { title, body, lanes, bubbles, marks, head, words: [], said: 0 };
}

/** Cut words `[start, end, text]` into lines that are no wider than `room` pixels, about equally wide. */
function lines(words, room, width) {
  const parts = words.flatMap(([start, end, text]) => {
    const signs = Array.from(text);
    const least = Math.ceil(width(text.trim()) / room); // a word that is too wide for any line is cut
    const size = Math.max(1, least > 1 ? Math.floor(signs.length / (least + 1)) : signs.length);
    const count = Math.ceil(signs.length / size);
    return Array.from({ length: count }, (_, n) =>
      [start + ((end - start) * n) / count, signs.slice(n * size, (n + 1) * size).join("")]);
  });
  const broken = (limit) => {
    const filled = [];
    let left = 0;
    for (const [start, text] of parts) {
      const wide = width(text);
      if (!filled.length || wide > left) {
        const first = text.trimStart();
        filled.push([[start, first]]);
        left = limit - width(first);
      } else {
        filled.at(-1).push([start, text]);
        left -= wide;
      }
    }
    return filled;
  };
  let best = broken(room);
  for (let limit = room - 8; limit >= NARROWEST; limit -= 8) {
    const next = broken(limit);
    if (next.length > best.length) break;
    best = next;
  }
  return best;
}

/** The height of each moment: `rate` pixels a second, and more where `needs` `[start, end, pixels]`. */
function axis(needs, until, rate) {
  const moments = [...new Set([0, until, ...needs.flatMap(([start, end]) => [start, end])])];
  moments.sort((p, q) => p - q);
  const heights = new Map(), ending = new Map();
  for (const need of needs) ending.set(need[1], [...(ending.get(need[1]) ?? []), need]);
  moments.forEach((moment, n) => {
    let height = n ? heights.get(moments[n - 1]) + rate * (moment - moments[n - 1]) : 0;
    for (const [start, , pixels] of ending.get(moment) ?? [])
      height = Math.max(height, heights.get(start) + pixels);
    heights.set(moment, height);
  });
  return (moment) => {
    let low = 0, high = moments.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (moments[middle] <= moment) low = middle;
      else high = middle;
    }
    const [from, to] = [moments[low], moments[high]], [top, bottom] = [from, to].map((m) => heights.get(m));
    return top + (to > from ? ((bottom - top) * (moment - from)) / (to - from) : 0);
  };
}

/** The dialogue as a list, for screen readers and whoever prefers to read. */
function list(dialogue, language, words) {
  const items = dialogue.utterances.map((u, turn) => {
    const text = make("bdi", "", u.words.map((word) => word[2]).join("").trim());
    text.lang = language;
    const when = fill(words.span, { start: clock(u.start), end: clock(u.end) });
    const item = make("li", u.who, make("span", "when", when), make("b", "", `${words[u.who]}: `), text);
    return tell(item, dialogue, turn);
  });
  const heading = make("h4", "", fill(words.conversation, { label: dialogue.label }));
  return make("div", "", heading, make("ol", "", ...items));
}

/** Draw dialogues into an element. `notify` hears of play, pause and seek. */
function timelines(root, data, notify) {
  const words = data.words.player;
  const state = { time: 0, playing: false, speed: 1, turns: false, shown: 0, at: () => 0 };
  const pen = document.createElement("canvas").getContext("2d"); // measures words
  const dialogues = data.dialogues;
  const seconds = Math.max(1, ...dialogues.map((d) => d.seconds));
  const strips = dialogues.map((d) => strip(d, seconds));
  const columns = dialogues.map((d) => column(d, data.language, words));

  const button = (label, className) => {
    const element = make("button", className, label);
    element.type = "button";
    return element;
  };
  const play = button("", "play");
  const face = (sign, word) => {
    const picture = make("span", "", `${sign} `);
    picture.setAttribute("aria-hidden", "true");
    play.replaceChildren(picture, word);
  };
  face("▶", words.play);
  const begin = button("↺", "begin");
  begin.title = words.begin;
  begin.setAttribute("aria-label", words.begin);
  const position = make("input");
  Object.assign(position, { type: "range", min: 0, step: 0.1, value: 0 });
  position.setAttribute("aria-label", words.position);
  const reading = make("span", "reading");
  const choice = (label, options) => {
    const select = make("select");
    select.setAttribute("aria-label", label);
    options.forEach(([value, text]) => select.append(new Option(text, value)));
    return select;
  };
  const heard = dialogues.some((d) => d.sound); // two at once could not be understood
  // Sounds that the data name are played here, others by players that stand on the page below.
  const own = new Map(dialogues.filter((d) => typeof d.sound === "string").map((d) => {
    const player = make("audio");
    player.preload = "none";
    player.src = d.sound;
    return [d, player];
  }));
  const order = choice(words.order,
    [["", heard ? words.together_silent : words.together], ["1", words.turns]]);
  order.value = heard ? "1" : "";
  const speed = choice(words.speed, [["1", "1×"], ["1.5", "1.5×"], ["2", "2×"]]);
  const tabs = make("div", "tabs");
  tabs.setAttribute("role", "group");
  tabs.setAttribute("aria-label", words.shown);
  dialogues.forEach((d, n) => {
    const name = d.label.length > 1 ? d.label : fill(words.conversation, { label: d.label });
    const tab = tabs.appendChild(button(name, ""));
    tab.onclick = () => show(n);
  });

  const overview = make("div", "overview", ...strips.map((s) => s.row));
  overview.setAttribute("aria-hidden", "true");
  const gutter = make("div", "gutter");
  const titles = make("div", "titles", make("div", "corner"), ...columns.map((c) => c.title));
  const score = make("div", "score", gutter, ...columns.map((c) => c.body));
  const sheet = make("div", "sheet", titles, score);
  sheet.setAttribute("aria-hidden", "true");
  const scroller = make("div", "scroller", sheet);
  scroller.tabIndex = 0;
  scroller.setAttribute("role", "region");
  scroller.setAttribute("aria-label", words.timelines);
  const key = make("p", "key", ...["user", "assistant", "both", "in", "quiet"].map((sign) =>
    make("span", "", make("i", sign), words[`key_${sign}`])));
  key.setAttribute("aria-hidden", "true");
  const text = make("details", "text", make("summary", "", words.text),
    ...dialogues.map((d) => list(d, data.language, words)));
  const bar = make("div", "controls", play, begin, position, reading, order, speed);
  root.replaceChildren(bar, overview, key, tabs, scroller, text, ...own.values());

  // What was looked at, by label: a dialogue is replayed once most of it was.
  const opened = new Set(), replayed = new Set(), played = dialogues.map(() => 0);

  function count(passed) {
    times().forEach((time, n) => {
      const d = dialogues[n];
      if (time === null || time > d.seconds + BETWEEN) return;
      played[n] += Math.min(passed, 1);
      if (played[n] >= MOSTLY * d.seconds) replayed.add(d.label);
    });
  }

  const total = () =>
    state.turns ? dialogues.reduce((sum, d) => sum + d.seconds + BETWEEN, 0) : seconds;

  /** What time it is in each dialogue; null in those that are not played now. */
  function times() {
    if (!state.turns) return dialogues.map(() => state.time);
    let left = state.time, current = false;
    return dialogues.map((d, n) => {
      if (current) return null;
      const own = d.seconds + BETWEEN;
      if (left < own || n === dialogues.length - 1) {
        current = true;
        return left;
      }
      left -= own;
      return null;
    });
  }

  function show(number) {
    state.shown = number;
    columns.forEach((c, n) => {
      c.title.classList.toggle("shown", n === number);
      c.body.classList.toggle("shown", n === number);
    });
    [...tabs.children].forEach((tab, n) => tab.setAttribute("aria-pressed", String(n === number)));
    layout();
  }

  /** Put the words of a column into lines; return what each needs: start, end and pixels. */
  function place(c) {
    const style = getComputedStyle(root);
    pen.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
    const known = new Map();
    const width = (text) => {
      if (!known.has(text)) known.set(text, pen.measureText(text).width);
      return known.get(text);
    };
    const room = Math.max(NARROWEST, c.lanes.user.clientWidth - BESIDE);
    const free = { user: 0, assistant: 0 }, needs = [];
    c.words = [];
    for (const b of c.bubbles) {
      let from = b.from = Math.max(b.start, free[b.who]);
      b.lines = lines(b.words, room, width).map((words) => {
        const line = make("div", "line");
        for (const [start, text] of words) {
          const word = line.appendChild(make("span", "", text));
          c.words.push([start, word]);
        }
        from = Math.max(from, words[0][0]);
        const placed = { line, from };
        from += INSTANT;
        return placed;
      });
      b.to = free[b.who] = Math.max(b.end, from);
      b.bubble.replaceChildren(...b.lines.map((one) => one.line));
      b.lines.forEach((one, n) => {
        const next = b.lines[n + 1];
        needs.push([one.from, next?.from ?? b.to, LINE + (next ? 0 : 2 * PAD + GAP)]);
      });
    }
    c.words.sort((p, q) => p[0] - q[0]);
    c.said = c.words.length;
    return needs;
  }

  function layout() {
    if (!root.isConnected || !scroller.clientWidth) return;
    const narrow = root.clientWidth < 40 + 215 * dialogues.length; // one is shown at a time
    root.classList.toggle("narrow", narrow);
    dialogues.forEach((d, n) => { if (!narrow || n === state.shown) opened.add(d.label); });
    const drawn = narrow ? [columns[state.shown]] : columns;
    const needs = drawn.flatMap(place);
    const paces = needs.map(([start, end, pixels]) => pixels / (end - start)).sort((p, q) => p - q);
    const usual = paces[Math.floor(0.6 * paces.length)] ?? LEAST;
    const rate = Math.min(MOST, Math.max(LEAST, usual));
    const last = Math.max(seconds, ...needs.map(([, end]) => end));
    const at = state.at = axis(needs, last + 1, rate);
    score.style.height = `${at(last + 1)}px`;
    for (const c of drawn) {
      for (const b of c.bubbles) {
        b.bubble.style.top = `${at(b.from) + GAP / 2}px`;
        b.bubble.style.height = `${at(b.to) - at(b.from) - GAP}px`;
        for (const { line, from } of b.lines) line.style.top = `${at(from) - at(b.from) + PAD}px`;
      }
      for (const [mark, start, end] of c.marks) {
        mark.style.top = `${at(start)}px`;
        mark.style.height = `${Math.max(2, at(end) - at(start))}px`;
      }
    }
    const step = [1, 2, 5, 10, 15, 30, 60].find((s) => s * rate >= 60) || 60;
    const ticks = [];
    for (let moment = 0; moment <= seconds && ticks.length < 2000; moment += step) {
      const tick = make("i", "tick", clock(moment));
      tick.style.top = `${at(moment)}px`;
      ticks.push(tick);
    }
    gutter.replaceChildren(...ticks);
    paint(false);
  }

  function paint(follow) {
    const now = times();
    const begun = state.playing || state.time > 0;
    position.max = total().toFixed(1);
    position.value = state.time;
    position.setAttribute("aria-valuetext", fill(words.seconds, { seconds: Math.round(state.time) }));
    reading.textContent = `${clock(state.time)} / ${clock(total())}`;
    let focus = null;
    columns.forEach((c, n) => {
      const time = now[n];
      const mine = begun && time !== null;
      if (mine && (state.turns || n === state.shown)) focus = time;
      strips[n].head.style.display = c.head.style.display = mine ? "" : "none";
      const here = Math.min(time ?? 0, seconds);
      strips[n].head.style.left = `${(100 * here) / seconds}%`;
      c.head.style.top = `${state.at(here)}px`;
      c.body.classList.toggle("waiting", begun && time === null);
      const until = mine ? time : Infinity;
      while (c.said < c.words.length && c.words[c.said][0] <= until)
        c.words[c.said++][1].className = "";
      while (c.said > 0 && c.words[c.said - 1][0] > until)
        c.words[--c.said][1].className = "unsaid";
    });
    if (state.turns && begun) {
      const current = now.findIndex((time) => time !== null);
      if (current >= 0 && current !== state.shown) show(current);
    }
    if (follow && focus !== null)
      scroller.scrollTop = state.at(focus) - 0.55 * scroller.clientHeight;
  }

  /** Let the sound be where the replay is. */
  function sound() {
    if (!heard) return;
    const players = [...document.querySelectorAll(".st-key-sounds audio")];
    const now = times();
    dialogues.filter((d) => d.sound).forEach((d, n) => {
      const player = own.get(d) ?? players[n], at = now[dialogues.indexOf(d)];
      if (!player) return;
      if (!state.playing || !state.turns || at === null || at >= player.duration) {
        if (state.sounding === player) player.pause();
        return;
      }
      if (Math.abs(player.currentTime - at) > 0.25) player.currentTime = at;
      player.playbackRate = state.speed;
      state.sounding = player;
      if (player.paused) player.play().catch(() => {});
    });
  }

  function stop(what) {
    if (!state.playing) return;
    state.playing = false;
    sound();
    face("▶", words.play);
    if (what) notify(what);
  }

  let last = 0;
  function frame(now) {
    if (!state.playing) return;
    const passed = ((now - last) / 1000) * state.speed;
    state.time += passed;
    last = now;
    count(passed);
    if (state.time >= total()) {
      stop("pause");
      state.time = 0;
    }
    paint(true);
    sound();
    requestAnimationFrame(frame);
  }

  function toggle() {
    if (state.playing) return stop("pause");
    state.playing = true;
    face("❚❚", words.pause);
    last = performance.now();
    notify("play");
    requestAnimationFrame(frame);
  }

  function seek(time) {
    state.time = time;
    paint(true);
  }

  play.onclick = toggle;
  begin.onclick = () => { seek(0); scroller.scrollTop = 0; };
  position.oninput = () => seek(Number(position.value));
  position.onchange = () => notify("seek");
  order.onchange = () => { state.turns = order.value === "1"; seek(0); };
  speed.onchange = () => { state.speed = Number(speed.value); };
  overview.onclick = (event) => {
    const box = strips[0].row.lastChild.getBoundingClientRect();
    if (state.turns || event.clientX < box.left) return;
    seek(Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) * seconds);
    notify("seek");
  };

  const sizes = new ResizeObserver(() => {
    if (root.clientWidth === state.width) return;
    state.width = root.clientWidth;
    layout();
  });
  sizes.observe(root);
  document.fonts.ready.then(layout); // words are as wide as their font makes them
  state.turns = heard;
  show(0);
  return {
    toggle,
    opened,
    replayed,
    end() {
      state.playing = false;
      sound();
      sizes.disconnect();
    },
  };
}

/** Draw into the element `.timelines` of a component, unless what `data.key` names is there.
 *
 * A component is called for every run of the page: what is drawn already, and perhaps playing,
 * stays. `draw` makes an object with `end`, and perhaps `update`.
 */
function mount(parentElement, data, draw) {
  const root = parentElement.querySelector(".timelines");
  if (!root.drawn || root.drawn.key !== data.key) {
    root.drawn?.end();
    root.drawn = draw(root);
    root.drawn.key = data.key;
  }
  const drawn = root.drawn;
  drawn.update?.(data);
  drawn.alive = true;
  return () => {
    drawn.alive = false;
    setTimeout(() => {
      if (drawn.alive) return;
      drawn.end();
      if (root.drawn === drawn) root.drawn = null;
    });
  };
}

export default function ({ parentElement, data }) {
  return mount(parentElement, data, (root) => timelines(root, data, () => {}));
}
