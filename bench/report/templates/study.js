"use strict";
/* The page of a user study: one pair after the other, answers kept in this browser, a file at the end. What decides order
   and sides, and the digest of the file, are also in bench/study/spec.py. */

(() => {

const study = JSON.parse(document.getElementById("study").textContent);
const pick = (selector, root = document) => root.querySelector(selector);
const every = (selector, root = document) => [...root.querySelectorAll(selector)];

/* sha256 (FIPS 180-4) of a text in UTF-8, as hex: pages from a folder have no crypto.subtle in every browser. */
function sha256(text) {
  const primes = [];
  for (let n = 2; primes.length < 64; n++) if (primes.every((p) => n % p)) primes.push(n);
  const fraction = (x) => ((x - Math.floor(x)) * 2 ** 32) >>> 0;
  const k = primes.map((p) => fraction(Math.cbrt(p)));
  const state = primes.slice(0, 8).map((p) => fraction(Math.sqrt(p)));
  const bytes = new TextEncoder().encode(text);
  const padded = new Uint8Array(((bytes.length + 72) >> 6) << 6);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 8, Math.floor(bytes.length / 2 ** 29));
  view.setUint32(padded.length - 4, bytes.length * 8);
  const turn = (x, n) => (x >>> n) | (x << (32 - n));
  const w = new Uint32Array(64);
  for (let start = 0; start < padded.length; start += 64) {
    for (let i = 0; i < 16; i++) w[i] = view.getUint32(start + 4 * i);
    for (let i = 16; i < 64; i++) {
      const low = turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ (w[i - 15] >>> 3);
      const high = turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ (w[i - 2] >>> 10);
      w[i] = w[i - 16] + low + w[i - 7] + high;
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let i = 0; i < 64; i++) {
      const one = h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + k[i] + w[i];
      const two = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + one) | 0, c, b, a, (one + two) | 0];
    }
    [a, b, c, d, e, f, g, h].forEach((x, i) => { state[i] = (state[i] + x) >>> 0; });
  }
  return state.map((x) => x.toString(16).padStart(8, "0")).join("");
}

const draw = (...parts) => sha256(parts.join(":"));

/* The pairs in this rater's order, on this rater's sides. */
function layout(rater) {
  const swap = parseInt(draw(study.id, rater, "sides")[0], 16) % 2;
  const keyed = study.pairs.map((pair) => ({ pair, key: draw(study.id, rater, pair.id) }));
  keyed.sort((a, b) => (a.key < b.key ? -1 : 1));
  return keyed.map(({ pair }) => {
    const [left, right] = swap ? [...pair.clips].reverse() : pair.clips;
    return { pair: pair.id, left, right };
  });
}

/* -- what is remembered --------------------------------------------------------------------------------------------- */

const place = `study:${study.id}`;
const fresh = () => ({ rater: "", started: "", finished: "", position: 0, ratings: {} });
let state = fresh();
let order = [];

function recall() {
  try { state = JSON.parse(localStorage.getItem(place)) ?? fresh(); } catch { state = fresh(); }
}

function remember() {
  try {
    localStorage.setItem(place, JSON.stringify(state));
  } catch {
    problem("This browser keeps nothing for this page: leave it open until you have saved your answers.");
  }
}

function problem(text) {
  const notice = pick("[data-problem]");
  notice.textContent = text;
  notice.hidden = !text;
}

/* -- one pair ------------------------------------------------------------------------------------------------------- */

const videos = every("video");
let shown = 0;

const current = () => order[state.position];
const rating = () => (state.ratings[current().pair] ??= { ms: 0, seen: [false, false] });
const answered = () => study.questions.every((name) => rating()[name]);
const complete = () => answered() && rating().seen.every(Boolean);

/* Count the time the pair has been on the screen. */
function tick() {
  const now = performance.now();
  if (!document.hidden && !pick('[data-part="pair"]').hidden) rating().ms += Math.round(now - shown);
  shown = now;
}

function show(part) {
  for (const section of every("[data-part]")) section.hidden = section.dataset.part !== part;
  pick("[data-progress]").textContent = part === "pair" ? `${state.position + 1} of ${order.length}` : "";
}

