// A page of the study: timelines, questions about them, a comment, and the keys. It shows what the
// server has, and above that what was clicked since; `said` tells the server all that it has not
// heard yet, so that nothing is lost if one message is. Texts only ever become text nodes.

const PAIR = [
  { label: "A better", key: "a", places: [1, 2], both_bad: false },
  { label: "Tie", key: "t", places: [1, 1], both_bad: false },
  { label: "B better", key: "b", places: [2, 1], both_bad: false },
  { label: "Both bad", key: "x", places: [1, 1], both_bad: true },
];
const PATIENCE = 4000; // milliseconds until what was not heard is said again; twice that the next time

/** Ranks without gaps: the best is 1. */
function ranks(places) {
  const levels = [...new Set(places)].sort((p, q) => p - q);
  return places.map((place) => levels.indexOf(place) + 1);
}

function same(one, other) {
  return Boolean(one && other) && one.both_bad === other.both_bad
    && String(ranks(one.places)) === String(ranks(other.places));
}

function ordinal(number) {
  const last = [11, 12, 13].includes(number % 100) ? 0 : number % 10;
  return `${number}${{ 1: "st", 2: "nd", 3: "rd" }[last] ?? "th"}`;
}

function input(type, name, onchange) {
  const element = make("input");
  Object.assign(element, { type, name, onchange });
  return element;
}

/** A group of options, one of which can be chosen. */
function group(label, name, options, onchange) {
  const row = make("div", "options");
  row.setAttribute("role", "radiogroup");
  row.setAttribute("aria-label", label);
  const inputs = options.map((text, place) => input("radio", name, () => onchange(place)));
  inputs.forEach((one, place) => row.append(make("label", "", one, make("span", "", options[place]))));
  return { row, show: (chosen) => inputs.forEach((one, place) => { one.checked = place === chosen; }) };
}

/** One question. `answered` gets the answer, or null while places are missing. */
function question(criterion, number, labels, answered) {
  const meaning = make("details", "meaning",
    make("summary", "", make("b", "", criterion.title), make("span", "", ": what is meant")),
    make("p", "", criterion.definition),
    make("p", "", make("b", "", "Better: "), criterion.better),
    make("p", "", make("b", "", "Worse: "), criterion.worse));
  const open = make("p", "open", "Not answered yet");
  const box = make("div", "ask", meaning, make("h3", "", criterion.question));
  let show;
  if (labels.length === 2) {
    const choices = group(criterion.title, `ask-${number}`, PAIR.map((one) => one.label),
      (place) => answered(PAIR[place]));
    PAIR.forEach((one, place) => { choices.row.children[place].dataset.key = one.key.toUpperCase(); });
    box.append(choices.row);
    show = (answer) => choices.show(PAIR.findIndex((one) => same(one, answer)));
  } else {
    let clicked = { places: labels.map(() => 0), both_bad: false };
    const whole = () => {
      if (clicked.both_bad && !clicked.places.some(Boolean)) clicked.places = labels.map(() => 1);
      answered(clicked.places.every(Boolean) ? { ...clicked, places: [...clicked.places] } : null);
    };
    const rows = labels.map((label, at) => {
      const places = group(`${criterion.title}: place of ${label}`, `ask-${number}-${label}`,
        labels.map((_, place) => ordinal(place + 1)),
        (place) => { clicked.places[at] = place + 1; whole(); });
      const letter = make("b", "", label);
      letter.setAttribute("aria-hidden", "true");
      box.append(make("div", "place", letter, places.row));
      return places;
    });
    const bad = input("checkbox", `bad-${number}`, () => { clicked.both_bad = bad.checked; whole(); });
    box.append(make("label", "bad", bad, make("span", "", "All bad")));
    show = (answer) => {
      // What was clicked stays as it was clicked, as long as it says the same.
      if (answer && !same(clicked, answer)) clicked = { ...answer, places: [...answer.places] };
      rows.forEach((one, at) => one.show(clicked.places[at] - 1));
      bad.checked = clicked.both_bad;
    };
  }
  box.append(open);
  return { name: criterion.name, title: criterion.title, box, open, show };
}

