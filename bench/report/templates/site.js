"use strict";
/* One script for every page. Each part looks for what it serves and does nothing where that is absent. */

const all = (root, selector) => [...root.querySelectorAll(selector)];
const memory = {
  /* What the reader chose, kept where the browser lets a page from a folder keep anything. */
  get(key) { try { return localStorage.getItem(key); } catch { return null; } },
  set(key, value) { try { localStorage.setItem(key, value); } catch { /* private window: forgotten on leaving */ } },
};

function themes(button) {
  const names = ["auto", "light", "dark"];
  let chosen = names.includes(memory.get("theme")) ? memory.get("theme") : "auto";
  const show = () => {
    if (chosen === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = chosen;
    button.textContent = `Theme: ${chosen}`;
  };
  button.addEventListener("click", () => {
    chosen = names[(names.indexOf(chosen) + 1) % names.length];
    memory.set("theme", chosen);
    show();
  });
  button.hidden = false;
  show();
}

/* Sorting: rows move inside their own section, since rows of two sections are not ranked together. Rows without a value
   stay last either way. The first click puts the best first. */
function sortable(table) {
  const heads = all(table, "thead th[data-best]");
  for (const head of heads) {
    const name = head.querySelector(".sort");
    name.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      const next = now ? (now === "ascending" ? "descending" : "ascending") : head.dataset.best;
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", next);
      for (const body of table.tBodies) order(body, head.cellIndex, next === "ascending" ? 1 : -1);
    });
  }
}

function order(body, column, direction) {
  const fixed = all(body, "tr.section");
  const rows = all(body, "tr:not(.section)").map((row) => ({ row, key: row.cells[column].dataset.key ?? row.cells[column].textContent.trim() }));
  const numeric = rows.every(({ key }) => key === "" || Number.isFinite(Number(key)));
  rows.sort((a, b) => {
    if (a.key === "" || b.key === "") return (a.key === "") - (b.key === "");
    return direction * (numeric ? a.key - b.key : a.key.localeCompare(b.key));
  });
  body.append(...fixed, ...rows.map(({ row }) => row));
}

/* A search field that leaves only rows whose first cell holds the text, in every table of the page. */
function filterable(field) {
  const count = document.querySelector(field.dataset.count);
  field.addEventListener("input", () => {
    const text = field.value.trim().toLowerCase();
    const rows = all(document, field.dataset.filters);
    for (const row of rows) row.hidden = !row.cells[0].textContent.toLowerCase().includes(text);
    count.textContent = text ? `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows` : "";
  });
}

/* A menu that shows one of several parts; without this script all are there. */
function chooser(menu) {
  const parts = all(document, menu.dataset.chooses);
  const show = () => { for (const part of parts) part.hidden = part.dataset.part !== menu.value; };
  if (parts.some((part) => part.dataset.part === location.hash.slice(1))) menu.value = location.hash.slice(1);
  menu.addEventListener("change", show);
  show();
}

/* Videos side by side, one clock for all: the first one shown. */
class Player {
  constructor(root) {
    this.root = root;
    this.fps = Number(root.dataset.fps);
    this.frames = Number(root.dataset.frames);
    this.videos = all(root, "video");
    this.scrub = root.querySelector("[data-do=scrub]");
    this.output = root.querySelector("output");
    this.button = root.querySelector("[data-do=play]");
    this.frame = 0;
    this.playing = false;
    this.listeners = [];
    const act = { play: () => this.toggle(), back: () => this.seek(this.frame - 1), on: () => this.seek(this.frame + 1) };
    for (const [name, action] of Object.entries(act)) root.querySelector(`[data-do=${name}]`).addEventListener("click", action);
    this.scrub.addEventListener("input", () => this.seek(Number(this.scrub.value)));
    root.querySelector("[data-do=speed]").addEventListener("change", (event) => {
      for (const video of this.videos) video.playbackRate = Number(event.target.value);
    });
    root.querySelector("[data-do=sound]").addEventListener("change", (event) => this.listen(event.target.value));
    for (const box of all(root, "[data-do=show]")) box.addEventListener("change", () => this.reveal(box));
    for (const plot of all(root, ".plot")) plot.addEventListener("click", (event) => {
      const bounds = plot.getBoundingClientRect();
      this.seek(Math.round((event.clientX - bounds.left) / bounds.width * (this.frames - 1)));
    });
    document.addEventListener("keydown", (event) => this.key(event));
    this.button.disabled = !this.videos.length;
    this.draw();
  }

