"use strict";
// Sends orders to the studio's server, shows the queue, and in the viewer the object that is made or was chosen.
// Texts are only ever set as text.

(() => {
  const EVERY = 1500; // milliseconds
  const { studio } = JSON.parse(document.getElementById("page-data").textContent);
  const find = (selector) => document.querySelector(selector);
  const form = find("form.order"), list = find(".orders"), picture = find("img.now");
  const OVER = ["finished", "failed", "stopped"];
  const shown = { number: 0, chosen: 0, pictures: 0, surfaces: 0, stage: "", finished: 0 };

  async function send(path, content = {}) {
    const headers = { "Content-Type": "application/json" };
    const response = await fetch(path, { method: "POST", headers, body: JSON.stringify(content) });
    if (!response.ok) throw new Error((await response.text()).trim());
    return response.json();
  }

  function say(sentence) {
    find(".refusal").textContent = sentence;
  }

  async function attempt(action) {
    say("");
    try {
      await action();
    } catch (error) {
      say(error.message);
    }
    await look();
  }

  function made(name, properties = {}, ...content) {
    const node = Object.assign(document.createElement(name), properties);
    node.append(...content);
    return node;
  }

  function button(order, word, path) {
    const node = made("button", { type: "button", onclick: () => attempt(() => send(`orders/${order.number}/${path}`)) }, word);
    node.setAttribute("aria-label", `${word}: ${order.prompt}`);
    return node;
  }

  function item(order) {
    const choose = made("button", { type: "button", className: "choose", onclick: () => { shown.chosen = order.number; look(); } }, order.prompt);
    choose.setAttribute("aria-pressed", String(order.number === shown.number));
    const parts = [choose, made("span", {}, order.stage === "running" ? order.sentence : order.stage)];
    if (order.stage === "running") parts.push(Object.assign(document.createElement("progress"), { max: 1, value: order.progress }));
    if (order.understood) parts.push(made("small", {}, order.understood));
    if (order.error) parts.push(made("small", { className: "wrong" }, order.error));
    if (order.stage === "finished") parts.push(made("a", { href: `runs/${encodeURIComponent(order.folder)}/` }, "Open"));
    else if (OVER.includes(order.stage)) parts.push(button(order, "Continue", "continue"));
    else parts.push(button(order, "Stop", "stop"));
    const node = made("li", {}, ...parts);
    node.dataset.stage = order.stage;
    return node;
  }

  function showQueue(orders) {
    const text = JSON.stringify([orders, shown.number]);
    if (text === list.dataset.shown) return; // the focus stays where it is
    const focused = [...list.querySelectorAll("button, a")].indexOf(document.activeElement);
    list.dataset.shown = text;
    list.replaceChildren(...orders.map(item));
    if (focused >= 0) list.querySelectorAll("button, a")[focused]?.focus();
    const waiting = orders.filter((order) => order.stage === "waiting").length;
    const running = orders.find((order) => order.stage === "running");
    const now = running ? `Making ${running.prompt}` : orders.length ? "Nothing is being made" : "Nothing is ordered";
    const words = waiting ? `${now}, ${waiting} waiting.` : `${now}.`;
    if (find(".state").textContent !== words) find(".state").textContent = words; // a screen reader hears it once
  }

  async function showObject(order) {
    if (order.number !== shown.number) {
      Object.assign(shown, { number: order.number, pictures: 0, surfaces: 0, stage: "" });
      find(".viewer").classList.remove("ready");
      picture.removeAttribute("src");
      find(".notice").textContent = order.stage === "failed" ? order.error : "The object forms here; the first picture comes soon.";
    }
    const place = `orders/${order.number}`;
    if (order.pictures > shown.pictures) picture.src = `${place}/now.png?${order.pictures}`;
    shown.pictures = order.pictures;
    if (order.stage === "finished" && shown.stage !== "finished") {
      shown.stage = order.stage;
      await modelViewer?.load({ address: `runs/${encodeURIComponent(order.folder)}/mesh.glb` });
    } else if (order.stage === "running" && order.surfaces > shown.surfaces) {
      shown.surfaces = order.surfaces;
      await modelViewer?.load({ address: `${place}/now.glb?${order.surfaces}` });
    }
  }

  async function look() {
    try {
      const response = await fetch(studio.orders, { cache: "no-store" });
      if (!response.ok) throw new Error(await response.text());
      const orders = await response.json();
      const wanted = orders.find((order) => order.number === shown.chosen);
      const order = wanted ?? orders.find((one) => one.stage === "running") ?? orders.find((one) => one.number === shown.number) ?? orders[0];
      const finished = orders.filter((one) => one.stage === "finished").length;
      if (order) await showObject(order);
      showQueue(orders);
      if (finished !== shown.finished) gallery.refresh();
      shown.finished = finished;
    } catch (error) {
      find(".state").textContent = "The studio has ended, or this page cannot reach it.";
    }
  }

  let ordering = Promise.resolve(); // two requests at once may arrive in either order, and are made in that one
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const { prompt, ...settings } = Object.fromEntries(new FormData(form));
    form.elements.prompt.select();
    ordering = ordering.then(() => attempt(async () => {
      await send("orders", { prompt, settings });
      shown.chosen = 0;
    }));
  });

  async function follow() {
    await look();
    setTimeout(follow, EVERY);
  }
  follow();
})();