function page(root, first, connection) {
  let data = first, waiting = null;
  let current = null; // the question gone back to, which keys answer
  let missed = false, comment = null, go = null, spoken = 0, patience = PATIENCE;
  const clicked = new Map(); // what the server has not heard: the answer and the message's number
  const labels = first.dialogues.map((one) => one.label);

  const heading = make("h1", "", `Which conversation went ${labels.length === 2 ? "better" : "best"}? `,
    make("span", "", `Page ${first.number} of ${first.total}`));
  heading.tabIndex = -1;
  const progress = make("p", "soft"), track = make("i");
  const problem = make("p", "problem");
  problem.setAttribute("role", "alert");
  const keyboard = make("p", "keyboard soft small");
  const field = make("textarea");
  Object.assign(field, { maxLength: first.limit, rows: 2, value: first.comment });
  field.oninput = () => { comment = { text: field.value, number: Infinity }; };
  field.onchange = () => { if (comment) say(); };
  const back = make("button", "", "Back"), next = make("button", "main", "Next");
  back.type = next.type = "button";
  back.onclick = () => leave("back");
  next.onclick = () => leave("next");
  const keys = input("checkbox", "keys", () => { root.silent = !keys.checked; refresh(); });
  keys.checked = !root.silent;

  const answer = (name) => clicked.get(name)?.answer ?? data.answers[name];
  const missing = () => asked.filter((one) => !answer(one.name));
  const now = () => current ?? missing()[0];

  const asked = first.criteria.map((criterion, number) => question(criterion, number, labels,
    (given) => given && choose(criterion.name, given)));
  const meter = make("div", "track", track), talk = make("div", "talk");
  meter.setAttribute("aria-hidden", "true");
  const replay = make("section", "replay");
  talk.append(replay);
  const how = "1st is the best place. Dialogues that are equally good get the same place. "
    + "Tick All bad, too, if none of them is acceptable.";
  root.replaceChildren(problem,
    make("header", "head", heading, progress, meter),
    make("div", "columns", talk, make("div", "answers", make("h2", "", "Your answers"), keyboard,
      ...(labels.length > 2 ? [make("p", "soft small", how)] : []),
      ...asked.map((one) => one.box),
      make("label", "comment", make("span", "", "Comment (if you like)"), field),
      make("div", "onward", back, next),
      make("label", "keys", keys, make("span", "", "Keyboard shortcuts")))));
  const timeline = timelines(replay, first, (event) => connection.event(event));
  const looked = () => ({ opened: [...timeline.opened], replayed: [...timeline.replayed] });

  /** Tell the server all that it has not heard. */
  function say() {
    spoken = Math.max(spoken, data.heard) + 1;
    for (const one of clicked.values()) one.number = spoken;
    if (comment) comment.number = spoken;
    connection.said({
      page: first.page, number: first.number, nonce: first.nonce, message: spoken, go,
      answers: Object.fromEntries([...clicked].map(([name, one]) => [name, one.answer])),
      comment: comment?.text ?? null, ...looked(),
    });
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      problem.textContent = "Not stored yet. Trying again …";
      patience *= 2;
      say();
    }, patience);
  }

  function choose(name, { places, both_bad }) {
    clicked.set(name, { answer: { places, both_bad }, number: Infinity });
    current = null;
    say();
    refresh();
  }

  function leave(where) {
    if (go) return;
    const open = missing();
    if (where === "next" && open.length) {
      missed = true;
      problem.textContent = `Please answer also: ${open.map((one) => one.title).join(", ")}.`;
      return refresh();
    }
    go = where;
    say();
    refresh();
  }

  function refresh() {
    const open = missing(), framed = keys.checked && labels.length === 2 ? now() : null;
    for (const one of asked) {
      one.show(answer(one.name));
      one.box.classList.toggle("now", one === framed);
      one.open.hidden = !(missed && open.includes(one));
    }
    const done = asked.length - open.length;
    const kept = first.submitted && (data.changed || clicked.size) ? "Changed answers are kept. " : "";
    progress.textContent = `${kept}${done} of ${asked.length} questions on this page answered`;
    const share = (first.number - 1 + done / asked.length) / Math.max(first.total, 1);
    track.style.width = `${100 * Math.min(1, share)}%`;
    keyboard.hidden = !keys.checked;
    keyboard.textContent = labels.length !== 2 ? "Keys: Tab and arrows for a place, P play, N next"
      : `Keys: ${now() ? `A, T, B, X answer ${now().title}` : "all is answered"}, `
        + "Z back a question, P play, N next";
    back.disabled = Boolean(go) || first.number === 1;
    next.disabled = Boolean(go);
  }

  function onKey(event) {
    const target = event.composedPath()[0];
    const typing = target instanceof Element && target.closest("textarea, select, input, [contenteditable]");
    if (!keys.checked || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (typing && !["radio", "range", "checkbox"].includes(target.type)) return;
    const key = event.key.toLowerCase(), pair = labels.length === 2;
    const choice = pair && PAIR.find((one) => one.key === key);
    if (key === "p") timeline.toggle();
    else if (key === "n") leave("next");
    else if (choice && now()) choose(now().name, choice);
    else if (pair && key === "z") {
      const at = now() ? asked.indexOf(now()) : asked.length;
      current = asked[Math.max(0, at - 1)];
      refresh();
    }
  }
  const onInside = (event) => { // the page around has shortcuts of its own, for letters in texts, too
    event.stopPropagation();
    onKey(event);
  };
  const onVisible = () => connection.event(document.hidden ? "blur" : "focus");
  root.addEventListener("keydown", onInside);
  document.addEventListener("keydown", onKey);
  document.addEventListener("visibilitychange", onVisible);
  if (root.visited) { // a screen reader says the heading, and Tab goes on from there
    heading.focus({ preventScroll: true });
    root.scrollIntoView({ block: "start" });
  }
  root.visited = true;

  return {
    update(newest) {
      data = newest;
      const heard = (one) => one && one.number <= data.heard;
      for (const [name, one] of clicked) if (heard(one)) clicked.delete(name);
      if (heard(comment)) comment = null;
      if (spoken <= data.heard) {
        clearTimeout(waiting);
        patience = PATIENCE;
        go = null;
        if (problem.textContent.startsWith("Not stored") || data.problem || !missing().length)
          problem.textContent = data.problem;
      }
      if (!comment && field !== root.getRootNode().activeElement) field.value = data.comment;
      refresh();
    },
    end() {
      clearTimeout(waiting);
      timeline.end();
      root.removeEventListener("keydown", onInside);
      document.removeEventListener("keydown", onKey);
      document.removeEventListener("visibilitychange", onVisible);
    },
  };
}

export default function ({ parentElement, data, setStateValue, setTriggerValue }) {
  const root = parentElement.querySelector(".timelines");
  root.connection ??= { said: (said) => root.send("said", said), event: (event) => root.notify("event", event) };
  root.send = setStateValue;
  root.notify = setTriggerValue;
  return mount(parentElement, data, (element) => page(element, data, root.connection));
}