  get shown() { return this.videos.filter((video) => !video.closest("figure").hidden); }

  reveal(box) {
    for (const part of all(this.root, `[data-series="${box.value}"]`)) part.toggleAttribute("hidden", !box.checked);
    if (this.playing) this.pause();
    this.seek(this.frame);
  }

  listen(name) {
    this.videos.forEach((video, number) => { video.muted = String(number) !== name; });
  }

  toggle() { if (this.playing) this.pause(); else if (this.shown.length) this.play(); }

  async play() {
    if (this.frame >= this.frames - 1) this.seek(0);
    this.playing = true;
    this.button.textContent = "Pause";
    try {
      await Promise.all(this.shown.map((video) => video.play()));
    } catch (error) {
      if (error.name !== "AbortError") this.output.textContent = `cannot play: ${error.message}`;
      if (this.playing) this.pause();
      return;
    }
    this.follow();
  }

  pause() {
    this.playing = false;
    this.button.textContent = "Play";
    for (const video of this.videos) video.pause();
    this.seek(this.frame);
  }

  /* While the clock runs: move the cursor, and bring a video back that is a frame or more off. */
  follow() {
    if (!this.playing) return;
    const [clock, ...others] = this.shown;
    this.frame = Math.min(this.frames - 1, Math.floor(clock.currentTime * this.fps + 0.001));
    for (const video of others) {
      if (!video.ended && !video.seeking && Math.abs(video.currentTime - clock.currentTime) > 1.5 / this.fps) video.currentTime = clock.currentTime;
    }
    this.draw();
    if (clock.ended) { this.frame = this.frames - 1; this.pause(); } else requestAnimationFrame(() => this.follow());
  }

  /* The middle of a frame's time, so that no rounding shows its neighbour. */
  seek(frame) {
    this.frame = Math.max(0, Math.min(this.frames - 1, frame));
    for (const video of this.shown) video.currentTime = Math.min((this.frame + 0.5) / this.fps, (video.duration || Infinity) - 0.001);
    this.draw();
  }

  draw() {
    this.scrub.value = this.frame;
    this.root.style.setProperty("--t", this.frames > 1 ? this.frame / (this.frames - 1) : 0);
    this.output.textContent = `${this.frame} / ${this.frames - 1}, ${(this.frame / this.fps).toFixed(2)} s`;
    for (const listener of this.listeners) listener(this.frame);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input:not([type=checkbox]):not([type=radio]), select, textarea")) return;
    const step = event.shiftKey ? 10 : 1;
    const act = {
      ArrowLeft: () => this.seek(this.frame - step), ArrowRight: () => this.seek(this.frame + step),
      Home: () => this.seek(0), End: () => this.seek(this.frames - 1), k: () => this.toggle(),
    };
    if (!event.target.closest("button, a, summary, input")) act[" "] = () => this.toggle();
    if (!(event.key in act)) return;
    event.preventDefault();
    act[event.key]();
  }
}

