"use strict";
// Values of the curves under the pointer, or under a cursor that the arrow keys move.
// Listens on the document, because a live page draws its curves again and again.

(() => {
  const chartOf = (event) => event.target.closest?.(".chart");

  function showValue(chart, index) {
    const points = JSON.parse(chart.dataset.points);
    index = Math.max(0, Math.min(points.length - 1, index));
    const [x, y, label] = points[index];
    const cursor = chart.querySelector(".cursor");
    cursor.setAttribute("transform", `translate(${x} 0)`);
    cursor.querySelector("circle").setAttribute("cy", y);
    chart.classList.add("reading");
    chart.querySelector("output").textContent = label;
    chart.dataset.index = index;
  }

  function showLast(chart) {
    chart.classList.remove("reading");
    chart.querySelector("output").textContent = chart.dataset.last;
    delete chart.dataset.index;
  }

  document.addEventListener("pointermove", (event) => {
    const chart = chartOf(event);
    if (!chart) return;
    const box = chart.querySelector("svg").getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * Number(chart.dataset.width);
    const points = JSON.parse(chart.dataset.points);
    const nearest = points.reduce((best, point, i) => (Math.abs(point[0] - x) < Math.abs(points[best][0] - x) ? i : best), 0);
    showValue(chart, nearest);
  });
  document.addEventListener("pointerout", (event) => {
    const chart = chartOf(event);
    if (chart && !chart.contains(event.relatedTarget)) showLast(chart);
  });
  document.addEventListener("focusout", (event) => chartOf(event) && showLast(chartOf(event)));
  document.addEventListener("keydown", (event) => {
    const chart = chartOf(event);
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!chart || !move) return;
    event.preventDefault();
    const last = JSON.parse(chart.dataset.points).length - 1;
    showValue(chart, chart.dataset.index === undefined ? last : Number(chart.dataset.index) + move);
  });
})();
