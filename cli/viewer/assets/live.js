"use strict";
// Follows a run: asks its server for the state and shows what is new. The finished page takes the place of this one.

(() => {
  const EVERY = 2000; // milliseconds
  const { live } = JSON.parse(document.getElementById("page-data").textContent);
  const shown = { pictures: 0, surfaces: 0 };
  const find = (selector) => document.querySelector(selector);

  async function show(state) {
    find(".state").textContent = state.sentence;
    find("progress").value = state.progress;
    if (!find(".chart.reading")) find(".charts").innerHTML = state.charts; // escaped by the server, which drew them
    if (state.pictures > shown.pictures) {
      for (const image of document.querySelectorAll(".now")) image.src = `${live.picture}?${state.pictures}`;
    }
    if (state.surfaces > shown.surfaces) await modelViewer?.load({ address: `${live.surface}?${state.surfaces}` });
    shown.pictures = state.pictures;
    shown.surfaces = state.surfaces;
  }

  async function follow() {
    try {
      const response = await fetch(live.state, { cache: "no-store" });
      if (!response.ok) throw new Error(String(response.status));
      const state = await response.json();
      if (state.finished || state.run !== live.run) {
        location.reload();
        return;
      }
      await show(state);
    } catch {
      find(".state").textContent = "The run has stopped, or this page cannot reach it; scoresmith generate --resume continues a run.";
    }
    setTimeout(follow, EVERY);
  }

  follow();
})();