/* The inspector: bars of the frame's AUs, and marked frames that can be taken away as a file. */
function inspector(root, player) {
  const clip = JSON.parse(document.getElementById("clip").textContent);
  const rows = all(root, ".bars tbody tr");
  player.listeners.push((frame) => rows.forEach((row, number) => {
    const value = clip.values[frame][number];
    row.style.setProperty("--v", value === null ? 0 : Math.min(1, value / clip.high[number]));
    row.classList.toggle("moving", value !== null && value > 0);
    row.querySelector(".value").textContent = value === null ? "–" : value.toFixed(2);
  }));

  const kept = `marks ${clip.sha256}`;
  const marks = new Map(JSON.parse(memory.get(kept) ?? "[]"));
  const list = root.querySelector(".marks tbody");
  const ticks = all(root, ".plot");
  const button = root.querySelector("[data-do=mark]");
  const save = () => memory.set(kept, JSON.stringify([...marks]));

  function line(frame) {
    const row = list.insertRow();
    const go = Object.assign(document.createElement("button"), { type: "button", textContent: `frame ${frame}` });
    go.addEventListener("click", () => player.seek(frame));
    const note = Object.assign(document.createElement("input"), { type: "text", value: marks.get(frame), ariaLabel: `Note on frame ${frame}` });
    note.addEventListener("input", () => { marks.set(frame, note.value); save(); });
    const off = Object.assign(document.createElement("button"), { type: "button", textContent: "Remove", ariaLabel: `Remove the mark of frame ${frame}` });
    off.addEventListener("click", () => { toggle(frame); button.focus(); });
    for (const [part, kind] of [[go, "text"], [note, "text"], [off, "text"]]) {
      const cell = row.insertCell();
      cell.className = kind;
      cell.append(part);
    }
  }

  function show() {
    list.replaceChildren();
    const frames = [...marks.keys()].sort((a, b) => a - b);
    frames.forEach(line);
    root.querySelector(".marks").hidden = !frames.length;
    root.querySelector("[data-do=export]").disabled = !frames.length;
    for (const plot of ticks) {
      for (const old of all(plot, ".tick")) old.remove();
      for (const frame of frames) {
        const tick = Object.assign(document.createElement("i"), { className: "tick" });
        tick.style.left = `${100 * frame / Math.max(1, player.frames - 1)}%`;
        plot.append(tick);
      }
    }
    say(player.frame);
  }

  const say = (frame) => {
    button.textContent = marks.has(frame) ? "Unmark frame" : "Mark frame";
    button.setAttribute("aria-pressed", String(marks.has(frame)));
  };
  const toggle = (frame) => {
    if (!marks.delete(frame)) marks.set(frame, "");
    save();
    show();
  };

  player.listeners.push(say);
  button.addEventListener("click", () => toggle(player.frame));
  document.addEventListener("keydown", (event) => {
    if (event.key === "m" && !event.ctrlKey && !event.metaKey && !event.altKey && !event.target.closest("input[type=text]")) toggle(player.frame);
  });
  root.querySelector("[data-do=export]").addEventListener("click", () => {
    const found = [...marks].sort(([a], [b]) => a - b).map(([frame, note]) => ({
      frame, seconds: frame / clip.fps, note, aus: Object.fromEntries(clip.names.map((name, number) => [name, clip.values[frame][number]])),
    }));
    const { name, sha256, fps, frames, vocabulary, source } = clip;
    const text = JSON.stringify({ schema: 1, clip: name, sha256, fps, frames, vocabulary, source, marks: found }, null, 2);
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(new Blob([text], { type: "application/json" })), download: clip.download });
    link.click();
    URL.revokeObjectURL(link.href);
  });
  show();
  player.draw();
}

all(document, "header nav").forEach((nav) => {
  const here = nav.querySelector("[aria-current]");
  if (here) nav.scrollLeft = here.offsetLeft - nav.offsetLeft - 16;
});
all(document, "[data-theme-switch]").forEach(themes);
all(document, "table.sortable").forEach(sortable);
all(document, "[data-filters]").forEach(filterable);
all(document, "[data-chooses]").forEach(chooser);
const players = all(document, ".player").map((root) => new Player(root));
all(document, ".inspector-page").forEach((root) => inspector(root, players[0]));
addEventListener("beforeprint", () => { for (const part of all(document, "details")) part.open = true; });
