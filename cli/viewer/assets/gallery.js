"use strict";
// Shows the runs of a folder as cards, as many as the window needs, and searches and sorts them as the user wishes.
// Texts of runs are only ever set as text. Defines `gallery`, which other scripts ask to look again.

const gallery = (() => {
  const AT_ONCE = 60; // cards that are added when the end of the page comes near
  const { runs: address } = JSON.parse(document.getElementById("page-data").textContent).gallery;
  const root = document.querySelector(".gallery");
  const find = (selector) => root.querySelector(selector);
  const cards = find(".cards"), search = find("[name=search]");
  const end = root.appendChild(document.createElement("div")); // stands behind the last card
  let runs = [], chosen = [], shown = 0;

  const percent = (share) => `${Math.round(100 * share)}%`;
  const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
  const last = (value) => value ?? -Infinity; // what was not measured comes last

  const ORDERS = {
    new: (a, b) => b.changed - a.changed,
    sure: (a, b) => last(b.recognised) - last(a.recognised),
    unsure: (a, b) => (a.recognised ?? Infinity) - (b.recognised ?? Infinity),
    name: (a, b) => a.prompt.localeCompare(b.prompt),
    faces: (a, b) => last(b.faces) - last(a.faces),
    slow: (a, b) => last(b.seconds) - last(a.seconds),
  };
  const STATES = {
    "": () => true,
    recognised: (run) => run.is_recognised === true,
    missed: (run) => run.is_recognised === false,
    unfinished: (run) => run.state === "unfinished",
    damaged: (run) => run.state === "damaged",
  };

  function made(name, properties = {}, ...content) {
    const node = Object.assign(document.createElement(name), properties);
    node.append(...content);
    return node;
  }

  function measured(run) {
    if (run.state === "damaged") return [run.error];
    const parts = [];
    if (run.recognised !== undefined) parts.push(`${percent(run.recognised)} ${run.noun}`);
    if (run.janus > 0) parts.push(`Janus ${percent(run.janus)}`);
    if (run.faces !== undefined) parts.push(`${run.faces.toLocaleString("en")} faces${run.watertight ? "" : ", open"}`);
    if (run.size) parts.push(run.size);
    if (run.method) parts.push(`${run.method}, seed ${run.seed}`);
    return parts;
  }

  function card(run) {
    const picture = run.picture
      ? made("img", { src: `${run.address}picture.jpg?${run.changed}`, alt: "", loading: "lazy", width: 160, height: 160 })
      : made("span", { className: "blank" });
    const facts = made("small", {}, ...measured(run).map((part) => made("span", {}, part)));
    const state = run.state === "finished" ? [] : [made("em", {}, run.state)];
    return made("li", {}, made("a", { href: run.address, title: run.name }, picture, made("b", {}, run.prompt), ...state, facts));
  }

  function showMore() {
    const next = chosen.slice(shown, shown + AT_ONCE);
    cards.append(...next.map(card));
    shown += next.length;
    watcher.unobserve(end); // it tells of changes alone: to be asked again whether the end is near, now that it moved
    watcher.observe(end);
  }

  function sentence() {
    const seen = chosen.filter((run) => run.recognised !== undefined);
    const mean = seen.reduce((sum, run) => sum + run.recognised, 0) / seen.length;
    const words = [count(chosen.length, "run")];
    if (chosen.length < runs.length) words[0] += ` of ${runs.length.toLocaleString("en")}`;
    if (seen.length) words.push(`${percent(mean)} of their views recognised`);
    const unfinished = chosen.filter((run) => run.state === "unfinished").length;
    if (unfinished) words.push(`${unfinished} unfinished`);
    return words.join(" · ");
  }

  function choose() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const isWanted = STATES[find("[name=state]").value];
    const text = (run) => `${run.prompt} ${run.noun ?? ""} ${run.method ?? ""} seed ${run.seed ?? ""} ${run.name}`.toLowerCase();
    chosen = runs.filter((run) => isWanted(run) && words.every((word) => text(run).includes(word)));
    chosen.sort(ORDERS[find("[name=order]").value]);
    cards.replaceChildren();
    shown = 0;
    showMore();
    find(".summary").textContent = runs.length ? sentence() : "No runs yet.";
  }

  async function refresh() {
    try {
      const response = await fetch(address, { cache: "no-store" });
      if (!response.ok) throw new Error(await response.text());
      runs = await response.json();
      choose();
    } catch (error) {
      find(".summary").textContent = `The runs cannot be read: ${error.message}`;
    }
  }

  const watcher = new IntersectionObserver((seen) => {
    if (seen.at(-1).isIntersecting && shown < chosen.length) showMore();
  }, { rootMargin: "800px" });
  root.addEventListener("input", choose);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.matches("input, select, textarea")) return;
    event.preventDefault();
    search.focus();
  });
  refresh();
  return { refresh };
})();