function showPair() {
  show("pair");
  problem("");
  shown = performance.now();
  pick("[data-heading]").textContent = `Pair ${state.position + 1} of ${order.length}`;
  [current().left, current().right].forEach((clip, side) => { videos[side].src = `clips/${clip}.mp4`; });
  for (const name of study.questions) {
    for (const input of every(`input[name="${name}"]`)) input.checked = input.value === rating()[name];
  }
  refresh();
  pick("[data-heading]").focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

function refresh() {
  every("[data-seen]").forEach((note, side) => { note.textContent = rating().seen[side] ? "seen" : "not yet seen to its end"; });
  const open = study.questions.find((name) => !rating()[name]);
  for (const field of every("fieldset")) field.classList.toggle("current", field.dataset.question === open);
  pick('[data-do="next"]').disabled = !complete();
  pick('[data-do="back"]').disabled = state.position === 0;
}

function play(side) {
  videos[1 - side].pause();
  videos[side].currentTime = 0;
  videos[side].play().catch((error) => { if (error.name !== "AbortError") problem(`Video ${"AB"[side]} cannot be played: ${error.message}`); });
}

function answer(value) {
  const name = study.questions.find((question) => !rating()[question]);
  if (!name) return;
  rating()[name] = value;
  pick(`input[name="${name}"][value="${value}"]`).checked = true;
  tick();
  remember();
  refresh();
}

function move(step) {
  if (step > 0 && !complete()) return;
  if (step < 0 && state.position === 0) return;
  tick();
  for (const video of videos) video.pause();
  state.position += step;
  if (state.position === order.length) finish();
  else showPair();
  remember();
}

/* -- the file ------------------------------------------------------------------------------------------------------- */

function answers() {
  const ratings = order.map((one) => {
    const { ms } = state.ratings[one.pair];
    return { ...one, ms, ...Object.fromEntries(study.questions.map((name) => [name, state.ratings[one.pair][name]])) };
  });
  const lines = ratings.map((one) => [one.pair, one.left, one.right, one.ms, ...study.questions.map((name) => one[name])].join(" "));
  const sum = sha256([study.id, state.rater, state.started, state.finished, ...lines].join("\n"));
  return { schema: 1, study: study.id, rater: state.rater, started: state.started, finished: state.finished, ratings, sha256: sum };
}

function finish() {
  state.position = order.length;
  state.finished ||= new Date().toISOString();
  show("end");
  pick("textarea").value = JSON.stringify(answers(), null, 1);
  pick('[data-part="end"] h1').focus();
}

function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([pick("textarea").value], { type: "application/json" }));
  link.download = `answers-${study.id}-${state.rater}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/* -- from the top --------------------------------------------------------------------------------------------------- */

function begin() {
  if (!state.rater) {
    const random = [...crypto.getRandomValues(new Uint8Array(4))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    pick('input[name="rater"]').value = random;
    show("intro");
    return;
  }
  order = layout(state.rater);
  if (state.position >= order.length) finish();
  else showPair();
}

pick("[data-start]").addEventListener("submit", (event) => {
  event.preventDefault();
  state.rater = pick('input[name="rater"]').value;
  state.started = new Date().toISOString();
  remember();
  begin();
});
every("[data-play]").forEach((button, side) => button.addEventListener("click", () => play(side)));
videos.forEach((video, side) => {
  video.addEventListener("ended", () => { rating().seen[side] = true; tick(); remember(); refresh(); });
  video.addEventListener("error", () => { if (video.src) problem(`Video ${"AB"[side]} cannot be loaded. Is the folder complete?`); });
});
pick("[data-questions]").addEventListener("change", (event) => {
  rating()[event.target.name] = event.target.value;
  tick();
  remember();
  refresh();
});
pick('[data-do="next"]').addEventListener("click", () => move(1));
pick('[data-do="back"]').addEventListener("click", () => move(-1));
pick('[data-do="review"]').addEventListener("click", () => { state.finished = ""; state.position = order.length - 1; showPair(); remember(); });
pick('[data-do="save"]').addEventListener("click", save);
pick('[data-do="forget"]').addEventListener("click", () => {
  if (!confirm("Forget these answers in this browser? Save them first.")) return;
  state = fresh();
  remember();
  begin();
});
document.addEventListener("visibilitychange", tick);
document.addEventListener("keydown", (event) => {
  if (pick('[data-part="pair"]').hidden || event.ctrlKey || event.metaKey || event.altKey) return;
  const actions = {
    1: () => play(0), 2: () => play(1), a: () => answer("A"), s: () => answer("same"), b: () => answer("B"),
    n: () => move(1), p: () => move(-1),
  };
  actions[event.key.toLowerCase()]?.();
});

recall();
begin();

})();
