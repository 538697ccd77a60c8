"use strict";

// Filters: the tiles of the page that meet all of them.
const filters = document.querySelector(".filters");

function meets(tile, wanted) {
  return (!wanted.format || tile.dataset.format === wanted.format)
    && (!wanted.side || Number(tile.dataset.side) >= Number(wanted.side))
    && (!wanted.source || tile.dataset.source.toLowerCase().includes(wanted.source.toLowerCase()))
    && (!wanted.text || tile.dataset.text.toLowerCase().includes(wanted.text.toLowerCase()));
}

function filter() {
  const wanted = {};
  for (const input of filters.querySelectorAll("[data-filter]")) {
    wanted[input.dataset.filter] = input.value.trim();
  }
  const all = [...document.querySelectorAll(".tile")];
  let shown = 0;
  for (const tile of all) {
    tile.hidden = !meets(tile, wanted);
    shown += tile.hidden ? 0 : 1;
  }
  filters.querySelector("[data-filter-count]").textContent = shown + " of " + all.length + " pictures shown";
}

if (filters) {
  filters.addEventListener("input", filter);
  filters.addEventListener("reset", () => setTimeout(filter));
  filters.addEventListener("submit", (event) => event.preventDefault());
  filter();
}

// Check boxes that show or hide what is drawn over pictures.
for (const box of document.querySelectorAll("[data-show]")) {
  const update = () => document.body.classList.toggle("hide-" + box.dataset.show, !box.checked);
  box.addEventListener("change", update);
  update();
}

// The threshold: exact counts from the page, and the command that makes it so.
const part = document.querySelector(".threshold");

function number(value) {
  return value.toLocaleString("en-US");
}

function span(values) {
  return values.map((each) => (100 * each).toFixed(1));
}

function placeOf(curve, slider) {
  const first = Math.round(curve.bounds[0] * curve.steps);
  const place = Math.max(0, Math.min(curve.bounds.length - 1, Number(slider.value) - first));
  slider.value = first + place;
  return place;
}

function showThreshold(curve, place) {
  const bound = curve.bounds[place];
  const kept = curve.kept[place];
  const change = kept - curve.kept_now;
  const text = bound.toFixed(3).replace(/0+$/, "").replace(/\.$/, ".0");
  document.getElementById("bound").textContent = bound.toFixed(3);
  document.getElementById("slider").setAttribute("aria-valuetext", text);
  document.getElementById("kept-then").textContent = "At " + text + ", " + number(kept) + " images are kept, "
    + (change === 0 ? "as many as now." : number(Math.abs(change)) + (change > 0 ? " more." : " fewer."));
  if (curve.quality) {
    const at = Math.min(100, Math.round(bound * 100));
    const [precision, plow, phigh] = span(curve.quality.precision[at]);
    const [recall, rlow, rhigh] = span(curve.quality.recall[at]);
    document.getElementById("quality").textContent = "Precision " + precision + " % (" + plow + " to " + phigh + "), recall "
      + recall + " % (" + rlow + " to " + rhigh + "), from " + number(curve.quality.labels) + " labels.";
  }
  document.getElementById("command").value = curve.command.replaceAll("THRESHOLD", text);
  document.getElementById("yaml").value = "choose:\n  " + curve.setting + ": " + text;
  for (const tile of document.querySelectorAll(".strip .tile")) {
    tile.classList.toggle("is-dropped", Number(tile.dataset.score) < bound);
  }
  for (const line of document.querySelectorAll(".plot .bound")) {
    const x = Number(line.dataset.left) + bound * Number(line.dataset.width);
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
  }
}

if (part) {
  const curve = JSON.parse(document.getElementById("curve").textContent);
  const slider = document.getElementById("slider");
  slider.addEventListener("input", () => showThreshold(curve, placeOf(curve, slider)));
  showThreshold(curve, placeOf(curve, slider));
}
