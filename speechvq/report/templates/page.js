"use strict";
// Players: versions of an utterance over one time axis, with one playing position.

const players = [];

class Player {
  constructor(root) {
    this.sounds = [...root.querySelectorAll("audio")];
    this.pictures = [...root.querySelectorAll(".picture")];
    this.scroll = root.querySelector(".scroll");
    this.time = root.querySelector(".time");
    this.button = root.querySelector(".play");
    this.clock = root.querySelector(".clock");
    this.reading = root.querySelector(".reading");
    this.name = root.querySelector("h3").textContent;
    this.seconds = Number(this.time.dataset.seconds);
    this.step = Number(root.dataset.step);
    this.until = Infinity; // where playing stops, after a code that was asked for
    this.chosen = 0;
    this.lanes = [...root.querySelectorAll(".lane")].map(lane);
    this.radios = [...root.querySelectorAll("input")];
    this.radios.forEach((radio, i) => radio.addEventListener("change", () => this.choose(i)));
    if (this.radios.length) this.radios[0].checked = true; // not what the browser remembers
    for (const sound of this.sounds) {
      sound.controls = false;
      for (const event of ["play", "pause", "ended", "seeked", "timeupdate", "loadedmetadata"])
        sound.addEventListener(event, () => this.show());
    }
    for (const [name, value] of Object.entries({ role: "slider", tabindex: 0, "aria-valuemin": 0,
      "aria-valuemax": this.seconds.toFixed(2) })) this.time.setAttribute(name, value);
    this.time.addEventListener("click", (event) => this.seek(this.at(event)));
    this.time.addEventListener("pointermove", (event) => {
      if (event.buttons === 1 && event.pointerType === "mouse") this.seek(this.at(event));
    });
    this.button.addEventListener("click", () => this.toggle());
    root.addEventListener("keydown", (event) => this.key(event));
    this.show();
  }

  get sound() { return this.sounds[this.chosen]; }

  at(event) { // seconds under a pointer
    const box = this.time.getBoundingClientRect();
    return ((event.clientX - box.left) / box.width) * this.seconds;
  }

  seek(seconds) {
    this.until = Infinity;
    this.sound.currentTime = Math.min(Math.max(seconds, 0), this.seconds);
    this.show();
    this.follow();
  }

  play() {
    for (const other of players) if (other !== this) other.sound.pause();
    this.sound.play();
  }

  toggle() {
    this.until = Infinity;
    if (this.sound.paused) this.play(); else this.sound.pause();
  }

  choose(number) { // A/B: the other version goes on where this one is
    const before = this.sound;
    if (number === this.chosen) return;
    const playing = !before.paused;
    before.pause();
    this.chosen = number;
    this.sound.currentTime = before.currentTime;
    this.pictures.forEach((picture, i) => picture.toggleAttribute("data-chosen", i === number));
    if (playing) this.sound.play();
    this.show();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const now = this.sound.currentTime;
    const moves = { ArrowLeft: now - this.step, ArrowRight: now + this.step, ArrowDown: now - this.step,
      ArrowUp: now + this.step, PageDown: now - 0.5, PageUp: now + 0.5, Home: 0, End: this.seconds };
    const radio = this.radios[event.key - 1];
    if (radio) { radio.checked = true; this.choose(event.key - 1); }
    else if (event.target !== this.time) return;
    else if (event.key in moves) this.seek(moves[event.key]);
    else if (event.key === " " || event.key === "Enter") this.toggle();
    else return;
    event.preventDefault();
  }

  show() {
    const now = this.sound.currentTime, playing = !this.sound.paused && !this.sound.ended;
    if (now >= this.until) { this.until = Infinity; this.sound.pause(); }
    this.time.style.setProperty("--at", Math.min(now / this.seconds, 1));
    this.clock.textContent = `${now.toFixed(2)} / ${this.seconds.toFixed(2)} s`;
    const said = ["code", "phone"].map((name) => this.lanes.filter((lane) => lane.name === name)
      .map((lane) => lane.cells.find((cell) => cell.start <= now && now < cell.end)?.text ?? "")
      .join(":")).map((text, i) => text && `${["code", "phone"][i]} ${text}`).filter(Boolean).join(" · ");
    this.reading.textContent = said;
    this.time.setAttribute("aria-valuenow", now.toFixed(2));
    this.time.setAttribute("aria-valuetext", `${now.toFixed(2)} seconds${said && `, ${said}`}`);
    this.button.classList.toggle("playing", playing);
    this.button.setAttribute("aria-label", `${playing ? "Pause" : "Play"} ${this.name}`);
    if (!playing || this.frame) return;
    this.follow();
    this.frame = requestAnimationFrame(() => { this.frame = 0; this.show(); });
  }

  follow() { // keep the position in view where the time axis is wider than the page
    const { scrollLeft, clientWidth, scrollWidth } = this.scroll;
    const place = (this.sound.currentTime / this.seconds) * scrollWidth - scrollLeft;
    if (place < 0 || place > clientWidth - 24) this.scroll.scrollLeft += place - clientWidth / 4;
  }
}

function lane(element) { // start, end and text of each cell of a lane
  const cells = [...element.children].map((cell) =>
    ({ element: cell, text: cell.textContent, length: Number(cell.style.flexGrow) }));
  const second = Number(element.dataset.seconds) / cells.reduce((sum, cell) => sum + cell.length, 0);
  let end = 0;
  for (const cell of cells) { cell.start = end; end += cell.length * second; cell.end = end; }
  return { name: element.dataset.name, cells };
}

document.documentElement.classList.add("scripting");
for (const root of document.querySelectorAll(".player")) players.push(new Player(root));

// The code map: a code that is pressed is marked wherever it occurs, and heard in one place after the other.
const found = document.querySelector(".found");
let asked = null, place = 0;
for (const button of document.querySelectorAll("[data-code]")) button.addEventListener("click", () => {
  const code = button.dataset.code;
  const places = players.flatMap((player) => player.lanes.filter((lane) => lane.name === "code")
    .flatMap((lane) => lane.cells).filter((cell) => cell.text === code).map((cell) => ({ player, cell })));
  place = code === asked ? place + 1 : 0;
  asked = code;
  for (const lit of document.querySelectorAll(".lit")) lit.classList.remove("lit");
  button.classList.add("lit");
  for (const { cell } of places) cell.element.classList.add("lit");
  found.textContent = `Code ${code}: ${button.title}. ` + (places.length ? "" : "It is in none of the sentences here.");
  if (!places.length) return;
  const { player, cell } = places[place % places.length];
  found.textContent += `Heard at ${cell.start.toFixed(2)} s of ${player.name}, place ${place % places.length + 1} of ${places.length}.`;
  if (player.radios.length) player.radios[0].click();
  player.seek(cell.start - 0.1);
  player.until = cell.end + 0.1;
  player.play();
});

addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => { part.open = true; }));
