// A page of the study: timelines, questions about them, a comment, and the keys. It shows what the
// server has, and above that what was clicked since; `said` tells the server all that it has not
// heard yet, so that nothing is lost if one message is. Texts only ever become text nodes.

const PAIR = [
  { says: "a_better", key: "a", places: [1, 2], both_bad: false },
  { says: "tie", key: "t", places: [1, 1], both_bad: false },
  { says: "b_better", key: "b", places: [2, 1], both_bad: false },
  { says: "both_bad", key: "x", places: [1, 1], both_bad: true },
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

/** Whether an answer prefers one of two dialogues. */
function prefers(answer) {
  return answer.places.length === 2 && answer.places[0] !== answer.places[1];
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

/** One question. `answered` gets the answer, or null while places are missing.
 *
 * `levels` are of the strength of a preference, by name: the labels.
 */
function question(criterion, number, labels, words, levels, answered) {
  const meaning = make("details", "meaning",
    make("summary", "", make("b", "", criterion.title), make("span", "", words.meant)),
    make("p", "", criterion.definition),
    make("p", "", make("b", "", words.better), criterion.better),
    make("p", "", make("b", "", words.worse), criterion.worse));
  const open = make("p", "open", words.open);
  const box = make("div", "ask", meaning, make("h3", "", criterion.question));
  let show;
  if (labels.length === 2) {
    let given = null;
    const choices = group(criterion.title, `ask-${number}`, PAIR.map((one) => words[one.says]),
      (place) => answered(PAIR[place]));
    PAIR.forEach((one, place) => { choices.row.children[place].dataset.key = one.key.toUpperCase(); });
    const names = Object.keys(levels);
    const strength = group(`${criterion.title}: ${words.strength}`, `strong-${number}`,
      Object.values(levels), (level) => answered({ ...given, strength: names[level] }));
    const strong = make("div", "strong", make("p", "small", words.strength), strength.row);
    box.append(choices.row, strong);
    show = (answer) => {
      given = answer;
      choices.show(PAIR.findIndex((one) => same(one, answer)));
      strong.hidden = !names.length || !answer || !prefers(answer);
      strength.show(names.indexOf(answer?.strength));
    };
  } else {
    let clicked = { places: labels.map(() => 0), both_bad: false };
    const whole = () => {
      if (clicked.both_bad && !clicked.places.some(Boolean)) clicked.places = labels.map(() => 1);
      answered(clicked.places.every(Boolean) ? { ...clicked, places: [...clicked.places] } : null);
    };
    const rows = labels.map((label, at) => {
      const places = group(fill(words.place, { question: criterion.title, label }),
        `ask-${number}-${label}`, labels.map((_, place) => words.places[place] ?? `${place + 1}`),
        (place) => { clicked.places[at] = place + 1; whole(); });
      const letter = make("b", "", label);
      letter.setAttribute("aria-hidden", "true");
      box.append(make("div", "place", letter, places.row));
      return places;
    });
    const bad = input("checkbox", `bad-${number}`, () => { clicked.both_bad = bad.checked; whole(); });
    box.append(make("label", "bad", bad, make("span", "", words.all_bad)));
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

/** Let raters mark what an assistant says: a click on it, and on what there is to mark.
 *
 * `say` is called when something was marked. Only the assistants' turns can be marked: `tell` says
 * which they are.
 */
function marking(replay, talk, first, say) {
  const words = first.words.rating, kinds = Object.entries(first.kinds);
  let stored = first.marks, own = null, number = Infinity; // what is not heard yet
  const none = { spoken() {}, changed: () => null, update() {} };
  if (!kinds.length) return none;
  const now = () => own ?? stored;
  const is = (one, label, turn, mark) => one.label === label && one.turn === turn && one.mark === mark;
  const start = ({ label, turn }) => clock(
    first.dialogues.find((one) => one.label === label).utterances[turn].start);

  const chooser = make("div", "chooser"), listed = make("ul", "marks");
  chooser.setAttribute("role", "group");
  chooser.hidden = true;
  const hint = make("p", "soft small", words.marks_hint);
  talk.append(make("section", "marking", chooser, make("h2", "", words.marks), hint, listed));

  function set(label, turn, mark, on) {
    own = now().filter((one) => !is(one, label, turn, mark));
    if (on) own.push({ label, turn, mark });
    number = Infinity;
    say();
    draw();
  }

  /** Ask what is to be marked at a turn. */
  function open(label, turn) {
    const boxes = kinds.map(([mark, text]) => {
      const box = input("checkbox", "mark", () => set(label, turn, mark, box.checked));
      box.checked = now().some((one) => is(one, label, turn, mark));
      return make("label", "", box, make("span", "", text));
    });
    const close = make("button", "", words.done);
    close.type = "button";
    close.onclick = () => { chooser.hidden = true; draw(); };
    const title = fill(words.mark_at, { label, time: start({ label, turn }) });
    chooser.setAttribute("aria-label", title);
    chooser.replaceChildren(make("b", "", title), ...boxes, close);
    Object.assign(chooser.dataset, { label, turn });
    chooser.hidden = false;
    draw();
    boxes[0].firstChild.focus({ preventScroll: true });
    chooser.scrollIntoView({ block: "nearest" });
  }

  function draw() {
    const order = ({ label, turn }) => `${label}${String(turn).padStart(6, "0")}`;
    const marks = [...now()].sort((p, q) => (order(p) < order(q) ? -1 : 1));
    hint.hidden = marks.length > 0;
    listed.replaceChildren(...marks.map((one) => {
      const remove = make("button", "", "✕");
      remove.type = "button";
      remove.title = words.unmark;
      remove.setAttribute("aria-label", words.unmark);
      remove.onclick = () => set(one.label, one.turn, one.mark, false);
      return make("li", "", make("b", "", one.label), ` ${start(one)} ${first.kinds[one.mark]} `, remove);
    }));
    for (const element of replay.querySelectorAll("[data-turn]")) {
      const { label, turn } = element.dataset;
      const mine = marks.some((one) => one.label === label && one.turn === Number(turn));
      element.classList.toggle("marked", mine);
      element.classList.toggle("marking",
        !chooser.hidden && chooser.dataset.label === label && chooser.dataset.turn === turn);
    }
  }

  replay.classList.add("markable");
  replay.addEventListener("click", (event) => {
    const turn = event.target.closest("[data-turn]");
    if (turn) open(turn.dataset.label, Number(turn.dataset.turn));
  });
  for (const item of replay.querySelectorAll("li[data-turn]")) { // for keys and screen readers
    const button = make("button", "mark", words.mark);
    button.type = "button";
    item.append(" ", button);
  }
  draw();
  return {
    spoken(message) { if (own) number = message; },
    changed: () => own,
    update(newest) {
      stored = newest.marks;
      if (own && number <= newest.heard) own = null;
      draw();
    },
  };
}

function page(root, first, connection) {
  let data = first, waiting = null;
  let current = null; // the question gone back to, which keys answer
  const words = first.words.rating, strength = first.strength;
  let latest = null; // the question whose strength the digits say
  let missed = false, comment = null, go = null, spoken = 0, patience = PATIENCE;
  const clicked = new Map(); // what the server has not heard: the answer and the message's number
  const labels = first.dialogues.map((one) => one.label);

  const heading = make("h1", "", labels.length === 2 ? words.title : words.title_best, " ",
    make("span", "", fill(words.page, first)));
  heading.tabIndex = -1;
  const progress = make("p", "soft"), track = make("i");
  const problem = make("p", "problem");
  problem.setAttribute("role", "alert");
  const keyboard = make("p", "keyboard soft small");
  const field = make("textarea");
  Object.assign(field, { maxLength: first.limit, rows: 2, value: first.comment });
  field.oninput = () => { comment = { text: field.value, number: Infinity }; };
  field.onchange = () => { if (comment) say(); };
  const back = make("button", "", words.back), next = make("button", "main", words.next);
  back.type = next.type = "button";
  back.onclick = () => leave("back");
  next.onclick = () => leave("next");
  const keys = input("checkbox", "keys", () => { root.silent = !keys.checked; refresh(); });
  keys.checked = !root.silent;

  const answer = (name) => clicked.get(name)?.answer ?? data.answers[name];
  const whole = (one) => one && !(strength.required && prefers(one) && !one.strength);
  const missing = () => asked.filter((one) => !whole(answer(one.name)));
  const now = () => current ?? missing()[0];

  const asked = first.criteria.map((criterion, number) => question(criterion, number, labels,
    words, strength.levels, (given) => given && choose(criterion.name, given)));
  const meter = make("div", "track", track), talk = make("div", "talk");
  meter.setAttribute("aria-hidden", "true");
  const replay = make("section", "replay");
  talk.append(replay);
  root.replaceChildren(problem,
    make("header", "head", heading, progress, meter),
    make("div", "columns", talk, make("div", "answers", make("h2", "", words.answers), keyboard,
      ...(labels.length > 2 ? [make("p", "soft small", words.ranking)] : []),
      ...asked.map((one) => one.box),
      make("label", "comment", make("span", "", words.comment), field),
      make("div", "onward", back, next),
      make("label", "keys", keys, make("span", "", words.shortcuts)))));
  if (first.topic) { // there is nothing to look at: the rater talked to them
    replay.hidden = true;
    talk.append(make("h2", "", first.topic.title), make("p", "", first.topic.text));
  }
  const timeline = timelines(replay, first, (event) => connection.event(event));
  const marked = marking(replay, talk, first, say);
  const looked = () => ({ opened: [...timeline.opened], replayed: [...timeline.replayed] });

  /** Tell the server all that it has not heard. */
  function say() {
    spoken = Math.max(spoken, data.heard) + 1;
    for (const one of clicked.values()) one.number = spoken;
    if (comment) comment.number = spoken;
    marked.spoken(spoken);
    connection.said({
      page: first.page, number: first.number, nonce: first.nonce, message: spoken, go,
      answers: Object.fromEntries([...clicked].map(([name, one]) => [name, one.answer])),
      comment: comment?.text ?? null, marks: marked.changed(), ...looked(),
    });
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      problem.textContent = words.retrying;
      problem.classList.add("retrying");
      patience *= 2;
      say();
    }, patience);
  }

  function choose(name, given) {
    const { places, both_bad } = given, before = answer(name);
    const level = given.strength ?? (before && same(before, given) ? before.strength : "");
    clicked.set(name, { answer: { places, both_bad, strength: level }, number: Infinity });
    current = null;
    latest = asked.find((one) => one.name === name);
    say();
    refresh();
  }

  function leave(where) {
    if (go) return;
    const open = missing();
    if (where === "next" && open.length) {
      missed = true;
      problem.textContent = fill(words.missing, { questions: open.map((one) => one.title).join(", ") });
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
    const kept = first.submitted && (data.changed || clicked.size) ? `${words.changed} ` : "";
    progress.textContent = kept + fill(words.answered, { done, all: asked.length });
    const share = (first.number - 1 + done / asked.length) / Math.max(first.total, 1);
    track.style.width = `${100 * Math.min(1, share)}%`;
    keyboard.hidden = !keys.checked;
    const keyed = [now() ? fill(words.keys_now, { question: now().title }) : words.keys_done];
    const levels = Object.values(strength.levels).map((label, at) => `${at + 1} ${label}`).join(", ");
    if (levels) keyed.push(fill(words.keys_strength, { digits: levels }));
    keyboard.textContent = labels.length !== 2 ? words.keys_ranks
      : fill(words.keys, { first: keyed.join(", ") });
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
    else if (pair && strong(Number(key))) return;
    else if (pair && key === "z") {
      const at = now() ? asked.indexOf(now()) : asked.length;
      current = asked[Math.max(0, at - 1)];
      refresh();
    }
  }
  /** Say how strong the latest preference is, by a digit; tell whether there was one to say. */
  function strong(digit) {
    const level = Object.keys(strength.levels)[digit - 1], given = latest && answer(latest.name);
    if (!level || !given || !prefers(given)) return false;
    choose(latest.name, { ...given, strength: level });
    return true;
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
      marked.update(newest);
      if (spoken <= data.heard) {
        clearTimeout(waiting);
        patience = PATIENCE;
        go = null;
        if (problem.classList.contains("retrying") || data.problem || !missing().length)
          problem.textContent = data.problem;
        problem.classList.remove("retrying");
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
